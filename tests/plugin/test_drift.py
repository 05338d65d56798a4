from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.key_bindings import KeymapHandler

from napari_neural_style.images import METADATA_KEY, to_rgb, to_uint8
from napari_neural_style.images.drift import measure_drift
from napari_neural_style.plugin.compare import KEY
from napari_neural_style.plugin.drift import INVENTED, LOST, DriftMaps, mapped_result
from napari_neural_style.plugin.layers import (
    DRIFT_KEY,
    displayed_composite,
    displayed_plane,
    is_drift,
    stack_planes,
)
from napari_neural_style.plugin.origins import origin_of, remember_origin
from napari_neural_style.plugin.result import ResultLayer

from .conftest import errors, picture, results

TIMEOUT = 20_000


def maps(viewer):
    return [layer for layer in viewer.layers if is_drift(layer)]


def painted(pixels, start=(8, 8)):
    """What could have been painted of an image: something else in a corner of it."""
    result = np.array(pixels)
    result[start[0] :, start[1] :] = result[start[0] :, start[1] :][::-1, ::-1]
    return result


def add_result(viewer, content, data, name="result", origin=True, **appearance):
    """Lay a painted plane over a content, as a run does."""
    plane = displayed_plane(content, viewer.dims)
    result = ResultLayer(
        viewer,
        plane.geometry.place,
        plane.geometry.orientation,
        name,
        appearance or {"rgb": True},
        contents=(content,),
        origin=plane if origin else None,
    )
    result.show(data, {"content": content.name})
    return result.layer


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def ask(viewer, qtbot):
    """Map the drift of a result; return the map, or raise why there is none."""
    drifts = DriftMaps(viewer)

    def ask(result):
        outcomes = []
        drifts.told.connect(outcomes.append)
        drifts.failed.connect(outcomes.append)
        drifts.show(result)
        qtbot.waitUntil(lambda: bool(outcomes), timeout=TIMEOUT)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        return next(layer for layer in maps(viewer) if isinstance(layer, Image))

    return ask


def test_a_click_maps_the_result_of_a_run(open_widget, finish, qtbot):
    content = picture(40, 56, 3)
    viewer, widget = open_widget(content, scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    offered = {name: widget[name].choices for name in ("content", "style", "mask")}
    widget["size"].value = 28
    widget.run.native.click()
    finish(widget)
    (result,) = results(viewer)
    for _ in range(2):  # asked anew, it is replaced
        with qtbot.waitSignal(widget._drift_maps.told, timeout=TIMEOUT) as told:
            widget._drift_button.click()
        shades, edges = maps(viewer)
        assert len(viewer.layers) == 5
    drift = measure_drift(to_rgb(content), to_rgb(result.data))
    assert told.args == [f"{drift}."]
    assert widget._form.status.text() == f"{drift}."
    assert drift.mean > 0.01
    np.testing.assert_array_equal(shades.data, drift.map)
    np.testing.assert_array_equal(edges.data == LOST, drift.lost)
    np.testing.assert_array_equal(edges.data == INVENTED, drift.invented)
    assert isinstance(edges, Labels)
    assert shades.name == f"{result.name}: drift"
    assert tuple(shades.contrast_limits) == (0, 1)
    for layer in (shades, edges):
        assert layer.metadata == {DRIFT_KEY: {"result": result.name, **drift.summary}}
        for name in ("scale", "translate", "units", "axis_labels"):
            np.testing.assert_array_equal(getattr(layer, name), getattr(result, name))
        assert mapped_result(layer) == result
    assert viewer.layers.selection.active == result
    for name, choices in offered.items():
        assert widget[name].choices == choices
    assert not errors()


def test_what_was_seen_when_it_was_painted_is_compared(viewer, ask):
    counts = 20 * picture(32, 40, dtype=np.uint16)
    content = viewer.add_image(counts, contrast_limits=(0, 5000), colormap="magenta")
    seen = displayed_plane(content, viewer.dims).rgb()
    result = add_result(viewer, content, painted(to_uint8(seen), (20, 20)))
    content.contrast_limits = (1000, 1500)
    content.colormap = "gray"
    shades = ask(result)
    np.testing.assert_array_equal(shades.data, measure_drift(seen, to_rgb(result.data)).map)
    # Where nothing was painted, but for windows that reach into it.
    assert not shades.data[:15, :15].any()
    assert shades.data[20:, 20:].max() > 0.5


def test_an_intensity_is_seen_as_its_content_whatever_that_shows_now(viewer, ask):
    counts = 20 * picture(32, 40, dtype=np.uint16)
    content = viewer.add_image(counts, contrast_limits=(0, 5000), gamma=0.7)
    look = {"rgb": False, "contrast_limits": (0, 5000), "gamma": 0.7}
    result = add_result(viewer, content, painted(counts, (20, 20)), **look)
    content.contrast_limits = (1000, 1500)
    shades = ask(result)
    assert not shades.data[:15, :15].any()
    assert shades.data[20:, 20:].max() > 0.5
    result.contrast_limits = content.contrast_limits = (500, 9000)
    both = (displayed_plane(layer, viewer.dims).rgb() for layer in (content, result))
    np.testing.assert_array_equal(ask(result).data, measure_drift(*both).map)


def test_a_plane_of_a_stack_has_its_map_where_it_lies(viewer, ask):
    movie = np.stack([picture(24, 32, seed=seed) for seed in range(4)])
    content = viewer.add_image(movie, scale=(2, 1, 1), translate=(1, 0, 0))
    viewer.dims.set_current_step(0, 2)
    seen = displayed_plane(content, viewer.dims).rgb()
    result = add_result(viewer, content, painted(to_uint8(seen)))
    shades = ask(result)
    assert shades.data.shape == (1, 24, 32)
    np.testing.assert_array_equal(shades.data[0], measure_drift(seen, to_rgb(result.data[0])).map)
    np.testing.assert_array_equal(shades.translate, (5, 0, 0))
    viewer.dims.set_current_step(0, 1)
    with pytest.raises(ValueError, match="move the slider to one of its planes"):
        ask(result)


def test_of_a_whole_stack_the_plane_that_is_shown(viewer, ask):
    movie = np.stack([picture(24, 32, seed=seed) for seed in range(4)])
    content = viewer.add_image(movie)
    source = stack_planes(content, viewer.dims)
    stack = np.stack([painted(to_uint8(source.plane([i]).rgb())) for i in range(4)])
    result = viewer.add_image(stack, rgb=True, metadata={METADATA_KEY: {}})
    remember_origin(result, source)
    for step in (1, 3):
        viewer.dims.set_current_step(0, step)
        shades = ask(result)
        expected = measure_drift(source.plane([step]).rgb(), to_rgb(stack[step])).map
        np.testing.assert_array_equal(shades.data, expected[np.newaxis])
        assert shades.translate[0] == step
        assert len(maps(viewer)) == 2
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(ValueError, match=r"was painted in planes along -2 and -1: roll the"):
        ask(result)


def test_a_transposed_view_maps_the_same(viewer, ask):
    content = viewer.add_image(picture(24, 40, 3), rgb=True)
    result = add_result(viewer, content, painted(content.data))
    before = ask(result).data
    viewer.dims.order = (1, 0)
    np.testing.assert_allclose(ask(result).data, before, atol=1e-4)


@pytest.mark.parametrize("names", [("cells",), ("actin", "nuclei")])
def test_a_result_from_elsewhere_is_compared_with_what_its_recipe_names(viewer, ask, names):
    channels = [
        viewer.add_image(picture(24, 32, seed=seed), name=name, blending="additive")
        for seed, name in enumerate(names)
    ]
    seen = displayed_composite(channels, viewer.dims).rgb()
    data = painted(to_uint8(seen))
    result = add_result(viewer, channels[0], data, origin=False)
    result.metadata[METADATA_KEY] = {"content": " + ".join(names)}
    shades = ask(result)
    np.testing.assert_array_equal(shades.data, measure_drift(seen, to_rgb(data)).map)

    channels[0].translate = (7, 0)
    with pytest.raises(ValueError, match="not lie on"):
        ask(result)
    viewer.layers.remove(channels[0])
    gone = "was painted from “{}”, which is not in the viewer".format(" + ".join(names))
    with pytest.raises(ValueError, match=gone.replace("+", r"\+")):
        ask(result)
    assert len(maps(viewer)) == 2  # the one that there was


def test_the_content_may_be_deleted_meanwhile(viewer, ask):
    content = viewer.add_image(picture(24, 32))
    result = add_result(viewer, content, painted(to_uint8(to_rgb(content.data))))
    viewer.layers.remove(content)
    assert ask(result).data.any()


def test_an_earlier_step_is_compared_too(viewer):
    content = viewer.add_image(picture(24, 32))
    plane = displayed_plane(content, viewer.dims)
    geometry = plane.geometry
    result = ResultLayer(
        viewer, geometry.place, geometry.orientation, "result", {"rgb": True}, origin=plane
    )
    result.keep(3, painted(plane.rgb()), {})
    assert origin_of(viewer.layers[-1]) is plane


@pytest.mark.parametrize("event", ["the dock is closed", "the result is deleted"])
def test_what_comes_too_late_is_not_shown(viewer, qtbot, event):
    content = viewer.add_image(picture(24, 32))
    result = add_result(viewer, content, painted(to_uint8(to_rgb(content.data))))
    drifts = DriftMaps(viewer)
    with qtbot.waitSignal(drifts._measured, timeout=TIMEOUT):
        drifts.show(result)
        with pytest.raises(ValueError, match="wait for it"):
            drifts.show(result)
        if event == "the dock is closed":
            drifts.let_go()
        else:
            viewer.layers.remove(result)
    assert not maps(viewer)


def test_while_b_is_held_the_map_does_not_hide_the_content(viewer, ask):
    content = viewer.add_image(picture(24, 32), name="content")
    result = add_result(viewer, content, painted(to_uint8(to_rgb(content.data))))
    ask(result)
    keys = KeymapHandler()
    keys.keymap_providers = [result]
    keys.press_key(KEY)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["content"]
    keys.release_key(KEY)
    assert all(layer.visible for layer in viewer.layers)


def test_the_selected_result_goes_before_the_latest(open_widget, finish, qtbot):
    viewer, widget = open_widget()
    click = partial(qtbot.waitSignal, widget._drift_maps.told, timeout=TIMEOUT)
    widget._drift_button.click()
    sentence = "There is no result to compare with its content: select one."
    assert [record.message for record in errors()] == [sentence]
    widget.run.native.click()
    finish(widget)
    widget._history._keep.click()
    kept, latest = results(viewer)
    viewer.layers.selection.active = viewer.layers["content"]
    with click():
        widget._drift_button.click()
    assert {mapped_result(layer) for layer in maps(viewer)} == {latest}
    viewer.layers.selection.active = kept
    with click():
        widget._drift_button.click()
    assert {mapped_result(layer) for layer in maps(viewer)} == {kept, latest}
    viewer.layers.selection.active = maps(viewer)[0]  # of the latest
    with click():
        widget._drift_button.click()
    assert len(maps(viewer)) == 4
