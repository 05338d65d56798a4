"""Where a result has other structures than its content, as layers over the result."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..images.drift import COLORS, INVENTED_COLOR, LOST_COLOR, Drift, measure_drift
from .controls import SymbolButton
from .layers import (
    DRIFT_KEY,
    METADATA_KEY,
    Composite,
    Geometry,
    Plane,
    StackSource,
    canvas_background,
    displayed_composite,
    displayed_plane,
    earlier_picture,
    is_result,
    quoted,
    unwrapped,
)
from .origins import origin_of

LOST, INVENTED = 1, 2
"""Labels of edges."""

_Pictures: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

_MAPS: WeakKeyDictionary[Any, WeakSet[Any]] = WeakKeyDictionary()
"""The layers that show the drift of a result."""


class DriftButton(SymbolButton):
    """Asks for the drift of a result."""

    def __init__(self) -> None:
        super().__init__(
            "≠",
            "Drift",
            "Map where the selected result, or the latest, has other structures than its content: "
            "bright where nothing of them is left, edges blue that were lost, orange that were "
            "invented. Of a whole stack, the plane that is shown is mapped.",
        )


class DriftMaps(QObject):
    """Compares results with their contents, in a thread, and shows what has changed.

    Parameters
    ----------
    viewer
        The viewer whose results are compared, and that gets the maps.
    """

    told = Signal(str)
    """How far a result has drifted, in words; its map is shown."""
    failed = Signal(object)
    """An exception: the two could not be compared."""
    _measured = Signal(object)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer: Any | None = unwrapped(viewer)
        self._working = False
        self._measured.connect(self._finish)

    def show(self, result: Any) -> None:
        """Map the drift of the plane of a result that is shown; :attr:`told` follows.

        Parameters
        ----------
        result
            A layer that was painted. An earlier map of it is replaced.

        Raises
        ------
        ValueError
            If it cannot be compared with what it was painted from.
        """
        if self._working:
            raise ValueError("A map of the drift is being made: wait for it.")
        result = unwrapped(result)
        painted = displayed_plane(result, self._viewer.dims)  # type: ignore[union-attr]
        read = partial(_read, _content_of(result, painted, self._viewer), painted, result.rgb)
        self._working = True
        job = partial(self._work, result, painted.geometry, read)
        threading.Thread(target=job, name="drift").start()

    def let_go(self) -> None:
        """Show nothing more."""
        self._viewer = None

    def _work(self, result: Any, geometry: Geometry, read: Callable[[], _Pictures]) -> None:
        measured: Drift | Exception
        try:
            measured = measure_drift(*read())
        except Exception as error:
            measured = error
        self._measured.emit((result, geometry, measured))

    def _finish(self, outcome: tuple[Any, Geometry, Drift | Exception]) -> None:
        self._working = False
        result, geometry, measured = outcome
        if self._viewer is None or result not in self._viewer.layers:
            return
        if isinstance(measured, Exception):
            self.failed.emit(measured)
            return
        _lay_over(result, geometry, measured, self._viewer)
        self.told.emit(f"{measured}.")


def mapped_result(layer: Any) -> Any | None:
    """Return the result that a layer is, or shows the drift of; None for any other layer."""
    if is_result(layer):
        return layer
    return next((result for result, maps in _MAPS.items() if unwrapped(layer) in maps), None)


# -------------------------------------------------------------------- what is compared


def _content_of(result: Any, painted: Plane, viewer: Any) -> Plane | Composite:
    """Return what a plane was painted from, as it was seen then if that is known."""
    origin = origin_of(result)
    if origin is None:
        return _content_by_name(result, viewer)
    own, shown = origin.geometry, painted.geometry
    if sorted(own.displayed) != sorted(shown.displayed):
        axes = " and ".join(own.axis_labels[axis] for axis in own.displayed)
        raise ValueError(
            f"{quoted(result)} was painted in planes along {axes}: roll the viewer's axes until "
            "these are displayed."
        )
    if isinstance(origin, StackSource):
        return origin.plane([shown.position[axis] for axis in own.hidden])
    return origin


def _content_by_name(result: Any, viewer: Any) -> Plane | Composite:
    """Return what the layers that a recipe names show now.

    Raises
    ------
    ValueError
        If they are not there, or the result does not lie on them.
    """
    name = str(result.metadata[METADATA_KEY].get("content", ""))
    images = {
        layer.name: layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_result(layer)
    }
    several = name.split(" + ")
    content: Plane | Composite
    if name in images:
        content = displayed_plane(images[name], viewer.dims)
    elif all(part in images for part in several):
        chosen = [layer for layer in images.values() if layer.name in several]
        content = displayed_composite(chosen, viewer.dims, canvas_background(viewer))
    else:
        raise ValueError(
            f"{quoted(result)} was painted from {f'“{name}”' if name else 'an unknown image'}, "
            "which is not in the viewer: open it, and give its layer this name."
        )
    earlier_picture(result, content, viewer.dims)  # which checks where it lies
    return content


def _read(content: Plane | Composite, painted: Plane, in_color: bool) -> _Pictures:
    """Return the colours of both as they are seen, in the orientation of the painted plane."""
    if not in_color and isinstance(content, Plane):
        # Intensities are those of the content: seen alike, whatever its limits are now.
        shades = replace(painted.rendering, name=content.name)
        content = replace(content, rendering=shades)
    picture = painted.rgb()
    original = content.rgb(max(picture.shape[:2]))
    if content.geometry.displayed != painted.geometry.displayed:
        original = original.swapaxes(0, 1)
    return original, picture


# ------------------------------------------------------------------------ how it is shown


def _lay_over(result: Any, geometry: Geometry, drift: Drift, viewer: Any) -> None:
    """Show a drift over the plane that it is of, instead of an earlier one."""
    edges = np.zeros(drift.map.shape, np.uint8)
    edges[drift.lost], edges[drift.invented] = LOST, INVENTED
    active = viewer.layers.selection.active
    for earlier in list(_MAPS.get(result, ())):
        if earlier in viewer.layers:
            viewer.layers.remove(earlier)

    def look(pixels: NDArray[Any]) -> dict[str, Any]:
        data, placement = geometry.place(pixels)
        figures = {DRIFT_KEY: {"result": result.name, **drift.summary}}
        return {"data": data, "metadata": figures, **placement, **geometry.orientation}

    shades = viewer.add_image(
        **look(drift.map),
        name=f"{result.name}: drift",
        colormap=Colormap(COLORS, name="drift"),
        contrast_limits=(0, 1),
    )
    colors = {None: "transparent", LOST: LOST_COLOR, INVENTED: INVENTED_COLOR}
    lines = viewer.add_labels(
        **look(edges),
        name=f"{result.name}: edges, blue lost, orange invented",
        colormap=DirectLabelColormap(color_dict=colors),
        features={"index": [LOST, INVENTED], "edge": ["lost", "invented"]},
        opacity=1,
    )
    _MAPS[result] = WeakSet((shades, lines))
    viewer.layers.selection.active = active if active in viewer.layers else result
