"""What a run computes with: the encoder, its weights, and what it found in the styles."""

import functools
import threading
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.images import to_rgb
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.encoder import Encoder
from napari_neural_style.transfer.fallback import Means, fall_back
from napari_neural_style.transfer.guides import Label, labels_of, make_guides
from napari_neural_style.transfer.memory import check_memory, memory_needed, plan_tiles
from napari_neural_style.transfer.objective import (
    Objective,
    StyledRegion,
    StyleTargets,
    layers_of,
    style_targets,
)
from napari_neural_style.transfer.pictures import Pictures
from napari_neural_style.transfer.spaces import image_space
from napari_neural_style.transfer.weights import fingerprint, load_weights


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
        self.encoder: Encoder | None = None
        self.alone = threading.RLock()
        """Held by the one run that computes with the encoder."""
        self.move_to(means)

    def move_to(self, means: Means) -> None:
        """Compute with other means."""
        self.means = means
        self.encoder = None
        self.dtype = torch.float64 if means.precision == torch.float64 else torch.float32
        self.space = image_space(self._settings.method.space, means.device, self.dtype)

    @property
    def least_side(self) -> int:
        """Least side of an image, in pixels."""
        return max(layer.stride for layer in self._layers)

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

    def memory_needed(self, shape: tuple[int, int], means: Means) -> int:
        """Bytes that a run with some means needs, for a result of some height and width."""
        tiles = plan_tiles(means.tile, means.precision, means.device)
        return memory_needed(self._settings, shape, tiles, means.precision)

    def check_memory(self, shape: tuple[int, int]) -> None:
        """Raise a ValueError if there is not enough."""
        tile, precision, device = self.means.tile, self.means.precision, self.means.device
        tiles = plan_tiles(tile, precision, device)
        check_memory(self._settings, shape, tiles, precision, device)

    def lesser_means(self, shape: tuple[int, int]) -> Means | None:
        """Means for which less memory is enough, if there are any."""
        return fall_back(self.means, self._settings, functools.partial(self.memory_needed, shape))

    # ----------------------------------------------------------------- making

    def to_tensor(self, array: npt.ArrayLike | torch.Tensor, name: str) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] on the device, of an image or of such a tensor."""
        if isinstance(array, torch.Tensor):
            return array.to(self.means.device, self.dtype)
        dtype = np.float64 if self.dtype == torch.float64 else np.float32
        rgb = torch.from_numpy(to_rgb(array, name, dtype=dtype))
        return rgb.permute(2, 0, 1)[None].contiguous().to(self.means.device)

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
        return Objective(self.made_encoder(), self.space, settings, content, regions, alpha)

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
        rgb = pictures.style_at(index, height, width, self.least_side)
        key = (pictures.style_key(index, label), rgb.shape, self._encoder_key)
        if key not in self._targets:
            guides = None
            if label is not None:
                coverage = pictures.style_coverage(index, label, rgb)
                guides = make_guides(coverage, self._layers, self.means.precision)
            encoder, style = self.made_encoder(), self.space.from_rgb(rgb)
            self._targets[key] = style_targets(encoder, self.space, settings, style, guides)
        return self._targets[key]
