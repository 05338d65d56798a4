"""The images of a run: content, styles and mask, as its colour mode asks for them."""

import hashlib
from collections.abc import Hashable
from typing import Self

import torch

from napari_neural_style.transfer.color import keep_color, match_color, match_lightness, to_gray
from napari_neural_style.transfer.guides import Label, Mask, style_coverage
from napari_neural_style.transfer.inputs import Inputs, image_digest
from napari_neural_style.transfer.scales import fit, resize


class Pictures:
    """Content, styles and mask of a run, on its device.

    Parameters
    ----------
    inputs : Inputs
        Of the run.
    init : str or torch.Tensor
        What the optimisation starts from, as the setting.
    shape : tuple of int
        Height and width of the result, in pixels.
    """

    def __init__(self, inputs: Inputs, init: str | torch.Tensor, shape: tuple[int, int]) -> None:
        self.inputs, self.init = inputs, init
        self.content, self.styles = inputs.content, inputs.styles
        self._settings = inputs.settings
        self._shape = shape
        self.mask = None if self._settings.mask is None else Mask(self._settings, shape)
        self._lightness_only = self._settings.color == "luminance"
        # What the objective sees.
        content = self.content
        self._painted_content = to_gray_rgb(content) if self._lightness_only else content
        self._painted_styles: dict[int, torch.Tensor] = {}

    def changed(self, inputs: Inputs, shape: tuple[int, int]) -> Self:
        """Return those of other inputs, for a result of some height and width."""
        return type(self)(inputs.to(self.content), self.init, shape)

    def to(self, device: torch.device) -> Self:
        """Return the same images on a device."""
        init = self.init.to(device) if isinstance(self.init, torch.Tensor) else self.init
        return type(self)(self.inputs.to(self.content.to(device)), init, self._shape)

    # ------------------------------------------------------- for the objective

    def content_at(self, height: int, width: int) -> torch.Tensor:
        """The content to be painted, at a size."""
        return resize(self._painted_content, height, width)

    def style(self, index: int) -> torch.Tensor:
        """A style image to paint with, of its own size."""
        if self._settings.color == "style":
            return self.styles[index]
        if index not in self._painted_styles:
            recolor = match_lightness if self._lightness_only else match_color
            mask, where = self._settings.mask, None
            if mask is not None:  # the colours of what is painted count
                where = torch.from_numpy(mask > 0).to(self.content.device)
            self._painted_styles[index] = recolor(self.styles[index], self.content, where)
        return self._painted_styles[index]

    def style_at(self, index: int, height: int, width: int, least: int) -> torch.Tensor:
        """A style image to paint with, for a content of some size; no side less than some."""
        style = self.style(index)
        if self._settings.method.style_fit == "content":
            shape = height, width
        else:
            side = round(max(height, width) * self._settings.style_scale)
            # Enlarging adds no detail to a style: at most its own size.
            own_height, own_width = style.shape[2:]
            shape = fit(own_height, own_width, min(side, max(own_height, own_width)))
        return resize(style, max(shape[0], least), max(shape[1], least))

    def style_key(self, index: int, label: Label) -> Hashable:
        """Tell a region of a style image from all others, as it is painted with."""
        mask = None
        if label is not None:
            mask = label, hashlib.blake2b(self._settings.style_masks[index].tobytes()).digest()
        if self._settings.color == "style":
            return self.inputs.style_digests[index], mask
        return image_digest(self.style(index)), mask

    def style_coverage(self, index: int, label: int, style: torch.Tensor) -> torch.Tensor:
        """(1, 1, H, W): share of each pixel of a style image that is in a region."""
        return style_coverage(self._settings.style_masks[index], label, style)

    # ------------------------------------------------------- for the painting

    def start(self, height: int, width: int) -> torch.Tensor:
        """The image that the optimisation starts from."""
        if isinstance(self.init, torch.Tensor):
            rgb = resize(self.init, height, width)
        elif self.init == "noise":  # as the PyTorch tutorial draws it
            generator = torch.Generator().manual_seed(self._settings.seed)
            noise = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
            rgb = noise.to(self.content)
        elif self.init == "content":
            rgb = self.content_at(height, width)
        else:
            rgb = resize(self.style(0), height, width)
        return to_gray_rgb(rgb) if self._lightness_only else rgb

    def taken_up(self, picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Go on from a picture as it was to be seen, (1, 3, H, W) RGB in [0, 1]."""
        rgb = self._resized(picture.to(self.content), height, width)
        return to_gray_rgb(rgb) if self._lightness_only else rgb

    def _resized(self, rgb: torch.Tensor, height: int, width: int) -> torch.Tensor:
        larger = max(height, width) > max(rgb.shape[2:])
        return self.enlarge(rgb, height, width) if larger else resize(rgb, height, width)

    def enlarge(self, rgb: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Take what was painted at a scale to the next."""
        if self._settings.method.eight_bit_between_scales:
            rgb = (rgb.clamp(0, 1) * 255).floor() / 255
        larger = resize(rgb, height, width)
        if self._settings.detail:
            content = self._painted_content
            coarse = resize(content, *rgb.shape[2:])
            detail = resize(content, height, width) - resize(coarse, height, width)
            larger = larger + self._settings.detail * detail
        return larger

    def painted_share(self, image: torch.Tensor) -> float:
        """Share of the pixels of an image that are painted."""
        return 1.0 if self.mask is None else float(self.mask.alpha(image).mean())

    def inside(self, rgb: torch.Tensor) -> torch.Tensor:
        """Keep what was painted within the mask; outside is the content."""
        if self.mask is None:
            return rgb
        return torch.where(self.mask.alpha(rgb) > 0, rgb, self.content_at(*rgb.shape[2:]))

    def shown(self, rgb: torch.Tensor) -> torch.Tensor:
        """What the user sees of a painted image: in colour, and laid over the content."""
        content = self.content
        if self._lightness_only:
            rgb = keep_color(to_gray(rgb), resize(content, *rgb.shape[2:]))
        if self.mask is None:
            return rgb
        alpha, content = self.mask.alpha(rgb), resize(content, *rgb.shape[2:])
        # Outside to the last bit.
        return torch.where(alpha > 0, torch.lerp(content, rgb, alpha), content)

    def repainted(
        self, rgb: torch.Tensor, before: "Pictures", height: int, width: int
    ) -> torch.Tensor:
        """Go on at some size from what was painted for other pictures, as it was to be seen."""
        if before._lightness_only and not self._lightness_only:
            rgb = keep_color(to_gray(rgb.clamp(0, 1)), resize(before.content, *rgb.shape[2:]))
        if self._lightness_only and not before._lightness_only:
            rgb = to_gray_rgb(rgb)
        if before.mask is not None:  # elsewhere nothing was painted
            painted = before.mask.alpha(rgb) > 0
            rgb = torch.where(painted, rgb, self.content_at(*rgb.shape[2:]))
        return self._resized(rgb, height, width)


def to_gray_rgb(rgb: torch.Tensor) -> torch.Tensor:
    """(1, 3, H, W) gray image of the same lightness."""
    return to_gray(rgb.clamp(0, 1)).expand(-1, 3, -1, -1).contiguous()
