"""A result that is painted again, from its own recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..images import to_uint8
from ..images.views import View
from ..record import Record
from ..redo import compare, prepare
from .job import AnyJob, Job
from .layers import Geometry, Plane
from .machine import load_engine
from .origins import Origin

if TYPE_CHECKING:
    from ..transfer.engine import StyleTransfer


@dataclass
class RedoneJob(AnyJob):
    """What a result was painted from, looked for among the layers by the hashes in its recipe.

    Attributes
    ----------
    record
        The recipe, as far as it takes to paint it again.
    painted
        The result.
    layers
        The data of all image layers, at each resolution.
    chosen
        What Run would paint: the images that no single layer is, such as several channels together.
    origin
        What the result was painted from; None if that is not known.
    """

    record: Record
    painted: Plane
    layers: tuple[tuple[Any, ...], ...]
    chosen: Job | None
    origin: Origin | None
    checkpoint: Path | None = None
    _content: tuple[View, NDArray[Any]] | None = field(default=None, init=False)
    _others: tuple[str, ...] = field(default=(), init=False)

    @property
    def geometry(self) -> Geometry:
        """Where the result lies."""
        return self.painted.geometry

    @property
    def title(self) -> str:
        """Name for the result."""
        return f"{self.painted.pixels.name}, redone"

    def prepare(self) -> "StyleTransfer":
        """Find the images and make the engine.

        Raises
        ------
        ValueError
            If an image is not there.
        """
        load_engine()
        images = {digest: self._find(digest) for digest in self.record.images}
        transfer = prepare(self.record, images)
        self._others = transfer.others
        return transfer

    def develop(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """Make a layer's data of the engine's ``(h, w, 3)`` image."""
        if self._content is None:
            return to_uint8(image)
        view, values = self._content
        picture = view.develop(values, image, self._mask)
        row, column = self.geometry.displayed
        if row > column:
            picture = picture.swapaxes(0, 1)
        return picture if picture.ndim == 2 else to_uint8(picture)

    def remark(self, developed: NDArray[Any]) -> str:
        """Say how what was developed compares with the result."""
        return str(compare(developed, self.painted.values(), self._others))

    @property
    def _mask(self) -> Any:
        changed = [c.settings["mask"] for c in self.record.changes if "mask" in c.settings]
        return changed[-1] if changed else self.record.settings.mask

    def _find(self, digest: str) -> NDArray[Any]:
        from ..transfer.replay import hash_of

        for view, values, image in self._candidates(digest):
            if hash_of(self.record.settings, image) == digest:
                if digest == self.record.content and view is not None:
                    self._content = view, values
                return image
        named = [f"“{view.name}”" for view in self.record.named(digest)]
        raise ValueError(
            f"{' '.join([self.record.images[digest], *named[:1]]).capitalize()} is not among the "
            "layers, or has other pixels now: open what it was painted from, or choose it as it "
            "was seen then."
        )

    @cached_property
    def _images_chosen(self) -> list[NDArray[Any]]:
        if self.chosen is None:
            return []
        return [self.chosen.read_content(), *self.chosen.read_styles()]

    def _candidates(self, digest: str) -> Iterator[tuple[View | None, Any, NDArray[Any]]]:
        """Go through what an image may be: how it was seen, the values, and their colours."""
        for view in self.record.named(digest):
            for levels in self.layers:
                if view.level < len(levels) and view.fits(levels[view.level]):
                    values = view.values(levels[view.level])
                    yield view, values, view.shades(values)
        for image in self._images_chosen:
            yield None, None, image
        for finest, *_ in self.layers:  # the results that runs went on from
            if finest.ndim == 3 and finest.shape[2] in (3, 4):
                yield None, None, np.asarray(finest[..., :3])
