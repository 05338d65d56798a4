"""The layer that a run paints into."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import METADATA_KEY
from .compare import KEY, peek_below
from .layers import is_result
from .origins import Origin, remember_origin
from .stack_view import kept_in

EXACT_KEY = f"{METADATA_KEY}_exact"
"""Names, in a layer's metadata, its data in colour before they were rounded to 8 bits."""


class ResultLayer:
    """An image layer over the content, made when there is something to show.

    Parameters
    ----------
    viewer
        The viewer to add it to.
    place
        Returns the layer's data, and its ``scale`` and ``translate``, for what is shown.
    orientation
        The attributes of the layer that do not depend on its resolution.
    title
        Name of the layer.
    appearance
        Attributes of the layer that tell how its values are shown.
    layer
        An earlier result to paint into, instead of a new layer.
    contents
        The layers that are painted anew, to compare with.
    origin
        What of them is painted, as it looks now.
    """

    def __init__(
        self,
        viewer: Any,
        place: Callable[[Any], tuple[Any, dict[str, Any]]],
        orientation: Mapping[str, Any],
        title: str,
        appearance: Mapping[str, Any],
        layer: Any = None,
        contents: tuple[Any, ...] = (),
        origin: Origin | None = None,
    ) -> None:
        self._viewer = viewer
        self._place, self._orientation = place, orientation
        self._appearance = appearance
        self._title = title
        self._layer: Any = layer
        self._origin = origin
        self.contents = contents
        """The layers that are painted anew."""

    @property
    def layer(self) -> Any | None:
        """The layer; None before anything was shown, and once it was deleted."""
        return None if self.deleted else self._layer

    @property
    def deleted(self) -> bool:
        """Whether the layer was made and is no longer in the viewer."""
        return self._layer is not None and self._layer not in self._viewer.layers

    def show(
        self, painted: Any, entry: Mapping[str, Any], exact: NDArray[np.float32] | None = None
    ) -> None:
        """Show what was painted; nothing happens once the layer was deleted.

        Parameters
        ----------
        painted
            An ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` image of any resolution, which the
            layer keeps; or the array of a stack, the same every time, which may have changed.
        entry
            The recipe of it, for the layer's metadata.
        exact
            The same image in all its digits.
        """
        if self.deleted:
            return
        data, placement = self._place(painted)
        if self._layer is None:
            self._layer = self._shown_already(data)
        if self._layer is None:
            # A name in use gets a number from napari: no earlier result is overwritten.
            self._layer = self._add(self._title, data, placement, entry)
        else:
            # First, for whoever looks at the layer as soon as it has other data.
            self._layer.metadata[METADATA_KEY] = dict(entry)
            self._layer.metadata.pop(EXACT_KEY, None)
            if data.shape != self._layer.data.shape:
                self._layer.scale = placement["scale"]
                self._layer.translate = placement["translate"]
            self._layer.data = data
            remember_origin(self._layer, self._origin)
        if exact is not None and self._layer.rgb:
            self._layer.metadata[EXACT_KEY], _ = self._place(exact)

    def keep(self, step: int, painted: Any, entry: Mapping[str, Any]) -> None:
        """Make a layer of its own of what was painted at some step, and its recipe."""
        data, placement = self._place(painted)
        name = self._title if self._layer is None else self._layer.name
        kept = self._add(f"{name}, step {step}", data, placement, entry)
        layers = self._viewer.layers
        if self._layer in layers:  # which goes on being painted
            layers.move(layers.index(kept), layers.index(self._layer))

    def _shown_already(self, data: Any) -> Any | None:
        """Return the layer of a stack that an earlier run began, and that is gone on with."""
        place = kept_in(data)
        layers = [layer for layer in self._viewer.layers if is_result(layer)]
        return next((x for x in layers if place is not None and kept_in(x.data) == place), None)

    def _add(
        self, name: str, data: Any, placement: Mapping[str, Any], entry: Mapping[str, Any]
    ) -> Any:
        layer = self._viewer.add_image(
            data,
            name=name,
            metadata={METADATA_KEY: dict(entry)},  # it is a result from the first moment on
            # The previews are small, and blocks would hide what is in them.
            interpolation2d="linear",
            **self._appearance,
            **placement,
            **self._orientation,
        )
        layer.bind_key(KEY, peek_below(self._viewer.layers, self.contents))
        remember_origin(layer, self._origin)
        return layer
