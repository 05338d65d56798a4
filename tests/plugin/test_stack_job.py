"""Whole stacks, in a real viewer."""

import os
import signal
import threading

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_neural_style import Settings
from napari_neural_style.images import to_uint8
from napari_neural_style.plugin.layers import (
    displayed_composite,
    displayed_plane,
    is_result,
    stack_mask,
    stack_planes,
)
from napari_neural_style.plugin.stack_job import StackJob, axis_letters

from .conftest import TIMEOUT, picture


@pytest.mark.parametrize(
    ("labels", "letters"),
    [
        (["t"], "T"),
        (["Z"], "Z"),
        (["axis -3"], "T"),
        (["axis -4", "axis -3"], "TZ"),
        (["time", "channel", "z"], "TCZ"),
        (["z", "axis -3"], "ZT"),
        (["a", "b", "c"], "TZC"),
        (["t", "time"], "TZ"),
    ],
)
def test_axes_have_letters(labels, letters):
    assert axis_letters(labels, [9] * len(labels)) == letters


@pytest.mark.parametrize(
    ("labels", "lengths", "letters"),
    [
        (["axis -3"], [3], "T"),
        (["axis -4", "axis -3"], [9, 2], "TC"),
        (["axis -4", "axis -3"], [4, 3], "TC"),
        (["axis -5", "axis -4", "axis -3"], [3, 50, 9], "CTZ"),
        (["t", "axis -3"], [3, 3], "TC"),
        (["axis -4", "channel"], [3, 2], "TC"),
    ],
)
def test_a_short_axis_without_a_name_has_channels(labels, lengths, letters):
    assert axis_letters(labels, lengths) == letters


def test_planes_labels_and_styles_of_a_pyramid_have_one_resolution(tmp_path):
    viewer = ViewerModel()
    full, labels = np.stack([picture(64, 64)] * 2), np.ones((2, 64, 64), int)
    content = viewer.add_image([full, full[:, ::2, ::2]], multiscale=True)
    style = viewer.add_image([full[0], full[0, ::2, ::2]], multiscale=True)
    mask = viewer.add_labels([labels, labels[:, ::2, ::2]], multiscale=True)
    source, plane = stack_planes(content, viewer.dims), displayed_plane(style, viewer.dims)
    settings = Settings(preset="fast", scales=(32,), device="cpu")
    place = tmp_path / "painted.zarr"
    job = StackJob(
        styles=(plane,),
        settings=settings,
        appearance={"rgb": True},
        names={"content": "cells"},
        source=source,
        guides={},
        save_to=place,
        scheduler="",
    )
    region = stack_mask(mask, source, source.plane((0,)), viewer.dims, job.size)
    job.guides = {"mask": region, "style_masks": (np.ones(plane.shape(job.style_size), int),)}
    assert job.prepare().axes.shape == region.shape == (2, 32, 32)


@pytest.fixture
def open_stack(make_napari_viewer_proxy, dock, tmp_path):
    """Open a stack and the widget, ready to paint all of it."""

    def open_stack(stack, **layer):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(stack, name="cells", **layer)
        viewer.add_image(picture(32, 32, 3, seed=1), name="style", rgb=True)
        place = tmp_path / "painted.zarr"
        return viewer, dock(viewer, size=40, whole_stack=True, save_to=place)

    return open_stack


@pytest.fixture
def finish(qtbot):
    def finish(viewer, widget):
        qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)
        (result,) = [layer for layer in viewer.layers if is_result(layer)]
        return result

    return finish


def moving(count=3):
    return np.stack([np.roll(picture(32, 40), 2 * t, axis=1) for t in range(count)])


def test_a_whole_stack_is_painted_over_itself(open_stack, finish, tmp_path, qtbot):
    viewer, widget = open_stack(
        moving(), scale=(5, 2, 2), translate=(1, 2, 3), axis_labels=("t", "y", "x")
    )
    qtbot.waitUntil(lambda: "for 3 planes" in widget._form.forecast.text(), timeout=TIMEOUT)
    widget.run.native.click()
    # Of one image.
    assert widget._plot.isHidden()
    assert widget._history.isHidden()
    result = finish(viewer, widget)
    assert "Done: 3 planes" in widget._form.status.text()
    assert result.data.shape == (3, 32, 40, 3)
    assert (np.asarray(result.data[:]).mean((1, 2, 3)) > 10).all()
    np.testing.assert_allclose(result.scale, (5, 2, 2))
    np.testing.assert_allclose(result.translate, (1, 2, 3))
    assert result.axis_labels == ("t", "y", "x")
    assert zarr.open_array(tmp_path / "painted.zarr").shape == result.data.shape
    # What the slider shows is what is on the disk.
    viewer.dims.set_point(0, 1 + 2 * 5)
    np.testing.assert_array_equal(np.asarray(result._slice.image.raw), result.data[2])


def test_planes_appear_as_they_are_finished(open_stack, qtbot, finish):
    viewer, widget = open_stack(moving(40))
    widget.run.native.click()
    qtbot.waitUntil(lambda: is_result(viewer.layers[-1]), timeout=TIMEOUT)
    result = viewer.layers[-1]
    qtbot.waitUntil(lambda: np.asarray(result.data[0]).any(), timeout=TIMEOUT)
    # What is not painted yet lets the content through.
    assert not np.asarray(result.data[39])[..., 3].any()
    widget.stop.native.click()
    finish(viewer, widget)
    assert "What was painted stays" in widget._form.status.text()
    assert np.asarray(result.data[0]).any()


@pytest.mark.parametrize("deleted", [True, False])
def test_a_stopped_stack_goes_on_where_it_was(open_stack, qtbot, finish, deleted):
    viewer, widget = open_stack(moving(4))
    widget.run.native.click()
    qtbot.waitUntil(lambda: is_result(viewer.layers[-1]), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: np.asarray(viewer.layers[-1].data[0]).any(), timeout=TIMEOUT)
    widget.stop.native.click()
    first = finish(viewer, widget)
    before = np.asarray(first.data[0])
    if deleted:
        viewer.layers.remove(first)
    widget.run.native.click()
    result = finish(viewer, widget)
    assert (result is first) == (not deleted)
    assert "Done: 4 planes" in widget._form.status.text()
    np.testing.assert_array_equal(result.data[0], before[..., :3])


def test_an_intensity_stack_keeps_its_values(open_stack, finish):
    viewer, widget = open_stack(
        moving().astype(np.uint16) * 9, contrast_limits=(100, 1500), colormap="green"
    )
    widget["output"].value = "intensity"
    widget.run.native.click()
    result = finish(viewer, widget)
    assert result.data.shape == (3, 32, 40)
    assert result.data.dtype == np.uint16
    assert result.colormap.name == "green"
    assert tuple(result.contrast_limits) == (100, 1500)


def test_all_planes_of_several_channels_are_painted_as_they_look(open_stack, finish):
    colours = np.stack([moving(), np.flip(moving(), 1)], axis=1)
    viewer, widget = open_stack(moving(), scale=(5, 2, 2), translate=(1, 2, 3), colormap="red")
    cells = viewer.layers["cells"]
    green = viewer.add_image(
        colours[:, 1], scale=cells.scale, translate=cells.translate, colormap="green", name="fibres"
    )
    green.blending = "additive"
    labels = np.zeros((32, 40), int)
    labels[8:24, 8:32] = 1
    mask = viewer.add_labels(labels, scale=(2, 2), translate=(2, 3))
    viewer.layers.selection = {cells, green}
    widget["content"].value = widget["content"].choices[-1]
    widget["whole_stack"].value = True
    widget["mask"].value, widget["feather"].value = mask, 0
    widget.run.native.click()
    result = finish(viewer, widget)
    assert "Done: 3 planes" in widget._form.status.text()
    assert result.data.shape == (3, 32, 40, 3)
    np.testing.assert_allclose(result.scale, cells.scale)
    np.testing.assert_allclose(result.translate, cells.translate)
    for t in range(3):
        viewer.dims.current_step = (t, 0, 0)
        shown = displayed_composite([cells, green], viewer.dims).rgb()
        outside = to_uint8(shown) == result.data[t]
        assert outside[labels == 0].all()
        assert not outside[labels == 1].all(-1).any()


def test_a_stack_seen_from_another_side(open_stack, finish):
    viewer, widget = open_stack(np.moveaxis(moving(), 0, 1), scale=(2, 5, 2))
    viewer.dims.order = (1, 0, 2)
    widget.run.native.click()
    result = finish(viewer, widget)
    assert result.data.shape == (32, 3, 40, 3)
    np.testing.assert_allclose(result.scale, (2, 5, 2))
    assert np.asarray(result.data[:, 1]).mean() > 10


def test_each_plane_is_painted_within_its_own_labels(open_stack, finish):
    stack = np.repeat(moving()[..., np.newaxis], 3, axis=-1)
    labels = np.zeros(stack.shape[:3], int)
    for t in range(2):  # in the last plane there is nothing to paint
        labels[t, 4:24, 5 + 8 * t : 25 + 8 * t] = 1
    viewer, widget = open_stack(stack, rgb=True)
    widget["mask"].value = viewer.add_labels(labels, name="cells")
    widget["feather"].value = 0
    widget.run.native.click()
    result = finish(viewer, widget)
    changed = (np.asarray(result.data) != stack).any(-1)
    assert not changed[labels == 0].any()
    assert changed[0][labels[0] == 1].mean() > 0.5
    assert changed[1][labels[1] == 1].mean() > 0.5


def test_transparency_of_a_stack_is_kept(open_stack, finish):
    stack = np.repeat(moving()[..., np.newaxis], 4, axis=-1)
    stack[..., 3] = np.linspace(0, 255, 40)
    viewer, widget = open_stack(stack, rgb=True)
    widget.run.native.click()
    result = finish(viewer, widget)
    assert result.data.shape == (3, 32, 40, 4)
    np.testing.assert_array_equal(result.data[..., 3], stack[..., 3])


def test_a_bad_plane_is_named_and_the_others_are_painted(open_stack, finish):
    stack = moving().astype(np.float32)
    stack[1, 3, 3] = np.nan
    viewer, widget = open_stack(stack, contrast_limits=(0, 200))
    widget.run.native.click()
    result = finish(viewer, widget)
    assert "1 could not be painted" in widget._form.status.text()
    assert any("T 1" in record.message for record in notification_manager.records)
    np.testing.assert_array_equal(np.asarray(result.data)[..., 3].max((1, 2)), [255, 0, 255])


def test_a_scheduler_that_does_not_answer_is_named(open_stack, qtbot):
    _, widget = open_stack(moving())
    widget["scheduler"].value = "tcp://127.0.0.1:1"
    widget.run.native.click()
    qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)
    assert "tcp://127.0.0.1:1 does not answer" in widget._form.status.text()


def test_a_folder_with_something_else_is_left_alone(open_stack, qtbot, tmp_path):
    _, widget = open_stack(moving())
    (tmp_path / "painted.zarr").mkdir()
    (tmp_path / "painted.zarr" / "thesis.txt").write_text("precious")
    widget.run.native.click()
    qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)
    assert "no painted stack" in widget._form.status.text()
    assert (tmp_path / "painted.zarr" / "thesis.txt").read_text() == "precious"


@pytest.fixture
def own_places(tmp_path, monkeypatch):
    """Return the folders that runs without a place of their own have made, oldest first."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "data" / "napari-neural-style"
    return lambda: sorted(folder.iterdir(), key=lambda place: place.stat().st_ctime_ns)


@pytest.fixture
def paint_anew(finish):
    """Paint into a place of its own, and return the data of the result."""

    def paint_anew(viewer, widget):
        for result in [layer for layer in viewer.layers if is_result(layer)]:
            viewer.layers.remove(result)
        widget["save_to"].value = None
        widget.run.native.click()
        data = np.asarray(finish(viewer, widget).data[:])
        assert "Done" in widget._form.status.text()
        return data

    return paint_anew


def test_without_a_place_it_finds_one_of_its_own(open_stack, paint_anew, own_places):
    viewer, widget = open_stack(moving())
    before = paint_anew(viewer, widget)
    (folder,) = own_places()
    assert folder.suffix == ".zarr"
    assert str(folder) in widget._form.status.text()
    np.testing.assert_array_equal(paint_anew(viewer, widget), before)
    assert own_places() == [folder]
    stack = moving()
    stack[1, 8:16] += 50
    viewer.layers["cells"].data = stack
    after = paint_anew(viewer, widget)
    assert len(own_places()) == 2
    assert (after[1] != before[1]).any()


def test_a_place_of_its_own_where_lazy_planes_were_others_is_left(
    open_stack, paint_anew, own_places
):
    stack = moving()
    # Planes are computed anew whenever they are asked for.
    lazy = da.map_blocks(
        lambda block_info: stack[block_info[None]["chunk-location"][0]][np.newaxis],
        chunks=((1, 1, 1), (32,), (40,)),
        dtype=stack.dtype,
    )
    viewer, widget = open_stack(lazy, contrast_limits=(0, 255), cache=False)
    before = paint_anew(viewer, widget)
    stack[1, 8:16] += 50
    after = paint_anew(viewer, widget)
    first, second = own_places()
    assert second.name == f"{first.stem}-2.zarr"
    assert (after[1] != before[1]).any()
    # It is found again.
    np.testing.assert_array_equal(paint_anew(viewer, widget), after)
    assert len(own_places()) == 2


class Locked:
    """Labels in something like an open file."""

    def __init__(self, labels):
        self.labels, self.shape, self.ndim = labels, labels.shape, labels.ndim
        self.dtype, self.lock = labels.dtype, threading.Lock()

    def __getitem__(self, key):
        with self.lock:
            return self.labels[key]


def test_labels_that_are_computed_find_the_same_place(open_stack, paint_anew, own_places):
    labels = np.zeros((3, 32, 40), int)
    labels[:, 4:24, 5:25] = 1
    viewer, widget = open_stack(moving())
    painted = []
    for name in ("one graph", "another graph"):
        lazy = da.from_array(Locked(labels), chunks=(1, 32, 40), name=name)
        widget["mask"].value = viewer.add_labels(lazy)
        painted.append(paint_anew(viewer, widget))
    assert len(own_places()) == 1
    np.testing.assert_array_equal(*painted)
    labels[2, :4] = 1
    paint_anew(viewer, widget)
    assert len(own_places()) == 2


def test_only_the_planes_that_are_painted_are_read(open_stack, paint_anew, own_places):
    read = set()

    def level(number, side):
        def block(block_info):
            read.add((number, block_info[None]["chunk-location"][0]))
            return picture(side, side)[np.newaxis]

        return da.map_blocks(block, chunks=((1,) * 4, (side,), (side,)), dtype=np.uint8)

    viewer, widget = open_stack(
        [level(0, 128), level(1, 64), level(2, 32)],
        multiscale=True,
        contrast_limits=(0, 200),
        cache=False,
    )
    widget["size"].value = 32
    plane = viewer.dims.current_step[0]
    read.clear()
    paint_anew(viewer, widget)
    assert {index for level, index in read if level == 2} == {0, 1, 2, 3}
    # What the viewer shows, it reads itself.
    assert {index for level, index in read if level < 2} <= {plane}


def test_labels_shifted_along_the_stack_guide_the_planes_that_they_lie_in(open_stack, finish):
    stack = np.repeat(moving()[..., np.newaxis], 3, axis=-1)
    labels = np.zeros(stack.shape[:3], int)
    labels[0, 4:24, 5:25] = 1
    viewer, widget = open_stack(stack, rgb=True)
    widget["mask"].value = viewer.add_labels(labels, translate=(2, 0, 0))
    widget["feather"].value = 0
    widget.run.native.click()
    changed = (np.asarray(finish(viewer, widget).data) != stack).any(-1)
    assert not changed[:2].any()
    assert changed[2][labels[0] == 1].mean() > 0.5
    assert not changed[2][labels[0] == 0].any()


def test_the_workers_of_a_cluster_paint(open_stack, finish):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        viewer, widget = open_stack(moving())
        widget["scheduler"].value = cluster.scheduler_address
        workers = {worker.pid for worker in cluster.workers.values()}
        widget.run.native.click()
        result = finish(viewer, widget)
        assert "Done: 3 planes" in widget._form.status.text()
        assert np.asarray(result.data[2]).any()
        for worker in workers:
            os.kill(worker, signal.SIGTERM)


def test_a_single_plane_is_no_stack(open_stack):
    _, widget = open_stack(picture(32, 40))
    assert not widget["whole_stack"].enabled
    assert not widget["whole_stack"].value


def test_a_renamed_stack_goes_on_where_it_was(open_stack, finish, tmp_path):
    def written():
        chunks = (tmp_path / "painted.zarr" / "c").rglob("*")
        return {chunk: chunk.stat().st_mtime_ns for chunk in chunks if chunk.is_file()}

    viewer, widget = open_stack(moving())
    widget.run.native.click()
    viewer.layers.remove(finish(viewer, widget))
    before = written()
    viewer.layers["cells"].name = "renamed"
    widget.run.native.click()
    finish(viewer, widget)
    assert "Done: 3 planes" in widget._form.status.text()
    assert len(before) == 3
    assert written() == before
