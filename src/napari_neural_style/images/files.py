"""Image files in and out."""

import json
import math
import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_neural_style.images.calibration import (
    Calibration,
    pixels_per_centimeter,
    tiff_calibration,
)
from napari_neural_style.images.pixels import quantize
from napari_neural_style.images.tiff_pages import check_pages

METADATA_KEY = "napari_neural_style"
"""Names a result's recipe: in a layer's metadata, a PNG text chunk, a TIFF or JPEG description."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_COMMENT = 65533
"""Bytes that a comment of a JPEG file has at most; a longer one goes on in the next."""
_PILLOW_FORMATS = ("JPEG", "BMP", "GIF", "WEBP", "PPM")


def read_image(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a PNG, JPEG or TIFF file with the values it stores.

    Palettes are resolved, grayscale with transparency becomes RGBA, and a photograph is
    turned as its Exif orientation asks.

    Parameters
    ----------
    path
        The file. Its content, not its name, tells the format.

    Returns
    -------
    numpy.ndarray
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, in the file's own dtype.

    Raises
    ------
    OSError
        If the file is missing or may not be read.
    ValueError
        If it is not an image, is damaged, holds more than one plane, or would not fit into the
        memory that is free.
    """
    path = Path(path)
    try:
        data = _bytes_of(path)
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {reason(error)}.") from error
    except _UnsuitableImageError as error:
        raise _UnsuitableImageError(f"Cannot use {path}: {error}.") from error
    except MemoryError as error:
        raise MemoryError(f"Cannot read {path}: the file is larger than the memory.") from error
    if data.startswith(PNG_SIGNATURE):
        decode = _decode_png
    elif data.startswith(TIFF_SIGNATURES):
        decode = _decode_tiff
    else:
        decode = _decode_other
    try:
        image = decode(data)
    except _UnsuitableImageError as error:
        raise _UnsuitableImageError(f"Cannot use {path}: {error}.") from error
    except MemoryError as error:
        raise MemoryError(f"Cannot use {path}: {in_short(error)}.") from error
    except Exception as error:  # what decoders raise on damaged files is not documented
        raise ValueError(
            f"Cannot read {path}: the image is damaged ({in_short(error)})."
        ) from error
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., [0, 0, 0, 1]]
    return image


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read the physical size of the pixels of an image file that :func:`read_image` can read.

    Parameters
    ----------
    path
        The file. Of TIFF, the OME metadata, ImageJ's or the resolution tags tell the size.

    Returns
    -------
    Calibration
        With the axes ``"YX"``; unknown sizes for files of other kinds.
    """
    with open(path, "rb") as file:
        if not file.read(4).startswith(TIFF_SIGNATURES):
            return Calibration.unknown("YX")
    from tifffile import TiffFile

    try:
        with TiffFile(path) as tiff:
            check_pages(tiff)
            return Calibration.of("YX", tiff_calibration(tiff).sizes)
    except Exception:  # as above; the pixels can be used without
        return Calibration.unknown("YX")


def write_image(
    path: str | os.PathLike[str],
    image: ArrayLike,
    bits: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Write an image to a PNG, TIFF or JPEG file, whole or not at all.

    Parameters
    ----------
    path
        The file; its extension gives the format. A file of this name is replaced.
    image
        Colours: ``(H, W, 3)``, or ``(H, W, 4)`` with straight alpha, of finite values in
        [0, 1]; values beyond are clipped, and JPEG, which knows no transparency, gets them
        over black, as napari shows them. Or the values of one channel: ``(H, W)``, written
        as they are, in their own dtype.
    bits
        Of each channel of colours: 8, 16, or 32 for floats; PNG has 8 and 16, JPEG 8. The
        default is 16 for TIFF, otherwise 8.
    metadata
        Stored as JSON: in a PNG text chunk, in the TIFF description, or in comments of JPEG.
    calibration
        Size of a pixel along y and x, which TIFF keeps.

    Raises
    ------
    ValueError
        If the extension is unknown or the format has no such bits or dtype.
    OSError
        If the file cannot be written.
    """
    pixels = np.asarray(image)
    path, output = _output(path, bits, pixels.dtype if pixels.ndim == 2 else None)
    if pixels.ndim == 3:
        if pixels.shape[2] == 4 and not output.alpha:
            pixels = pixels[..., :3] * pixels[..., 3:]
        pixels = _with_bits(pixels, bits or output.bits[0])
    else:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    data = output.encode(pixels, metadata, calibration)
    with replacing(path) as part:
        part.write_bytes(data)


def check_output(
    path: str | os.PathLike[str], bits: int | None = None, dtype: DTypeLike | None = None
) -> None:
    """Raise now what :func:`write_image` would raise after hours of work.

    Parameters
    ----------
    path, bits
        As for :func:`write_image`.
    dtype
        Of an image of one channel; None for colours.

    Raises
    ------
    ValueError
        If the extension is unknown or the format has no such bits or dtype.
    OSError
        If the file could not be written.
    """
    path, _ = _output(path, bits, None if dtype is None else np.dtype(dtype))
    check_writable(path)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an ``OSError`` that says why, if no file could be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"Cannot write {path}: it is a folder.")
    if path.exists() and not path.is_file():  # it would become a file, or be waited for
        raise OSError(f"Cannot write {path}: it is a pipe or a device, not a file.")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"Cannot write {path}: the file is write-protected.")
    # Only trying tells: read-only disks and Windows' access lists escape os.access.
    trial = _beside(path)
    try:
        trial.unlink(missing_ok=True)
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise _write_error(path, error) from error


class _UnsuitableImageError(ValueError):
    """An intact file that holds something else than one grayscale or RGB image."""


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISCHR(status.st_mode):  # it may have no end; pipes are what shells make
            raise _UnsuitableImageError("it is a device, not a file")
        check_memory(status.st_size, "its bytes take")  # a file of holes is small on its disk
        return file.read()


def check_pixels(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise before a small file unfolds into more memory than is free.

    Parameters
    ----------
    shape
        ``(H, W)``, or with samples behind.
    itemsize
        Bytes of each value.

    Raises
    ------
    ValueError
        If the pixels would not fit, together with the floats in colour that are painted.
    """
    height, width, *_ = shape
    needed = math.prod(shape) * itemsize + height * width * 3 * 4
    check_memory(needed, f"its {width} x {height} pixels take")


def check_memory(needed: int, taker: str) -> None:
    """Raise a ``ValueError`` that says what takes more bytes than are free."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise _UnsuitableImageError(
            f"{taker} {needed / 1e9:.0f} GB of memory, and {free / 1e9:.0f} GB are free"
        )


def _decode_png(data: bytes) -> NDArray[Any]:
    import imagecodecs  # Pillow reduces 16-bit RGB to 8 bits

    width, height, bits = struct.unpack(">IIB", data[16:25])
    check_pixels((height, width, 4), 2 if bits == 16 else 1)
    return np.asarray(imagecodecs.png_decode(data))


def _decode_tiff(data: bytes) -> NDArray[Any]:
    from tifffile import PHOTOMETRIC, TiffFile

    with TiffFile(BytesIO(data)) as file:
        check_pages(file)
        series = file.series[0]
        sizes = list(zip(series.axes, series.shape, strict=True))
        single = tuple(i for i, (axis, n) in enumerate(sizes) if n == 1 and axis not in "YX")
        axes = "".join(axis for i, (axis, _) in enumerate(sizes) if i not in single)
        if axes not in ("YX", "YXS", "SYX"):
            raise _UnsuitableImageError(
                f"it is a stack of shape {series.shape} with the axes {series.axes}; "
                "select one plane and save it by itself"
            )
        plane = tuple(dict(sizes)[axis] for axis in sorted(axes, key="YXS".index))
        check_pixels(plane, series.dtype.itemsize)
        page = series.keyframe
        image: NDArray[Any] = np.squeeze(series.asarray(), single)
        photometric, palette = page.photometric, page.colormap
    if axes == "SYX":
        image = np.moveaxis(image, 0, -1)
    match photometric:
        case PHOTOMETRIC.MINISBLACK | PHOTOMETRIC.RGB | PHOTOMETRIC.YCBCR:
            return image
        case PHOTOMETRIC.MINISWHITE if image.dtype.kind in "bu":
            inverted: NDArray[Any] = np.invert(image)
            return inverted
        case PHOTOMETRIC.PALETTE if palette is not None:
            return np.moveaxis(palette[:, image], 0, -1)
        case other:
            raise _UnsuitableImageError(
                f"its colours are stored as {getattr(other, 'name', other)}; "
                "convert it to grayscale or RGB"
            )


def _decode_other(data: bytes) -> NDArray[Any]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        # A large photograph is no attack; Pillow still refuses twice this size.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            # Of the others, some would start another program, such as Ghostscript.
            image: Image.Image = Image.open(BytesIO(data), formats=_PILLOW_FORMATS)
        except UnidentifiedImageError:
            raise _UnsuitableImageError(
                "it is not an image of a known format; PNG, JPEG and TIFF can be read"
            ) from None
        except Image.DecompressionBombError:
            raise _UnsuitableImageError(
                "it has too many pixels for its format; save it as TIFF or PNG"
            ) from None
    check_pixels((image.height, image.width, 4), 4 if image.mode in ("I", "F") else 1)
    image = ImageOps.exif_transpose(image)
    if image.mode not in ("1", "L", "I", "I;16", "F", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.array(image)


_Metadata = Mapping[str, Any] | None
_Encoder = Callable[[NDArray[Any], _Metadata, Calibration | None], bytes]


def _encode_png(image: NDArray[Any], metadata: _Metadata, calibration: Calibration | None) -> bytes:
    import imagecodecs

    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    if metadata is None:
        return data
    body = b"tEXt" + METADATA_KEY.encode() + b"\0" + json.dumps(metadata).encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end_of_header = len(PNG_SIGNATURE) + 25
    return data[:end_of_header] + chunk + data[end_of_header:]


def _encode_tiff(
    image: NDArray[Any], metadata: _Metadata, calibration: Calibration | None
) -> bytes:
    import tifffile

    resolution = None if calibration is None else pixels_per_centimeter(calibration)
    file = BytesIO()
    tifffile.imwrite(
        file,
        image,
        **tiff_options(image.dtype, image.shape[2:]),
        resolution=resolution,
        resolutionunit=None if resolution is None else "CENTIMETER",
        description=_description(metadata),
        metadata=None,
    )
    return file.getvalue()


def tiff_options(dtype: np.dtype[Any], channels: tuple[int, ...]) -> dict[str, Any]:
    """Return how tifffile writes planes of a dtype, with the channels of colours or without."""
    return {
        "photometric": "rgb" if channels else "minisblack",
        "extrasamples": ["unassalpha"] if channels == (4,) else None,
        "compression": "zlib",
        # Few programs read what a predictor makes of other values.
        "predictor": True if dtype.kind in "iu" and dtype.itemsize <= 2 else None,
    }


def _encode_jpeg(
    image: NDArray[Any], metadata: _Metadata, calibration: Calibration | None
) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    data, text = file.getvalue(), (_description(metadata) or "").encode()
    pieces = [text[i : i + JPEG_COMMENT] for i in range(0, len(text), JPEG_COMMENT)]
    comments = (struct.pack(">BBH", 0xFF, 0xFE, len(piece) + 2) + piece for piece in pieces)
    start = _end_of_jfif(data)
    return data[:start] + b"".join(comments) + data[start:]


def _end_of_jfif(data: bytes) -> int:
    """Where the segment ends that readers expect first."""
    start = 2
    while data[start : start + 2] == b"\xff\xe0":
        start += 2 + int.from_bytes(data[start + 2 : start + 4])
    return start


def _description(metadata: _Metadata) -> str | None:
    if metadata is None:
        return None
    # tifffile takes JSON with "shape": for its own description of the pixels.
    return json.dumps({METADATA_KEY: metadata}).replace('"shape":', '"shape" :')


class _Format(NamedTuple):
    encode: _Encoder
    bits: tuple[int, ...]
    """Of a channel of colours; the default first."""
    dtypes: str | None
    """Of a single channel; None for any."""
    alpha: bool


_PNG = _Format(_encode_png, (8, 16), "uint8 or uint16", alpha=True)
_TIFF = _Format(_encode_tiff, (16, 8, 32), None, alpha=True)
_JPEG = _Format(_encode_jpeg, (8,), "uint8", alpha=False)
_FORMATS = {".png": _PNG, ".tif": _TIFF, ".tiff": _TIFF, ".jpg": _JPEG, ".jpeg": _JPEG}


def _output(
    path: str | os.PathLike[str], bits: int | None, dtype: np.dtype[Any] | None
) -> tuple[Path, _Format]:
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(
            f"Cannot write {path}: its extension must be one of {', '.join(_FORMATS)}."
        )
    output = _FORMATS[path.suffix.lower()]
    if dtype is not None and bits is not None:
        raise ValueError(
            f"Cannot write {path} with {bits} bits: one channel keeps its own dtype, {dtype}."
        )
    if dtype is not None and output.dtypes and dtype.name not in output.dtypes.split():
        raise ValueError(
            f"Cannot write {path} with values of dtype {dtype}: this format holds "
            f"{output.dtypes}; TIFF (.tif) holds them all."
        )
    if bits is not None and bits not in output.bits:
        raise ValueError(
            f"Cannot write {path} with {bits} bits per channel: TIFF has 8, 16 or 32, "
            "PNG 8 or 16, JPEG 8."
        )
    return path, output


def _with_bits(colours: NDArray[Any], bits: int) -> NDArray[Any]:
    if bits == 32:
        clipped: NDArray[np.float32] = np.clip(colours, 0, 1).astype(np.float32)
        return clipped
    return quantize(colours, np.uint8 if bits == 8 else np.uint16)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write, which takes the place of `path` if all goes well.

    At any moment, and after a power cut, there is the old file or the new one, whole. What
    processes have left that were killed while they wrote is deleted.

    Raises
    ------
    OSError
        If the file cannot be written; the one of that name is then as it was.
    """
    try:
        part = _beside(path)
        _clear_leavings(path)
        part.unlink(missing_ok=True)  # a link of this name would be followed
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(_target(path))
        _sync_folder(part.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        with suppress(OSError):  # gone, if all went well
            part.unlink()


def _beside(path: Path) -> Path:
    # Beside the file that a link points to: only there is the replacement atomic.
    target = _target(path)
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _target(path: Path) -> Path:
    # Not pathlib's resolve, which has an error of its own kind for links that lead in a circle.
    return Path(os.path.realpath(path))


def _clear_leavings(path: Path) -> None:
    import psutil

    target = _target(path)
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.part")
    for entry in os.scandir(target.parent):
        left = name.fullmatch(entry.name)
        if left and not psutil.pid_exists(int(left[1])):
            with suppress(OSError):
                os.unlink(entry)


def _sync_folder(folder: Path) -> None:
    """Let a new name outlast a power cut, where a system can do that for folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_error(path: Path, error: OSError) -> OSError:
    return type(error)(f"Cannot write {path}: {reason(error)}.")


def in_short(error: Exception) -> str:
    """Return what a library says is wrong with a file, on one line: it may quote all of it."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 200 else words[:199] + "…"


def reason(error: OSError) -> str:
    """Say in a few words why a file could not be opened, read or written."""
    match error:
        case FileNotFoundError():
            return "there is no such file or folder"
        case IsADirectoryError():
            return "it is a folder"
        case PermissionError():
            return "you have no permission"
        case _:
            return error.strerror or str(error)
