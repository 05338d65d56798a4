import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_neural_style.transfer.convolution import Convolution
from napari_neural_style.transfer.winograd import TILE, Winograd, Workspace, suits


def picture(channels, height, width):
    x = torch.randn(1, channels, height, width, generator=torch.manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last)


def parameters(outputs, inputs):
    torch.manual_seed(1)
    return torch.randn(outputs, inputs, 3, 3) / inputs, torch.randn(outputs)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    channels=st.sampled_from([(64, 64), (128, 64), (64, 192)]),
    biased=st.booleans(),
)
@budget(max_examples=40)
def test_it_is_torchs_convolution(size, channels, biased):
    weight, bias = parameters(*channels)
    bias = bias if biased else None
    x = picture(channels[1], *size)
    found = Winograd(weight, bias, Workspace())(x, True, True, False)
    exact = F.conv2d(x.double(), weight.double(), bias.double() if biased else None, padding=1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - exact).norm() <= 1e-5 * exact.norm()


def test_turned_it_leads_a_gradient_back():
    weight, bias = parameters(128, 64)
    convolve = Winograd(weight, bias, Workspace())
    x = picture(64, 18, 31).double().requires_grad_()
    gradient = picture(128, 18, 31)
    y = F.conv2d(x, weight.double(), bias.double(), padding=1)
    (exact,) = torch.autograd.grad(y, x, gradient.double())
    found = convolve.turned()(gradient, True, True, False)
    assert (found - exact).norm() <= 1e-5 * exact.norm()
    assert torch.equal(
        convolve.turned().turned()(picture(64, 9, 9), True, True, False),
        Winograd(weight, None, Workspace())(picture(64, 9, 9), True, True, False),
    )


def test_convolutions_of_float32_are_computed_so_where_it_pays():
    weight, bias = parameters(128, 64)
    assert suits(weight)
    assert suits(weight.transpose(0, 1))
    assert not suits(weight.double())
    assert not suits(weight.bfloat16())
    assert not suits(weight[:, :3])
    assert not suits(weight[:64])
    x = picture(64, 9, 14)
    expected = Winograd(weight, bias, Workspace())(x, True, True, True)
    assert torch.equal(Convolution(weight, bias)(x, rectified=True), expected)


@pytest.mark.parametrize(("above", "below"), [(True, False), (False, True), (False, False)])
def test_without_zeros_at_an_edge_the_row_there_is_missing(above, below):
    weight, bias = parameters(64, 64)
    convolve = Winograd(weight, bias, Workspace())
    x = picture(64, 21, 30)
    whole = convolve(x, True, True, False)
    found = convolve(x, above, below, False)
    expected = whole[:, :, int(not above) : 21 - int(not below)]
    assert found.shape == expected.shape
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("channels", [64, 128, 256])
def test_strips_of_whole_tiles_have_the_same_bits(channels):
    weight, bias = parameters(channels, channels)
    convolve = Winograd(weight, bias, Workspace())
    x = picture(channels, 50, 37)
    whole = convolve(x, True, True, False)
    for edge in range(TILE, 50, TILE):
        upper = convolve(x[:, :, : edge + 1], True, False, False)
        lower = convolve(x[:, :, edge - 1 :], False, True, False)
        assert torch.equal(torch.cat([upper, lower], 2), whole), edge


def test_rectified_it_has_the_same_bits_and_no_negative_zero():
    weight, bias = parameters(64, 64)
    convolve = Winograd(weight, bias, Workspace())
    x = picture(64, 20, 33)
    found = convolve(x, True, True, True)
    assert torch.equal(found, convolve(x, True, True, False).relu())
    assert not found.signbit().any()


def test_weights_that_are_not_kept_are_prepared_at_every_call():
    workspace = Workspace()
    first, second = (Winograd(*parameters(64, n), workspace) for n in (64, 128))
    x, y = picture(64, 12, 20), picture(128, 12, 20)
    expected = first(x, True, True, False), second(y, True, True, False)
    workspace.frugal = True
    for _ in range(2):  # in memory that they share
        assert torch.equal(first(x, True, True, False), expected[0])
        assert torch.equal(second(y, True, True, False), expected[1])
