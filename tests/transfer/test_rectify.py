import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_neural_style.transfer import rectify

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


def features(seed, height, width, dtype):
    """Numbers of both signs, zeros of both signs and, for ties, few different ones."""
    generator = torch.manual_seed(seed)
    x = torch.randint(-3, 4, (1, 64, height, width), generator=generator) / 2
    x = x.to(dtype) * (
        1 - 2 * (x == 0).to(dtype) * torch.rand(x.shape, generator=generator).round()
    )
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.sampled_from(DTYPES))
def test_relu_is_torchs(seed, height, width, dtype):
    x = features(seed, height, width, dtype)
    expected = x.relu()
    found = rectify.relu(x, torch.empty_like(x))
    assert torch.equal(found, expected)
    assert rectify.relu(x, x) is x
    assert torch.equal(x, expected)


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.sampled_from(DTYPES))
def test_the_way_back_through_relu_is_torchs(seed, height, width, dtype):
    x, gradient = (features(seed + i, height, width, dtype) for i in range(2))
    expected = torch.ops.aten.threshold_backward(gradient, x, 0)
    rectified = rectify.relu(x, torch.empty_like(x))
    for numbers in (rectified, rectify.pack(rectified, rectify.Arena())):
        found = gradient.clone()
        rectify.relu_backward(found, numbers, found)
        assert torch.equal(found, expected)


@given(st.integers(0, 99), st.integers(2, 9), st.integers(2, 9), st.sampled_from(DTYPES))
def test_max_pooling_is_torchs_there_and_back(seed, height, width, dtype):
    """Equal maxima included: there are many."""
    x = features(seed, height, width, dtype)
    leaf = x.clone().requires_grad_()
    expected = F.max_pool2d(leaf.relu(), 2)
    gradient = features(seed + 1, height // 2, width // 2, dtype)
    (expected_gradient,) = torch.autograd.grad(expected, leaf, gradient)
    rectified = rectify.relu(x, torch.empty_like(x))
    maxima = rectify.compare(rectified, rectify.empty_maxima(rectified))
    assert torch.equal(rectify.pooled(maxima, dtype), expected)
    for kept in (maxima, rectify.pack_maxima(maxima, rectify.Arena())):
        out = torch.full_like(x, torch.nan)
        rectify.max_pool_backward(gradient.clone(), kept, out)
        assert torch.equal(out, expected_gradient)


def test_a_bit_is_kept_for_each_number():
    rectified = torch.zeros(1, 64, 32, 32, dtype=torch.bfloat16)
    rectified = rectified.contiguous(memory_format=torch.channels_last)
    bits = rectify.pack(rectified, rectify.Arena())._bits
    assert 8 * bits.nbytes == rectified.numel()
