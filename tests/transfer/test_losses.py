import numpy as np
import pytest
import torch

from napari_neural_style.transfer.losses import (
    add_gram_sum_gradient,
    add_total_variation,
    gram_sum,
)


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.manual_seed(0), dtype=dtype)


def last(features):
    return features.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_sum_is_the_product_of_the_maps(dtype):
    features = last(random(1, 5, 7, 9, dtype=dtype))
    flat = features.double().reshape(5, 63).numpy()
    gram = gram_sum(features)
    assert gram.dtype == torch.float64
    np.testing.assert_allclose(gram, flat @ flat.T, rtol=1e-9)
    assert torch.equal(gram, gram.T)


# bfloat16 products are rounded once a chunk.
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.bfloat16, 2**-9), (torch.float16, 1e-5)])
def test_gram_sum_of_half_precision_sums_in_float32(dtype, rtol):
    """Over more positions than half precision could count or hold."""
    features = last(random(1, 3, 150, 200, dtype=torch.float32).add(3).to(dtype))
    flat = features.double().reshape(3, -1).numpy()
    gram = gram_sum(features)
    assert gram.dtype == torch.float32
    assert gram.max() > torch.finfo(torch.float16).max
    np.testing.assert_allclose(gram, flat @ flat.T, rtol=rtol)


def test_few_bfloat16_positions_are_not_rounded():
    features = last(random(1, 3, 30, 30, dtype=torch.float32).add(3).bfloat16())
    flat = features.double().reshape(3, -1).numpy()
    np.testing.assert_allclose(gram_sum(features), flat @ flat.T, rtol=1e-5)


def test_gram_sum_gradient_is_that_of_autograd():
    features = last(random(1, 5, 7, 9)).requires_grad_()
    target = random(5, 5)
    difference = gram_sum(features) - (target + target.T)
    (expected,) = torch.autograd.grad(difference.square().sum(), features)
    before = last(random(1, 5, 7, 9).sin())
    found = before.clone()
    add_gram_sum_gradient(found, features.detach(), (2 * difference).detach())
    torch.testing.assert_close(found, before + expected, rtol=1e-9, atol=1e-12)


def variation(image, weight=1.0):
    """Total variation and its gradient."""
    gradient = torch.zeros_like(image)
    return add_total_variation(gradient, image, weight), gradient


def plain_variation(image):
    means = [image.diff(dim=dim).abs().mean() for dim in (2, 3) if image.shape[dim] > 1]
    return sum(means) / 2


# 600 rows are more than are taken at once.
@pytest.mark.parametrize("shape", [(6, 8), (1, 6), (6, 1), (257, 5), (600, 2)])
def test_total_variation_is_half_the_mean_difference_of_neighbours(shape):
    image = random(1, 3, *shape)
    leaf = image.clone().requires_grad_()
    expected = 0.7 * plain_variation(leaf)
    (slope,) = torch.autograd.grad(expected, leaf)
    loss, gradient = variation(image, 0.7)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-9, atol=0)


def test_total_variation_adds_to_the_gradient():
    image, before = random(1, 3, 4, 5), random(1, 3, 4, 5)
    gradient = before.clone()
    add_total_variation(gradient, image, 1.0)
    torch.testing.assert_close(gradient, before + variation(image)[1])


@pytest.mark.parametrize("shape", [(4, 5), (1, 1)])
def test_total_variation_of_a_constant_image_is_nothing(shape):
    loss, gradient = variation(torch.ones(1, 3, *shape))
    assert loss == 0
    assert not gradient.any()
