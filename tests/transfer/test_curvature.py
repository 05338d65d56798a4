import itertools

import pytest
import torch
from torch.nn import functional as F

from napari_neural_style.transfer.curvature import Curvature

CURVATURES = torch.logspace(-2, 1, 3 * 8 * 8, dtype=torch.float64).view(1, 3, 8, 8)


def image(seed):
    return torch.randn(1, 3, 8, 8, generator=torch.manual_seed(seed), dtype=torch.float64)


def gradient(variable):
    return CURVATURES * variable + 0.05 * variable.square()


def learn(curvature, images, ridge=None):
    """The pairs of moves from image to image; one may seem to be reached across a ridge."""
    points = [(x, gradient(x)) for x in images]
    if ridge is not None:
        points[ridge] = points[ridge][0], -points[ridge][1]
    curvature.begin(points[0][1], torch.tensor(2.0, dtype=torch.float64))
    for before, after in itertools.pairwise(points):
        curvature.learn(after, before, torch.tensor(False))
    return points


def two_loops(points, pairs, scale, slope):
    """Nocedal & Wright, "Numerical optimization", algorithm 7.4, with only what is convex."""
    known = []
    for (x, g), (y, h) in itertools.pairwise(points):
        move, change = y - x, h - g
        product = (move * change).sum()
        tells = product > 1e-10 * change.square().sum()
        known.append((move, change, 1 / product if tells else 0 * product))
        scale = product / change.square().sum() if tells else scale
    known, q, shares = known[-pairs:], slope, []
    for move, change, inverse in reversed(known):
        shares.append(inverse * (move * q).sum())
        q = q - shares[-1] * change
    r = scale * q
    for (move, change, inverse), share in zip(known, reversed(shares), strict=True):
        r = r + move * (share - inverse * (change * r).sum())
    return -r


@pytest.mark.parametrize(("count", "ridge"), [(1, None), (2, 1), (5, 2), (6, 2), (13, 11)])
def test_the_step_is_that_of_the_two_loops(count, ridge):
    curvature = Curvature(image(0), 5)
    points = learn(curvature, map(image, range(count)), ridge)
    slope = points[-1][1]
    expected = two_loops(points, 5, 0.5, slope)
    torch.testing.assert_close(curvature.step(slope), expected, rtol=1e-9, atol=1e-12)


def test_after_a_move_was_taken_back_the_step_begins_before_it():
    curvature = Curvature(image(0), 5)
    points = learn(curvature, map(image, range(4)))
    far = image(9), gradient(image(9))
    curvature.learn(far, points[-1], torch.tensor(True))
    slope = points[-1][1]
    expected = two_loops([*points, far], 5, 0.5, slope)
    torch.testing.assert_close(curvature.step(slope), expected, rtol=1e-9, atol=1e-12)


def test_what_was_learnt_of_a_smaller_image_holds_for_a_larger_one():
    """Of a loss that sees no more of the larger one than the smaller shows."""
    small, large = Curvature(image(0), 5), Curvature(torch.empty(1, 3, 16, 16).double(), 5)
    smooth = [F.interpolate(image(i)[..., :2, :2], (8, 8), mode="bilinear") for i in range(5)]
    slope = learn(small, smooth)[-1][1]
    large.take_over(small)
    larger = F.interpolate(slope, (16, 16), mode="bilinear") / 4
    large.begin(larger, torch.tensor(1e9, dtype=torch.float64))
    found, expected = F.avg_pool2d(large.step(larger), 2), small.step(slope)
    assert (found - expected).norm() < 0.1 * expected.norm()
