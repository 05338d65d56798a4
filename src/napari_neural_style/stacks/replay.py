"""A stack that is painted again, each plane from the one that it started from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from napari_neural_style.images import image_hash, to_rgb
from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.record import StackRecord
from napari_neural_style.stacks.schedule import Parent, Schedule
from napari_neural_style.stacks.session import Session
from napari_neural_style.stacks.store import digest_of
from napari_neural_style.stacks.transfer import StackTransfer
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.provenance import check_weights, told_differences
from napari_neural_style.transfer.replay import MOST_TOLD


class StackReplay(StackTransfer):
    """A run of a stack of which there is a record, in this process.

    Parameters
    ----------
    record : StackRecord
        Of the run.
    stack : array
        As for :class:`StackTransfer`.
    styles : sequence of arrays
        As for :class:`StackTransfer`.
    mask : array, optional
        The masks of the planes, if each had its own.
    out : path, optional
        As for :class:`StackTransfer`.
    device : str, optional
        As the setting; by default the one of the last session, or the best there is without it.

    Raises
    ------
    ValueError
        If the stack or a style is another one, or the weights are others.
    """

    def __init__(
        self,
        record: StackRecord,
        stack: Any,
        styles: Sequence[npt.ArrayLike],
        *,
        mask: Any = None,
        out: Any = None,
        device: str | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        self._record = record
        if tuple(stack.shape) != record.axes.shape:
            raise ValueError(
                f"The stack has the shape {tuple(stack.shape)}, and the one that was painted "
                f"{record.axes.shape}: give that one."
            )
        for style, digest in zip(styles, record.styles, strict=True):
            if image_hash(to_rgb(style, "style")) != digest:
                raise ValueError("A style is another one than it was painted with.")
        if record.own_masks != (mask is not None):
            raise ValueError(
                "A mask for each plane is needed, as when the stack was painted: give them, too "
                "(--mask)."
                if record.own_masks
                else "The planes had no masks of their own: give none."
            )
        then = record.sessions[-1]["device"]
        settings = replace(record.settings, device=device or devices.same_or_best(then))
        self._session = Session(settings, here=True).told(0)
        check_weights(settings.weights, self._session["weights"]["sha256"], record.weights)
        super().__init__(
            stack,
            styles,
            record.axes.letters,
            client="here",
            out=out,
            output="rgb" if record.in_color else "intensity",
            rendering=record.rendering,
            mask=mask,
            style_masks=record.style_masks,
            segment=record.segment,
            settings=settings,
            names=names or {},
        )

    @property
    def _known(self) -> Mapping[str, Any]:
        return self._record.found

    def _selected(self, planes: slice | None) -> list[Index]:
        return list(self._record.planes)

    def _schedule(self) -> Schedule:
        if not self._record.starts_known:
            return super()._schedule()
        starts = {index: plane.start for index, plane in self._record.planes.items()}
        return _Repeated(
            starts, self.axes, self._wanted, self._store.done, self._failed, self._segment
        )

    def check(self) -> Iterator[Index]:
        """Read all planes, one after the other, and compare them with those that were painted.

        Yields
        ------
        tuple of int
            The index of each.

        Raises
        ------
        ValueError
            If one is another one.
        """
        for index, plane in self._record.planes.items():
            if digest_of(*self._source.read(index, keep=1)) != plane.source:
                masks = " or its mask" if self._record.own_masks else ""
                raise ValueError(
                    f"The plane {self.axes.named(index)} of the stack{masks} is another one than "
                    "was painted."
                )
            yield index

    @property
    def others(self) -> tuple[str, ...]:
        """What is other here than where the record was made, in words."""
        return tuple(dict.fromkeys(self._differences()))

    def _differences(self) -> Iterator[str]:
        record, device = self._record, self._session["device"]
        if not record.starts_known:
            yield "it is not told which planes others started from"
        for session in record.sessions:
            if session["elsewhere"]:
                yield f"some planes were painted by {session['elsewhere']}, on unknown machines"
                continue
            yield from told_differences(session["machine"], device)
            for name in ("device", "precision"):
                if session[name] != self._session[name]:
                    yield f"{name} {self._session[name]} instead of {session[name]}"
        told = [
            f"then, at {self.axes.named(index)}: {note.rstrip('.')}"
            for index, plane in record.planes.items()
            for note in plane.notes
        ]
        yield from told[-MOST_TOLD:]


class _Repeated(Schedule):
    """The order in which planes were painted, each from the one that it started from then.

    Parameters
    ----------
    starts
        The plane that each started from; None for nothing.
    *of_stack
        As for :class:`Schedule`.
    """

    def __init__(self, starts: Mapping[Index, Index | None], *of_stack: Any) -> None:
        self._starts = starts
        super().__init__(*of_stack)

    def parent(self, index: Index) -> Parent | None:
        """Return what a plane started from; one that cannot be painted now has no followers."""
        start = self._starts[index]
        if start is None:
            return None
        places = zip(self._axes.along, index, start, strict=True)
        return Parent(start, moved=any(a != b for letter, a, b in places if letter == "T"))

    def put_back(self, index: Index, unreadable: Index) -> None:
        """Leave out a plane that cannot start from the one that it started from."""
