"""StackTransfer: the planes of a stack, painted one after another or on a cluster."""

import dataclasses
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from napari_neural_style.images import image_hash, to_rgb
from napari_neural_style.images.blending import BlendedStack
from napari_neural_style.images.rendering import Rendering
from napari_neural_style.images.views import plain_rendering
from napari_neural_style.packed import plain
from napari_neural_style.settings import Settings, make_settings
from napari_neural_style.stacks.axes import Axes, Index
from napari_neural_style.stacks.backend import Backend, Event, Here
from napari_neural_style.stacks.lock import FolderLock
from napari_neural_style.stacks.masks import check_marked, guided
from napari_neural_style.stacks.pace import StackPace
from napari_neural_style.stacks.painter import PlanePainter
from napari_neural_style.stacks.result import blank_series, kept_rendering, open_result
from napari_neural_style.stacks.schedule import Parent, Schedule
from napari_neural_style.stacks.session import Session
from napari_neural_style.stacks.source import Plane, Source
from napari_neural_style.stacks.store import PaintedOtherwiseError
from napari_neural_style.stacks.task import Finished, Recipe, Task
from napari_neural_style.stacks.update import StackUpdate

if TYPE_CHECKING:
    from napari_neural_style.transfer.update import Estimate

# What decides where and how fast a stack is painted, but not how it looks.
_NO_LOOKS: Final = ("device", "tile", "memory_limit")
_SECONDS_BETWEEN_LOOKS: Final = 0.2
# Of planes that are done already, so many are compared with the stack before a run goes on.
_COMPARED: Final = 8
_MATCHED: Final = "colors_matched_to"
# That are kept of a plane, the latest.
_MOST_NOTES: Final = 10


class StackTransfer:
    """Neural style transfer of all planes of a stack, steady from one plane to the next.

    Iterating paints: each item is a :class:`StackUpdate`, one for each step of each plane.
    A plane starts from its finished neighbour, carried along the motion where time lies
    between them, and then takes few steps. Finished planes are in :attr:`result` at once.

    Parameters
    ----------
    stack : array
        Anything with ``shape``, ``dtype`` and indices: numpy, dask, zarr, xarray. One plane
        is read at a time.
    style : array or sequence of arrays
        As for :class:`~napari_neural_style.StyleTransfer`.
    axes : str
        A letter for each axis of the stack: ``Y``, ``X``, ``S`` for the samples of RGB,
        ``T`` for time, ``Z`` for depth; any other is an axis of stacks of their own.
    client : distributed.Client, str or None
        Where planes are painted: a client of dask.distributed, the address of a scheduler,
        ``"local"`` for workers on this machine, one for each GPU, or ``"here"`` for this
        process. None takes the active client if there is one, and else this process.
    out : path or None
        Folder of the zarr array to make. One that the same call began is gone on with: only
        what is missing is painted; eight of the planes that are done, and those that others
        start from, are compared with the stack's. None for a temporary folder, which goes when
        the program ends.
    output : {"rgb", "intensity"}
        Colours, 8 bits each, or one channel of the stack's dtype and contrast limits.
    rendering : Rendering, optional
        Turns a plane's values into what is painted; by default contrast limits common to all
        planes, and of a :class:`~napari_neural_style.images.blending.BlendedStack` its colours.
    planes : slice, optional
        Only these, along the first axis of the stack.
    mask : array, optional
        Where planes are painted, as ``mask`` of :class:`~napari_neural_style.Settings`:
        ``(H, W)`` for all planes, or anything with the stack's axes without ``S``, for each
        plane its own. A plane without any label in it stays as it is.
    style_masks : sequence of arrays, or array
        As those of :class:`~napari_neural_style.Settings`.
    segment : int
        Planes along time (along depth, where there is no time) are painted in segments of so
        many, which a cluster paints side by side; their first planes follow each other. The
        result does not depend on the order in which they are painted; on CPUs it depends on
        the number of threads, as any sum in floating point.
    settings : Settings, optional
        Complete settings instead of preset and overrides.
    names : mapping, optional
        What the images are called, for the recipe: ``content``, ``styles``.
    **overrides
        ``preset``, and fields of :class:`~napari_neural_style.Settings`.

    Raises
    ------
    ValueError
        For a stack, axes, a setting or a style that cannot be used; if `out` holds something
        else.
    OSError
        If `out` cannot be written, or the scheduler does not answer.

    References
    ----------
    Ruder, Dosovitskiy & Brox, "Artistic style transfer for videos", GCPR 2016: planes start
    from the one before, carried along the optical flow.
    """

    def __init__(
        self,
        stack: Any,
        style: npt.ArrayLike | Sequence[npt.ArrayLike],
        axes: str = "TYX",
        *,
        client: Any = None,
        out: Any = None,
        output: str = "rgb",
        rendering: Rendering | None = None,
        planes: slice | None = None,
        mask: Any = None,
        style_masks: Any = (),
        segment: int = 16,
        settings: Settings | None = None,
        names: Mapping[str, Any] = MappingProxyType({}),
        **overrides: Any,
    ) -> None:
        if not (hasattr(stack, "shape") and hasattr(stack, "dtype")):
            raise ValueError(
                f"The stack is a {type(stack).__name__}, and no array: make one of it, for example "
                "with numpy.stack."
            )
        self._stack, self.axes = stack, Axes.of(axes, stack)
        if output not in ("rgb", "intensity"):
            raise ValueError(f"output={output!r}: it must be 'rgb' or 'intensity'.")
        if output == "intensity" and self.axes.in_color:
            raise ValueError("output='intensity' is for stacks of one channel, and this has S.")
        if isinstance(segment, bool) or not isinstance(segment, int) or segment < 1:
            raise ValueError(f"segment={segment!r}: it must be a whole number from 1 up.")
        if settings is not None and overrides:
            raise ValueError("Give either settings, or a preset and overrides, not both.")
        recipe = _recipe(style, settings or make_settings(**overrides), output == "rgb")
        self._recipe, masks = guided(recipe, self.axes, mask, style_masks)
        self._source = Source(stack, self.axes, masks)
        self._segment = segment
        self._wanted = self._selected(planes)
        if masks is not None:
            check_marked(masks, self.axes, self._wanted)
        if rendering is None and isinstance(stack, BlendedStack):
            rendering = Rendering("plane", (0.0, 1.0))
        self._rendering = rendering
        self._backend = _connect(client)
        try:
            self._store = open_result(
                out, stack, self.axes, self._recipe, rendering, self._described(), self._known
            )
            if names and names != self._store.names:
                self._store.keep_names(names)
            self._compare()
            self._backend.brief(self._steady())
        except BaseException:
            self._backend.close()
            raise
        self._missing = set(self._wanted) - self._store.done
        self._failed: dict[Index, str] = {}
        self._starts: dict[Index, Index | None] = {}
        self._notes: dict[Index, list[str]] = {}
        self._stop = threading.Event()
        self._updates = self._paint()

    @property
    def _known(self) -> Mapping[str, Any] | None:
        """What was found out about the stack before; None where that is to be done."""
        return None

    def _selected(self, planes: slice | None) -> list[Index]:
        first, count = self.axes.along[0], self.axes.counts[0]
        try:
            if not isinstance(planes, slice | None):
                raise TypeError
            wanted = list(self.axes.indices(planes))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"planes={planes!r}: it must be a slice of whole numbers, such as slice(0, "
                f"{count}) for all along {first}."
            ) from error
        if not wanted:
            raise ValueError(f"planes={planes}: it selects none of the {count} along {first}.")
        return wanted

    def _compare(self) -> None:
        """Check that the planes that are done were painted from those of this stack.

        To read all of a large stack again would take long: it is some, evenly spread.
        """
        done = [index for index in self._wanted if index in self._store.done]
        spread = np.linspace(0, len(done) - 1, min(_COMPARED, len(done))).round().astype(int)
        for place in spread:
            try:
                self._values(done[place])
            except PaintedOtherwiseError:
                raise
            except Exception:  # it is done: what it was painted from may be gone
                continue

    def _steady(self) -> Recipe:
        """The recipe with styles recoloured once: to each plane anew, they would flicker."""
        if self.settings.color != "match":
            return self._recipe
        known = self._store.found.get(_MATCHED)
        # Kept, for the same reason as the limits.
        for index in self.axes.indices() if known is None else [tuple(known)]:
            with suppress(Exception):  # said when it is to be painted
                values, mask = self._source.read(index, keep=1)
                mask = self.settings.mask if mask is None else mask
                if mask is not None and not mask.any():
                    continue
                content, _ = self._rendering_of(index).straight(values)
                recipe = self._recipe.recolored(content, mask)
                self._store.keep(_MATCHED, index)
                return recipe
        return self._recipe

    def _rendering_of(self, index: Index) -> Rendering:
        if self._rendering is not None:
            return self._rendering
        return kept_rendering(self._store, self.axes.series(index))

    # ------------------------------------------------------------------- facts

    @property
    def settings(self) -> Settings:
        """The settings of planes that start from nothing."""
        return self._recipe.settings

    @property
    def result(self) -> "zarr.Array[Any]":
        """The array on disk; planes that are not painted are 0.

        Its axes are those that the stack runs along, then rows, columns and, in colour, RGB;
        RGBA if the stack is.
        """
        return self._store.array

    @property
    def path(self) -> Path:
        """Folder of the result."""
        return self._store.path

    @property
    def done(self) -> int:
        """How many of the planes asked for are finished."""
        return self.total - len(self._missing)

    @property
    def finished(self) -> Set[Index]:
        """Indices of all planes that are painted; it grows while the run goes on."""
        return self._store.done

    @property
    def total(self) -> int:
        """How many planes are asked for."""
        return len(self._wanted)

    @property
    def failed(self) -> dict[Index, str]:
        """Planes that could not be painted in this run, and why."""
        return dict(self._failed)

    def provenance(self) -> dict[str, Any]:
        """Return what is needed to make these pictures again, as plain data for JSON.

        ``sessions`` tell what painted them and when, and ``content`` under ``inputs`` is a hash
        of what all planes that are done were painted from. ``planes`` tell of each of these the
        hash of its ``source``, the plane that it was started ``from``, and ``notes``.
        """
        inputs = {"content": self._store.digest, "styles": self._store.recipe["styles"]}
        store = self._store
        told = store.recipe | store.found | store.names
        return told | {"inputs": inputs, "sessions": store.sessions, "planes": store.planes}

    def estimate(self) -> "Estimate":
        """Estimate memory and time of what is left, painted in this process one by one."""
        from napari_neural_style.transfer.update import Estimate

        schedule = self._schedule()
        if not len(schedule):
            return Estimate(0, 0.0)
        index = self._wanted[0]
        task = Task(self.axes.take(self._stack, index), self._rendering_of(index))
        return Estimate(*PlanePainter(self._recipe).estimate(task, *schedule.kinds))

    # ---------------------------------------------------------------- control

    def stop(self) -> None:
        """End soon, in the middle of a plane; what is finished stays. From any thread."""
        self._stop.set()

    # -------------------------------------------------------------------- run

    def __iter__(self) -> Iterator[StackUpdate]:
        return self

    def __next__(self) -> StackUpdate:
        return next(self._updates)

    def run(self) -> "zarr.Array[Any]":
        """Run to the end and return the result."""
        for _ in self:
            pass
        return self.result

    def _paint(self) -> Iterator[StackUpdate]:
        lock, session, before = FolderLock(self.path), None, self.done
        damaged: set[Index] = set()
        try:
            if self._missing:
                lock.acquire()
                self._store.refresh()
                self._missing -= self._store.done
                before = self.done
                damaged = self._missing & self._store.damaged
                session = Session(self.settings, isinstance(self._backend, Here))
                self._store.begin_session(session.told(0))
            blank = list(self._fail_blank())
            schedule = self._schedule()
            pace = StackPace(*schedule.kinds)
            for index in blank:
                yield self._told(Event(index), pace, self._failed[index])
            for index in sorted(damaged):
                note = "its file was deleted or damaged: it is painted again."
                yield self._told(Event(index, note=note), pace, None)
            yield from self._paint_all(schedule, pace)
        finally:
            if session is not None:
                self._store.end_session(session.told(self.done - before))
            lock.release()
            self._backend.close()
            self._source.clear()
        if len(self._failed) == self.total:
            raise ValueError(f"No plane could be painted. {next(iter(self._failed.values()))}")

    def _fail_blank(self) -> Iterator[Index]:
        """Note planes that nothing can be painted of; return the first of each series."""
        blank = set() if self._rendering else blank_series(self._store)
        for index in self._wanted:
            series = self.axes.series(index)
            if series in blank and index in self._missing:
                error = (
                    f"{self.axes.named_series(series)}: its planes cannot be read, hold NaN or "
                    "infinite values, or are constant."
                )
                if error not in self._failed.values():
                    yield index
                self._failed[index] = error

    def _paint_all(self, schedule: Schedule, pace: StackPace) -> Iterator[StackUpdate]:
        running = 0
        while not self._stop.is_set():
            while running < self._backend.room and (index := schedule.next()) is not None:
                parent = schedule.parent(index)
                pace.start(index, follows=parent is not None)
                try:
                    values, mask = self._values(index)
                except PaintedOtherwiseError:
                    raise
                except Exception as error:  # a lazy stack may raise anything
                    yield self._update(Event(index, error=f"it cannot be read ({error})."), pace)
                    continue
                try:
                    begun = None if parent is None else self._finished(parent)
                except PaintedOtherwiseError:
                    raise
                except Exception as error:
                    assert parent is not None
                    schedule.put_back(index, parent.index)
                    note = f"it cannot be read again ({error}): others start from other planes."
                    yield self._update(Event(parent.index, note=note), pace)
                    continue
                self._starts[index] = None if parent is None else parent.index
                self._backend.start(index, Task(values, self._rendering_of(index), begun, mask))
                running += 1
            if not running:
                break
            event = self._backend.next_event(_SECONDS_BETWEEN_LOOKS)
            if event is not None:
                running -= event.ends
                yield self._update(event, pace)

    def _finished(self, parent: Parent) -> Finished:
        values, mask = self._values(parent.index)
        self._source.drop_first(parent.index)
        return Finished(values, self._store.read(parent.index), parent.moved, mask)

    def _update(self, event: Event, pace: StackPace) -> StackUpdate:
        """Keep what an event brought, and tell it."""
        error = None
        if event.note is not None and not event.repeats:
            self._notes.setdefault(event.index, []).append(event.note)
        if event.painted is not None:
            told: dict[str, Any] = {"from": self._starts[event.index]}
            if event.index in self._notes:
                told["notes"] = self._notes.pop(event.index)[-_MOST_NOTES:]
            digest = self._source.digests[event.index]
            self._store.write(event.index, event.painted, digest, **told)
            self._missing.discard(event.index)
        elif event.error is not None:
            error = self._failed[event.index] = f"{self.axes.named(event.index)}: {event.error}"
        elif event.steps:
            pace.step(event.index, event.step / event.steps)
        if event.ends:
            pace.end(event.index, event.painted is not None)
        return self._told(event, pace, error)

    def _told(self, event: Event, pace: StackPace, error: str | None) -> StackUpdate:
        return StackUpdate(
            plane=event.index,
            step=event.step,
            steps=event.steps,
            done=self.done,
            total=self.total,
            finished=event.painted,
            error=error,
            note=event.note,
            seconds_left=pace.seconds_left,
        )

    def _schedule(self) -> Schedule:
        return Schedule(self.axes, self._wanted, self._store.done, self._failed, self._segment)

    def _values(self, index: Index) -> Plane:
        """Read a plane and its mask; if it is done already, it must be what was painted."""
        plane = self._source.read(index, keep=self._backend.room + 1)
        self._store.check(index, self._source.digests[index])
        return plane

    def _described(self) -> dict[str, Any]:
        """What decides how the result looks, as plain data for JSON."""
        from napari_neural_style import __version__

        recipe = self._recipe
        settings = {
            name: value
            for name, value in recipe.settings.to_dict().items()
            if name not in _NO_LOOKS
        }
        shades = self._rendering
        blended = {}
        if isinstance(self._stack, BlendedStack):
            blended["channels"] = [channel.looks for channel in self._stack.channels]
        return {
            **blended,
            "settings": settings,
            "axes": self.axes.letters,
            "shape": self.axes.shape,
            "dtype": str(self._stack.dtype),
            "segment": self._segment,
            "styles": [image_hash(image) for image in recipe.styles],
            "plane_masks": self._source.masks is not None,
            "style_masks": [plain(mask) for mask in recipe.style_masks],
            "rendering": shades and plain_rendering(shades),
            "output": "rgb" if recipe.in_color else "intensity",
            "version": __version__,
            "note": "This stack was stylized by a neural network; it is not data.",
        }


def _recipe(style: Any, settings: Settings, in_color: bool) -> Recipe:
    """Return what all planes have in common, but for masks."""
    if settings.budget is not None:
        raise ValueError(
            f"budget={settings.budget:g}: a stack has none, for its planes must not depend on "
            "the time that they take; give steps instead."
        )
    if not in_color:
        settings = dataclasses.replace(settings, color="luminance")
    given: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
    named = [f"style {i}" for i in range(1, len(given) + 1)] if len(given) > 1 else ["style"]
    styles = [to_rgb(*image_and_name) for image_and_name in zip(given, named, strict=True)]
    return Recipe(styles, settings, in_color)


def _connect(client: Any) -> Backend:
    """Return where planes are painted, see :class:`StackTransfer`."""
    from napari_neural_style.stacks.cluster import Cluster
    from napari_neural_style.stacks.connect import active_client

    if client is None:
        client = active_client()
    return Here() if client in (None, "here") else Cluster(client)


def stylize_stack(
    stack: Any,
    style: npt.ArrayLike | Sequence[npt.ArrayLike],
    axes: str = "TYX",
    client: Any = None,
    out: Any = None,
    **settings: Any,
) -> "zarr.Array[Any]":
    """Paint all planes of a stack, steady from one plane to the next.

    Parameters
    ----------
    stack, style, axes, client, out
        As for :class:`StackTransfer`.
    **settings
        Fields of :class:`~napari_neural_style.Settings`, ``preset``, and the other parameters
        of :class:`StackTransfer`.

    Returns
    -------
    zarr.Array
        On disk: the axes that the stack runs along, then rows, columns and RGB, uint8
        (see :attr:`StackTransfer.result`).
        Planes that could not be painted are 0, and warned of.

    Raises
    ------
    ValueError, OSError
        As :class:`StackTransfer`; or if no plane could be painted.
    """
    transfer = StackTransfer(stack, style, axes, client=client, out=out, **settings)
    result = transfer.run()
    if transfer.failed:
        warnings.warn(
            f"{len(transfer.failed)} of {transfer.total} planes could not be painted: "
            + " ".join(dict.fromkeys(transfer.failed.values())),
            stacklevel=2,
        )
    return result
