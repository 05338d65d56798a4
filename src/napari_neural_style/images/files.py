"""Image files in and out."""

import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_neural_style.images.pixels import quantize

METADATA_KEY = "napari_neural_style"
"""Names a result's recipe: in a layer's metadata, a PNG text chunk, a TIFF or JPEG description."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_COMMENT_LIMIT = 65533


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
        If it is not an image, is damaged, or holds more than one plane.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise type(error)(f"Cannot read {path}: {_reason(error)}.") from error
    if data.startswith(_PNG_SIGNATURE):
        decode = _decode_png
    elif data.startswith(_TIFF_SIGNATURES):
        decode = _decode_tiff
    else:
        decode = _decode_other
    try:
        image = decode(data)
    except (_UnsuitableImageError, MemoryError) as error:
        raise type(error)(f"Cannot use {path}: {error}.") from error
    except Exception as error:  # what decoders raise on damaged files is not documented
        raise ValueError(f"Cannot read {path}: the image is damaged ({error}).") from error
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., [0, 0, 0, 1]]
    return image


def write_image(
    path: str | os.PathLike[str],
    rgb: ArrayLike,
    bits: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write an RGB image to a PNG, TIFF or JPEG file, whole or not at all.

    Parameters
    ----------
    path
        The file; its extension gives the format. A file of this name is replaced.
    rgb
        An ``(H, W, 3)`` array of finite values in [0, 1]; values beyond are clipped.
    bits
        8 or 16 bits per channel; JPEG has 8. The default is 16 for TIFF, otherwise 8.
    metadata
        Stored as JSON: in a PNG text chunk, in the TIFF description, or, as far as
        the 64 kB of it suffice, in the JPEG comment.

    Raises
    ------
    ValueError
        If the extension is unknown or the format has no such number of bits.
    OSError
        If the file cannot be written.
    """
    path, encode, dtype = _output_format(path, bits)
    _replace_file(path, encode(quantize(rgb, dtype), metadata))


def check_output(path: str | os.PathLike[str], bits: int | None = None) -> None:
    """Raise now what :func:`write_image` would raise after hours of work.

    Parameters
    ----------
    path, bits
        As for :func:`write_image`.

    Raises
    ------
    ValueError
        If the extension is unknown or the format has no such number of bits.
    OSError
        If the file could not be written.
    """
    path, _, _ = _output_format(path, bits)
    check_writable(path)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an ``OSError`` that says why, if no file could be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"Cannot write {path}: it is a folder.")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"Cannot write {path}: the file is write-protected.")
    # Only trying tells: read-only disks and Windows' access lists escape os.access.
    trial = _beside(path)
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise _write_error(path, error) from error


class _UnsuitableImageError(ValueError):
    """An intact file that holds something else than one grayscale or RGB image."""


def _decode_png(data: bytes) -> NDArray[Any]:
    import imagecodecs  # Pillow reduces 16-bit RGB to 8 bits

    return np.asarray(imagecodecs.png_decode(data))


def _decode_tiff(data: bytes) -> NDArray[Any]:
    from tifffile import PHOTOMETRIC, TiffFile

    with TiffFile(BytesIO(data)) as file:
        series = file.series[0]
        sizes = list(zip(series.axes, series.shape, strict=True))
        single = tuple(i for i, (axis, n) in enumerate(sizes) if n == 1 and axis not in "YX")
        axes = "".join(axis for i, (axis, _) in enumerate(sizes) if i not in single)
        if axes not in ("YX", "YXS", "SYX"):
            raise _UnsuitableImageError(
                f"it is a stack of shape {series.shape} with the axes {series.axes}; "
                "select one plane and save it by itself"
            )
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
            image: Image.Image = Image.open(BytesIO(data))
        except UnidentifiedImageError:
            raise _UnsuitableImageError(
                "it is not an image of a known format; PNG, JPEG and TIFF can be read"
            ) from None
        except Image.DecompressionBombError:
            raise _UnsuitableImageError(
                "it has too many pixels for its format; save it as TIFF or PNG"
            ) from None
    image = ImageOps.exif_transpose(image)
    if image.mode not in ("1", "L", "I", "I;16", "F", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.array(image)


_Encoder = Callable[[NDArray[Any], Mapping[str, Any] | None], bytes]


def _encode_png(image: NDArray[Any], metadata: Mapping[str, Any] | None) -> bytes:
    import imagecodecs

    data = bytes(imagecodecs.png_encode(image))
    if metadata is None:
        return data
    body = b"tEXt" + METADATA_KEY.encode() + b"\0" + json.dumps(metadata).encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end_of_header = len(_PNG_SIGNATURE) + 25
    return data[:end_of_header] + chunk + data[end_of_header:]


def _encode_tiff(image: NDArray[Any], metadata: Mapping[str, Any] | None) -> bytes:
    import tifffile

    file = BytesIO()
    tifffile.imwrite(
        file,
        image,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        description=_description(metadata),
        metadata=None,
    )
    return file.getvalue()


def _encode_jpeg(image: NDArray[Any], metadata: Mapping[str, Any] | None) -> bytes:
    from PIL import Image

    comment = _description(metadata) or ""
    if len(comment) > _JPEG_COMMENT_LIMIT:
        comment = ""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0, comment=comment)
    return file.getvalue()


def _description(metadata: Mapping[str, Any] | None) -> str | None:
    return None if metadata is None else json.dumps({METADATA_KEY: metadata})


_FORMATS: dict[str, tuple[_Encoder, tuple[int, ...]]] = {
    ".png": (_encode_png, (8, 16)),
    ".tif": (_encode_tiff, (16, 8)),
    ".tiff": (_encode_tiff, (16, 8)),
    ".jpg": (_encode_jpeg, (8,)),
    ".jpeg": (_encode_jpeg, (8,)),
}
"""By extension: how to encode, and the bits per channel, the default first."""


def _output_format(
    path: str | os.PathLike[str], bits: int | None
) -> tuple[Path, _Encoder, type[np.uint8] | type[np.uint16]]:
    path = Path(path)
    extension = path.suffix.lower()
    if extension not in _FORMATS:
        raise ValueError(
            f"Cannot write {path}: its extension must be one of {', '.join(_FORMATS)}."
        )
    encode, depths = _FORMATS[extension]
    bits = depths[0] if bits is None else bits
    if bits not in depths:
        raise ValueError(
            f"Cannot write {path} with {bits} bits per channel: PNG and TIFF have 8 or 16, JPEG 8."
        )
    return path, encode, np.uint8 if bits == 8 else np.uint16


def _replace_file(path: Path, data: bytes) -> None:
    part = _beside(path)
    try:
        part.write_bytes(data)
        part.replace(path.resolve())
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        with suppress(OSError):  # gone, if all went well
            part.unlink()


def _beside(path: Path) -> Path:
    # Beside the file that a link points to: only there is the replacement atomic.
    target = path.resolve()
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _write_error(path: Path, error: OSError) -> OSError:
    return type(error)(f"Cannot write {path}: {_reason(error)}.")


def _reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file or folder"
        case IsADirectoryError():
            return "it is a folder"
        case PermissionError():
            return "you have no permission"
        case _:
            return error.strerror or str(error)
