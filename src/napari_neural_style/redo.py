"""Make a picture again from its recipe, and say how well that went. Imports no torch by itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from napari_neural_style.record import Record

if TYPE_CHECKING:
    from napari_neural_style.transfer.replay import Replay
    from napari_neural_style.transfer.update import Image, Update

NEAR: Final = 0.12
"""Mean distance, as a share of the range of values, within which a picture that another machine
or version made is taken for the same; measured, see the documentation."""

AS_FINE: Final = 0.015
"""Share by which it may have more or less detail. Strokes fall elsewhere by other means, and by
another strength or preset, too; but then there are more of them, or fewer."""

AS_LIGHT: Final = 0.01
"""Share of the range by which its mean colour may be another: means that move strokes do not."""

OF_PARTS: Final = 0.08, 0.4
"""The same for the mean colour and the detail of each part of the picture. What was painted over,
lightened or erased afterwards is further off."""

_PARTS: Final = 8
"""Along each side of a picture; fewer of one so small that they would have less than 12 pixels."""

_LITTLE: Final = 0.2
"""Share of the mean detail of the parts, below which the detail of one is not compared."""


@dataclass(frozen=True)
class Verdict:
    """How a picture that was made again compares with the first one.

    Attributes
    ----------
    mean, largest
        Distance of the values, as a share of their range: 0 for the same bits, 1 at most.
    others
        What was other than the first time, in words; empty on the same machine.
    detail
        How much more or less detail it has, as a share: 0 for as much, 1 at most. Detail is the
        sum of the differences between neighbouring pixels.
    colour
        Distance of the mean colours, as a share of the range.
    parts
        Colour and detail of the part of the picture, of 8 x 8, that is furthest off.
    """

    mean: float
    largest: float
    others: tuple[str, ...] = ()
    detail: float = 0.0
    colour: float = 0.0
    parts: tuple[float, float] = (0.0, 0.0)

    @property
    def identical(self) -> bool:
        """Whether no bit is other."""
        return self.largest == 0

    @property
    def as_stated(self) -> bool:
        """Whether it is as it should be: to the bit, or near where something was other."""
        near = self.mean <= NEAR and self.detail <= AS_FINE and self.colour <= AS_LIGHT
        everywhere = all(part <= most for part, most in zip(self.parts, OF_PARTS, strict=True))
        return self.identical or (bool(self.others) and near and everywhere)

    def __str__(self) -> str:
        if self.identical:
            return "Bit-identical."
        distance = (
            f"mean {self.mean:.2%}, largest {self.largest:.2%} of the range, "
            f"detail {self.detail:.2%}, mean colour {self.colour:.2%}; of a part at most detail "
            f"{self.parts[1]:.0%}, mean colour {self.parts[0]:.2%}"
        )
        why = "; ".join(self.others)
        if self.as_stated:
            return (
                f"The same within {NEAR:.0%}, {AS_FINE:.1%} of detail and {AS_LIGHT:.0%} of mean "
                f"colour ({distance}), made with other means: {why}."
            )
        if self.others:
            return (
                f"Differs by more than the {NEAR:.0%}, {AS_FINE:.1%} of detail and {AS_LIGHT:.0%} "
                f"of mean colour, of a part {OF_PARTS[1]:.0%} and {OF_PARTS[0]:.0%}, that other "
                f"means explain ({distance}): {why}."
            )
        return f"Differs ({distance}), although machine and versions are the same."


@dataclass(frozen=True)
class StackVerdict:
    """How the planes of a stack that were made again compare with the first ones.

    Attributes
    ----------
    planes
        The verdicts of the planes, by their names; None for one that could not be made again.
    others
        What was other than the first time, in words.
    """

    planes: Mapping[str, Verdict | None]
    others: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether no bit is other."""
        return self._identical == len(self.planes)

    @property
    def as_stated(self) -> bool:
        """Whether all planes are as they should be."""
        return all(verdict is not None and verdict.as_stated for verdict in self.planes.values())

    @property
    def _identical(self) -> int:
        return sum(verdict is not None and verdict.identical for verdict in self.planes.values())

    def __str__(self) -> str:
        count, identical = len(self.planes), self._identical
        if self.identical:
            return f"Bit-identical, all of {count} plane{'s' * (count != 1)}."
        told = f"{identical} of {count} planes are bit-identical."
        missing = [name for name, verdict in self.planes.items() if verdict is None]
        if missing:
            told += f" {len(missing)} could not be painted again, the first at {missing[0]}."
        made = [(name, verdict) for name, verdict in self.planes.items() if verdict is not None]
        if identical + len(missing) < count:
            name, worst = max(made, key=lambda pair: (not pair[1].as_stated, pair[1].mean))
            told += f" The worst is {name}: {worst}"
        return told


def compare_planes(
    pairs: Iterable[tuple[str, npt.ArrayLike | None, npt.ArrayLike]], others: tuple[str, ...] = ()
) -> StackVerdict:
    """Compare the planes of two stacks, one after the other.

    Parameters
    ----------
    pairs
        The name of each plane, what was painted again, and what was painted first.
    others
        What was other the second time.
    """
    verdicts = {
        name: None if again is None else compare(again, painted, others)
        for name, again, painted in pairs
    }
    return StackVerdict(verdicts, others)


def prepare(
    record: Record, images: Mapping[str, npt.ArrayLike], device: str | None = None
) -> "Replay":
    """Make the run that paints a picture again, as far as it was painted.

    Parameters
    ----------
    record
        Of the picture.
    images
        By their hashes, those of ``record.images``, as a run takes them.
    device
        As the setting; by default the one of the record, or the best there is without it.

    Returns
    -------
    StyleTransfer
        To iterate over. Changes are made again at their steps; ``others`` tells what is other
        than the first time.

    Raises
    ------
    ValueError
        If an image is missing or is another one; the message says which.
    """
    from napari_neural_style.transfer.replay import Replay

    return Replay(record, images, device)


def redo(
    record: Record,
    content: npt.ArrayLike,
    styles: Sequence[npt.ArrayLike],
    painted: npt.ArrayLike,
    *,
    later: Mapping[str, npt.ArrayLike] = MappingProxyType({}),
    develop: Callable[["Image"], NDArray[Any]] | None = None,
    device: str | None = None,
    watch: Callable[["Update"], object] = lambda update: None,
) -> tuple["Image", Verdict]:
    """Paint a picture again and compare.

    Parameters
    ----------
    record
        Of the picture.
    content, styles
        What it was painted from, as for :class:`~napari_neural_style.StyleTransfer`.
    painted
        The picture, as it was kept: ``(H, W)`` or ``(H, W, channels)``, of any dtype.
    later
        By their hashes, the images that the run was changed to while it went on.
    develop
        Makes of the engine's image what `painted` is; by default it is rounded to its dtype.
    device
        As for :func:`~napari_neural_style.redo.prepare`.
    watch
        Called with each step.

    Returns
    -------
    image
        ``(H, W, 3)`` float32 in [0, 1].
    verdict
        Of the comparison.

    Raises
    ------
    ValueError
        If an image is missing or is another one, or the sizes do not fit.
    """
    from napari_neural_style.transfer.replay import same_threads

    given = dict(zip((record.content, *record.styles), (content, *styles), strict=False))
    with same_threads(record.machine):
        transfer = prepare(record, {**later, **given}, device)
        for update in transfer:
            watch(update)
        others = transfer.others  # with the threads that it was painted with
    image = transfer.result
    if image is None:
        raise ValueError("Nothing was painted: the recipe has no steps.")
    developed = quantized(image, painted) if develop is None else develop(image)
    return image, compare(developed, painted, others)


def compare(again: npt.ArrayLike, painted: npt.ArrayLike, others: tuple[str, ...] = ()) -> Verdict:
    """Compare two pictures.

    Parameters
    ----------
    again, painted
        Of one shape and dtype. The range of booleans and of unsigned integers of 8 and 16 bits
        is that of their dtype, that of colours in floats is 1; other values have theirs.
    others
        What was other the second time.

    Raises
    ------
    ValueError
        If they have other shapes or dtypes.
    """
    again, painted = np.asarray(again), np.asarray(painted)
    if again.shape != painted.shape or again.dtype != painted.dtype:
        raise ValueError(
            f"What was painted again is {again.dtype} of shape {again.shape}, and the picture "
            f"{painted.dtype} of {painted.shape}: they cannot be compared."
        )
    if np.array_equal(again, painted):
        return Verdict(0.0, 0.0, others)
    distance = np.abs(again.astype(np.float64) - painted.astype(np.float64))
    span = _span(painted)
    distance /= span
    both = [picture.astype(np.float64) / span for picture in (again, painted)]
    return Verdict(
        float(distance.mean()),
        max(float(distance.max()), 5e-324),  # not rounded to nothing: some bit is other
        others,
        _apart(*map(_detail, both)),
        _lighter(*both),
        _furthest(*both),
    )


def _furthest(again: NDArray[np.float64], painted: NDArray[np.float64]) -> tuple[float, float]:
    """Return how far the part that is furthest off is, in its mean colour and in detail."""
    colour = detail = 0.0
    # Of a part with hardly any detail, a share of it tells nothing.
    little = _LITTLE * max(map(_detail, (again, painted))) / _PARTS**2
    for one, other in zip(_parts(again), _parts(painted), strict=True):
        colour = max(colour, _lighter(one, other))
        details = _detail(one), _detail(other)
        if max(details) > little:
            detail = max(detail, _apart(*details))
    return colour, detail


def _lighter(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how far apart the mean colours are."""
    return float(np.abs(one.mean((0, 1)) - other.mean((0, 1))).max())


def _parts(picture: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Cut a picture into parts of about one size."""
    for rows in np.array_split(picture, _count(picture.shape[0]), axis=0):
        yield from np.array_split(rows, _count(picture.shape[1]), axis=1)


def _count(side: int) -> int:
    return min(max(side // 12, 1), _PARTS)


def _detail(picture: NDArray[np.float64]) -> float:
    """Return the sum of the differences between neighbouring pixels."""
    return float(sum(np.abs(np.diff(picture, axis=axis)).sum() for axis in (0, 1)))


def _apart(one: float, other: float) -> float:
    """Return by which share of the larger two sums are apart."""
    return abs(one - other) / max(one, other, 5e-324)


def _span(painted: NDArray[Any]) -> float:
    if painted.dtype.kind == "b":
        return 1.0
    if painted.dtype.kind == "u" and painted.dtype.itemsize <= 2:
        return float(np.iinfo(painted.dtype).max)
    if painted.ndim > 2 and painted.dtype.kind == "f":  # colours, in [0, 1]
        return 1.0
    return max(float(painted.max()) - float(painted.min()), 1e-300)


def quantized(image: NDArray[Any], painted: npt.ArrayLike) -> NDArray[Any]:
    """Return an engine's image with the dtype of a picture of colours."""
    from napari_neural_style.images.pixels import quantize

    dtype = np.asarray(painted).dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return quantize(image, dtype.type)
    return image.astype(dtype)
