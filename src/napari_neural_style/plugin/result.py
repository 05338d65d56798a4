"""The layer that a run paints into."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import METADATA_KEY

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
    """

    def __init__(
        self,
        viewer: Any,
        place: Callable[[Any], tuple[Any, dict[str, Any]]],
        orientation: Mapping[str, Any],
        content: str,
        style: str,
        appearance: Mapping[str, Any],
    ) -> None:
        self._viewer = viewer
        self._place, self._orientation = place, orientation
        self._appearance = appearance
        self._names = {"content": content, "style": style}
        self._layer: Any = None
        self.recipe: dict[str, Any] = {}
        """The engine's provenance."""

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
            self._layer = self._viewer.add_image(
                data,
                name=f"{self._names['content']} in the style of {self._names['style']}",
                metadata={METADATA_KEY: self._entry()},
                # The previews are small, and blocks would hide what is in them.
                interpolation2d="linear",
                **self._appearance,
                **placement,
                **self._orientation,
            )
            return
        if data.shape != self._layer.data.shape:
            self._layer.scale = placement["scale"]
            self._layer.translate = placement["translate"]
        self._layer.data = data

    def sign(self, exact: NDArray[np.float32] | None = None) -> None:
        """Store the recipe as it is now, and the image in all its digits, in the metadata."""
        if self._layer is not None:
            self._layer.metadata[METADATA_KEY] = self._entry()
            if exact is not None and self._layer.rgb:
                self._layer.metadata[EXACT_KEY], _ = self._place(exact)

    def _entry(self) -> dict[str, Any]:
        return {**self.recipe, **self._names}
