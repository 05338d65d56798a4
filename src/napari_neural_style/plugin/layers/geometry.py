"""Where a plane of a layer lies on the canvas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.utils.transforms import Affine

_ALIGNED = 0.01
"""How far apart, in pixels, the corners of two planes that cover each other may be."""

_NEXT = 0.5
"""How far apart, in planes, those of two stacks may be that are shown together."""


@dataclass(frozen=True)
class Geometry:
    """Where one plane of a layer lies, in the terms of napari's layers.

    Attributes
    ----------
    shape
        Height and width of the plane as shown, in pixels of the full resolution.
    displayed
        The axes of the layer that are shown as rows and as columns. Where the viewer's
        axes are transposed, the first is the larger.
    position
        The plane's index along each axis of the layer; 0 along its own two.
    scale, translate, rotate, shear, affine, units, axis_labels
        As those of the layer.
    """

    shape: tuple[int, int]
    displayed: tuple[int, int]
    position: tuple[int, ...]
    scale: NDArray[np.float64]
    translate: NDArray[np.float64]
    rotate: NDArray[np.float64]
    shear: NDArray[np.float64]
    affine: NDArray[np.float64]
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]

    @property
    def hidden(self) -> tuple[int, ...]:
        """The axes of the layer that are not displayed, in the order of its data."""
        return tuple(axis for axis in range(len(self.scale)) if axis not in self.displayed)

    @property
    def orientation(self) -> dict[str, Any]:
        """The layer attributes that do not depend on the resolution."""
        return {
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }

    def place(self, image: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return an image of any resolution as layer data that covers the plane.

        A layer of more than two dimensions gets data of as many, one pixel thick, so
        that the image lies in the plane it was made from and nowhere else.

        Parameters
        ----------
        image
            An ``(h, w)`` or ``(h, w, channels)`` image of the whole plane, as shown.

        Returns
        -------
        data
            The image, in the order of the layer's axes, with an axis of length one for
            each that is not displayed.
        attributes
            The layer's ``scale`` and ``translate``. The outer *edges* of the image are
            those of the plane: napari puts coordinates on pixel centres, so a pixel k
            times as large starts (k - 1) / 2 further in.
        """
        row, column = self.displayed
        data = np.expand_dims(image if row < column else image.swapaxes(0, 1), self.hidden)
        factor = np.ones(len(self.scale))
        factor[[row, column]] = np.divide(self.shape, image.shape[:2])
        return data, self._attributes(factor, self.position)

    def place_stack(self, shape: Sequence[int], full: Sequence[int]) -> dict[str, Any]:
        """Return the attributes that make a result of the whole stack cover its content.

        Parameters
        ----------
        shape
            Of the result: its axes in the order of the layer's, of any resolution; channels,
            if any, come last.
        full
            Of the content, in the same order, at the full resolution.

        Returns
        -------
        dict
            The layer's ``scale`` and ``translate``, see :meth:`place`.
        """
        ndim = len(self.scale)
        return self._attributes(np.divide(full[:ndim], shape[:ndim]), (0,) * ndim)

    def _attributes(self, factor: NDArray[np.float64], position: Sequence[float]) -> dict[str, Any]:
        offset = position + (factor - 1) / 2
        return {"scale": self.scale * factor, "translate": self._data_to_physical(offset)}

    @property
    def _data_to_physical(self) -> "Affine":
        from napari.utils.transforms import Affine

        return Affine(
            scale=self.scale, translate=self.translate, rotate=self.rotate, shear=self.shear
        )

    def to_world(self, axes: Sequence[int], dims: Any) -> NDArray[np.float64]:
        """Return the matrix from pixels along some axes to the viewer's coordinates.

        As in napari, what a rotation out of these axes would contribute is left out.

        Parameters
        ----------
        axes
            Axes of the layer, in the order of the coordinates wanted.
        dims
            The viewer's ``dims``, for its units.

        Returns
        -------
        numpy.ndarray
            ``(n + 1, n + 1)``, for homogeneous coordinates.
        """
        complete = self.affine @ self._data_to_physical.affine_matrix
        taken = [*axes, len(self.scale)]
        matrix: NDArray[np.float64] = complete[np.ix_(taken, taken)]
        matrix[:-1] /= unit_factors(self.units, dims)[list(axes), np.newaxis]
        return matrix

    def pixels_of(self, other: "Geometry", dims: Any) -> NDArray[np.float64]:
        """Return the matrix from the pixels of another plane to those of this one.

        Parameters
        ----------
        other
            The other plane.
        dims
            The viewer's ``dims``.

        Returns
        -------
        numpy.ndarray
            ``(3, 3)``, for homogeneous coordinates (row, column, 1).
        """
        to_own = np.linalg.inv(self.to_world(self.displayed, dims))
        matrix: NDArray[np.float64] = to_own @ other.to_world(other.displayed, dims)
        return matrix

    def pixel_area(self, dims: Any) -> float:
        """Return how large a pixel is in the viewer's coordinates."""
        return float(abs(np.linalg.det(self.to_world(self.displayed, dims)[:2, :2])))

    def covers(self, other: "Geometry", dims: Any) -> bool:
        """Tell whether another plane has the same pixels in the same places."""
        height, width = self.shape
        corners = np.array([[0, height, 0, height], [0, 0, width, width], [1, 1, 1, 1]], float)
        moved = self.pixels_of(other, dims) @ corners - corners
        return self.shape == other.shape and bool(np.abs(moved).max() < _ALIGNED)

    def same_planes(
        self, other: "Geometry", axes: Sequence[int], lengths: Sequence[int], dims: Any
    ) -> bool:
        """Tell whether the planes of another stack are those that lie next to each of these.

        Parameters
        ----------
        other
            Where the others lie.
        axes
            Axes that these have in common with all that the others do not display.
        lengths
            How many planes there are along each.
        dims
            The viewer's ``dims``.
        """
        to_own = np.linalg.inv(self.to_world(axes, dims)) @ other.to_world(other.hidden, dims)
        first, last = np.zeros(len(axes)), np.subtract(lengths, 1)
        ends = (np.array([*end, 1.0]) for end in (first, last))
        return all(np.abs(to_own @ end - end).max() < _NEXT for end in ends)

    def check_covers(
        self, other: "Geometry", dims: Any, name: str, other_name: str, advice: str
    ) -> None:
        """Raise a ValueError with advice if another plane has other pixels, or units."""
        self.check_units(other, name, other_name)
        if not self.covers(other, dims):
            raise ValueError(
                f"{other_name} does not lie on {name}, pixel on pixel: it has "
                f"{other.described(dims)}, the other {self.described(dims)}. {advice}"
            )

    def check_units(self, other: "Geometry", name: str, other_name: str) -> None:
        """Raise a ValueError if another plane is measured in units that cannot be converted.

        Pixels go with anything, as in napari.
        """
        # The last axes of all layers are the viewer's last.
        for own, its in zip(self.units[::-1], other.units[::-1], strict=False):
            if "pixel" not in (str(own), str(its)) and not (1 * own).is_compatible_with(its):
                raise ValueError(
                    f"{other_name} is measured in {its} and {name} in {own}: give both layers "
                    "units that fit."
                )

    def described(self, dims: Any) -> str:
        """Return the pixels and the place of the plane in words, for a message."""
        height, width = self.shape
        matrix = self.to_world(self.displayed, dims)
        start, end = (matrix @ corner for corner in ([0, 0, 1], [height - 1, width - 1, 1]))
        return (
            f"{height} x {width} pixels from ({start[0]:.6g}, {start[1]:.6g}) "
            f"to ({end[0]:.6g}, {end[1]:.6g})"
        )


def coarser(full: Sequence[int], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the matrix from pixels of another resolution to those of the full one, (3, 3)."""
    factor = np.divide(full, shape)
    matrix = np.diag([*factor, 1.0])
    # Their edges coincide, and coordinates lie on their centres.
    matrix[:2, 2] = (factor - 1) / 2
    return matrix


def unit_factors(units: Sequence[Any], dims: Any) -> NDArray[np.float64]:
    """Return how many of a layer's units one of the viewer's is, by layer axis.

    Parameters
    ----------
    units
        The layer's units.
    dims
        The viewer's ``dims``.
    """
    shown = getattr(dims, "units", None)  # new in napari 0.9
    if shown is None:
        return np.ones(len(units))
    pairs = zip(shown[-len(units) :], units, strict=True)
    return np.array([_in_base(viewer) / _in_base(own) for viewer, own in pairs])


def _in_base(unit: Any) -> float:
    return float((1.0 * unit).to_base_units().magnitude)
