import pytest
import torch
from tests.reference.common import vgg19_features
from torch import nn

from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer.encoder import Encoder, StripPlan
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


def features_of(encoder, image):
    """The wanted features, put together from their strips."""
    strips = {}

    def look(layer, features, rows):
        assert rows.start == sum(part.shape[2] for part in strips.get(layer, []))
        strips.setdefault(layer, []).append(features.clone())

    encoder.forward(image, look, keep=False)
    return {layer: torch.cat(parts, 2) for layer, parts in strips.items()}


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
    found = features_of(Encoder(weights, LAYERS, pooling), image)
    assert set(found) == set(LAYERS)
    for layer, features in found.items():
        assert features.shape == expected[layer].shape
        assert (features - expected[layer]).norm() <= 1e-5 * expected[layer].norm(), layer.name


@pytest.mark.parametrize("names", [("conv3_1",), ("relu1_1", "conv2_1"), ("conv1_2", "relu1_2")])
def test_asking_for_fewer_layers_does_not_change_them(weights, image, names):
    every = features_of(Encoder(weights, LAYERS), image)
    few = features_of(Encoder(weights, map(find_layer, names)), image)
    assert set(few) == set(map(find_layer, names))
    for layer, features in few.items():
        assert torch.equal(features, every[layer])


def test_a_convolution_is_not_overwritten_by_the_relu_after_it(weights, image):
    conv, relu = find_layer("conv3_2"), find_layer("relu3_2")
    found = features_of(Encoder(weights, [conv, relu]), image)
    assert found[conv].min() < 0
    assert torch.equal(found[relu], found[conv].relu())


def test_nothing_deeper_than_needed_is_built(weights, image):
    shallow = {key: tensor for key, tensor in weights.items() if key < "features.3"}
    encoder = Encoder(shallow, [find_layer("relu1_2")])
    assert features_of(encoder, image)[find_layer("relu1_2")].shape == (1, 64, 39, 50)
    assert encoder.stride == 1


ROWS = {"one piece": None, "recomputed": (16, 0), "kept": (16, 10**9)}


@pytest.mark.parametrize("strips", ROWS)
@pytest.mark.parametrize("size", [(39, 50), (64, 33), (35, 80)])
def test_the_gradient_is_autograds(weights, pooling, strips, size):
    """Through every layer at once, in one piece and in strips, odd sizes included."""
    image = torch.randn(1, 3, *size, generator=torch.manual_seed(0), dtype=torch.float64)
    leaf = image.clone().requires_grad_()
    expected_features = plain_features(weights, leaf, pooling)
    gradients = {
        layer: torch.randn(features.shape, generator=torch.manual_seed(layer.index)).double()
        for layer, features in expected_features.items()
    }
    loss = sum((gradients[layer] * f).sum() for layer, f in expected_features.items())
    (expected,) = torch.autograd.grad(loss, leaf)
    plan = None
    if ROWS[strips]:
        rows, kept = ROWS[strips]
        plan = StripPlan(lambda segment, width: max(2, rows // segment.stride), kept)
    encoder = Encoder(weights, LAYERS, pooling, dtype=torch.float64, plan=plan)
    seen = []

    def add_gradient(layer, features, rows, gradient):
        seen.append(layer)
        gradient.add_(gradients[layer][:, :, rows])

    trace = encoder.forward(image, lambda *_: None)
    found = encoder.backward(trace, add_gradient)
    assert (len(seen) > len(LAYERS)) == (plan is not None)
    assert (found - expected).norm() <= 1e-12 * expected.norm()


def test_neither_the_image_nor_the_weights_are_changed(weights, image):
    before = image.clone(), {key: tensor.clone() for key, tensor in weights.items()}
    encoder = Encoder(weights, LAYERS)
    encoder.backward(encoder.forward(image, lambda *_: None), lambda *_: None)
    assert torch.equal(image, before[0])
    assert all(torch.equal(weights[key], tensor) for key, tensor in before[1].items())


@pytest.mark.parametrize(
    ("name", "stride"), [("relu1_1", 1), ("pool1", 2), ("conv5_1", 16), ("pool5", 32)]
)
def test_stride_is_the_least_side_of_an_image(weights, name, stride):
    encoder = Encoder(weights, [find_layer(name), find_layer("relu1_1")])
    assert encoder.stride == stride
    found = features_of(encoder, torch.rand(1, 3, stride, stride))
    assert found[find_layer(name)].shape[2:] == (1, 1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)],
)
def test_precision_is_that_asked_for(weights, image, dtype, tolerance):
    layer = find_layer("relu4_1")
    exact = features_of(Encoder(weights, [layer]), image)[layer]
    features = features_of(Encoder(weights, [layer], dtype=dtype), image)[layer]
    assert features.dtype == dtype
    assert (features.double() - exact).norm() < tolerance * exact.norm()
