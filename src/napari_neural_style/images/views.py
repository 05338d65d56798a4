"""How a picture is seen in an array: which plane of it, and in which colours."""

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from napari_neural_style.images.pixels import intensity_like, resized, to_uint8
from napari_neural_style.images.rendering import ColorTable, Rendering, is_rgba
from napari_neural_style.packed import plain, unplain
from napari_neural_style.validation import one_line

_PROJECTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
}
_MOST_AXES: Final = 32


@dataclass(frozen=True)
class View:
    """A picture that a run was given, as it was seen in a layer or a file.

    Attributes
    ----------
    digest
        The picture's :func:`~napari_neural_style.images.image_hash`.
    name
        Of the layer or file.
    file
        Name of the layer's file, without its folder; empty if there is none.
    level
        Of a multiscale layer, which of its resolutions; 0 for the finest.
    shape
        Of the array.
    part
        What is taken of each axis of the array that is none of colours: first and last but one.
    displayed
        The axes that are rows and columns.
    projection
        How the planes of a thick slice become one.
    rendering
        What becomes of the values; None for that of the command line and of Python.
    kind
        ``"rgb"`` over black; ``"straight"``, without the transparency of RGBA; ``"gray"``, without
        the colormap, for a result of one channel.
    """

    digest: str
    name: str
    file: str = ""
    level: int = 0
    shape: tuple[int, ...] = ()
    part: tuple[tuple[int, int], ...] = ()
    displayed: tuple[int, int] = (0, 1)
    projection: str = "none"
    rendering: Rendering | None = None
    kind: str = "rgb"

    @property
    def transposed(self) -> bool:
        """Whether the picture has the array's columns as its rows."""
        return self.displayed[0] > self.displayed[1]

    @property
    def is_whole(self) -> bool:
        """Whether all of a plain image was seen, and not a part of an array of more axes."""
        whole = tuple(zip((0, 0), self.shape, strict=False))
        return self.part == whole and not (self.transposed or self.level)

    @property
    def has_alpha(self) -> bool:
        """Whether the picture's transparency is apart from its colours."""
        return self.kind == "straight" and self.shape[len(self.part) :] == (4,)

    def fits(self, array: Any) -> bool:
        """Whether an array has the shape of the one that was seen."""
        return self.rendering is not None and tuple(array.shape) == self.shape

    def values(self, array: Any) -> NDArray[Any]:
        """Return what was seen of an array, ``(H, W)`` or ``(H, W, channels)``."""
        pixels = np.asarray(array[tuple(slice(*ends) for ends in self.part)])
        return plane_of(pixels, self.displayed, len(self.part), self.projection)

    def colors(self, array: Any) -> NDArray[np.float32]:
        """Return the picture in an array: what a run was given.

        Raises
        ------
        ValueError
            If it cannot be painted.
        """
        return self.shades(self.values(array))

    def shades(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return what a run was given of :meth:`values`."""
        assert self.rendering is not None
        if self.kind == "straight":
            return self.rendering.straight(values)[0]
        return self.rendering.gray(values) if self.kind == "gray" else self.rendering.rgb(values)

    def develop(
        self, values: NDArray[Any], image: NDArray[np.float32], mask: NDArray[Any] | None
    ) -> NDArray[Any]:
        """Make of a painted image a picture such as the one that was seen.

        Parameters
        ----------
        values
            What was seen, see :meth:`values`.
        image
            ``(h, w, 3)`` in [0, 1].
        mask
            Where it was painted, if not everywhere.

        Returns
        -------
        numpy.ndarray
            In the order of the array's axes: one channel of the array's dtype; or colours in
            [0, 1], with the array's transparency, in 8 bits as layers show it.
        """
        shades, picture = self.rendering, image
        assert shades is not None
        if self.kind == "gray":
            limits, gamma = shades.contrast_limits, shades.gamma
            picture = intensity_like(values, image[..., 0], limits, gamma, mask)
        elif self.kind == "straight" and is_rgba(values):
            colors, alpha = shades.rgba(values)
            assert alpha is not None
            if mask is not None and mask.shape == alpha.shape == image.shape[:2]:
                # Also the colours that nobody sees.
                hidden = (mask == 0) & (alpha == 0)
                image = np.where(hidden[..., np.newaxis], colors, image)
            eight = np.divide(to_uint8(alpha), 255, dtype=np.float32)
            alpha = resized(eight, image.shape[:2])
            picture = np.dstack([image, np.divide(to_uint8(alpha), 255, dtype=np.float32)])
        return picture.swapaxes(0, 1) if self.transposed else picture

    def to_dict(self) -> dict[str, Any]:
        """Return the view as plain data for JSON."""
        data: dict[str, Any] = {"sha256": self.digest, "name": self.name}
        if self.file:
            data["file"] = self.file
        if self.rendering is None:
            return data
        return data | {
            "level": self.level,
            "shape": list(self.shape),
            "part": [list(ends) for ends in self.part],
            "displayed": list(self.displayed),
            "projection": self.projection,
            "kind": self.kind,
            **plain_rendering(self.rendering),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Build a view from :meth:`to_dict`'s data, which may be a stranger's.

        Raises
        ------
        ValueError, LookupError, TypeError, AttributeError
            If they are damaged.
        """
        named = cls(str(data["sha256"]), one_line(data["name"]), _base_name(data.get("file", "")))
        if "contrast_limits" not in data:
            return named
        shape = tuple(map(int, data["shape"]))
        part = tuple((int(first), int(end)) for first, end in data["part"])
        row, column = map(int, data["displayed"])
        axes = range(len(part))
        if (
            not 2 <= len(part) <= len(shape) <= _MOST_AXES
            or row == column
            or not {row, column} <= {*axes}
            or not all(0 <= first < end for first, end in part)
            or data["projection"] not in ("none", *_PROJECTIONS)
            or data["kind"] not in ("rgb", "straight", "gray")
        ):
            raise ValueError("a view of an image is none.")
        return replace(
            named,
            level=int(data["level"]),
            shape=shape,
            part=part,
            displayed=(row, column),
            projection=data["projection"],
            rendering=rendering_from(data, f"image {named.name}"),
            kind=data["kind"],
        )


def plane_of(
    pixels: NDArray[Any], displayed: tuple[int, int], axes: int, projection: str = "none"
) -> NDArray[Any]:
    """Return the plane that was cut out of an array.

    Parameters
    ----------
    pixels
        As many axes as the array has, and those of colours.
    displayed
        The axes that become rows and columns.
    axes
        How many there are without those of colours.
    projection
        How several planes become one.
    """
    hidden = tuple(axis for axis in range(axes) if axis not in displayed)
    # Where a single plane is meant, a projection would only change its dtype.
    if all(pixels.shape[axis] == 1 for axis in hidden):
        pixels = pixels.squeeze(hidden)
    else:
        pixels = _PROJECTIONS[projection](pixels, axis=hidden)
    row, column = displayed
    return pixels if row < column else pixels.swapaxes(0, 1)


def _base_name(file: str) -> str:
    """The last part of a path of any system."""
    return PureWindowsPath(file).name


def plain_rendering(rendering: Rendering) -> dict[str, Any]:
    """Return a rendering, but for its name, as plain data for JSON."""
    return {
        "contrast_limits": [float(limit) for limit in rendering.contrast_limits],
        "gamma": float(rendering.gamma),
        "colormap": _plain_table(rendering.table),
    }


def rendering_hash(rendering: Rendering) -> str:
    """Tell a rendering from all others, whatever its image is called."""
    return hashlib.sha256(json.dumps(plain_rendering(rendering)).encode()).hexdigest()


def rendering_from(data: Mapping[str, Any], name: str) -> Rendering:
    """Build a rendering from :func:`plain_rendering`'s data, which may be a stranger's.

    Raises
    ------
    ValueError, LookupError, TypeError
        If they are damaged.
    """
    low, high = data["contrast_limits"]
    numbers = low, high, data["gamma"]
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("the contrast limits or the gamma of an image are no numbers.")
    low, high, gamma = map(float, numbers)
    return Rendering(name, (low, high), gamma, _table(data["colormap"]))


def _plain_table(table: Any) -> dict[str, Any] | str | None:
    if table is None:
        return None
    if not isinstance(table, ColorTable):  # of a program of its own, which can only be recognised
        return hashlib.sha256(pickle.dumps(table)).hexdigest()
    low, high = (None if color is None else color.tolist() for color in (table.low, table.high))
    return {"colors": plain(table.colors), "smooth": table.smooth, "low": low, "high": high}


def _table(data: Any) -> ColorTable | None:
    if data is None:
        return None
    colors = unplain("colors", data["colors"])
    if colors.dtype != np.float32 or colors.ndim != 2 or colors.shape[1] != 4 or len(colors) < 2:
        raise ValueError("a colormap of an image is none.")
    ends = (data["low"], data["high"])
    low, high = (None if end is None else np.array(end, np.float32).reshape(4) for end in ends)
    return ColorTable(colors, bool(data["smooth"]), low, high)
