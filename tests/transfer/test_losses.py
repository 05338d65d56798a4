import numpy as np
import pytest
import torch

from napari_neural_style.transfer.losses import gram_sum, gram_sum_gradient, total_variation


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.manual_seed(0), dtype=dtype)


def formats(features):
    return {
        "plain": features,
        "channels last": features.contiguous(memory_format=torch.channels_last),
    }


@pytest.mark.parametrize("layout", ["plain", "channels last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_sum_is_the_product_of_the_maps(layout, dtype):
    features = random(1, 5, 7, 9, dtype=dtype)
    flat = features.double().reshape(5, 63).numpy()
    gram = gram_sum(formats(features)[layout])
    assert gram.dtype == dtype
    np.testing.assert_allclose(gram, flat @ flat.T, rtol=1e-5)
    assert torch.equal(gram, gram.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gram_sum_of_half_precision_sums_in_float32(dtype):
    """Over more positions than half precision could count or hold."""
    features = random(1, 3, 150, 200, dtype=torch.float32).add(3).to(dtype)
    flat = features.double().reshape(3, -1).numpy()
    gram = gram_sum(features)
    assert gram.dtype == torch.float32
    assert gram.max() > torch.finfo(torch.float16).max
    np.testing.assert_allclose(gram, flat @ flat.T, rtol=1e-5)


@pytest.mark.parametrize("layout", ["plain", "channels last"])
def test_gram_sum_gradient_is_that_of_autograd(layout):
    features = formats(random(1, 5, 7, 9))[layout].requires_grad_()
    target = random(5, 5)
    difference = gram_sum(features) - (target + target.T)
    (expected,) = torch.autograd.grad(difference.square().sum(), features)
    found = gram_sum_gradient(features.detach(), (2 * difference).detach())
    assert found.shape == features.shape
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


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
