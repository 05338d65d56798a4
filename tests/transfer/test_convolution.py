import pytest
import torch
from torch.nn import functional as F

from napari_neural_style.transfer.convolution import Convolution


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (33, 70)])
def test_it_is_torchs_convolution(dtype, biased, size):
    torch.manual_seed(0)
    weight, bias = torch.randn(64, 32, 3, 3).to(dtype), torch.randn(64).to(dtype)
    x = torch.randn(1, 32, *size).to(dtype).contiguous(memory_format=torch.channels_last)
    found = Convolution(weight, bias if biased else None)(x)
    exact = F.conv2d(x.double(), weight.double(), bias.double() if biased else None, padding=1)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found - exact).norm() <= 10 * torch.finfo(dtype).eps * exact.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("above", "below"), [(True, False), (False, True), (False, False)])
def test_without_zeros_at_an_edge_the_row_there_is_missing(dtype, above, below):
    convolution = Convolution(torch.randn(64, 32, 3, 3).to(dtype), None)
    x = torch.randn(1, 32, 20, 30).to(dtype).contiguous(memory_format=torch.channels_last)
    whole, found = convolution(x), convolution(x, above, below)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, whole[:, :, int(not above) : whole.shape[2] - int(not below)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [3, 128])
def test_turned_it_leads_a_gradient_back(dtype, channels):
    torch.manual_seed(0)
    weight = torch.randn(64, channels, 3, 3).to(dtype)
    x = torch.randn(1, channels, 9, 14, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(1, 64, 9, 14).to(dtype).contiguous(memory_format=torch.channels_last)
    y = F.conv2d(x, weight.double(), padding=1)
    (exact,) = torch.autograd.grad(y, x, gradient.double())
    found = Convolution(weight, torch.randn(64).to(dtype)).turned()(gradient)
    assert (found - exact).norm() <= 20 * torch.finfo(dtype).eps * exact.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rectified_it_has_the_same_bits_and_no_negative_zero(dtype):
    convolution = Convolution(torch.randn(64, 32, 3, 3).to(dtype), torch.randn(64).to(dtype))
    for width in (30, 70):  # for which weights are laid out anew
        x = torch.randn(1, 32, 20, width).to(dtype).contiguous(memory_format=torch.channels_last)
        found = convolution(x, rectified=True)
        assert torch.equal(found, convolution(x).relu())
        assert not found.signbit().any()


def test_a_torch_that_cannot_lay_weights_out_convolves_all_the_same(monkeypatch):
    def refuse(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", refuse)
    weight = torch.randn(8, 4, 3, 3).bfloat16()
    x = torch.randn(1, 4, 9, 9).bfloat16().contiguous(memory_format=torch.channels_last)
    assert torch.equal(Convolution(weight, None)(x), F.conv2d(x, weight, padding=1))
