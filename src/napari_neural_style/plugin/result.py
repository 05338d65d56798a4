"""The layer that a run paints into."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import METADATA_KEY
from .compare import KEY, peek_below

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
    content, style
        The names of the two layers.
    appearance
        Attributes of the layer that tell how its values are shown.
    layer
        An earlier result to paint into, instead of a new layer.
    """

    def __init__(
        self,
        viewer: Any,
        place: Callable[[Any], tuple[Any, dict[str, Any]]],
        orientation: Mapping[str, Any],
        content: str,
        style: str,
        appearance: Mapping[str, Any],
        layer: Any = None,
    ) -> None:
        self._viewer = viewer
        self._place, self._orientation = place, orientation
        self._appearance = appearance
        self._names = {"content": content, "style": style}
        self._layer: Any = layer
        self.recipe: dict[str, Any] = {}
        """The engine's provenance."""

    @property
    def layer(self) -> Any | None:
        """The layer; None before anything was shown, and once it was deleted."""
        return None if self.deleted else self._layer

    @property
    def deleted(self) -> bool:
        """Whether the layer was made and is no longer in the viewer."""
        return self._layer is not None and self._layer not in self._viewer.layers

    def show(self, painted: Any) -> None:
        """Show what was painted; nothing happens once the layer was deleted.

        Parameters
        ----------
        painted
            An ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` image of any resolution, which the
            layer keeps; or the array of a stack, the same every time, which may have changed.
        """
        if self.deleted:
            return
        data, placement = self._place(painted)
        if self._layer is None:
            # A name in use gets a number from napari: no earlier result is overwritten.
            name = f"{self._names['content']} in the style of {self._names['style']}"
            self._layer = self._add(name, data, placement, self._entry())
            return
        if data.shape != self._layer.data.shape:
            self._layer.scale = placement["scale"]
            self._layer.translate = placement["translate"]
        self._layer.data = data

    def show_earlier(self, painted: Any, step: int) -> None:
        """Show what was painted at some step; the recipe says so."""
        self.show(painted)
        if self.layer is not None:
            self._layer.metadata[METADATA_KEY] = self._entry_at(step)
            self._layer.metadata.pop(EXACT_KEY, None)

    def keep(self, painted: Any, step: int) -> Any:
        """Make a layer of its own of what was painted at some step, and return it."""
        data, placement = self._place(painted)
        name = f"{self._names['content']} in the style of {self._names['style']}, step {step}"
        return self._add(name, data, placement, self._entry_at(step))

    def sign(self, exact: NDArray[np.float32] | None = None) -> None:
        """Store the recipe as it is now, and the image in all its digits, in the metadata."""
        if self._layer is not None:
            self._layer.metadata[METADATA_KEY] = self._entry()
            if exact is not None and self._layer.rgb:
                self._layer.metadata[EXACT_KEY], _ = self._place(exact)

    def _add(
        self, name: str, data: Any, placement: Mapping[str, Any], entry: dict[str, Any]
    ) -> Any:
        layer = self._viewer.add_image(
            data,
            name=name,
            metadata={METADATA_KEY: entry},
            # The previews are small, and blocks would hide what is in them.
            interpolation2d="linear",
            **self._appearance,
            **placement,
            **self._orientation,
        )
        layer.bind_key(KEY, peek_below)
        return layer

    def _entry(self) -> dict[str, Any]:
        return {**self.recipe, **self._names}

    def _entry_at(self, step: int) -> dict[str, Any]:
        return {**self._entry(), "step": step, "losses": None}
