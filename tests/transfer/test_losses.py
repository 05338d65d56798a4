import numpy as np
import pytest
import torch

from napari_neural_style.transfer.losses import add_gram_sum_gradient, gram_sum, total_variation


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.manual_seed(0), dtype=dtype)


def last(features):
    return features.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_sum_is_the_product_of_the_maps(dtype):
    features = last(random(1, 5, 7, 9, dtype=dtype))
    flat = features.double().reshape(5, 63).numpy()
    gram = gram_sum(features)
    assert gram.dtype == dtype
    np.testing.assert_allclose(gram, flat @ flat.T, rtol=1e-5)
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
    torch.testing.assert_close(found, before + expected, rtol=1e-12, atol=1e-12)


def test_total_variation_is_half_the_mean_difference_of_neighbours():
    image = random(1, 3, 6, 8)
    array = image.numpy()
    expected = (abs(np.diff(array, axis=2)).mean() + abs(np.diff(array, axis=3)).mean()) / 2
    assert total_variation(image).item() == pytest.approx(expected, rel=1e-12)


def test_total_variation_of_a_constant_image_is_nothing():
    assert total_variation(torch.ones(1, 3, 4, 5)) == 0


def test_total_variation_has_the_gradient_of_its_differences():
    assert torch.autograd.gradcheck(total_variation, random(1, 3, 4, 5).requires_grad_())


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_total_variation_of_a_single_row_or_column(shape):
    image = random(1, 3, *shape).requires_grad_()
    expected = abs(np.diff(image.detach().numpy().squeeze())).mean() / 2
    loss = total_variation(image)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, image)
    assert gradient.isfinite().all()
