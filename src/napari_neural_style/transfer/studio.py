"""What a run computes with: the encoder, its weights, and what it found in the styles."""

import functools
import threading
from collections.abc import Hashable
from typing import Final, TypeVar

import torch

from napari_neural_style.settings import Settings, layer_weights
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.fallback import Means, fall_back, smaller_tiles
from napari_neural_style.transfer.guides import Label, labels_of, make_guides
from napari_neural_style.transfer.inputs import image_digest
from napari_neural_style.transfer.memory import check_memory, memory_needed, plan_tiles, room
from napari_neural_style.transfer.objective import (
    Features,
    Objective,
    StyledRegion,
    StyleTargets,
    content_targets,
    layers_of,
    least_side,
    style_targets,
)
from napari_neural_style.transfer.pictures import Pictures
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.weights import fingerprint, load_weights

# Of targets that are kept for another time: of styles, and of contents before another's are made.
_TARGETS_BYTES: Final = 256 << 20
_CONTENTS_BYTES: Final = 64 << 20
# Of a content whose targets take little beside any others.
_SMALL_BYTES: Final = 4 << 20
Kept = TypeVar("Kept", StyleTargets, Features)


def dtype_of(means: Means) -> torch.dtype:
    """Of images and losses."""
    return torch.float64 if means.precision == torch.float64 else torch.float32


def needed_with(settings: Settings, shape: tuple[int, int], means: Means) -> int:
    """Bytes that a run with some means needs, for a result of some height and width."""
    plan = plan_tiles(means.tile, means.precision, means.device)
    return memory_needed(settings, shape, plan, means.precision)


def fitting_means(settings: Settings, means: Means, shape: tuple[int, int], held: int = 0) -> Means:
    """Take as small tiles as the memory asks for, where they may be chosen.

    Parameters
    ----------
    settings : Settings
        Of the run.
    means : Means
        Those that are wanted.
    shape : tuple of int
        Height and width of the result, in pixels.
    held : int
        Bytes that the run holds already.

    Raises
    ------
    ValueError
        If the memory is not enough for any.
    """
    needed = functools.partial(needed_with, settings, shape)
    if settings.tile == "auto":
        there = room(settings, means.device, held)
        while needed(means) > there and (tiled := smaller_tiles(means, needed)):
            means = tiled
    plan = plan_tiles(means.tile, means.precision, means.device)
    check_memory(settings, shape, plan, means.precision, means.device, held)
    return means


class Studio:
    """Makes objectives. Runs in the same styles may share what is in it.

    Parameters
    ----------
    settings : Settings
        Of the run; those that an encoder depends on do not change while it goes on.
    means : Means
        Device, precision and tiles.
    """

    def __init__(self, settings: Settings, means: Means) -> None:
        self._settings = settings
        self._layers = layers_of(settings)
        self._targets: dict[Hashable, StyleTargets] = {}
        self.release()
        self.alone = threading.RLock()
        """Held by the one run that computes with the encoder."""
        self.move_to(means)

    def move_to(self, means: Means) -> None:
        """Compute with other means."""
        self.means = means
        self.release()
        self.dtype = dtype_of(means)
        self.space = image_space(self._settings.method.space, means.device, self.dtype)

    def release(self) -> None:
        """Let go of what is large and can be made again."""
        self.encoder: Encoder | None = None
        self._contents: dict[Hashable, Features] = {}

    def load_weights(self, kin: "Studio | None") -> None:
        """Load the weights, or take over what is the same in the studio of another run."""
        if kin is None or self._weights_key != kin._weights_key:
            source, normalize = self._weights_key
            self._weights = load_weights(source, normalize=normalize)
            return
        self._weights, self.fingerprint = kin._weights, kin.fingerprint
        self._targets, self.alone = kin._targets, kin.alone
        if self._encoder_key == kin._encoder_key:
            self.encoder = kin.made_encoder()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights; a hash of 80 MB, which a run tells at its start and at its end."""
        return fingerprint(self._weights)

    @property
    def _weights_key(self) -> tuple[str, bool]:
        source = self._settings.weights
        return source, source == "original" and self._settings.method.normalize_original

    @property
    def _encoder_key(self) -> Hashable:
        """Tell encoders apart, and what they find in the same image."""
        settings, layers = self._settings, frozenset(self._layers)
        return settings.preset, settings.weights, settings.pooling, layers, self.means

    # ------------------------------------------------------------------ memory

    def lesser_means(self, shape: tuple[int, int]) -> Means | None:
        """Means for which less memory is enough, if there are any."""
        needed = functools.partial(needed_with, self._settings, shape)
        return fall_back(self.means, self._settings, needed)

    # ----------------------------------------------------------------- making

    def made_encoder(self) -> Encoder:
        """Return the encoder, built where there is none."""
        if self.encoder is None:
            self.encoder = Encoder(
                self._weights,
                self._layers,
                self._settings.pooling,
                self.means.device,
                self.means.precision,
                plan_tiles(self.means.tile, self.means.precision, self.means.device),
            )
        return self.encoder

    def make_objective(
        self, pictures: Pictures, settings: Settings, height: int, width: int
    ) -> Objective:
        """Build the objective of a scale.

        Parameters
        ----------
        pictures, settings
            Of the run, as they are now.
        height, width : int
            Of the scale, in pixels.
        """
        content = self.space.from_rgb(pictures.content_at(height, width))
        labels = (None,) if pictures.mask is None else pictures.mask.labels
        regions = []
        for label in labels:
            styles = [
                self._style_targets(pictures, settings, index, label, height, width)
                for index in range(len(pictures.styles))
            ]
            if pictures.mask is None:
                regions.append(StyledRegion(styles))
                continue
            coverage = pictures.mask.coverage(label, content)
            guides = make_guides(coverage, self._layers, self.means.precision)
            regions.append(StyledRegion(styles, guides, float(coverage.mean())))
        alpha = None if pictures.mask is None else pictures.mask.alpha(content)
        targets = self._content_targets(settings, content)
        encoder, space = self.made_encoder(), self.space
        return Objective(encoder, space, settings, content, regions, alpha, targets)

    def _content_targets(self, settings: Settings, content: torch.Tensor) -> Features:
        """Targets of the content, which stay while its styles, colours or regions change."""
        layers = frozenset(layer_weights(settings.content_layers))
        key = image_digest(content), layers, self._encoder_key
        targets = self._contents.pop(key, None)
        if targets is None:
            if content.nbytes > _SMALL_BYTES:
                _forget_beyond(_CONTENTS_BYTES, self._contents)
            targets = content_targets(self.made_encoder(), self.space, settings, content)
        self._contents[key] = targets  # the last one now
        return targets

    def _style_targets(
        self,
        pictures: Pictures,
        settings: Settings,
        index: int,
        label: Label,
        height: int,
        width: int,
    ) -> StyleTargets | None:
        """Targets of a style image or of its region of a label; None if it has none."""
        if label is not None and label not in labels_of(settings.style_masks[index]):
            return None
        rgb = pictures.style_at(index, height, width, least_side(settings))
        key = (pictures.style_key(index, label), rgb.shape, self._encoder_key)
        targets = self._targets.pop(key, None)
        if targets is None:
            guides = None
            if label is not None:
                coverage = pictures.style_coverage(index, label, rgb)
                guides = make_guides(coverage, self._layers, self.means.precision)
            encoder, style = self.made_encoder(), self.space.from_rgb(rgb)
            targets = style_targets(encoder, self.space, settings, style, guides)
        self._targets[key] = targets  # the last one now
        _forget_beyond(_TARGETS_BYTES, self._targets)
        return targets


def _forget_beyond(limit: int, kept: dict[Hashable, Kept]) -> None:
    """Forget the oldest of some targets until the others take no more than some bytes."""
    while kept and sum(map(_nbytes, kept.values())) > limit:
        del kept[next(iter(kept))]


def _nbytes(targets: StyleTargets | Features) -> int:
    tensors = targets.grams if isinstance(targets, StyleTargets) else targets
    return sum(tensor.nbytes for tensor in tensors.values())
