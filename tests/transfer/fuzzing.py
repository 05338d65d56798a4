"""Cases that nobody would think of: any images, any settings; and what must come of them.

Drawn by hypothesis in ``test_fuzz.py``, and by the thousand in ``benchmarks/fuzz.py``.
"""

import gc
import json
import math
import os
import random
import tempfile
import threading
import traceback
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import napari_neural_style
from napari_neural_style import PRESETS, Settings, StyleTransfer
from napari_neural_style.images import to_rgb
from napari_neural_style.layers import LAYERS, layer_names
from napari_neural_style.settings import layer_weights
from napari_neural_style.transfer.live import LIVE
from napari_neural_style.transfer.scales import resize

# No case makes more updates: what it would do with ten million steps is the same.
MOST_STEPS = 10
_PACKAGE = Path(napari_neural_style.__file__).parent
_DTYPES = (
    *("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g"),
    *(">i2", ">u2", ">i4", ">u8", ">f2", ">f4", ">f8"),
)
_NO_DTYPES = ("c8", "O", "U1", "M8[s]", [("x", "f4")])


class Fault(AssertionError):
    """What must not come of a case."""


@dataclass
class Case:
    """A run, and what is changed while it goes on."""

    content: Any
    style: Any
    settings: dict[str, Any]
    changes: dict[int, dict[str, Any]]
    """By the number of the update after which they are made."""
    saved: int
    """Number of the update after which it is saved and loaded again; 0 for never."""
    told: bool
    """Whether it is asked for its recipe, which hashes the weights: as slow as the run."""

    def __repr__(self) -> str:
        return f"Case({', '.join(f'{k}={_told(v)}' for k, v in vars(self).items())})"


def _told(value: Any) -> str:
    """Tell a value; of an array what it is."""
    if isinstance(value, np.ndarray):
        kind = type(value).__name__
        low, high = (value.min(), value.max()) if value.size and value.dtype.kind in "biuf" else ""
        return f"<{kind} {value.dtype.str} {value.shape} {low}…{high}>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_told(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) < 20:
        return "[" + ", ".join(map(_told, value)) + "]"
    return repr(value)[:200]


# ----------------------------------------------------------------------- images


class Picture(np.ndarray):
    """An array with a name of its own, as other packages have them."""


class Wrapped:
    """No array, but it can be made one."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)


def draw_image(draw: random.Random, plain: float) -> Any:
    """Draw an image; with the probability ``plain`` one that can be painted."""
    if draw.random() < plain:
        height, width = draw.randint(24, 44), draw.randint(24, 44)
        channels = draw.choice([(), (3,), (3,), (4,)])
        kind, dtype = draw.choice(["noise", "waves", "dark", "pale"]), draw.choice(_DTYPES)
    else:
        height, width = draw.choice(
            [(0, 9), (9, 0), (1, 1), (1, 40), (40, 1), (2, 2), (15, 16), (16, 200), (33, 17)]
            + 9 * [(32, 40)]
        )
        channels = draw.choice([(2,), (5,), (3, 1), *3 * [(), (1,), (3,), (4,)]])
        kind = draw.choice(sorted(_KINDS))
        dtype = draw.choice([*_DTYPES, *_NO_DTYPES] if draw.random() < 0.2 else _DTYPES)
    numbers = np.random.default_rng(draw.randrange(2**32))
    unit = _KINDS[kind](numbers, (height, width, *channels))
    image = _of_dtype(unit, np.dtype(dtype))
    if channels == (4,) and draw.random() < 0.3 and image.dtype.kind in "biuf":
        image[..., 3] = np.where(numbers.random(image.shape[:2]) < draw.random(), 0, image[..., 3])
    return _laid_out(draw, image)


def _waves(numbers: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle = numbers.random() * (x / 3 + np.sin(y / 5))
    waves = 0.5 + 0.4 * np.sin(angle.reshape(*angle.shape, *(1,) * (len(shape) - 2)))
    return waves * (0.6 + 0.4 * numbers.random(shape[2:]))


def _spotted(value: float) -> Any:
    """Noise with one pixel of some value."""

    def drawn(numbers: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        image = numbers.random(shape)
        image.flat[: min(1, image.size)] = value
        return image

    return drawn


_KINDS: dict[str, Any] = {
    "noise": lambda numbers, shape: numbers.random(shape),
    "waves": _waves,
    "dark": lambda numbers, shape: numbers.random(shape) ** 8 * 0.3,
    "pale": lambda numbers, shape: 1 - numbers.random(shape) ** 6 * 0.2,
    "black": lambda _, shape: np.zeros(shape),
    "white": lambda _, shape: np.ones(shape),
    "grey": lambda numbers, shape: np.full(shape, numbers.random()),
    "two": lambda numbers, shape: np.round(numbers.random(shape)),
    "one pixel": lambda numbers, shape: (np.arange(math.prod(shape)) == 7).reshape(shape) * 1.0,
    "nearly grey": lambda numbers, shape: 0.5 + 1e-7 * numbers.random(shape),
    "wide": lambda numbers, shape: 10.0 ** numbers.uniform(-300, 300, shape),
    "widest": lambda numbers, shape: numbers.choice([-1.7e308, 0, 1.7e308], shape),
    "tiny": lambda numbers, shape: numbers.random(shape) * 1e-310,
    "large": lambda numbers, shape: 1e9 + numbers.random(shape),
    "signed": lambda numbers, shape: numbers.normal(size=shape),
    "beyond": lambda numbers, shape: 1 + 1e-6 * numbers.random(shape),
    "NaN": _spotted(math.nan),
    "infinite": _spotted(math.inf),
    "minus infinite": _spotted(-math.inf),
}


def _of_dtype(unit: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers, mostly of [0, 1], in a dtype; over the whole range of integers."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beyond a dtype's range is meant to be drawn, too
        if dtype.kind not in "iu":
            return (unit > 0.5 if dtype.kind == "b" else unit).astype(dtype)
        info = np.iinfo(dtype)
        low, high = float(info.min), float(info.max)
        return np.clip(np.nan_to_num(low + unit * (high - low)), low, high * 0.999).astype(dtype)


def _laid_out(draw: random.Random, image: np.ndarray) -> Any:
    """The same pixels, or turned ones, as other programs hold them in memory."""
    kind = draw.randrange(14)
    if kind == 0:
        return np.asfortranarray(image)
    if kind == 1:
        return image[::-1, ::-1]
    if kind == 2:
        return np.repeat(np.repeat(image, 2, 0), 3, 1)[::2, ::3]
    if kind == 3 and image.ndim > 2:
        return np.ascontiguousarray(np.moveaxis(image, -1, 0)).transpose(
            1, 2, 0, *range(3, image.ndim)
        )
    if kind == 4 and image.shape[1] and draw.random() < 0.3:
        return np.broadcast_to(image[:, :1], image.shape)
    if kind == 5:
        image.flags.writeable = False
    if kind == 6:
        return image.view(Picture)
    if kind == 7 and image.size and image.dtype.kind in "biuf":
        with tempfile.TemporaryFile() as file:
            mapped = np.memmap(file, image.dtype, "w+", shape=image.shape)
        mapped[...] = image
        return mapped
    if kind == 8:
        return np.ma.masked_array(image, image == image)
    if kind == 9:
        return image.tolist()
    if kind == 10:
        return Wrapped(image)
    if kind == 11 and image.size:  # not aligned
        buffer = np.empty(image.nbytes + 1, np.uint8)[1:]
        other = np.frombuffer(buffer, image.dtype) if image.dtype.kind in "biuf" else None
        if other is not None:
            other = other.reshape(image.shape)
            other[...] = image
            return other
    return image


# --------------------------------------------------------------------- settings


def _layers(draw: random.Random) -> Any:
    deepest = draw.choice([9, 9, 18, len(LAYERS)])  # most that are drawn are seen in small images
    names = [
        draw.choice(_NAMES[layer]) for layer in draw.sample(LAYERS[:deepest], draw.randint(1, 4))
    ]
    if draw.random() < 0.5:
        return tuple(names)
    weights = [0, 1, 1, 0.5, 1e-30, 1e6, 5e-324] if draw.random() < 0.5 else [1, 2, 0.1]
    return {name: draw.choice(weights) for name in names}


# What each layer is called.
_NAMES = {
    layer: [name for name, named in layer_names().items() if named is layer] for layer in LAYERS
}


def _weight(draw: random.Random) -> float:
    if draw.random() < 0.5:
        return draw.choice([0, 1, 8, 0.1, 100, 1e4])
    return draw.choice([5e-324, 1e-300, 1e-45, 1e-20, 1e-8, 1e10, 1e20, 1e30, 1e38, 1e300, 1.7e308])


def _mask(draw: random.Random, shape: tuple[int, int], floats: bool = True) -> np.ndarray:
    numbers = np.random.default_rng(draw.randrange(2**32))
    dtype = draw.choice(["?", "u1", "i4", ">u2", "i8", *(["f4", "f8", "f2"] if floats else [])])
    y, x = np.mgrid[: shape[0], : shape[1]]
    kind = draw.randrange(20)
    if kind in (0, 6, 7, 8):
        mask = numbers.random(shape) < 0.5
    elif kind == 1:
        mask = (y + x) == 0
    elif kind in (2, 9, 10, 11, 12):
        mask = y * 0 + 1
    elif kind == 3:
        mask = y * 0
    else:
        mask = 1 + (x > shape[1] // 2) * draw.choice([1, 1, -1, 254])
    if np.dtype(dtype).kind == "f":
        share = np.clip(mask * numbers.random(shape), 0, 1)
        return (share if kind else share * 1e-7).astype(dtype)
    return np.asarray(mask).astype(dtype)


# Each setting: what it may be, at its limits too, and what it may not be.
_VALUES: dict[str, Any] = {
    "content_layers": (_layers, ["", (), "relu9_1", {"relu1_1": -1}, {"3": math.nan}, 3, [None]]),
    "style_layers": (_layers, [["relu1_1", "r11"], {}, {"relu1_1": "a"}, ["relu1_1", 7.5]]),
    "content_weight": (_weight, [-1, math.nan, math.inf, "1", None, True]),
    "style_weight": (_weight, [-1e-9, math.nan, math.inf, [1], 10**400]),
    "tv_weight": (_weight, [-1, math.nan, math.inf, 1j]),
    "pooling": (["max", "avg"], ["mean", None, 1]),
    "optimizer": (["adam", "lbfgs", "bounded-lbfgs"], ["sgd", None]),
    "learning_rate": ([5e-324, 1e-30, 1e-3, 0.04, 0.3, 1, 10, 1000], [0, -1, 1001, math.nan, "x"]),
    "schedule": (["constant", "step", "cosine"], ["linear", 0]),
    "steps": ([1, 2, 2, 3, 3, 5, 8, 9, (1, 2), (0, 3), (3,), 10**7], [0, -1, 1.5, (0,), (), "3"]),
    "budget": ([None, 5e-324, 1e-3, 0.05, 0.2, 1e300], [0, -1, math.nan, math.inf, "1"]),
    "tolerance": ([0, 5e-324, 0.01, 0.5, 1], [-1, 1.1, math.nan]),
    "patience": ([1, 2, 5, 10**7], [0, -1, 1.5, 10**8]),
    "scales": (["auto", "auto", (16,), (32,), (40,), (24, 40), (16, 32, 33), (16, 65_536)],
               [(), (15,), (32, 16), (16, 16), (16, 65_537), "automatic", 32, (16.5,)]),
    "detail": ([0, 1, 2, 1e-300], [-1, 2.1, math.nan]),
    "size": ([16, 32, 33, 40, 48, 48, 65_536], [15, 0, -1, 65_537, 20.5, "32"]),
    "init": (["content", "noise", "style"], ["random", None, 3, [[1, 2], [3, 4]]]),
    "style_scale": ([1e-300, 0.1, 0.5, 1, 3, 10], [0, -1, 11, math.nan]),
    "color": (["style", "luminance", "match"], ["none", 3]),
    "feather": ([0, 5e-324, 0.5, 4, 30, 65_536], [-1, 1e9, math.nan]),
    "keep_best": ([True, False, np.True_], [1, "yes", None]),
    "seed": ([0, 1, 2**63 - 1, np.int64(4)], [-1, 2**63, 1.0, "0"]),
    "device": (["cpu", "auto"], ["gpu", "cuda:99", "", None]),
    "precision": (["auto", "float32", "bfloat16", "float16", "float64"], ["half", 32]),
    "tile": (["auto", "off", 64, 65_536], [63, 65_537, "on", 100.5]),
    "memory_limit": ([None, 0.6, 2, 1e300], [0, -1, math.nan, 5e-324]),
    "weights": (["original"] * 3, ["", "nowhere.pth", os.devnull, os.sep, None, "a\0b"]),
}  # fmt: skip


def draw_settings(draw: random.Random, names: list[str], wrong: float = 0.015) -> dict[str, Any]:
    """Draw values of some settings; each with the probability ``wrong`` one out of range."""
    settings = {}
    for name in names:
        right, bad = _VALUES[name]
        if draw.random() < wrong:
            settings[name] = draw.choice(bad)
        else:
            settings[name] = right(draw) if callable(right) else draw.choice(right)
    return settings


def draw_case(draw: random.Random) -> Case:
    """Draw a case.

    Parameters
    ----------
    draw : random.Random
        Decides everything: the same numbers make the same case.
    """
    plain = draw.choice([0.5, 1, 1, 1])
    content = draw_image(draw, plain=plain)
    styles = [draw_image(draw, plain=plain) for _ in range(draw.choice([1, 1, 1, 2, 3]))]
    single = len(styles) == 1 and draw.random() < 0.7
    preset = draw.choice([*PRESETS, "default", "fast"])
    names = [name for name in _VALUES if draw.random() < draw.choice([0.05, 0.2, 0.5])]
    names += draw.choice([["content_layers", "style_layers"], []])  # shallow ones are fast
    # Where nothing says how large, the presets paint 512 pixels, for minutes.
    size = {"size": draw.choice([24, 32, 32, 40]), "steps": draw.choice([1, 2, 4, 8])}
    size |= {} if preset in ("default", "fast") else {"scales": (40,)}
    settings = {"preset": preset, **size, **draw_settings(draw, names)}
    settings |= _draw_images_among(draw, content, styles)
    if draw.random() < 0.005:
        settings[draw.choice(["nonsense", "style_wieght", "Steps"])] = 1
    changes = {}
    for _ in range(draw.choice([0, 0, 0, 1, 2])):
        changes[draw.randrange(5)] = _draw_change(draw, content, styles)
    saved = draw.choice([0, 0, 0, 0, 0, 1, 3])
    told = draw.random() < 0.1
    return Case(content, styles[0] if single else styles, settings, changes, saved, told)


def _draw_images_among(
    draw: random.Random, content: Any, styles: list[Any], likely: float = 0.12
) -> dict[str, Any]:
    """Draw settings that are arrays, or that must fit the images."""
    found: dict[str, Any] = {}
    if draw.random() < likely:
        found["init"] = draw_image(draw, plain=0.8)
    if draw.random() < likely or (len(styles) > 1 and draw.random() < 0.5):
        weights = [draw.choice([0, 1, 2, 1e-300, 1e300, 5e-324]) for _ in styles]
        found["style_weights"] = weights[: None if draw.random() < 0.95 else -1]
    if draw.random() < 2 * likely:
        found["mask"] = _mask(draw, _shape(content))
        if draw.random() < 0.5:
            found["style_masks"] = [_mask(draw, _shape(style), False) for style in styles]
    return found


def _draw_change(draw: random.Random, content: Any, styles: list[Any]) -> dict[str, Any]:
    names = [name for name in _VALUES if draw.random() < 0.1]
    if draw.random() < 0.9:  # what a run may change
        names = [name for name in names if name in LIVE]
    change = draw_settings(draw, names)
    for name in ("content", "style", "picture"):
        if draw.random() < 0.12:
            change[name] = draw_image(draw, plain=0.85)
    images = _draw_images_among(draw, change.get("content", content), styles, 0.06)
    if draw.random() < 0.8:  # no change of a run
        images.pop("init", None)
    return {**change, **images}


def _shape(image: Any) -> tuple[int, int]:
    shape = np.shape(np.asarray(image, dtype=object) if isinstance(image, list) else image)
    if isinstance(image, Wrapped):
        shape = image._array.shape
    return (*shape, 1, 1)[:2] if len(shape) > 1 else (1, 1)


# ----------------------------------------------------------------------- oracle


def play(case: Case) -> str:
    """Run a case; return ``finished``, or the sentence that refuses it.

    Raises
    ------
    Fault
        If it ends in anything else than a finite image in [0, 1] that is not flat, or a
        documented error with one clear sentence; if it changes its inputs, or leaves a
        thread or an open file behind.
    """
    process = psutil.Process()
    files = process.num_fds() if hasattr(process, "num_fds") else 0
    threads = set(threading.enumerate())
    before = _digest(case)
    kept: list[weakref.ref] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            outcome = _played(case, kept)
        except (ValueError, TypeError, MemoryError) as error:
            _check_refusal(error)
            outcome = str(error)
    if _digest(case) != before:
        raise Fault("It changed its inputs.")
    if [ref for ref in kept if ref() is not None]:
        gc.collect()
        raise Fault("The run outlives its last reference.")
    if set(threading.enumerate()) - threads:
        raise Fault(f"It left threads: {set(threading.enumerate()) - threads}.")
    if files and process.num_fds() > files:
        raise Fault(f"It left {process.num_fds() - files} files open.")
    return outcome


def _played(case: Case, kept: list[weakref.ref]) -> str:
    transfer = StyleTransfer(case.content, case.style, **case.settings)
    kept.append(weakref.ref(transfer))
    refused, begun_with = "", [to_rgb(case.content)]
    for number in range(MOST_STEPS):
        if change := case.changes.get(number):
            said = _changed(transfer, change)
            refused = said or refused
            if not said and "picture" in change:
                begun_with.append(to_rgb(change["picture"]))
        update = next(transfer, None)
        if update is None:
            break
        if not set(update.losses) == {"content", "style", "tv", "total"}:
            raise Fault(f"Its losses are {update.losses}.")
        # What there was no time for is enlarged at the end.
        check_image(update.image, transfer.scales[-1] if transfer._run.finished else update.size)
        if number + 1 == case.saved:
            transfer = _saved_and_loaded(transfer)
            kept.append(weakref.ref(transfer))
    transfer.stop()
    if next(transfer, None) is not None:
        raise Fault("It goes on after it was stopped.")
    ended = transfer._run.finished
    image = transfer.result
    check_image(image, transfer.scales[-1] if ended else None)
    check_picture(image, transfer, begun_with)
    run = transfer._run
    kept += map(weakref.ref, (run, run.studio, run.pictures, run.painting))
    del run
    if case.told:
        recipe = json.loads(json.dumps(transfer.provenance(), allow_nan=False))
        if Settings.from_dict(recipe["settings"]) != transfer.settings:
            raise Fault("The recipe has other settings than the run.")
    return f"finished, but a change was refused: {refused}" if refused else "finished"


def _changed(transfer: StyleTransfer, change: dict[str, Any]) -> str:
    """Change a run; return the sentence that refuses it."""
    try:
        transfer.update(**change)
    except (ValueError, TypeError, MemoryError) as error:
        _check_refusal(error)
        return str(error)
    return ""


def _saved_and_loaded(transfer: StyleTransfer) -> StyleTransfer:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint"
        transfer.save(file)
        loaded = StyleTransfer.load(file)
    if not np.array_equal(loaded.result, transfer.result):
        raise Fault("A loaded run has another picture.")
    return loaded


def check_image(image: Any, shape: tuple[int, int] | None) -> None:
    """Raise a Fault unless an image is a finite (H, W, 3) float32 array in [0, 1]."""
    if not isinstance(image, np.ndarray) or image.dtype != np.float32:
        raise Fault(f"The image is {_told(image)}.")
    if image.ndim != 3 or image.shape[2] != 3 or shape not in (None, image.shape[:2]):
        raise Fault(f"The image has shape {image.shape} instead of {shape}.")
    if not np.isfinite(image).all():
        raise Fault(f"The image is not finite: {np.isfinite(image).mean():.0%} is.")
    if image.min() < 0 or image.max() > 1:
        raise Fault(f"The image is not in [0, 1]: {_told(image)}.")


def check_picture(image: np.ndarray, transfer: StyleTransfer, begun_with: list[np.ndarray]) -> None:
    """Raise a Fault if a result shows nothing, though its images do, those it began with, too."""
    pictures = transfer._run.pictures
    images = [pictures.content, *pictures.styles, pictures.init]
    images += [torch.from_numpy(rgb).permute(2, 0, 1)[None] for rgb in begun_with]
    # Noise is not seen in a smaller picture.
    shown = [resize(t, *image.shape[:2]).numpy() for t in images if not isinstance(t, str)]
    settings = transfer.settings
    asked = max(
        settings.style_weight * max(layer_weights(settings.style_layers).values()),
        settings.content_weight * max(layer_weights(settings.content_layers).values()),
    )
    if settings.tv_weight > 100 * asked:
        return  # a flat image was asked for
    contrast = min(float(part.std()) for part in shown)
    if contrast > 0.05 and image.std() < 0.2 * contrast:
        raise Fault(f"The picture is flat: {image.std():g}, where its images have {contrast:g}.")
    clipped = max(float(((part <= 0) | (part >= 1)).mean()) for part in shown)
    its = float(((image <= 0) | (image >= 1)).mean())
    away = float(np.abs(image - shown[0][0].transpose(1, 2, 0)).mean())
    # The first moves of plain L-BFGS are as long as they are; a dark content may become black.
    short = settings.optimizer == "lbfgs" and transfer.total < 4
    if clipped < 0.3 and its > 0.9 and away > 0.1 and not short:
        raise Fault(f"The picture is {its:.0%} black or white, its images {clipped:.0%}.")


def _check_refusal(error: Exception) -> None:
    """Raise a Fault unless an error is ours, and one clear sentence."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error)
    ours = Path(where.filename).is_relative_to(_PACKAGE)
    exact = type(error).__module__.split(".")[0] in ("builtins", "napari_neural_style")
    if not ours or not exact or "\n" in message or not message.endswith((".", "?")):
        raise Fault(f"It is refused by {error!r} from {where.filename}:{where.lineno}.") from error
    if len(message) > 500:
        raise Fault(f"It is refused by {len(message)} characters: {message}")


def _digest(value: Any) -> int:
    """Tell whether arrays have changed."""
    if isinstance(value, Case):
        return _digest([value.content, value.style, value.settings, value.changes])
    if isinstance(value, Wrapped):
        return _digest(value._array)
    if isinstance(value, np.ndarray):
        return hash((value.shape, value.dtype.str, np.asarray(value).tobytes()))
    if isinstance(value, dict):
        return _digest([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return hash(tuple(map(_digest, value)))
    return hash(repr(value))
