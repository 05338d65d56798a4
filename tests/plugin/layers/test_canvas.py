"""What is stylized is what a real canvas shows: planes and composites against screenshots."""

import itertools

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.utils.colormaps import Colormap

from napari_neural_style.plugin.layers import (
    canvas_background,
    displayed_composite,
    displayed_plane,
)

from .conftest import close

SHAPE = (24, 36)
DTYPES = ["bool", *(f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64))]
DTYPES += ["float16", "float32", "float64", ">u2", ">f4"]
MODES = ["opaque", "translucent", "translucent_no_depth", "additive", "minimum", "multiplicative"]
COLORMAPS = {
    "gray": "gray",
    "inverted": "gray_r",
    "viridis": "viridis",
    "red": "red",
    "cyclic": "hsv",
    "custom": Colormap([[0.1, 0, 0.3], [0.9, 0.8, 0.2], [0, 1, 0.5]], controls=[0, 0.3, 1]),
    "steps": Colormap([[1, 0, 0], [0, 0.5, 1], [0.2, 1, 0]], interpolation="zero"),
    "steep": Colormap([[0, 0, 0], [0, 0, 1], [1, 1, 0]], controls=[0, 0.999, 1]),
    "extremes": Colormap(
        [[0, 0, 0], [1, 1, 1]], low_color=[0, 0, 1, 1], high_color=[1, 0, 0, 1], name="HiLo"
    ),
    "see-through": Colormap([[1, 0, 0, 0], [1, 1, 0, 1]]),
}


def values(dtype, shape=SHAPE, seed=0):
    generator = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return generator.random(shape) < 0.5
    if dtype.kind == "f":
        return generator.normal(0.2, 3, shape).astype(dtype)
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max, shape, dtype.newbyteorder("="), True).astype(
        dtype
    )


def colours(dtype, channels, seed=0):
    data = values(dtype, (*SHAPE, channels), seed)
    return np.abs(data) / np.abs(data).max() if np.dtype(dtype).kind == "f" else data


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(canvas, dtype):
    layer = canvas.viewer.add_image(values(dtype))
    close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(*SHAPE))
    low, high = map(float, layer.contrast_limits)
    layer.contrast_limits = (0.7 * low + 0.3 * high, 0.2 * low + 0.8 * high)
    layer.gamma = 0.6
    close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(*SHAPE))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float64"])
@pytest.mark.parametrize("channels", [3, 4])
def test_rgb_and_rgba(canvas, dtype, channels):
    layer = canvas.viewer.add_image(colours(dtype, channels), rgb=True)
    close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(*SHAPE))
    low, high = map(float, layer.contrast_limits)
    layer.contrast_limits = (0.9 * low + 0.1 * high, 0.3 * low + 0.7 * high)
    for gamma in (1, 0.4, 1.8):
        layer.gamma = gamma
        close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(*SHAPE))


def test_colormaps(canvas):
    ramp = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE)
    layer = canvas.viewer.add_image(ramp)
    layer.contrast_limits = (50, 800)
    for colormap in COLORMAPS.values():
        layer.colormap = colormap
        for gamma in (1, 0.5):
            layer.gamma = gamma
            close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(*SHAPE))


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "multiscale", "lazy multiscale"])
def test_stacks_in_any_order_of_axes(canvas, kind):
    data = values("uint16", (8, 12, 10))
    levels = [data, data[::2, ::2, ::2]]
    source = {
        "numpy": data,
        "dask": da.from_array(data, chunks=4),
        "zarr": zarr.array(data, chunks=(4, 4, 4)),
        "multiscale": levels,
        "lazy multiscale": [da.from_array(level, chunks=4) for level in levels],
    }[kind]
    layer = canvas.viewer.add_image(
        source, contrast_limits=(0, 65535), colormap="magma", multiscale="multi" in kind
    )
    canvas.viewer.dims.current_step = (5, 6, 7)
    for order in itertools.permutations(range(3)):
        canvas.viewer.dims.order = order
        rgb = displayed_plane(layer, canvas.viewer.dims).rgb()
        assert rgb.shape[:2] == tuple(data.shape[axis] for axis in order[-2:])
        close(rgb, canvas.shot(*rgb.shape[:2]))


def test_rgb_stacks_may_be_transposed(canvas):
    layer = canvas.viewer.add_image(values("uint8", (5, 12, 10, 4)), rgb=True, gamma=1.5)
    canvas.viewer.dims.order = (0, 2, 1)
    canvas.viewer.dims.current_step = (3, 0, 0)
    close(displayed_plane(layer, canvas.viewer.dims).rgb(), canvas.shot(10, 12))


@st.composite
def looks(draw):
    """Which layers are seen, from the lowest, and how each is blended."""
    layers = draw(st.permutations(range(6)))[: draw(st.integers(1, 6))]
    look = st.fixed_dictionaries(
        {
            "blending": st.sampled_from(MODES),
            "opacity": st.sampled_from([1.0, 0.7, 0.25]),
            "gamma": st.sampled_from([1.0, 0.5, 2.0]),
        }
    )
    return [(layer, draw(look)) for layer in layers]


def test_composites_are_blended_as_on_the_canvas(canvas):
    viewer = canvas.viewer
    pool = [
        viewer.add_image(values("uint16"), colormap="gray"),
        viewer.add_image(values("uint8", seed=1), colormap="viridis"),
        viewer.add_image(values("float32", seed=2), colormap="magenta"),
        viewer.add_image(values("int16", seed=3), colormap=COLORMAPS["see-through"]),
        viewer.add_image(colours("uint8", 3, seed=4), rgb=True),
        viewer.add_image(colours("uint16", 4, seed=5), rgb=True),
    ]

    @settings(max_examples=60, deadline=None)
    @given(looks(), st.sampled_from(["black", "white", "#808020"]))
    def check(chosen, background):
        viewer.canvas.background_color_override = background
        seen = [pool[number] for number, _ in chosen]
        viewer.layers.selection.clear()
        for place, layer in enumerate(seen):
            viewer.layers.move(viewer.layers.index(layer), place)
        for layer in pool:
            layer.visible = layer in seen
        for layer, (_, look) in zip(seen, chosen, strict=True):
            for name, value in look.items():
                setattr(layer, name, value)

        shot = canvas.shot(*SHAPE)

        composite = displayed_composite(seen, viewer.dims, canvas_background(viewer))
        if np.ptp(shot, axis=(0, 1)).any():
            image = composite.rgb()
            close(image, shot)
            assert np.mean(np.abs(image - shot) > 0.5 / 255) < 0.15
        else:
            with pytest.raises(ValueError, match=r"composite of .* is constant"):
                composite.rgb()

    check()
    viewer.canvas.background_color_override = None


@pytest.mark.parametrize("blending", ["translucent", "minimum", "multiplicative"])
def test_layers_of_other_pixels_lie_where_the_canvas_has_them(canvas, blending):
    viewer = canvas.viewer
    layers = [
        viewer.add_image(values("uint8", seed=1), scale=(1.7, 2.3), rotate=20, colormap="viridis"),
        viewer.add_image(values("uint16"), blending=blending, opacity=0.7),
        viewer.add_image(colours("uint8", 4, seed=5), rgb=True, scale=(1.23, 1.13), shear=[0.3]),
    ]
    # No centre of a pixel is on a border of another, where rounding decides.
    layers[0].translate, layers[2].translate = (-3.3, 4.2), (5.17, 3.91)
    layers[2].blending = blending
    composite = displayed_composite(layers, viewer.dims, canvas_background(viewer))
    close(composite.rgb(), canvas.shot(*SHAPE))


def test_a_light_canvas_shines_through(canvas):
    canvas.viewer.theme = "light"
    layer = canvas.viewer.add_image(values("uint8"), opacity=0.5)
    background = canvas_background(canvas.viewer)
    assert background == (1, 1, 1)
    close(displayed_composite([layer], canvas.viewer.dims, background).rgb(), canvas.shot(*SHAPE))
    canvas.viewer.theme = "dark"
