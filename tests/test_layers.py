import pytest

from napari_neural_style.layers import LAYERS, convolutions, find_layer, layer_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv4_2", "conv4_2"),
        ("relu4_2", "relu4_2"),
        ("conv_10", "conv4_2"),
        ("relu_10", "relu4_2"),
        ("r42", "relu4_2"),
        ("re42", "relu4_2"),
        ("block4_conv2", "relu4_2"),
        ("25", "conv4_4"),
        ("0", "conv1_1"),
        ("28", "conv5_1"),
        ("36", "pool5"),
        ("conv_16", "conv5_4"),
        ("p4", "pool4"),
        ("block5_pool", "pool5"),
        (" Conv1_1 ", "conv1_1"),
    ],
)
def test_every_name_in_use_is_understood(name, expected):
    assert find_layer(name).name == expected


def test_indices_are_torchvisions():
    assert [layer.index for layer in convolutions()] == [
        *(0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    ]
    assert len(LAYERS) == 37


def test_strides_and_channels():
    strides = {"relu1_2": 1, "pool1": 2, "conv2_1": 2, "relu5_1": 16}
    assert {name: find_layer(name).stride for name in strides} == strides
    assert find_layer("r31").channels == 256


@pytest.mark.parametrize(
    ("name", "near"),
    [("relu4_5", "relu4_4"), ("conv41", "conv4_1"), ("block4_conv9", "block4_conv")],
)
def test_an_unknown_name_lists_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no layer {name!r}.*{near}"):
        find_layer(name)


def test_nonsense_still_gets_examples():
    with pytest.raises(ValueError, match="relu4_2"):
        find_layer("🎨")


def test_names_are_unambiguous():
    assert len(layer_names()) > 100
