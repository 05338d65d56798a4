"""ReLU and max pooling, forward and back: fast on a CPU, and in little memory.

Bits of floating-point numbers that are not negative order like integers, and those of a
negative number are a negative integer. So on a CPU both operations are done on integers,
which vectorise fully, where torch widens bfloat16 number by number and keeps an int64 for
every maximum. The results are the same to the last bit but for NaN, which may pass for a
number: an image that is not finite must be noticed elsewhere.

The way back needs no features, only how they compared, and that is one bit each.

Features are (1, C, H, W), channels last, C a multiple of 64.
"""

import math
from typing import Final, NamedTuple

import torch

# Not float16: it overflows, and what comes of that must stay NaN.
_INTEGERS: Final = {
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}

# Bytes of an arena's blocks: enough for the system to give and take each by itself.
_BLOCK: Final = 64 << 20
_ALIGNED: Final = 64


class Arena:
    """Memory for many small tensors that live long, in large blocks.

    Among large tensors that come and go, they would break the memory up.
    """

    def __init__(self) -> None:
        self._blocks: list[torch.Tensor] = []
        self.clear()

    def clear(self) -> None:
        """Take all memory back, to be used again."""
        self._unused = iter(self._blocks.copy())
        self._free = torch.empty(0, dtype=torch.uint8)

    def take(self, like: torch.Tensor) -> torch.Tensor:
        """Memory for a tensor of the same kind."""
        size = math.ceil(like.nbytes / _ALIGNED) * _ALIGNED
        while size > self._free.numel():
            used_before = next(self._unused, None)
            self._free = self._block(size, like.device) if used_before is None else used_before
        taken, self._free = self._free[:size], self._free[size:]
        return taken[: like.nbytes].view(like.dtype).view(like.shape)

    def _block(self, size: int, device: torch.device) -> torch.Tensor:
        # Of what is not used the system does not give memory.
        self._blocks.append(torch.empty(max(_BLOCK, size), dtype=torch.uint8, device=device))
        return self._blocks[-1]


class Positive:
    """Where numbers are above zero, in a bit each.

    Parameters
    ----------
    numbers : torch.Tensor
        Integers, of which there must be a multiple of 64, or floating-point.
    arena : Arena
        Where the bits are kept.
    """

    def __init__(self, numbers: torch.Tensor, arena: Arena) -> None:
        self._shape = numbers.shape
        if numbers.is_floating_point():
            self._bits = numbers > 0
            return
        # Halves are added up, weighted, until one integer holds a bit of each part.
        parts = numbers.clamp(0, 1).view(8 * numbers.itemsize, -1)
        while (half := parts.shape[0] // 2) > 0:
            parts = parts[:half].add_(parts[half:], alpha=1 << half)
        self._bits = torch.bitwise_not(parts[0], out=arena.take(parts[0]))

    def select(self, gradient: torch.Tensor, out: torch.Tensor) -> None:
        """Write the gradient where the numbers are above zero, and zero elsewhere."""
        if self._bits.dtype == torch.bool:
            torch.mul(gradient, self._bits, out=out)
            return
        width = 8 * self._bits.itemsize
        shifts = torch.arange(width - 1, -1, -1, dtype=self._bits.dtype)[:, None]
        negative = torch.bitwise_left_shift(self._bits, shifts).view(self._shape)
        _threshold(gradient, negative, -1, out)


Numbers = torch.Tensor | Positive


class Maxima(NamedTuple):
    """What the way back through a ReLU and a max pooling needs to know.

    Of four features, a gradient goes to the first of the largest, as in ``max_pool2d``.
    """

    pooled: Numbers
    """(h, w, C), the maxima."""
    lower: Numbers
    """(h, w, C), above zero where the lower of two rows has the larger one."""
    right: Numbers
    """(2 h, w, C), above zero where the right one of two columns is the larger."""

    def rows(self, rows: slice) -> "Maxima":
        """Those of some rows of what is pooled, if none are packed."""
        pooled, lower, right = self
        assert isinstance(pooled, torch.Tensor)
        assert isinstance(lower, torch.Tensor)
        assert isinstance(right, torch.Tensor)
        return Maxima(pooled[rows], lower[rows], right[2 * rows.start : 2 * rows.stop])


def relu(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Rectify, as ``torch.relu``; ``out`` may be ``x``."""
    torch.clamp_min(_positions(x), 0, out=_positions(out))
    return out


def pack(rectified: torch.Tensor, arena: Arena) -> Positive:
    """Keep of rectified features what :func:`relu_backward` needs."""
    return Positive(_positions(rectified), arena)


def relu_backward(gradient: torch.Tensor, rectified: Numbers, out: torch.Tensor) -> None:
    """Write a gradient, but zero wherever the rectified features are; ``out`` may be it."""
    if isinstance(rectified, torch.Tensor):
        rectified = _positions(rectified)
    _select(_positions(gradient), rectified, _positions(out))


def empty_maxima(x: torch.Tensor) -> Maxima:
    """Memory for the maxima of features of a shape."""
    right = _columns(_positions(x))[1]
    even, *rest = right.shape
    lines = even // 2, *rest
    shapes = lines, lines, (even // 2 * 2, *rest)
    return Maxima(*(right.new_empty(shape) for shape in shapes))


def compare(x: torch.Tensor, out: Maxima) -> Maxima:
    """Compare rectified features within each 2 × 2; an odd last row or column is left out."""
    left, right = _columns(_positions(x))
    upper, lower = _rows(torch.maximum(left, right))
    even = 2 * upper.shape[0]
    for operation, first, second, into in (
        (torch.maximum, upper, lower, out.pooled),
        (torch.sub, lower, upper, out.lower),
        (torch.sub, right[:even], left[:even], out.right),
    ):
        assert isinstance(into, torch.Tensor)
        operation(first, second, out=into)
    return out


def pack_maxima(maxima: Maxima, arena: Arena) -> Maxima:
    """Keep of maxima what :func:`max_pool_backward` needs."""
    return Maxima(*(n if isinstance(n, Positive) else Positive(n, arena) for n in maxima))


def pooled(maxima: Maxima, dtype: torch.dtype) -> torch.Tensor:
    """The features behind the pooling, (1, C, h, w)."""
    assert isinstance(maxima.pooled, torch.Tensor)
    return maxima.pooled.permute(2, 0, 1)[None].view(dtype)


def max_pool_backward(gradient: torch.Tensor, maxima: Maxima, out: torch.Tensor) -> None:
    """Lead a gradient back through max pooling and the ReLU before it.

    Parameters
    ----------
    gradient : torch.Tensor
        (1, C, H // 2, W // 2); changed in place.
    maxima : Maxima
        Of the features that were pooled.
    out : torch.Tensor
        (1, C, H, W); overwritten.
    """
    height, width = (2 * n for n in gradient.shape[2:])
    out[:, :, height:].zero_()
    out[:, :, :, width:].zero_()
    of_pooled = _positions(gradient)
    _select(of_pooled, maxima.pooled, of_pooled)
    of_columns = of_pooled.new_empty(height, *of_pooled.shape[1:])
    _share(of_pooled, maxima.lower, *_rows(of_columns))
    _share(of_columns, maxima.right, *_columns(_positions(out)[:height]))


def _share(
    gradient: torch.Tensor, second: Numbers, to_first: torch.Tensor, to_second: torch.Tensor
) -> None:
    """Share a gradient out between the firsts and the seconds of pairs."""
    _select(gradient, second, to_second)
    torch.sub(gradient, to_second, out=to_first)  # all of its bits, or none


def _select(gradient: torch.Tensor, numbers: Numbers, out: torch.Tensor) -> None:
    """Write the gradient where some numbers are above zero, and zero elsewhere."""
    if isinstance(numbers, Positive):
        numbers.select(gradient, out)
    else:
        _threshold(gradient, numbers, 0, out)


def _threshold(
    gradient: torch.Tensor, numbers: torch.Tensor, least: int, out: torch.Tensor
) -> None:
    torch.ops.aten.threshold_backward.grad_input(gradient, numbers, least, grad_input=out)


def _positions(x: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) as (H, W, C), which is how it lies in memory; where faster, as integers."""
    integers = _INTEGERS.get(x.dtype) if x.device.type == "cpu" else None
    return (x.view(integers) if integers else x)[0].permute(1, 2, 0)


def _rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Upper and lower of each two rows of (H, W, C)."""
    even = x[: x.shape[0] // 2 * 2]
    return even[0::2], even[1::2]


def _columns(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Left and right of each two columns of (H, W, C)."""
    even = x[:, : x.shape[1] // 2 * 2]
    return even[:, 0::2], even[:, 1::2]
