import functools

import pytest
import torch
from tests.reference.common import vgg19_features
from torch import nn

from napari_neural_style.layers import LAYERS, find_layer
from napari_neural_style.transfer.encoder import Encoder, Plan
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


def features_of(encoder, image, **options):
    """The wanted features, put together from their strips."""
    found = {}

    def look(layer, features, region):
        if layer not in found:
            size = (side // layer.stride for side in image.shape[2:])
            found[layer] = torch.full((1, layer.channels, *size), torch.nan, dtype=features.dtype)
        assert found[layer][(..., *region)].isnan().all()  # no position is seen twice
        found[layer][(..., *region)] = features

    encoder.forward(image, look, keep=False, **options)
    return found


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


def in_strips(rows, **keywords):
    return Plan(lambda segment, *_: max(1, rows // segment.stride), **keywords)


PLANS = {
    "one strip": Plan(),
    "one strip, bits kept": Plan(kept_bytes=0),
    "one strip, bits kept, wanted ones computed again": Plan(kept_bytes=0, wanted_bytes=0),
    "features kept": in_strips(16),
    "bits kept": in_strips(16, kept_bytes=0),
    "some wanted ones computed again": in_strips(16, kept_bytes=0, wanted_bytes=8 << 15),
    "all computed again": in_strips(16, kept_bytes=0, wanted_bytes=0),
    "the thinnest strips": in_strips(1, kept_bytes=0, wanted_bytes=0),
    "cut between tiles": in_strips(16, tile=4),
    "cut between tiles, all computed again": in_strips(16, kept_bytes=0, wanted_bytes=0, tile=4),
}


@pytest.mark.parametrize("plan", PLANS)
def test_strips_change_no_feature(weights, image, pooling, plan):
    expected = plain_features(weights, image, pooling)
    found = features_of(Encoder(weights, LAYERS, pooling, plan=PLANS[plan]), image)
    for layer, features in found.items():
        assert (features - expected[layer]).norm() <= 1e-5 * expected[layer].norm(), layer.name


@pytest.mark.parametrize("plan", PLANS)
def test_it_ends_with_the_deepest_layer_that_is_asked_for(weights, image, plan):
    encoder = Encoder(weights, LAYERS, plan=PLANS[plan])
    whole, deepest = features_of(encoder, image), find_layer("relu4_2")
    part = features_of(encoder, image, deepest=deepest)
    assert set(part) == set(LAYERS[: deepest.index + 1])
    assert all(torch.equal(features, whole[layer]) for layer, features in part.items())


WANTED = {
    "every layer": [layer.name for layer in LAYERS],
    "gatys": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"],
    "around poolings": ["conv1_2", "pool2", "conv3_4", "relu3_4"],
}


@functools.cache
def autograd(pooling, wanted, size):
    """An image, gradients with respect to its features, the features, and the image's gradient."""
    weights = load_weights("original", normalize=True)
    image = torch.randn(1, 3, *size, generator=torch.manual_seed(0), dtype=torch.float64)
    leaf = image.clone().requires_grad_()
    features = plain_features(weights, leaf, pooling)
    features = {find_layer(name): features[find_layer(name)] for name in WANTED[wanted]}
    gradients = {
        layer: torch.randn(f.shape, generator=torch.manual_seed(layer.index)).double()
        for layer, f in features.items()
    }
    loss = sum((gradients[layer] * f).sum() for layer, f in features.items())
    (gradient,) = torch.autograd.grad(loss, leaf)
    return image, gradients, {layer: f.detach() for layer, f in features.items()}, gradient


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ("every layer", (39, 50)),
        ("gatys", (35, 42)),
        ("gatys", (64, 33)),
        ("around poolings", (35, 33)),
        ("gatys", (405, 33)),  # high enough for cuts between tiles in every segment
    ],
)
def test_the_gradient_is_autograds(weights, pooling, plan, wanted, size):
    """Odd sizes included, whatever is wanted, kept or computed again."""
    image, gradients, exact, expected = autograd(pooling, wanted, size)
    encoder = Encoder(weights, gradients, pooling, dtype=torch.float64, plan=PLANS[plan])
    seen = []

    def add_gradient(layer, features, region, gradient):
        part = exact[layer][(..., *region)]
        assert (features - part).norm() <= 1e-9 * part.norm()
        seen.append(layer)
        gradient.add_(gradients[layer][(..., *region)])

    found = encoder.backward(encoder.forward(image, lambda *_: None), add_gradient)
    cut = PLANS[plan].rows is not Plan().rows and (PLANS[plan].tile == 1 or size[0] > 40)
    assert (len(seen) > len(gradients)) == cut
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
