"""All planes of an image layer along the axes that the viewer does not display."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from ...images.blending import BlendedStack, Channel
from ...images.rendering import Rendering
from .evidence import evidence
from .geometry import Geometry
from .names import quoted
from .plane import Plane
from .rendering import layer_rendering
from .slicing import Span, cut, fitting, layer_geometry, layer_levels, plane_shapes, refuse_volume


@dataclass(frozen=True)
class StackSource:
    """The planes of a layer, lazily; can be read in any thread or process.

    Attributes
    ----------
    geometry
        Where the planes lie; its position is that of the first.
    levels
        The data at each resolution, finest first, axes in the order of the layer.
    rendering
        What turns the values of a plane into colours, the same for all planes.
    """

    geometry: Geometry
    levels: tuple[Any, ...]
    rendering: Rendering

    @property
    def axes(self) -> tuple[str, ...]:
        """Labels of the axes that the stack runs along, in the order of the data."""
        return tuple(self.geometry.axis_labels[axis] for axis in self.geometry.hidden)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many planes there are along each of the axes."""
        return tuple(self.levels[0].shape[axis] for axis in self.geometry.hidden)

    def level(self, size: int | None) -> Any:
        """Return the data at the resolution that :meth:`Plane.rgb` reads for a size."""
        return self.levels[fitting(plane_shapes(self.geometry, self.levels), size)]

    def evidence(self, size: int | None) -> list[NDArray[Any]]:
        """Return pixels by which the planes can be told from others, see :func:`evidence`."""
        ends = (0,) * len(self.shape), tuple(length - 1 for length in self.shape)
        reads = [partial(self.plane(index).values, size) for index in ends]
        return evidence(self.level(size), reads)

    def plane(self, index: Sequence[int]) -> Plane:
        """Return one plane, by its index along each of the axes.

        Parameters
        ----------
        index
            As many indices as there are axes, each from 0.

        Raises
        ------
        IndexError
            If there is no such plane.
        """
        if len(index) != len(self.shape) or not all(
            0 <= i < length for i, length in zip(index, self.shape, strict=True)
        ):
            raise IndexError(f"There is no plane {tuple(index)} in a stack of {self.shape}.")
        at = dict(zip(self.geometry.hidden, map(int, index), strict=True))
        position = tuple(at.get(axis, 0) for axis in range(len(self.geometry.scale)))
        geometry = replace(self.geometry, position=position)
        spans = {axis: Span(i, i, i) for axis, i in at.items()}
        return Plane(cut(geometry, self.levels, spans), self.rendering)


@dataclass(frozen=True)
class StackComposite(StackSource):
    """The planes of several layers, blended; used like those of one.

    Attributes
    ----------
    channels
        The planes of each layer.
    """

    channels: tuple[StackSource, ...]

    def evidence(self, size: int | None) -> list[NDArray[Any]]:
        """Return pixels by which the planes can be told from others: blended, and of each layer."""
        of_channels = (pixels for channel in self.channels for pixels in channel.evidence(size))
        return [*super().evidence(size), *of_channels]


def stack_planes(layer: Any, dims: Any) -> StackSource:
    """Return all planes of an image layer that are parallel to the one displayed.

    Parameters
    ----------
    layer
        A ``napari.layers.Image`` of more than two dimensions.
    dims
        The viewer's ``dims``: they say which two axes make the planes.

    Raises
    ------
    ValueError
        If the layer has no stack, or is shown as a volume.
    """
    if layer.ndim < 3:
        raise ValueError(
            f"{quoted(layer)} is a single plane: a whole stack needs an image of three or more "
            "dimensions."
        )
    refuse_volume(layer, dims)
    levels = layer_levels(layer)
    return StackSource(
        geometry=layer_geometry(layer, dims, levels[0].shape[: layer.ndim]),
        levels=levels,
        rendering=layer_rendering(layer),
    )


def stack_composite(
    layers: Sequence[Any], dims: Any, background: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> StackComposite:
    """Return the planes of several image layers together, blended as napari blends them.

    Parameters
    ----------
    layers
        ``napari.layers.Image`` layers, the lowest first, as in ``viewer.layers``. At least one is
        a stack; one that has fewer dimensions is seen in all of its planes.
    dims
        The viewer's ``dims``: they say which two axes make the planes.
    background
        As for :func:`displayed_composite`.

    Raises
    ------
    ValueError
        As :func:`stack_planes`, or if the pixels of the layers do not lie on each other.
    """
    stack = max(layers, key=lambda layer: layer.ndim)
    base = stack_planes(stack, dims)
    sources = [_beside(stack, base, layer, dims) for layer in layers]
    name = f"composite of {', '.join(map(quoted, layers))}"
    levels = []
    for level in base.levels:
        shape = level.shape[: stack.ndim]
        alike = [
            next((part for part in source.levels if _lies_in(part, layer, shape)), None)
            for source, layer in zip(sources, layers, strict=True)
        ]
        if all(part is not None for part in alike):
            looks = ((str(layer.blending), float(layer.opacity), layer.rgb) for layer in layers)
            parts = zip(alike, sources, looks, strict=True)
            levels.append(
                BlendedStack(
                    [Channel(part, source.rendering, *look) for part, source, look in parts],
                    background,
                )
            )
    return StackComposite(base.geometry, tuple(levels), Rendering(name, (0, 1)), tuple(sources))


def _lies_in(level: Any, layer: Any, shape: Sequence[int]) -> bool:
    return tuple(level.shape[: layer.ndim]) == tuple(shape[-layer.ndim :])


def _beside(stack: Any, base: StackSource, layer: Any, dims: Any) -> StackSource:
    """Return the planes of a layer, which must lie on those of a stack."""
    levels = layer_levels(layer)
    full = levels[0].shape[: layer.ndim]
    geometry = layer_geometry(layer, dims, full)
    names = f"the layer {quoted(stack)}", f"The layer {quoted(layer)}"
    advice = "Choose layers of one shape and place."
    own = base.geometry
    own.check_covers(geometry, dims, *names, advice)
    fewer = stack.ndim - layer.ndim
    shared = [axis + fewer for axis in geometry.hidden]
    lengths = [base.levels[0].shape[axis] for axis in shared]
    if not (
        tuple(axis + fewer for axis in geometry.displayed) == own.displayed
        and lengths == [full[axis] for axis in geometry.hidden]
        and own.same_planes(geometry, shared, lengths, dims)
    ):
        raise ValueError(
            f"{names[1]} does not lie on {names[0]}, plane on plane: give both the same planes in "
            "the same places, or choose them without Whole stack."
        )
    return StackSource(geometry, levels, layer_rendering(layer))
