import math

import pytest
import torch

from napari_neural_style import Settings
from napari_neural_style.transfer.objective import Evaluation
from napari_neural_style.transfer.optimizers import (
    Adam,
    BoundedLBFGS,
    history_pairs,
    learning_rate_factor,
    make_optimizer,
)

OPTIMIZERS = ["adam", "lbfgs", "bounded-lbfgs"]
CURVATURES = torch.logspace(-2, 1, 4 * 4 * 3, dtype=torch.float64).view(1, 3, 4, 4)


def valley(variable):
    """A narrow, curved valley: a loss that optimizers need their memory for."""
    bent = variable + 0.1 * variable.square().roll(1, -1)
    return (CURVATURES.to(variable.dtype) * (bent - 1).square()).sum()


def evaluate(variable):
    leaf = variable.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = valley(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf)
    losses = torch.stack([loss.detach() * 0, loss.detach(), loss.detach() * 0, loss.detach()])
    return Evaluation(losses, gradient)


def start(dtype=torch.float64):
    return torch.randn(1, 3, 4, 4, generator=torch.manual_seed(0), dtype=dtype)


def run(settings, steps, rate, variable=None):
    """Losses and images of some steps."""
    variable = start() if variable is None else variable
    optimizer = make_optimizer(variable, settings)
    losses, images = [], []
    for step in range(steps):
        losses.append(optimizer.step(evaluate, rate(step) if callable(rate) else rate)[-1].item())
        images.append(variable.clone())
    return losses, images


def test_adam_is_torchs():
    settings = Settings(optimizer="adam")
    losses, images = run(settings, 30, lambda step: 0.1 / (1 + step))
    parameter = torch.nn.Parameter(start())
    method = settings.method
    reference = torch.optim.Adam([parameter], betas=method.betas, eps=method.epsilon)
    for step in range(30):
        reference.param_groups[0]["lr"] = 0.1 / (1 + step)
        reference.zero_grad()
        loss = valley(parameter)
        loss.backward()
        reference.step()
        assert losses[step] == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(images[step], parameter.detach(), rtol=1e-12, atol=1e-14)


def test_tensorflow_adam_is_its_formula():
    """Kingma & Ba 2015, the end of section 2: the efficient form, with its own epsilon."""
    settings = Settings(preset="series-adam")
    _, images = run(settings, 20, 9.0)
    variable, mean, square = start(), 0, 0
    for t in range(1, 21):
        gradient = evaluate(variable).gradient
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = 9 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        variable = variable - rate * mean / (square.sqrt() + 0.1)
        torch.testing.assert_close(images[t - 1], variable, rtol=1e-11, atol=1e-12)


def test_lbfgs_visits_the_points_of_the_published_programs():
    """Which call torch's with its default of up to twenty evaluations a time."""
    losses, _ = run(Settings(optimizer="lbfgs"), 60, 1.0)
    variable = start().requires_grad_()
    reference = torch.optim.LBFGS([variable])
    visited = []

    def closure():
        reference.zero_grad()
        loss = valley(variable)
        loss.backward()
        visited.append(loss.item())
        return loss

    while len(visited) < 60:
        reference.step(closure)
    assert losses == pytest.approx(visited[:60], rel=1e-6)
    assert losses[-1] < 1e-3 * losses[0]


def test_lbfgs_takes_a_gradient_in_any_layout():
    def evaluate_channels_last(variable):
        losses, gradient = evaluate(variable)
        return Evaluation(losses, gradient.contiguous(memory_format=torch.channels_last))

    one, other = start(), start()
    settings = Settings(optimizer="lbfgs")
    optimizers = make_optimizer(one, settings), make_optimizer(other, settings)
    for _ in range(5):
        optimizers[0].step(evaluate, 1.0)
        optimizers[1].step(evaluate_channels_last, 1.0)
    assert torch.equal(one, other)


def test_bounded_lbfgs_comes_down_the_valley():
    losses, _ = run(Settings(optimizer="bounded-lbfgs"), 100, 0.3)
    adams, _ = run(Settings(optimizer="adam"), 100, 0.3)
    assert losses[-1] < 1e-6 * losses[0]
    assert losses[-1] < adams[-1] / 10


def test_its_steps_are_bounded():
    variable = start()
    optimizer = make_optimizer(variable, Settings(optimizer="bounded-lbfgs"))
    for _ in range(30):
        before = variable.clone()
        optimizer.step(evaluate, 0.01)
        assert (variable - before).square().mean().sqrt() <= 0.01 * (1 + 1e-9)
        assert (variable - before).abs().max() <= 0.05 * (1 + 1e-9)


def test_it_takes_a_step_back_after_which_the_loss_is_much_higher():
    variable = start()
    optimizer = make_optimizer(variable, Settings(optimizer="bounded-lbfgs"))
    factor = 1.0

    def walled(variable):
        losses, gradient = evaluate(variable)
        return Evaluation(losses * factor, gradient)

    for _ in range(5):
        good = variable.clone()
        optimizer.step(walled, 0.1)
    reached, factor = variable.clone(), 99.0
    optimizer.step(walled, 0.1)
    assert not torch.equal(good, reached)
    assert torch.equal(optimizer.state()["before"][0], good)  # from where it went on
    factor = 1.0
    losses = [optimizer.step(walled, 0.1)[-1] for _ in range(20)]
    assert losses[-1] < evaluate(good).losses[-1]


def weighed(weight):
    """The valley, as if one of two losses had another weight."""

    def evaluate_weighed(variable):
        losses, gradient = evaluate(variable)
        pull = (weight - 1) * variable
        return Evaluation(losses + (pull * variable).sum() / 2, gradient + pull)

    return evaluate_weighed


def near_the_bottom(evaluation=evaluate):
    variable = start()
    optimizer = make_optimizer(variable, Settings(optimizer="bounded-lbfgs"))
    for _ in range(40):
        losses = optimizer.step(evaluation, 0.3)
    return variable, optimizer, losses[-1]


def test_it_goes_on_with_other_weights_and_makes_nothing_worse():
    variable, optimizer, _ = near_the_bottom(weighed(1.1))
    for again in range(5):
        other = weighed(1.2 + 0.1 * again)
        optimizer.weigh_anew()
        before = other(variable).losses[-1]
        losses = [optimizer.step(other, 0.3)[-1] for _ in range(4)]
        assert max(losses) <= before * (1 + 1e-9)
        assert losses[-1] < before


def test_on_the_way_to_a_far_goal_it_goes_on_as_if_nothing_was_known():
    def far(variable):
        losses, gradient = evaluate(variable - 20)
        return Evaluation(losses, gradient)

    variable, optimizer, _ = near_the_bottom()
    fresh = variable.clone()
    optimizer.weigh_anew()
    anew = make_optimizer(fresh, Settings(optimizer="bounded-lbfgs"))
    for _ in range(3):
        assert torch.equal(optimizer.step(far, 0.3), anew.step(far, 0.3))
        assert torch.equal(variable, fresh)


def at_height(loss, variable):
    losses, gradient = evaluate(variable)
    return Evaluation(torch.full_like(losses, float(loss)), gradient)


def test_after_a_change_it_may_not_climb_in_small_steps():
    """A loss that is half as high again and again would be found too late."""
    _, optimizer, loss = near_the_bottom()
    optimizer.weigh_anew()
    losses, images = [loss, 1.4 * loss, 1.4**2 * loss, 1.4**3 * loss], []
    for loss in losses:
        optimizer.step(lambda variable, loss=loss: at_height(loss, variable), 0.3)
        images.append(optimizer.state()["before"][0])
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[1], images[2])
    assert torch.equal(images[1], images[3])


def test_where_nothing_is_known_it_can_begin_carefully():
    bold, careful = start(), start()
    make_optimizer(bold, Settings(optimizer="bounded-lbfgs")).step(evaluate, 0.3)
    optimizer = make_optimizer(careful, Settings(optimizer="bounded-lbfgs"))
    optimizer.be_careful()
    optimizer.step(evaluate, 0.3)
    moved, carefully = (bold - start()).norm(), (careful - start()).norm()
    assert 0 < carefully <= moved / 5


def test_its_steps_do_not_depend_on_what_cannot_change():
    """Of a masked image, the part that is painted moves as if it were the whole."""
    settings = Settings(optimizer="bounded-lbfgs")
    whole = start()
    padded = torch.nn.functional.pad(whole, (0, whole.shape[3]))

    def masked(variable):
        losses, gradient = evaluate(variable[..., : whole.shape[3]].contiguous())
        return Evaluation(losses, torch.nn.functional.pad(gradient, (0, whole.shape[3])))

    optimizers = make_optimizer(whole, settings), make_optimizer(padded, settings, 0.5)
    for _ in range(10):
        optimizers[0].step(evaluate, 0.1)
        optimizers[1].step(masked, 0.1)
        torch.testing.assert_close(padded[..., : whole.shape[3]], whole)
    assert (padded[..., whole.shape[3] :] == 0).all()


def test_a_large_image_has_a_short_history_or_none():
    settings = Settings(optimizer="bounded-lbfgs")
    assert history_pairs(3 * 4 * 512**2) == 16
    assert 3 <= history_pairs(3 * 4 * 2048**2) < 16
    assert history_pairs(3 * 4 * 4096**2) < 3
    enormous = torch.empty(1, device="meta").expand(1, 3, 16_384, 16_384)
    assert isinstance(make_optimizer(enormous, settings), Adam)
    assert isinstance(make_optimizer(start(), settings), BoundedLBFGS)


def test_it_survives_that_the_image_is_clamped():
    """Towards ones, of which half of the numbers may not reach more than a half."""
    limits = torch.where(torch.rand(1, 3, 4, 4, generator=torch.manual_seed(1)) < 0.5, 0.5, 2.0)

    def clamped(variable):
        torch.minimum(variable, limits.to(variable), out=variable)
        return evaluate(variable)

    variable = start()
    made = make_optimizer(variable, Settings(optimizer="bounded-lbfgs"))
    losses = [made.step(clamped, 0.3)[-1].item() for _ in range(150)]
    assert max(losses[10:]) < losses[0] / 10
    assert losses[-1] < 1.5 * min(losses)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_losses_are_those_before_the_step(optimizer):
    variable = start()
    before = evaluate(variable).losses
    losses = make_optimizer(variable, Settings(optimizer=optimizer)).step(evaluate, 0.1)
    assert torch.equal(losses, before)
    assert not torch.equal(variable, start())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_no_step_size_the_image_stays(optimizer):
    variable = start()
    made = make_optimizer(variable, Settings(optimizer=optimizer))
    for _ in range(3):
        made.step(evaluate, 0.0)
    assert torch.equal(variable, start())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_is_one_evaluation(optimizer):
    calls = []

    def counted(variable):
        calls.append(variable.clone())
        return evaluate(variable)

    variable = start()
    made = make_optimizer(variable, Settings(optimizer=optimizer))
    for step in range(1, 8):
        made.step(counted, 0.5)
        assert len(calls) == step
    assert variable.grad is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_at_the_bottom_it_stays(optimizer):
    """Where the gradient is nothing, as in a run from the content with no style weight."""

    def flat(variable):
        return Evaluation(torch.zeros(4, dtype=torch.float64), torch.zeros_like(variable))

    variable = start()
    made = make_optimizer(variable, Settings(optimizer=optimizer))
    for _ in range(3):
        made.step(flat, 1.0)
    assert torch.equal(variable, start())
    again = make_optimizer(start(), Settings(optimizer=optimizer))
    again.load(made.state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "settings",
    [Settings(preset="series-adam"), *(Settings(optimizer=name) for name in OPTIMIZERS)],
    ids=["tensorflow", *OPTIMIZERS],
)
@pytest.mark.parametrize("steps", [1, 2, 130])  # L-BFGS forgets after a hundred
@pytest.mark.parametrize("weighs_anew", [None, 0, 3])
def test_state_resumes_to_the_last_bit(settings, dtype, steps, weighs_anew):
    variable = start(dtype)
    optimizer = make_optimizer(variable, settings)
    for _ in range(steps):
        optimizer.step(evaluate, 0.7)
    if weighs_anew is not None:
        optimizer.weigh_anew()
        for _ in range(weighs_anew):
            optimizer.step(evaluate, 0.7)
    saved = {key: copied(value) for key, value in optimizer.state().items()}
    other = variable.clone()
    resumed = make_optimizer(other, settings)
    resumed.load(saved)
    for _ in range(10):
        assert torch.equal(optimizer.step(evaluate, 0.7), resumed.step(evaluate, 0.7))
        assert torch.equal(variable, other)


def copied(value):
    if isinstance(value, list):
        return [copied(part) for part in value]
    return value.clone() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 1, 50: 1, 999: 1}),
        ("step", {0: 1, 199: 1, 200: 0.1, 399: 0.1, 400: 0.01, 999: 1e-4}),
        ("cosine", {0: 1, 500: 0.525, 1000: 0.05}),
    ],
)
def test_learning_rate_schedules(schedule, expected):
    for step, factor in expected.items():
        assert learning_rate_factor(schedule, step, step / 1000) == pytest.approx(factor)


def test_step_schedule_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, 200, 0.1)
    for step in range(500):
        assert learning_rate_factor("step", step, 0.5) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
