"""What a run is made of: its settings, its content and its styles."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from napari_neural_style.images import array_hash, image_hash, to_rgb
from napari_neural_style.settings import Settings
from napari_neural_style.transfer.guides import check_masks
from napari_neural_style.transfer.objective import least_side
from napari_neural_style.transfer.scales import Scale, plan_scales
from napari_neural_style.validation import short


@dataclass(frozen=True, eq=False)
class Inputs:
    """Settings and images that fit each other.

    Attributes
    ----------
    settings
        Of the run.
    content
        (1, 3, H, W) RGB in [0, 1].
    styles
        Such images, of any sizes.
    """

    settings: Settings
    content: torch.Tensor
    styles: tuple[torch.Tensor, ...]

    @functools.cached_property
    def plan(self) -> list[Scale]:
        """The scales of a run, coarse to fine.

        Raises
        ------
        ValueError
            If the content is too small, or ``steps`` does not fit the scales.
        """
        return plan_scales(self.settings, *_shape(self.content), least_side(self.settings))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each scale."""
        return tuple((scale.height, scale.width) for scale in self.plan)

    @property
    def total(self) -> int | None:
        """Steps in all, if that is what the settings say."""
        steps = self.settings.steps
        return steps if isinstance(steps, int) and self.settings.budget is None else None

    @functools.cached_property
    def style_digests(self) -> tuple[str, ...]:
        """Of each style image; the same for the same pixels."""
        return tuple(map(image_digest, self.styles))

    @functools.cached_property
    def hashes(self) -> dict[str, str | list[str]]:
        """Of the content and the styles, and of masks and a start that are arrays.

        Images are told as :func:`~napari_neural_style.images.image_hash` does, arrays as
        :func:`~napari_neural_style.images.array_hash` does, as the settings have them.
        """
        settings = self.settings
        hashes: dict[str, str | list[str]] = {
            "content": image_digest(self.content),
            "styles": list(self.style_digests),
        }
        if settings.mask is not None:
            hashes["mask"] = array_hash(settings.mask)
        if settings.style_masks:
            hashes["style_masks"] = list(map(array_hash, settings.style_masks))
        if not isinstance(settings.init, str):
            hashes["init"] = array_hash(settings.init)
        return hashes

    def check(self) -> None:
        """Raise a ValueError if they do not fit each other."""
        _ = self.plan
        weights = self.settings.style_weights
        if weights and len(weights) != len(self.styles):
            raise ValueError(
                f"style_weights={short(weights)} has {len(weights)} weights for "
                f"{len(self.styles)} style images: give one weight per image."
            )
        check_masks(self.settings, _shape(self.content), list(map(_shape, self.styles)))

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return those with other settings, ``content`` or ``style``, the latter as tensors.

        A ``picture`` among the changes is nothing that a run is made of.

        Raises
        ------
        ValueError
            If they are not valid, or do not fit each other.
        """
        fields = {name: value for name, value in changes.items() if name not in IMAGES}
        inputs = type(self)(
            dataclasses.replace(self.settings, **fields),
            changes.get("content", self.content),
            changes.get("style", self.styles),
        )
        inputs.check()
        return inputs

    def to(self, like: torch.Tensor) -> Self:
        """Return the same with images on the device of a tensor, of its dtype."""
        content, *styles = (image.to(like) for image in (self.content, *self.styles))
        return type(self)(self.settings, content, tuple(styles))


#: Images among the changes of a run: what it is made of, and what it goes on from.
IMAGES = ("content", "style", "picture")


def content_tensor(content: npt.ArrayLike | torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(1, 3, H, W) RGB in [0, 1] of a content of any real dtype."""
    return to_tensor(content, "content", dtype)


def picture_tensor(picture: npt.ArrayLike, dtype: torch.dtype) -> torch.Tensor:
    """(1, 3, H, W) RGB in [0, 1] of a picture to go on from, of any real dtype."""
    return to_tensor(picture, "picture", dtype)


def style_tensors(style: Any, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """(1, 3, H, W) RGB in [0, 1] of each style image, of one or a sequence of them."""
    styles = list(style) if isinstance(style, list | tuple) else [style]
    if not styles:
        raise ValueError("style is empty: give one style image or more.")
    names = [f"style {i}" for i in range(1, len(styles) + 1)] if len(styles) > 1 else ["style"]
    return tuple(to_tensor(image, name, dtype) for image, name in zip(styles, names, strict=True))


def to_tensor(array: npt.ArrayLike | torch.Tensor, name: str, dtype: torch.dtype) -> torch.Tensor:
    """(1, 3, H, W) RGB in [0, 1] of an image, or of such a tensor."""
    if isinstance(array, torch.Tensor):
        return array.to(dtype)
    rgb = to_rgb(array, name, dtype=np.float64 if dtype == torch.float64 else np.float32)
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous()


def _shape(image: torch.Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]


def image_digest(image: torch.Tensor) -> str:
    """Tell a (1, 3, H, W) image from all others, as :func:`~.images.image_hash` does."""
    return image_hash(image[0].permute(1, 2, 0).to("cpu", torch.float32).numpy())
