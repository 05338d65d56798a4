import dataclasses
import functools
import itertools

import numpy as np
import pytest
import torch
from tests.reference.common import to_tensor
from tests.reference.images import pair

from napari_neural_style import PRESETS, Settings
from napari_neural_style.layers import find_layer
from napari_neural_style.transfer import objective
from napari_neural_style.transfer.convolution import Convolution
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.losses import add_total_variation
from napari_neural_style.transfer.memory import plan_tiles
from napari_neural_style.transfer.objective import (
    Objective,
    StyledRegion,
    StyleTargets,
    kept_dtype,
    layer_weights,
    layers_of,
    style_targets,
)
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.update import named_losses
from napari_neural_style.transfer.weights import load_weights

CPU = torch.device("cpu")
SHALLOW = {"content_layers": "relu2_2", "style_layers": ("relu1_1", "conv2_1", "pool2", "relu3_1")}


@functools.lru_cache(maxsize=3)
def make_encoder(layers, normalize, pooling, dtype, tile):
    weights = load_weights("original", normalize=normalize)
    return Encoder(weights, layers, pooling, dtype=dtype, plan=plan_tiles(tile, dtype, CPU))


class Problem:
    """An objective and the way to its variable."""

    def __init__(self, settings, content, *styles, dtype=torch.float64, tile="off", normalize=None):
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        if normalize is None:
            normalize = settings.method.normalize_original
        self.space = image_space(settings.method.space, CPU, wide)
        self.encoder = make_encoder(
            frozenset(layers_of(settings)), normalize, settings.pooling, dtype, tile
        )
        self.to_variable = lambda image: self.space.from_rgb(to_tensor(image, wide))
        self.targets = [
            style_targets(self.encoder, self.space, settings, self.to_variable(style))
            for style in styles
        ]
        self.objective = Objective(
            self.encoder,
            self.space,
            settings,
            self.to_variable(content),
            [StyledRegion(self.targets)],
        )

    def __call__(self, image):
        return self.objective(self.to_variable(image))


def images(height=32, width=44):
    """Content, style, a second style of another size, and an image on the way."""
    content, style = pair(height, width)
    other = style[::-1, : width // 2, [2, 0, 1]]
    image = np.random.default_rng(3).uniform(0.1, 0.9, content.shape)
    return content, style, other, 0.5 * content + 0.5 * image


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("preset", PRESETS)
def test_gradient_agrees_with_finite_differences(preset, pooling):
    """Every method's, with several styles and total variation."""
    content, style, other, image = images()
    settings = Settings(preset=preset, pooling=pooling, style_weights=(1, 3))
    problem = Problem(settings, content, style, other)
    # As strong as the rest, whatever the method's scale.
    total = problem(image).losses[-1].item()
    variable = problem.to_variable(image)
    variation = add_total_variation(torch.zeros_like(variable), variable, 1.0).item()
    problem.objective.settings = dataclasses.replace(settings, tv_weight=total / variation)
    losses, gradient = problem(image)
    variable = problem.to_variable(image)
    # Along the gradient, where the slope is far above rounding, each pixel at its own pace.
    direction = gradient * torch.rand(gradient.shape, generator=torch.manual_seed(4)).double()
    direction /= direction.abs().max()
    step = 2e-7 / problem.space.scale.mean()
    plus, minus = (problem.objective(variable + s * direction).losses for s in (step, -step))
    slope = (plus - minus)[-1].item() / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-5)
    named = named_losses(losses, problem.objective.settings)  # in the series, of extreme weights
    assert named["tv"] == pytest.approx(total, rel=1e-9)
    assert losses[3].item() == pytest.approx(losses[:3].sum().item(), rel=1e-12)


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(("size", "tile"), [((205, 35), 64), ((37, 231), 96)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_strips_change_nothing(size, tile, pooling, dtype, tolerance):
    content, style, _, image = images(*size)
    settings = Settings(tv_weight=5, pooling=pooling)
    whole, strips = (
        Problem(settings, content, style, dtype=dtype, tile=t)(image) for t in ("off", tile)
    )
    assert strips.losses.tolist() == pytest.approx(whole.losses.tolist(), rel=tolerance)
    assert distance(strips.gradient, whole.gradient) < tolerance


def test_strips_change_nothing_of_a_larger_image():
    content, style, _, image = images(205, 331)
    settings = Settings(tv_weight=5, **SHALLOW)
    whole, *others = (
        Problem(settings, content, style, dtype=torch.float32, tile=t)(image)
        for t in ("off", 64, 96, "auto")
    )
    for strips in others:
        assert strips.losses.tolist() == pytest.approx(whole.losses.tolist(), rel=1e-5)
        assert distance(strips.gradient, whole.gradient) < 1e-5


def test_large_targets_of_a_content_are_kept_in_half_the_precision(monkeypatch):
    content, style, _, image = images(69, 53)
    exact = Problem(Settings(), content, style, dtype=torch.float32)(image)
    monkeypatch.setattr(objective, "_LARGE", 0)
    problems = [
        Problem(Settings(), content, style, dtype=torch.float32, tile=t) for t in ("off", 32)
    ]
    for problem in problems:
        (target,) = problem.objective._targets.values()
        assert target.dtype == torch.bfloat16
    whole, strips = (problem(image) for problem in problems)
    assert strips.losses.tolist() == pytest.approx(whole.losses.tolist(), rel=1e-5)
    assert distance(strips.gradient, whole.gradient) < 1e-5
    assert 0 < distance(whole.gradient, exact.gradient) < 3e-3
    assert kept_dtype(torch.float64, 1) == torch.float64


@pytest.mark.parametrize(
    ("preset", "dtype", "tolerance"),
    [
        ("default", torch.bfloat16, 0.1),
        ("tutorial", torch.bfloat16, 0.1),
        ("gatys", torch.bfloat16, 0.1),
        ("default", torch.float16, 0.03),
        ("tutorial", torch.float16, 0.03),
    ],
)
def test_half_precision_is_close(preset, dtype, tolerance):
    content, style, _, image = images(64, 60)
    settings = Settings(preset=preset, tv_weight=5)
    exact, found = (
        Problem(settings, content, style, dtype=d)(image) for d in (torch.float32, dtype)
    )
    assert found.losses.dtype == found.gradient.dtype == torch.float32
    assert found.losses.tolist() == pytest.approx(exact.losses.tolist(), rel=tolerance)
    assert distance(found.gradient, exact.gradient) < 2 * tolerance


def test_float16_holds_the_gradients_of_many_pixels():
    """Each is a share of one over their number."""
    content, style, _, image = images(120, 160)
    weights = {"content_weight": 1e-5, "style_weight": 1e-5, "tv_weight": 0}
    settings = Settings(**weights, **SHALLOW)
    exact, found = (
        Problem(settings, content, style, dtype=d)(image) for d in (torch.float32, torch.float16)
    )
    assert exact.gradient.abs().mean() < torch.finfo(torch.float16).smallest_normal / 100
    assert distance(found.gradient, exact.gradient) < 0.03


def test_variable_is_not_changed():
    content, style, _, image = images()
    problem = Problem(Settings(), content, style, dtype=torch.float32)
    variable = problem.to_variable(image)
    before = variable.clone()
    gradient = problem.objective(variable).gradient
    assert torch.equal(variable, before)
    assert gradient.is_contiguous()
    assert not variable.requires_grad


class Unwanted(Exception):
    """Ends an evaluation."""


def giving_up(at):
    """Give an evaluation up when it has asked so many times."""
    asked = itertools.count()

    def check():
        if next(asked) == at:
            raise Unwanted

    return check


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(("tile", "lasts"), [("off", True), (64, False)])
def test_what_was_given_up_goes_on_with_other_weights(tile, lasts, pooling, monkeypatch):
    """At each of its moments, to the same bits."""
    content, style, other, image = images(150, 44)
    settings = Settings(tv_weight=5, pooling=pooling, style_weights=(1, 3), **SHALLOW)
    problem = Problem(settings, content, style, other, dtype=torch.float32, tile=tile)
    others = dataclasses.replace(
        settings, style_layers={"relu1_1": 1, "pool2": 0, "relu3_1": 9, "conv2_1": 2}, tv_weight=0
    )
    expected, asked, begun = {}, itertools.count(), []
    trace = Encoder.trace
    monkeypatch.setattr(Encoder, "trace", lambda *a: begun.append(trace(*a)) or begun[-1])
    for weights in (settings, others):
        problem.objective.settings = weights
        variable = problem.to_variable(image)
        expected[weights] = problem.objective(variable, lambda: next(asked))
    assert begun[0].lasts == lasts
    moments = next(asked) // 2
    assert moments > 15
    used_up = []
    for moment in range(moments):
        begun.clear()
        variable = problem.to_variable(image)
        problem.objective.settings = settings
        with pytest.raises(Unwanted):
            problem.objective(variable, giving_up(moment))
        used_up.append(not problem.encoder.holds(begun[0]))
        problem.objective.settings = others
        found = problem.objective(variable)
        assert found.losses.tolist() == expected[others].losses.tolist()
        assert torch.equal(found.gradient, expected[others].gradient)
        assert len(begun) == 1 + used_up[-1]
    assert used_up == sorted(used_up)  # only on the way back
    assert set(used_up) == ({False} if lasts else {False, True})


def test_of_another_image_nothing_is_known():
    content, style, _, image = images()
    problem = Problem(Settings(**SHALLOW), content, style, dtype=torch.float32)
    variable = problem.to_variable(image)
    with pytest.raises(Unwanted):
        problem.objective(variable, giving_up(3))
    variable.mul_(0.5)
    expected = problem.objective(variable.clone())
    found = problem.objective(variable)
    assert torch.equal(found.gradient, expected.gradient)
    with pytest.raises(Unwanted):
        problem.objective(variable, giving_up(3))
    problem.objective(problem.to_variable(style))  # the encoder has seen something else since
    assert torch.equal(problem.objective(variable).gradient, expected.gradient)


def test_what_broke_does_not_go_on(monkeypatch):
    content, style, _, image = images()
    problem = Problem(Settings(**SHALLOW), content, style, dtype=torch.float32)
    variable = problem.to_variable(image)
    expected = problem.objective(variable)
    with monkeypatch.context() as patch:
        patch.setattr(Convolution, "__call__", lambda *_: torch.empty(1 << 60))
        with pytest.raises(RuntimeError):
            problem.objective(variable)
    assert torch.equal(problem.objective(variable).gradient, expected.gradient)


def test_at_its_targets_the_objective_is_nothing():
    content, *_ = images()
    settings = Settings(content_layers="relu2_1", style_layers=("relu1_1", "relu3_1"), tv_weight=0)
    losses, gradient = Problem(settings, content, content)(content)
    assert losses.tolist() == [0, 0, 0, 0]
    assert gradient.abs().max() == 0


def test_mixed_styles_have_the_weighted_mean_of_their_gram_matrices():
    content, style, other, image = images()
    settings = Settings(preset="gatys", style_weights=(1, 3), **SHALLOW)
    problem = Problem(settings, content, style, other)
    one, two = problem.targets
    grams = {layer: 0.25 * one.grams[layer] + 0.75 * two.grams[layer] for layer in one.grams}
    expected = Objective(
        problem.encoder,
        problem.space,
        dataclasses.replace(settings, style_weights=()),
        problem.to_variable(content),
        [StyledRegion([StyleTargets(grams, one.energies)])],
    )(problem.to_variable(image))
    found = problem(image)
    torch.testing.assert_close(found.losses, expected.losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=1e-9, atol=1e-12)


def test_styles_without_weights_are_equal_and_one_of_weight_zero_counts_nothing():
    content, style, other, image = images()

    def losses(*styles, **settings):
        return Problem(Settings(**SHALLOW, **settings), content, *styles)(image).losses.tolist()

    assert losses(style, other) == pytest.approx(losses(style, other, style_weights=(7, 7)))
    assert losses(style, other, style_weights=(2, 0)) == pytest.approx(losses(style))
    assert losses(style, other) != pytest.approx(losses(style), rel=0.01)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("name", "index"), [("content_weight", 0), ("style_weight", 1), ("tv_weight", 2)]
)
def test_weights_scale_their_losses(preset, name, index):
    """Also when changed in the course of a run; the edition of 2017 squares two of them."""
    content, style, _, image = images()
    layers = {"content_layers": "relu2_1", "style_layers": ("relu1_1", "conv2_1")}
    settings = Settings(preset=preset, tv_weight=1, **layers)
    problem = Problem(settings, content, style)
    before = problem(image).losses.tolist()
    changed = dataclasses.replace(settings, **{name: 3 * getattr(settings, name)})
    problem.objective.settings = changed
    assert problem.objective.settings is changed
    after = problem(image).losses.tolist()
    factor = 9 if preset == "tutorial-2017" and index < 2 else 3
    for i in range(3):
        assert after[i] == pytest.approx(before[i] * (factor if i == index else 1), rel=1e-12)
    anew = Problem(changed, content, style)(image)
    assert after == pytest.approx(anew.losses.tolist(), rel=1e-12)


def test_layers_may_have_weights():
    content, style, _, image = images()

    def style_loss(layers):
        settings = Settings(preset="gatys", content_layers="relu1_1", style_layers=layers)
        return Problem(settings, content, style)(image).losses[1].item()

    one, other = style_loss(["relu1_1"]), style_loss(["conv_3"])
    both = style_loss({"r11": 2, "conv2_1": 0.5})
    assert both == pytest.approx(2 * one + 0.5 * other, rel=1e-12)


def test_relative_losses_do_not_depend_on_the_scale_of_the_weights():
    """One strength fits every weights source: the losses of `default` are shares."""
    content, style, _, image = images()
    settings = Settings(**SHALLOW)
    normalized, published = (
        Problem(settings, content, style, normalize=n)(image) for n in (True, False)
    )
    # The weights are normalised in float32.
    torch.testing.assert_close(published.losses, normalized.losses, rtol=1e-4, atol=0)


def test_a_flat_content_can_be_painted():
    """Its features are nothing but a constant, and no loss relative to them may explode."""
    _, style, _, image = images()
    flat = np.full(style.shape, 0.2)
    flat[0, 0] = 0.21
    losses, gradient = Problem(Settings(), flat, style, dtype=torch.float32)(image)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    assert losses[0] < 100


def test_a_black_style_can_be_taken():
    content, _, _, image = images()
    black = np.zeros(content.shape)
    black[0, 0] = 0.01
    losses, gradient = Problem(Settings(), content, black, dtype=torch.float32)(image)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (16, 300)])
def test_the_least_sizes(shape):
    content, style, _, image = images(*shape)
    losses, gradient = Problem(Settings(), content, style, dtype=torch.float32)(image)
    assert losses.isfinite().all()
    assert gradient.isfinite().all()
    assert gradient.shape == (1, 3, *shape)


def test_layers_are_known_by_any_name():
    settings = Settings(content_layers="r22", style_layers={"conv_1": 2, "5": 1})
    assert layer_weights(settings.content_layers) == {find_layer("relu2_2"): 1}
    assert layer_weights(settings.style_layers) == {
        find_layer("conv1_1"): 2,
        find_layer("conv2_1"): 1,
    }
    assert layers_of(settings) == {*map(find_layer, ("relu2_2", "conv1_1", "conv2_1"))}
