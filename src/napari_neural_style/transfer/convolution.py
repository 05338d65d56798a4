"""A 3 × 3 convolution whose weight is laid out once, not at every call."""

import torch
from torch.nn import functional as F

# A weight's layout hardly depends on the image's size; some size must be named.
_TYPICAL_SIDE = 64


class Convolution:
    """A 3 × 3 convolution with zeros around its input, for images channels last.

    Parameters
    ----------
    weight : torch.Tensor
        (out, in, 3, 3), in the precision to compute in, where to compute.
    bias : torch.Tensor or None
        (out,).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = bias
        # oneDNN lays a bfloat16 weight out anew at every call, which takes longer than the
        # convolution of a small image. The operators that torch.compile uses take it as laid out.
        self._packed: torch.Tensor | None = None
        if weight.dtype == torch.bfloat16 and weight.device.type == "cpu":
            shape = [1, weight.shape[1], _TYPICAL_SIDE, _TYPICAL_SIDE]
            try:
                self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                    self._weight, [1, 1], [1, 1], [1, 1], 1, shape
                )
                self._weight = torch.empty(0)
            except (AttributeError, RuntimeError):  # a torch without oneDNN, or with another
                pass

    def __call__(self, x: torch.Tensor, above: bool = True, below: bool = True) -> torch.Tensor:
        """Convolve (1, in, H, W) to (1, out, H, W); a row less if no zeros are above, or below."""
        rows = int(above or below)
        if self._packed is not None:
            ones = [1, 1]
            y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self._packed, self._bias, [rows, 1], ones, ones, 1, "none", [], ""
            )
        else:
            y = F.conv2d(x, self._weight, self._bias, padding=(rows, 1))
        y = y.contiguous(memory_format=torch.channels_last)
        if above == below:
            return y
        return y[:, :, :-1] if above else y[:, :, 1:]
