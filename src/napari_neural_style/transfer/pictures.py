"""The images of a run: content, styles and mask, as its colour mode asks for them."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import Self

import torch

from napari_neural_style.settings import Settings
from napari_neural_style.transfer.color import keep_color, match_color, match_lightness, to_gray
from napari_neural_style.transfer.guides import Label, Mask, check_masks, style_coverage
from napari_neural_style.transfer.scales import fit, resize


class Pictures:
    """Content, styles and mask of a run, on its device.

    Parameters
    ----------
    content : torch.Tensor
        (1, 3, H, W) RGB in [0, 1].
    styles : sequence of torch.Tensor
        Such images, of any sizes.
    init : str or torch.Tensor
        What the optimisation starts from, as the setting.
    settings : Settings
        Of the run.
    shape : tuple of int
        Height and width of the result, in pixels.
    """

    def __init__(
        self,
        content: torch.Tensor,
        styles: Sequence[torch.Tensor],
        init: str | torch.Tensor,
        settings: Settings,
        shape: tuple[int, int],
    ) -> None:
        self.content, self.styles, self.init = content, list(styles), init
        self._settings = settings
        self._shape = shape
        self.check(settings)
        self.mask = None if settings.mask is None else Mask(settings, shape)
        self._lightness_only = settings.color == "luminance"
        # What the objective sees.
        self._painted_content = to_gray_rgb(content) if self._lightness_only else content
        self._painted_styles: dict[int, torch.Tensor] = {}

    def check(self, settings: Settings) -> None:
        """Raise a ValueError if settings do not fit the images."""
        content, *styles = (
            (image.shape[2], image.shape[3]) for image in (self.content, *self.styles)
        )
        weights = settings.style_weights
        if weights and len(weights) != len(styles):
            raise ValueError(
                f"style_weights={weights} has {len(weights)} weights for {len(styles)} style "
                "images: give one weight per image."
            )
        check_masks(settings, content, styles)

    def with_settings(self, settings: Settings) -> Self:
        """Return the same images for other settings."""
        return type(self)(self.content, self.styles, self.init, settings, self._shape)

    def to(self, device: torch.device) -> Self:
        """Return the same images on a device."""
        init = self.init.to(device) if isinstance(self.init, torch.Tensor) else self.init
        styles = [style.to(device) for style in self.styles]
        return type(self)(self.content.to(device), styles, init, self._settings, self._shape)

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
        """Tell a region of a style image from all others that a kin of this run has."""
        mask = None if label is None else _digest(self._settings.style_masks[index].tobytes())
        if self._settings.color == "style":
            return index, label, mask
        return index, label, mask, _digest(self.style(index).cpu().numpy().tobytes())

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

    def repainted(self, rgb: torch.Tensor, before: "Pictures") -> torch.Tensor:
        """Go on from an image that was painted with other settings, as it was to be seen."""
        rgb = before.inside(rgb)
        if before._lightness_only and not self._lightness_only:
            rgb = keep_color(to_gray(rgb.clamp(0, 1)), resize(self.content, *rgb.shape[2:]))
        if self._lightness_only and not before._lightness_only:
            rgb = to_gray_rgb(rgb)
        return rgb


def to_gray_rgb(rgb: torch.Tensor) -> torch.Tensor:
    """(1, 3, H, W) gray image of the same lightness."""
    return to_gray(rgb.clamp(0, 1)).expand(-1, 3, -1, -1).contiguous()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()
