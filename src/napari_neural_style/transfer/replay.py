"""A run that is made again, with all that was changed while it went on."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.images import image_hash, to_rgb
from napari_neural_style.notes import Note
from napari_neural_style.record import Change, Record
from napari_neural_style.settings import Settings
from napari_neural_style.transfer import devices
from napari_neural_style.transfer.engine import StyleTransfer
from napari_neural_style.transfer.provenance import check_weights, threads_of, told_differences
from napari_neural_style.transfer.update import Update

# Of what came between in a run: the latest.
MOST_TOLD: Final = 3


class Replay(StyleTransfer):
    """A run of which there is a record; it ends where that one ended.

    Parameters
    ----------
    record : Record
        Of the run.
    images : mapping of str to array
        By their hashes, those of ``record.images``, as for
        :class:`~napari_neural_style.StyleTransfer`.
    device : str or None
        As the setting; None for the one of the record, or the best there is without it.

    Raises
    ------
    ValueError
        If an image is missing or another one, or the weights or the device are others.
    """

    def __init__(
        self,
        record: Record,
        images: Mapping[str, npt.ArrayLike],
        device: str | None = None,
    ) -> None:
        self._record, self._images = record, images
        self._coming = list(record.changes)
        for digest, name in record.images.items():
            check_image(record, images.get(digest), digest, name)
        settings = dataclasses.replace(
            record.settings, device=device or devices.same_or_best(record.device)
        )
        content, *styles = (images[digest] for digest in (record.content, *record.styles))
        super().__init__(content, styles, settings=settings)
        check_weights(settings.weights, self._run.studio.fingerprint, record.weights)

    def __next__(self) -> Update:
        with self._running:
            self._repeat_changes()
            if self._step >= self._record.step and not self._run.finished:
                if self._record.shows_best:
                    self.stop()
                else:
                    self._run.release()
                    raise StopIteration
        return super().__next__()

    def _repeat_changes(self) -> None:
        """Make the changes that were made after so many steps, one by one."""
        while self._coming and self._coming[0].step <= self._step:
            self.update(**self._given(self._coming.pop(0)))
            self.apply()

    def _given(self, change: Change) -> dict[str, Any]:
        """Return a change as ``update`` takes it."""
        given: dict[str, Any] = dict(change.settings)
        for name, digest in (("content", change.content), ("picture", change.picture)):
            if digest is not None:
                given[name] = self._images[digest]
        if change.styles is not None:
            given["style"] = [self._images[digest] for digest in change.styles]
        return given

    @property
    def others(self) -> tuple[str, ...]:
        """What is other here than where the record was made, in words."""
        return (
            *_differences(self._record, self.device, self.precision),
            *_happened("then", self._record.notes),
            *_happened("now", self._run.notes.kept),
        )


def hash_of(settings: Settings, image: npt.ArrayLike, name: str = "image") -> str:
    """Return the hash of an image, as a run with some settings takes it.

    Raises
    ------
    ValueError
        If it is no image that can be painted.
    """
    exact = settings.precision == "float64"
    return image_hash(to_rgb(image, name, dtype=np.float64 if exact else np.float32))


def check_image(record: Record, image: npt.ArrayLike | None, digest: str, name: str) -> None:
    """Raise a ValueError if there is no such image, or another one."""
    if image is None:
        raise ValueError(f"There is no image for {name}{_called(record, digest)}: give it, too.")
    if hash_of(record.settings, image, name.removeprefix("the ")) != digest:
        raise ValueError(
            f"The image that is given for {name}{_called(record, digest)} is another one than it "
            "was painted from: its pixels are not the same."
        )


def _called(record: Record, digest: str) -> str:
    names = [view.name for view in record.named(digest)]
    return f" (“{names[0]}”)" if names else ""


@contextlib.contextmanager
def same_threads(machine: Mapping[str, Any]) -> Iterator[None]:
    """Let torch compute with as many threads as a machine had for a run, if there are as many.

    Sums in floating point depend on how they are shared out.
    """
    before, then = torch.get_num_threads(), threads_of(machine)
    if then is None:
        yield
        return
    torch.set_num_threads(then)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _differences(record: Record, device: str, precision: str) -> Iterator[str]:
    if record.timed:
        yield "it had a budget of time, and no two of such runs are the same"
    yield from told_differences({**record.versions, **record.machine}, device)
    if device != record.device:
        yield f"on {device} instead of {record.device}"
    if precision != record.settings.precision:
        yield f"in {precision} instead of {record.settings.precision}"


def _happened(when: str, notes: Sequence[Note]) -> Iterator[str]:
    """Tell what came between that is no part of a recipe; the latest of it."""
    for note in [note for note in notes if not note.repeats][-MOST_TOLD:]:
        yield f"{when}, at step {note.step}: {note.text.rstrip('.')}"
