"""The references against mathematics and against each other."""

import numpy as np
import pytest
import torch

from napari_neural_style.transfer.weights import load_weights

from . import d2l, gatys, series, series_adam, tutorial, tutorial_2017
from .common import MEAN, STD, vgg19_features
from .images import pair

PROGRAMS = {
    "tutorial": (tutorial, {}),
    "tutorial, avg": (tutorial, {"pooling": "avg"}),
    "tutorial-2017": (tutorial_2017, {}),
    "d2l": (d2l, {}),
    "gatys": (gatys, {}),
    "gatys, avg": (gatys, {"pooling": "avg"}),
    "series": (series, {}),
    "series-adam": (series_adam, {}),
}


@pytest.fixture(scope="module")
def weights():
    return load_weights("original", normalize=True)


@pytest.fixture
def image():
    """A third image, neither the content nor the style."""
    return 0.5 + 0.3 * np.random.default_rng(1).standard_normal((36, 52, 3)).clip(-1, 1)


@pytest.mark.parametrize(("program", "options"), PROGRAMS.values(), ids=PROGRAMS)
def test_gradient_agrees_with_finite_differences(program, options, weights, image):
    losses, gradient = program.loss_and_gradient(image, *pair(), weights, **options)
    assert losses["total"] == pytest.approx(sum(losses[k] for k in ("content", "style", "tv")))

    # Along the gradient, where the slope is far above rounding, each pixel at its own pace.
    direction = gradient * np.random.default_rng(2).uniform(0, 2, image.shape)
    step = 1e-6 / abs(direction).max()
    plus, minus = (
        program.loss_and_gradient(image + shift * direction, *pair(), weights, **options)[0]
        for shift in (step, -step)
    )
    slope = (plus["total"] - minus["total"]) / (2 * step)
    assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("program", [tutorial, tutorial_2017, gatys, series])
def test_lbfgs_visits_the_same_points_one_evaluation_at_a_time(program, weights):
    many = program.run(*pair(), weights, 9, max_iter=6)
    single = program.run(*pair(), weights, 9, max_iter=1)
    assert (len(many.losses), len(single.losses)) == (12, 9)
    for a, b in zip(many.losses, single.losses, strict=False):
        assert b == pytest.approx(a, rel=1e-7)


def test_d2l_sees_its_convolutions_overwritten_by_relu(weights):
    net = d2l.build_net(weights, torch.float64)
    x = d2l.preprocess(pair()[0], torch.float64)
    contents, styles = d2l.extract_features(net, x)
    plain = {}
    for index, module in enumerate(vgg19_features(weights, torch.float64)[:29]):
        x = torch.relu(x) if isinstance(module, torch.nn.ReLU) else module(x)
        plain[index] = x
    collected = dict(zip(d2l.STYLE_LAYERS + d2l.CONTENT_LAYERS, styles + contents, strict=True))
    for index in (0, 5, 10, 19, 25):
        assert plain[index].min() < 0
        assert torch.equal(collected[index], plain[index].relu())
    assert plain[28].min() < 0
    assert torch.equal(collected[28], plain[28])


def test_the_editions_of_the_tutorial_differ_by_the_normalisation(weights, image):
    """The older one's weight of 1000, within the square, is the newer one's 1e6."""

    def normalized(rgb):
        return (rgb - MEAN) / STD

    new, gradient = tutorial.loss_and_gradient(image, *pair(), weights)
    old, gradient_2017 = tutorial_2017.loss_and_gradient(
        normalized(image), *map(normalized, pair()), weights
    )
    assert old == pytest.approx(new, rel=1e-12)
    np.testing.assert_allclose(gradient_2017 / STD, gradient, rtol=1e-9, atol=1e-12)


def test_the_series_divides_by_the_deviation_twice(weights, image):
    """On images that make up for it, its content loss is five times Gatys'."""

    def divided(rgb):
        return (rgb - MEAN) / STD + MEAN

    loss, _ = series.loss_and_gradient(image, *pair(), weights)
    reference, _ = gatys.loss_and_gradient(
        divided(image), *map(divided, pair()), weights, pooling="avg"
    )
    assert loss["content"] == pytest.approx(5 * reference["content"], rel=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_tensorflow_adam_is_torch_adam_with_an_epsilon_that_decays(epsilon):
    """Torch's epsilon stands beside the corrected root: TensorFlow's, over sqrt(1 - beta2^t)."""
    gradients = torch.randn(5, 7, dtype=torch.float64, generator=torch.manual_seed(0))
    variable = torch.zeros(7, dtype=torch.float64)
    parameter = torch.nn.Parameter(variable.clone())
    ours = series_adam.TensorFlowAdam(lr=9, epsilon=epsilon)
    torchs = torch.optim.Adam([parameter], lr=9)
    for t, gradient in enumerate(gradients, start=1):
        torchs.param_groups[0]["eps"] = epsilon / (1 - 0.999**t) ** 0.5
        parameter.grad = gradient.clone()
        torchs.step()
        ours.apply(gradient, variable)
        torch.testing.assert_close(variable, parameter.detach(), rtol=1e-12, atol=0)


def test_series_adam_returns_the_best_image(weights):
    content, style = pair()
    run = series_adam.run(content, style, weights, 6)
    best, _ = series_adam.loss_and_gradient(run.image, content, style, weights)
    assert best["total"] <= min(losses["total"] for losses in run.losses[1:])


def test_d2l_second_size_starts_from_eight_bits():
    image = np.linspace(0, 1, 12 * 8 * 3).reshape(12, 8, 3)
    start = d2l.next_start(image, (24, 16))
    assert start.shape == (24, 16, 3)
    np.testing.assert_allclose(start * 255, np.round(start * 255), atol=1e-12)
    same_size = d2l.next_start(image, (12, 8))
    np.testing.assert_array_equal(same_size * 255, np.floor(image * 255))
