"""Records: how a run went, as far as it takes to make it again. Read with suspicion."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from napari_neural_style.images.views import View
from napari_neural_style.notes import Note
from napari_neural_style.packed import check_arrays, unplain
from napari_neural_style.recipe import with_weights
from napari_neural_style.settings import Settings
from napari_neural_style.validation import one_line, short

_IMAGES: Final = ("content", "style", "picture")
_FIELDS: Final = frozenset(field.name for field in fields(Settings))
_MOST: Final = 10_000
"""Changes, views and notes that a record may have."""


@dataclass(frozen=True)
class Change:
    """What was changed while a run went on.

    Attributes
    ----------
    step
        After how many steps.
    settings
        Values by the names of the fields of :class:`~napari_neural_style.Settings`.
    content, styles, picture
        Hashes of other images, if they were changed.
    """

    step: int
    settings: Mapping[str, Any]
    content: str | None = None
    styles: tuple[str, ...] | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Record:
    """How a run went, and where.

    Attributes
    ----------
    settings
        Those that it began with, with precision and tiles as they were resolved.
    content, styles
        Hashes of the images that it began with, see
        :func:`~napari_neural_style.images.image_hash`.
    changes
        What was changed meanwhile, in this order.
    step, total
        How many steps were made, and planned.
    shows_best
        Whether the picture is the best one, not the last one.
    device
        That it ran on.
    weights
        Fingerprint of the encoder's weights.
    timed
        Whether its steps depended on the time that they took.
    versions, machine
        What made it, by name.
    views
        What is known of the images: names, and how they were seen in layers.
    notes
        What the user was told; none in recipes of earlier versions.
    """

    settings: Settings
    content: str
    styles: tuple[str, ...]
    changes: tuple[Change, ...]
    step: int
    total: int
    shows_best: bool
    device: str
    weights: str
    timed: bool
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    views: tuple[View, ...]
    notes: tuple[Note, ...] = ()

    @classmethod
    def from_dict(cls, data: Any, weights: str | None = None, called: str = "the recipe") -> Self:
        """Build a record from plain data, which may be a stranger's.

        Parameters
        ----------
        data
            What ``StyleTransfer.provenance`` gives, a result layer keeps in its metadata, or
            ``napari_neural_style.images.metadata.read_metadata`` reads.
        weights
            Used instead of a file of weights that the recipe names.
        called
            What errors call it.

        Raises
        ------
        ValueError
            If the data are damaged, do not say how the run went, hold an unknown or wrong value,
            or unfold to too much memory.
        """
        with refused(called):
            return cls(**_parts(data, weights))

    @property
    def images(self) -> dict[str, str]:
        """What each image of the run was, by its hash, in the order of their use."""
        wanted = {self.content: "the content"}
        wanted |= dict(zip(self.styles, _numbered("the style", len(self.styles)), strict=True))
        for change in self.changes:
            when = f"from step {change.step + 1} on"
            if change.content is not None:
                wanted.setdefault(change.content, f"the content {when}")
            styles = change.styles or ()
            for digest, name in zip(styles, _numbered("the style", len(styles)), strict=True):
                wanted.setdefault(digest, f"{name} {when}")
            if change.picture is not None:
                wanted.setdefault(
                    change.picture, f"the picture that step {change.step + 1} began with"
                )
        return wanted

    def named(self, digest: str) -> list[View]:
        """Return what is known of an image."""
        return [view for view in self.views if view.digest == digest]


@contextmanager
def refused(called: str) -> Iterator[None]:
    """Say in a ValueError what is wrong with the plain data of a record."""
    try:
        yield
    except (LookupError, TypeError, AttributeError):
        raise ValueError(
            f"Cannot redo {called}: it does not say how it was painted; an earlier version or "
            "another program wrote it."
        ) from None
    except RecursionError:
        raise ValueError(f"Cannot redo {called}: its values are nested without end.") from None
    except ValueError as error:
        words = " ".join(str(error).split())
        raise ValueError(f"Cannot redo {called}: {words[:300]}") from error


def _parts(data: Any, weights: str | None) -> dict[str, Any]:
    if data.get("axes"):
        raise ValueError("it is of a stack, and this takes the recipes of images.")
    begun, taken = dict(data["begun_with"]), 0
    settings = {**data["settings"], **{k: v for k, v in begun.items() if k not in _IMAGES}}
    taken = check_arrays(settings, taken)
    made = Settings.from_dict(with_weights(settings, weights))
    inputs = data["inputs"]
    steps = _count(data["step"])
    changes = list(_changes(few(data["changes"]), made, steps, taken))
    return {
        "settings": _resolved(made, data),
        "content": digest(begun.get("content", inputs["content"])),
        "styles": digests(begun.get("style", inputs["styles"])),
        "changes": tuple(changes),
        "step": steps,
        "total": _count(data["total"]),
        "shows_best": data["result"] == "best",
        "device": one_line(data["device"]),
        "weights": digest(data["weights"]["sha256"]),
        "timed": made.budget is not None,
        "versions": facts(data["versions"]),
        "machine": facts(data["machine"]),
        "views": tuple(views_of(data.get("views", []), taken)),
        "notes": tuple(map(Note.from_dict, few(data.get("notes", [])))),
    }


def _resolved(settings: Settings, data: Mapping[str, Any]) -> Settings:
    """Return settings with what the run found out for itself."""
    found = {"precision": data["precision"], "tile": data["tile"], "memory_limit": None}
    if settings.budget is None:
        return replace(settings, **found)
    steps, scales = list(data["steps"]), data["scales"]
    if not 0 < len(steps) == len(scales) <= _MOST or not any(steps):
        raise ValueError(f"steps={short(steps)} are not those of its scales.")
    # A picture of the middle of a run is not one of its end.
    last = max(i for i, count in enumerate(steps) if count)
    steps[last] += data["total"] > data["step"]
    sides = tuple(max(scale) for scale in scales)
    return replace(settings, budget=None, steps=tuple(steps), scales=sides, size=None, **found)


def _changes(data: Sequence[Any], settings: Settings, steps: int, taken: int) -> Iterator[Change]:
    before = 0
    for change in data:
        step = _count(change["step"])
        if not before <= step <= steps:
            raise ValueError(f"step={step} of a change is not among its {steps} steps, in order.")
        before = step
        facts = ("step", *_IMAGES)
        own = {name: value for name, value in change.items() if name not in facts}
        taken = check_arrays(own, taken)
        unknown = own.keys() - _FIELDS
        if unknown:
            raise ValueError(f"a change of {short(min(unknown))} is unknown.")
        values = {name: unplain(name, value) for name, value in own.items()}
        settings = replace(settings, **values)  # which validates them
        yield Change(
            step,
            {name: getattr(settings, name) for name in own},
            digest(change["content"]) if "content" in change else None,
            digests(change["style"]) if "style" in change else None,
            digest(change["picture"]) if "picture" in change else None,
        )


def views_of(data: Any, taken: int) -> Iterator[View]:
    """Return views, of which and of other arrays there are not too many."""
    for view in few(data):
        taken = check_arrays(view.get("colormap") or {}, taken)
        yield View.from_dict(view)


def few(data: Any, most: int = _MOST, what: str = "changes, views and notes") -> Sequence[Any]:
    """Return a list that is none without end."""
    if not isinstance(data, list | tuple) or len(data) > most:
        raise ValueError(f"it must have lists of at most {most} {what}.")
    return data


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"step={short(value)} is no number of steps.")
    return value


def digest(value: Any) -> str:
    """Return a hash that is one."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{short(value)} is no SHA-256.")
    return value


def digests(values: Any) -> tuple[str, ...]:
    """Return hashes of styles that are such."""
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"{short(values)} are no hashes of styles.")
    return tuple(map(digest, values))


def facts(data: Any) -> dict[str, str | int]:
    """Return facts that can be shown."""
    return {
        one_line(key): value if type(value) is int else one_line(value)
        for key, value in dict(data).items()
    }


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]
