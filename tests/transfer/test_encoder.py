import pytest
import torch
from tests.reference.common import vgg19_features
from torch import nn

from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.weights import load_weights


@pytest.fixture(scope="module")
def weights():
    return load_weights("original", normalize=True)


@pytest.fixture
def image():
    return torch.randn(1, 3, 39, 50, generator=torch.manual_seed(0))


@pytest.fixture(params=["max", "avg"])
def pooling(request):
    return request.param


def plain_features(weights, image, pooling):
    """Every layer's output, one module of torchvision's network after the other."""
    features = {}
    for layer, module in zip(LAYERS, vgg19_features(weights, image.dtype), strict=True):
        if isinstance(module, nn.MaxPool2d) and pooling == "avg":
            module = nn.AvgPool2d(2)
        image = image.relu() if isinstance(module, nn.ReLU) else module(image)
        features[layer] = image
    return features


def test_every_layer_is_that_of_vgg19(weights, image, pooling):
    expected = plain_features(weights, image, pooling)
    found = Encoder(weights, LAYERS, pooling)(image)
    assert set(found) == set(LAYERS)
    for layer, features in found.items():
        assert features.shape == expected[layer].shape
        assert (features - expected[layer]).norm() <= 1e-5 * expected[layer].norm(), layer.name


@pytest.mark.parametrize("names", [("conv3_1",), ("relu1_1", "conv2_1"), ("conv1_2", "relu1_2")])
def test_asking_for_fewer_layers_does_not_change_them(weights, image, names):
    every = Encoder(weights, LAYERS)(image)
    few = Encoder(weights, map(find_layer, names))(image)
    assert set(few) == set(map(find_layer, names))
    for layer, features in few.items():
        assert torch.equal(features, every[layer])


def test_a_convolution_is_not_overwritten_by_the_relu_after_it(weights, image):
    conv, relu = find_layer("conv3_2"), find_layer("relu3_2")
    found = Encoder(weights, [conv, relu])(image)
    assert found[conv].min() < 0
    assert torch.equal(found[relu], found[conv].relu())


def test_nothing_deeper_than_needed_is_built(weights, image):
    shallow = {key: tensor for key, tensor in weights.items() if key < "features.3"}
    encoder = Encoder(shallow, [find_layer("relu1_2")])
    assert encoder(image)[find_layer("relu1_2")].shape == (1, 64, 39, 50)
    assert encoder.stride == 1


def test_only_the_image_gets_a_gradient(weights, image):
    layer = find_layer("relu2_1")
    leaf = image.clone().requires_grad_()
    features = Encoder(weights, [layer])(leaf)[layer]
    features.sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert not any(tensor.requires_grad for tensor in weights.values())


def test_neither_the_image_nor_the_weights_are_changed(weights, image):
    before = image.clone(), {key: tensor.clone() for key, tensor in weights.items()}
    Encoder(weights, LAYERS)(image)
    assert torch.equal(image, before[0])
    assert all(torch.equal(weights[key], tensor) for key, tensor in before[1].items())


@pytest.mark.parametrize(
    ("name", "stride"), [("relu1_1", 1), ("pool1", 2), ("conv5_1", 16), ("pool5", 32)]
)
def test_stride_is_the_least_side_of_an_image(weights, name, stride):
    encoder = Encoder(weights, [find_layer(name), find_layer("relu1_1")])
    assert encoder.stride == stride
    assert encoder(torch.rand(1, 3, stride, stride))[find_layer(name)].shape[2:] == (1, 1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)],
)
def test_precision_is_that_asked_for(weights, image, dtype, tolerance):
    layer = find_layer("relu4_1")
    exact = Encoder(weights, [layer])(image)[layer]
    features = Encoder(weights, [layer], dtype=dtype)(image)[layer]
    assert features.dtype == dtype
    assert (features.double() - exact).norm() < tolerance * exact.norm()
