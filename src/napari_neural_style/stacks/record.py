"""Records of stacks: how their planes were painted, read with suspicion."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from types import SimpleNamespace
from typing import Any, Final, Self

from numpy.typing import NDArray

from napari_neural_style.images.rendering import Rendering
from napari_neural_style.images.views import View, rendering_from
from napari_neural_style.packed import check_arrays, unplain
from napari_neural_style.recipe import with_weights
from napari_neural_style.record import digest, digests, facts, few, refused, views_of
from napari_neural_style.settings import Settings
from napari_neural_style.stacks.axes import Axes, Index
from napari_neural_style.validation import choice, flag, one_line, short, whole

_MOST_PLANES: Final = 100_000


@dataclass(frozen=True)
class PaintedPlane:
    """How a plane was painted.

    Attributes
    ----------
    source
        Digest of what it was painted from, see :func:`~.stacks.store.digest_of`.
    start
        The plane that it started from, which stands before it; None for nothing.
    notes
        What the user was told meanwhile.
    """

    source: str
    start: Index | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StackRecord:
    """How the planes of a stack were painted, and where.

    Attributes
    ----------
    settings
        Of the planes, with the precision of the last session.
    axes
        Of the stack.
    in_color, segment
        As for :class:`~napari_neural_style.StackTransfer`.
    styles
        Hashes of the style images, see :func:`~napari_neural_style.images.image_hash`.
    own_masks
        Whether each plane had a mask of its own.
    style_masks
        Of the styles, if so.
    rendering
        What turned values into what was painted; None for contrast limits that were found.
    found
        What was found out about the stack.
    planes
        Those that are done, in their order.
    starts_known
        Whether it is told which planes they started from.
    sessions
        Facts about what painted, each once: device, precision, versions, machine.
    weights
        Fingerprint of the encoder's weights.
    written
        The indices along the first axis that are in the file.
    views
        What is known of the images: names, and how they were seen in layers.
    channel_limits
        Contrast limits of the channels that were blended, if any were.
    """

    settings: Settings
    axes: Axes
    in_color: bool
    segment: int
    styles: tuple[str, ...]
    own_masks: bool
    style_masks: tuple[NDArray[Any], ...]
    rendering: Rendering | None
    found: Mapping[str, Any]
    planes: Mapping[Index, PaintedPlane]
    starts_known: bool
    sessions: tuple[Mapping[str, Any], ...]
    weights: str
    written: range
    views: tuple[View, ...]
    channel_limits: tuple[tuple[float, float], ...] = ()
    content: str = ""

    @classmethod
    def from_dict(cls, data: Any, weights: str | None = None, called: str = "the recipe") -> Self:
        """Build a record from plain data, which may be a stranger's.

        Parameters
        ----------
        data
            What ``StackTransfer.provenance`` gives, or
            ``napari_neural_style.images.metadata.read_metadata`` reads.
        weights
            Used instead of a file of weights that the recipe names.
        called
            What errors call it.

        Raises
        ------
        ValueError
            If the data are damaged, do not say how the planes were painted, hold an unknown or
            wrong value, or unfold to too much memory.
        """
        with refused(called):
            return cls(**_parts(data, weights))

    @property
    def machine(self) -> Mapping[str, Any]:
        """The one of the last session."""
        machine: Mapping[str, Any] = self.sessions[-1]["machine"]
        return machine

    @property
    def indices(self) -> list[Index]:
        """The planes that are done and in the file, in the order of the stack."""
        return sorted(index for index in self.planes if index[0] in self.written)

    def named(self, digest: str) -> list[View]:
        """Return what is known of an image."""
        return [view for view in self.views if view.digest == digest]


def _parts(data: Any, weights: str | None) -> dict[str, Any]:
    taken = check_arrays({**data["settings"], "style_masks of planes": data["style_masks"]})
    sessions = [_session(session) for session in few(data["sessions"])]
    settings = Settings.from_dict(with_weights(data["settings"], weights))
    axes = _axes(data["axes"], data["shape"])
    planes, starts_known = _planes(data["planes"], axes)
    if not sessions or not planes:
        raise ValueError("it does not say how its planes were painted.")
    shades = data["rendering"]
    fingerprints = [digest(session["weights"]["sha256"]) for session in data["sessions"]]
    first, stop, step = data.get("written", (0, axes.counts[0], 1))
    written = range(axes.counts[0])[slice(int(first), int(stop), int(step))]
    return {
        "settings": replace(settings, precision=sessions[-1]["precision"] or settings.precision),
        "axes": axes,
        "in_color": choice("output", data["output"], ("rgb", "intensity")) == "rgb",
        "segment": whole("segment", data["segment"], 1, 2**31),
        "styles": digests(data["inputs"]["styles"]),
        "own_masks": flag("plane_masks", data["plane_masks"]),
        "style_masks": tuple(unplain("style_masks", mask) for mask in data["style_masks"]),
        "rendering": None if shades is None else rendering_from(shades, "plane"),
        "found": _found(data, axes),
        "planes": planes,
        "starts_known": starts_known,
        "sessions": tuple(session for session, _ in groupby(sessions)),
        "weights": fingerprints[-1],
        "written": written,
        "views": tuple(views_of(data.get("views", []), taken)),
        "channel_limits": tuple(map(_ends, few(data.get("channels", [])))),
    }


def _ends(channel: Mapping[str, Any]) -> tuple[float, float]:
    low, high = map(float, channel["contrast_limits"])
    return low, high


def _axes(letters: Any, shape: Any) -> Axes:
    if not isinstance(letters, str) or not re.fullmatch("[A-Z]{3,9}", letters):
        raise ValueError(f"axes={short(letters)} are none of a stack.")
    sides = [whole("shape", side, 1, 2**31) for side in few(shape)]
    if math.prod(sides) > 2**50:
        raise ValueError(f"shape={short(shape)} is no stack's.")
    return Axes.of(letters, SimpleNamespace(shape=sides))


def _index(data: Any, axes: Axes) -> Index:
    index = tuple(whole("plane", place, 0, 2**31) for place in few(data))
    if len(index) != len(axes.counts) or not all(
        place < count for place, count in zip(index, axes.counts, strict=True)
    ):
        raise ValueError(f"plane={short(data)} is none of the stack.")
    return index


def _planes(data: Any, axes: Axes) -> tuple[dict[Index, PaintedPlane], bool]:
    planes: dict[Index, PaintedPlane] = {}
    known = True
    for entry in few(data, _MOST_PLANES, "planes"):
        index, start = _index(entry["plane"], axes), entry.get("from")
        known &= "from" in entry
        start = None if start is None else _index(start, axes)
        if start is not None and start not in planes:
            raise ValueError(f"plane={short(entry['plane'])} started from one that comes later.")
        if not isinstance(entry["source"], str) or not re.fullmatch(
            "[0-9a-f]{32}", entry["source"]
        ):
            raise ValueError(f"{short(entry['source'])} is no hash of a plane.")
        notes = tuple(map(one_line, few(entry.get("notes", []))))
        planes[index] = PaintedPlane(entry["source"], start, notes)
    return planes, known


def _session(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "device": one_line(data.get("device")),
        "precision": one_line(data.get("precision")),
        "machine": {**facts(data["versions"]), **facts(data.get("machine", {}))},
        "elsewhere": one_line(data.get("painted_by")),
    }


def _found(data: Mapping[str, Any], axes: Axes) -> dict[str, Any]:
    """Return what was found out about the stack."""
    found: dict[str, Any] = {"contrast_limits": list(_limits(data["contrast_limits"]))}
    if "colors_matched_to" in data:
        found["colors_matched_to"] = list(_index(data["colors_matched_to"], axes))
    return found


def _limits(data: Any) -> Iterator[Any]:
    for series, (low, high) in few(data, _MOST_PLANES, "series"):
        low, high = float(low), float(high)
        if not low <= high < math.inf:
            raise ValueError(f"contrast_limits={short([low, high])} are none.")
        yield [[whole("series", place, 0, 2**31) for place in few(series)], [low, high]]
