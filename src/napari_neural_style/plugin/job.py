"""What a run paints, taken from the viewer at the moment that Run is pressed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..images import image_hash, intensity_like, rgba_like, to_uint8
from ..images.views import View
from ..settings import Settings
from .layers import Composite, Geometry, Plane
from .machine import load_engine
from .origins import Origin

if TYPE_CHECKING:
    from ..transfer.engine import StyleTransfer


@dataclass
class AnyJob(ABC):
    """What the jobs of one image and of a whole stack have in common.

    Attributes
    ----------
    styles
        What is painted with.
    settings
        Of the run.
    appearance
        How the result is shown, as attributes of its layer; its ``rgb`` tells whether it
        is painted in colour, or as one channel with the content's dtype.
    names
        Of the layers, for the recipe: ``content`` and ``style``.
    """

    styles: tuple[Plane, ...]
    settings: Settings
    appearance: Mapping[str, Any]
    names: Mapping[str, Any]

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Where the content lies."""

    @property
    def title(self) -> str:
        """Name for the result."""
        return f"{self.names['content']} in the style of {self.names['style']}"

    @property
    def size(self) -> int | None:
        """Longest side that the content is read at; None for its own."""
        if self.settings.size is None and self.settings.scales != "auto":
            return int(self.settings.scales[-1])
        return self.settings.size

    @property
    def style_size(self) -> int:
        """Longest side that the styles are read at."""
        return self.size or max(self.geometry.shape)

    def place(self, painted: Any) -> tuple[Any, dict[str, Any]]:
        """Return what was developed as data of a layer, with its scale and translate."""
        return self.geometry.place(painted)

    def remark(self, developed: NDArray[Any]) -> str:
        """Say something about what was developed in the end; nothing by default."""
        return ""

    @property
    def in_color(self) -> bool:
        """Whether the result has colours of its own."""
        return bool(self.appearance["rgb"])


@dataclass
class Job(AnyJob):
    """The images of a run and its settings, to be read in any thread.

    Attributes
    ----------
    content
        What is painted.
    checkpoint
        The file that the run is saved to while it goes on; None for none.
    """

    content: Plane | Composite
    checkpoint: Path | None = None
    _original: NDArray[Any] | None = field(default=None, init=False)
    _earlier: NDArray[Any] | None = field(default=None, init=False)
    # Of all that the run was given, by hashes; jobs that follow on each other share them.
    _views: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    @property
    def geometry(self) -> Geometry:
        """Where the content lies."""
        return self.content.geometry

    @property
    def origin(self) -> Origin:
        """What is painted."""
        return self.content

    def but(
        self,
        styles: tuple[Plane, ...] | None = None,
        names: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> "Job":
        """Return the same job with other styles or settings."""
        job = copy(self)
        job.styles = self.styles if styles is None else styles
        job.names = self.names if names is None else names
        job.settings = replace(self.settings, **settings)
        return job

    def onward(self, painted: NDArray[Any]) -> "Job":
        """Return the same job that goes on from what was developed earlier."""
        job = copy(self)
        job._earlier = painted
        return job

    def prepare(self) -> "StyleTransfer":
        """Read the images and make the engine."""
        engine = load_engine()
        transfer = engine(self.read_content(), self.read_styles(), settings=self.settings)
        if self._earlier is not None:
            transfer.update(picture=self.engines(self._earlier))
        return transfer

    def read_content(self) -> NDArray[np.float32]:
        """Read what is painted, and what its result is developed with."""
        if self.in_color and isinstance(self.content, Composite):
            blended = self.content.rgb(self.size)
            self._note(blended, self.content)
            return blended
        values, shades = self._plane.values(self.size), self._plane.rendering
        if not self.in_color:
            self._original = values
            gray = shades.gray(values)
            self._note(gray, self.content, "gray")
            return gray
        content, alpha = shades.straight(values)
        self._note(content, self.content, "straight")
        if alpha is not None:
            colors, _ = shades.rgba(values)
            self._original = np.dstack([to_uint8(colors), to_uint8(alpha)])
        return content

    def read_styles(self) -> list[NDArray[np.float32]]:
        """Read what it is painted with."""
        styles = [style.rgb(self.style_size) for style in self.styles]
        for image, style in zip(styles, self.styles, strict=True):
            self._note(image, style)
        return styles

    def _note(
        self, image: NDArray[np.float32], source: Plane | Composite, kind: str = "rgb"
    ) -> None:
        """Keep for the recipe how an image of the run was seen."""
        digest = image_hash(image)
        if digest not in self._views:
            size = self.size if source is self.content else self.style_size
            view = View(digest, source.name)
            if isinstance(source, Plane):
                view = source.view(digest, size, kind)
            self._views[digest] = view.to_dict()
        self.names = {**self.names, "views": list(self._views.values())}

    def engines(self, painted: NDArray[Any]) -> NDArray[Any]:
        """Return what was developed as an image for the engine."""
        return painted[..., :3] if self.in_color else self._plane.rendering.gray(painted)

    def develop(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """Make a layer's data of the engine's ``(h, w, 3)`` image."""
        if self._original is None:
            return to_uint8(image)
        if self.in_color:
            return rgba_like(self._original, image, self.settings.mask)
        shades = self._plane.rendering
        return intensity_like(
            self._original,
            image[..., 0],
            shades.contrast_limits,
            shades.gamma,
            self.settings.mask,
        )

    @property
    def _plane(self) -> Plane:
        if not isinstance(self.content, Plane):
            raise ValueError("Several channels together have no one intensity: choose one of them.")
        return self.content
