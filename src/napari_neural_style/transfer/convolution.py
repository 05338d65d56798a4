"""A 3 × 3 convolution whose weight is prepared once, not at every call."""

import copy

import torch
from torch.nn import functional as F

from napari_neural_style.transfer import rectify, winograd

_ONES = [1, 1]


class Convolution:
    """A 3 × 3 convolution with zeros around its input, for images channels last.

    Parameters
    ----------
    weight : torch.Tensor
        (out, in, 3, 3), in the precision to compute in, where to compute.
    bias : torch.Tensor or None
        (out,).
    workspace : Workspace, optional
        Shared with convolutions that do not compute at the same time.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        workspace: winograd.Workspace | None = None,
    ) -> None:
        self._bias = bias
        self._tiled: winograd.Winograd | None = None
        if winograd.suits(weight):
            self._tiled = winograd.Winograd(weight, bias, workspace or winograd.Workspace())
            return
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        # oneDNN lays a bfloat16 weight out anew at every call, which takes longer than the
        # convolution of a small image. The operators that torch.compile uses take it as laid
        # out; which layout is the best depends on how wide the image is.
        self._lays_out = weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
        self._width = 0

    def __call__(
        self, x: torch.Tensor, above: bool = True, below: bool = True, rectified: bool = False
    ) -> torch.Tensor:
        """Convolve, and rectify if asked to.

        Parameters
        ----------
        x : torch.Tensor
            (1, in, H, W).
        above, below : bool
            Whether there are zeros there; without, the result is a row less.
        rectified : bool
            Whether a ReLU follows, which is done at once.

        Returns
        -------
        torch.Tensor
            (1, out, H, W).
        """
        if self._tiled is not None:
            return self._tiled(x, above, below, rectified)
        rows = int(above or below)
        if self._lays_out and x.shape[3] != self._width:
            self._lay_out([*x.shape], rows)
        if self._lays_out:
            y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
                x,
                self._weight,
                self._bias,
                [rows, 1],
                _ONES,
                _ONES,
                1,
                "relu" if rectified else "none",
                [],
                "",
            )
        else:
            y = F.conv2d(x, self._weight, self._bias, padding=(rows, 1))
            y = rectify.relu(y, y) if rectified else y
        y = y.contiguous(memory_format=torch.channels_last)
        if above == below:
            return y
        return y[:, :, :-1] if above else y[:, :, 1:]

    def turned(self) -> "Convolution":
        """Return the convolution that leads a gradient back, before this one's first call."""
        turned = copy.copy(self)
        turned._bias = None
        if self._tiled is not None:
            turned._tiled = self._tiled.turned()
        else:  # its weight is this one's turned round
            weight = self._weight.flip(2, 3).transpose(0, 1)
            turned._weight = weight.contiguous(memory_format=torch.channels_last)
        return turned

    def _lay_out(self, shape: list[int], rows: int) -> None:
        """Lay the weight out for images of a width, if this torch can."""
        plain = self._weight.to_dense() if self._weight.is_mkldnn else self._weight
        try:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                plain, [rows, 1], _ONES, _ONES, 1, shape
            )
        except (AttributeError, RuntimeError):  # without oneDNN, or with another
            self._weight, self._lays_out = plain, False
        self._width = shape[3]
