import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer.tiles import cut_tiles, halo_width

sides = st.integers(1, 700)
edges = st.none() | st.integers(64, 512)
layers = st.sampled_from(LAYERS)


@pytest.mark.parametrize(
    ("name", "halo"),
    [("conv1_1", 1), ("pool1", 2), ("conv_5", 12), ("relu5_1", 80), ("pool5", 128)],
)
def test_halo_is_what_a_position_sees(name, halo):
    assert halo_width(find_layer(name)) == halo


@given(height=sides, width=sides, edge=edges, deepest=layers)
@example(height=205, width=331, edge=64, deepest=find_layer("relu5_1"))
@example(height=1, width=1, edge=64, deepest=find_layer("pool5"))
def test_cores_cover_every_layer_once(height, width, edge, deepest):
    tiles = cut_tiles(height, width, edge, deepest)
    for layer in LAYERS[: deepest.index + 1]:
        shape = height // layer.stride, width // layer.stride
        # Which position of the whole layer a tile's features are of.
        rows, columns = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
        whole = torch.stack([rows, columns])[None]
        seen = torch.zeros(shape)
        for tile in tiles:
            top, left = tile.rows.padded_start, tile.columns.padded_start
            assert top % layer.stride == left % layer.stride == 0
            bottom, right = tile.rows.padded_stop, tile.columns.padded_stop
            features = whole[
                ...,
                top // layer.stride : bottom // layer.stride,
                left // layer.stride : right // layer.stride,
            ]
            y, x = tile.core(layer, features)[0]
            seen[y, x] += 1
        assert (seen == 1).all()


@given(height=sides, width=sides, edge=st.integers(64, 512), deepest=layers)
def test_tiles_are_about_as_large_as_asked_and_have_their_halo(height, width, edge, deepest):
    halo = halo_width(deepest)
    for tile in cut_tiles(height, width, edge, deepest):
        for span, length in ((tile.rows, height), (tile.columns, width)):
            assert 0 < span.stop - span.start < 1.5 * edge + 2 * deepest.stride
            assert span.padded_start == max(0, span.start - halo)
            assert span.padded_stop == min(length, span.stop + halo)
            assert span.last == (span.stop == length)


@given(height=sides, width=sides, deepest=layers)
def test_one_piece_is_the_whole_image(height, width, deepest):
    (tile,) = cut_tiles(height, width, None, deepest)
    image = torch.zeros(1, 3, height, width)
    assert tile.cut(image).shape == image.shape
    features = torch.zeros(1, 8, height // deepest.stride, width // deepest.stride)
    assert tile.core(deepest, features).shape == features.shape


def test_cut_is_a_view():
    image = torch.zeros(1, 3, 200, 200)
    for tile in cut_tiles(200, 200, 64, find_layer("relu2_1")):
        tile.cut(image).add_(1)
    assert image.min() == 1
    assert image.max() > 1
