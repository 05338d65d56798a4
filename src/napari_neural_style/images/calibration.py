"""The physical size of an image's pixels, planes and frames; names and colours of its channels."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from tifffile import TiffFile

UNKNOWN_UNIT = "pixel"
"""The unit of an axis without a physical size, as napari calls it."""

_COLOR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True)
class Calibration:
    """Size of one step along each axis, and what the channels are called.

    Parameters
    ----------
    axes
        A letter for each axis, such as ``"TZYX"``.
    scale
        Size of one step along each.
    units
        The unit of each, written out: ``"micrometer"``, ``"second"``; ``"pixel"`` where no
        size is known.
    channels
        The name of each channel along ``C``, or of the only one: ``("DAPI", "GFP")``; empty
        where no names are known.
    colors
        The colour that each of them is shown in, such as ``"#00ff00"``; empty where none are
        known.
    """

    axes: str
    scale: tuple[float, ...]
    units: tuple[str, ...]
    channels: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()

    @classmethod
    def unknown(cls, axes: str) -> "Calibration":
        """Return axes of which no size is known."""
        return cls(axes, (1.0,) * len(axes), (UNKNOWN_UNIT,) * len(axes))

    @classmethod
    def of(
        cls,
        axes: str,
        sizes: Mapping[str, tuple[float, str]],
        channels: Sequence[str] = (),
        colors: Sequence[str] = (),
    ) -> "Calibration":
        """Return axes with the known sizes among `sizes`, letter to scale and unit.

        Names of channels that are all empty are none, and so are colours that are all one.
        """
        known = [sizes.get(axis, (1.0, UNKNOWN_UNIT)) for axis in axes]
        # A size of 0 or NaN is how some programs write that they know none.
        known = [
            size if math.isfinite(size[0]) and size[0] > 0 else (1.0, UNKNOWN_UNIT)
            for size in known
        ]
        names = tuple(channels) if any(channels) else ()
        told = len({*colors}) > 1 and all(_COLOR.fullmatch(color) for color in colors)
        scale, units = tuple(size for size, _ in known), tuple(unit for _, unit in known)
        return cls(axes, scale, units, names, tuple(colors) if told else ())

    @property
    def sizes(self) -> dict[str, tuple[float, str]]:
        """Scale and unit along each axis whose size is known, as :meth:`of` takes them."""
        known = zip(self.axes, self.scale, self.units, strict=True)
        return {axis: (size, unit) for axis, size, unit in known if unit != UNKNOWN_UNIT}

    def size(self, axis: str) -> tuple[float, str] | None:
        """Scale and unit along an axis; None where no size is known."""
        return self.sizes.get(axis)

    def resized(self, before: tuple[int, ...], after: tuple[int, ...]) -> "Calibration":
        """Return the calibration after resizing planes from one height and width to another."""
        factors = {"Y": before[0] / after[0], "X": before[1] / after[1]}
        scale = (
            size if unit == UNKNOWN_UNIT else size * factors.get(axis, 1.0)
            for axis, size, unit in zip(self.axes, self.scale, self.units, strict=True)
        )
        return replace(self, scale=tuple(scale))


# By their names in napari and OME-Zarr: OME-TIFF's symbol, and metres or seconds.
_LENGTHS = {
    "angstrom": ("Å", 1e-10),
    "picometer": ("pm", 1e-12),
    "nanometer": ("nm", 1e-9),
    "micrometer": ("µm", 1e-6),
    "millimeter": ("mm", 1e-3),
    "centimeter": ("cm", 1e-2),
    "meter": ("m", 1.0),
    "inch": ("in", 0.0254),
}
_TIMES = {
    "nanosecond": ("ns", 1e-9),
    "microsecond": ("µs", 1e-6),
    "millisecond": ("ms", 1e-3),
    "second": ("s", 1.0),
    "minute": ("min", 60.0),
    "hour": ("h", 3600.0),
    "day": ("d", 86400.0),
}
# The attributes of OME's Pixels.
_OME_SIZES = {
    "X": ("PhysicalSizeX", _LENGTHS),
    "Y": ("PhysicalSizeY", _LENGTHS),
    "Z": ("PhysicalSizeZ", _LENGTHS),
    "T": ("TimeIncrement", _TIMES),
}
_NAMES = {
    **{symbol: name for name, (symbol, _) in (_LENGTHS | _TIMES).items()},
    # How ImageJ and others write them; μ is the Greek letter, µ the micro sign.
    **dict.fromkeys(("um", "μm", "micron", "microns", "\\u00B5m"), "micrometer"),
    **{"sec": "second", "msec": "millisecond"},
}


def unit_name(unit: str) -> str:
    """Write a unit out as napari does; ``pixel`` for one that is none of length or time."""
    unit = unit.strip()
    name = _NAMES.get(unit, unit.lower().replace("metre", "meter").removesuffix("s"))
    return name if name in _LENGTHS or name in _TIMES else UNKNOWN_UNIT


def tiff_calibration(file: "TiffFile") -> Calibration:
    """Return axes and sizes of the first series of a TIFF file.

    They are those of its OME metadata, of ImageJ's, or of the resolution tags; the first two
    may tell names and colours of the channels.
    """
    axes = file.series[0].axes
    if file.is_ome and file.ome_metadata:
        return Calibration.of(axes, *_ome_sizes_and_channels(file.ome_metadata))
    if file.is_imagej and file.imagej_metadata:
        channels = _imagej_channels(file), _imagej_colors(file)
        return Calibration.of(axes, _imagej_sizes(file), *channels)
    return Calibration.of(axes, _tag_sizes(file))


def ome_attributes(calibration: Calibration) -> dict[str, float | str]:
    """Return the attributes of OME's Pixels that tell the known sizes."""
    attributes: dict[str, float | str] = {}
    for axis, (name, symbols) in _OME_SIZES.items():
        size = calibration.size(axis)
        if size is not None and size[1] in symbols:
            attributes |= {name: size[0], f"{name}Unit": symbols[size[1]][0]}
    return attributes


def pixels_per_centimeter(calibration: Calibration) -> tuple[float, float] | None:
    """Along x and along y; None where that is unknown or beyond what TIFF tags can say."""
    resolution = []
    for axis in "XY":
        scale, unit = calibration.size(axis) or (1.0, UNKNOWN_UNIT)
        if unit not in _LENGTHS:
            return None
        resolution.append(_LENGTHS["centimeter"][1] / (scale * _LENGTHS[unit][1]))
    x, y = resolution
    return (x, y) if all(2**-31 < value < 2**31 for value in resolution) else None


def _ome_sizes_and_channels(
    xml: str,
) -> tuple[dict[str, tuple[float, str]], list[str], list[str]]:
    try:
        # Python's own expat bounds what entities may grow to, and fetches none.
        root = ElementTree.fromstring(xml)  # noqa: S314
    except ElementTree.ParseError:  # the pixels can be used without
        return {}, [], []
    pixels = next((part for part in root.iter() if part.tag.endswith("}Pixels")), root)
    sizes = {}
    for axis, (name, symbols) in _OME_SIZES.items():
        if name in pixels.attrib:
            # What OME's schema means without a unit.
            default = "µm" if symbols is _LENGTHS else "s"
            unit = unit_name(pixels.get(f"{name}Unit", default))
            sizes[axis] = _number(pixels.attrib[name]), unit
    channels = [part for part in pixels if part.tag.endswith("}Channel")]
    names = [part.get("Name", "") for part in channels]
    return sizes, names, [_ome_color(part.get("Color", "-1")) for part in channels]


def _ome_color(number: str) -> str:
    """Return a colour that OME writes as a signed number of RGBA; white for what is none."""
    try:
        return f"#{(int(number) & 0xFFFFFFFF) >> 8:06x}"
    except ValueError:
        return "#ffffff"


def ome_color(color: str) -> int:
    """Return a colour, such as ``"#00ff00"``, as OME writes it."""
    return int.from_bytes(bytes.fromhex(f"{color.removeprefix('#')}ff"), signed=True)


def _number(value: Any) -> float:
    """Return a size that a file tells; NaN for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _imagej_sizes(file: "TiffFile") -> dict[str, tuple[float, str]]:
    metadata: Mapping[str, Any] = file.imagej_metadata or {}
    unit = unit_name(str(metadata.get("unit", UNKNOWN_UNIT)))
    x, y = file.series[0].keyframe.resolution
    sizes = {"X": (1 / x, unit), "Y": (1 / y, unit)} if x > 0 and y > 0 else {}
    if "spacing" in metadata:
        sizes["Z"] = _number(metadata["spacing"]), unit
    if "finterval" in metadata:
        sizes["T"] = _number(metadata["finterval"]), unit_name(str(metadata.get("tunit", "s")))
    return sizes


def _imagej_channels(file: "TiffFile") -> list[str]:
    """Return the labels of the planes, where these name the channels."""
    series = file.series[0]
    lengths = dict(zip(series.axes, series.shape, strict=True))
    labels = list((file.imagej_metadata or {}).get("Labels", ()))
    names = labels[: lengths.get("C", 0)]
    planes = math.prod(lengths[axis] for axis in lengths if axis not in "YXS")
    return names if names and labels == names * (planes // len(names)) else []


def _imagej_colors(file: "TiffFile") -> list[str]:
    """Return the brightest colours of ImageJ's look-up tables."""
    tables = (file.imagej_metadata or {}).get("LUTs", ())
    try:
        return [f"#{bytes(int(channel[-1]) for channel in table).hex():.6}" for table in tables]
    except (TypeError, ValueError, IndexError):  # a stranger's metadata may be anything
        return []


def _tag_sizes(file: "TiffFile") -> dict[str, tuple[float, str]]:
    page = file.series[0].keyframe
    unit = page.tags.get("ResolutionUnit")
    micrometers = {2: 25400.0, 3: 10000.0}.get(0 if unit is None else unit.value)  # inch, cm
    x, y = page.resolution
    # One pixel an inch is what is written for want of a size.
    if micrometers is None or not (x > 0 and y > 0) or x == y == 1:
        return {}
    return {"X": (micrometers / x, "micrometer"), "Y": (micrometers / y, "micrometer")}
