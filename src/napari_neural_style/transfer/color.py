"""Colour: the style recoloured to the content, or the content's colours kept."""

import torch

# Luma of ITU-R BT.601, the Y of YIQ.
_LUMA = (0.299, 0.587, 0.114)


def match_color(style: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Give a style image the mean and covariance of the content's colours.

    Parameters
    ----------
    style, content : torch.Tensor
        (1, 3, H, W) RGB in [0, 1], of any sizes.

    Returns
    -------
    torch.Tensor
        The style, clamped to [0, 1].

    References
    ----------
    Gatys, Ecker, Bethge, Hertzmann & Shechtman, "Controlling perceptual factors in
    neural style transfer", CVPR 2017, section 5.2 (the symmetric square roots).
    """
    mean_style, root_style = _statistics(style, power=-0.5)
    mean_content, root_content = _statistics(content, power=0.5)
    flat = root_content @ root_style @ (style.flatten(2)[0] - mean_style) + mean_content
    return flat.view_as(style).clamp(0, 1)


def _statistics(image: torch.Tensor, power: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (3, 1) and power of the covariance (3, 3) of the colours."""
    pixels = image.flatten(2)[0].cpu().double()
    mean = pixels.mean(1, keepdim=True)
    centred = pixels - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T / pixels.shape[1])
    # Images with one hue have no extent along the others: bound the inverse.
    root = vectors @ torch.diag(values.clamp_min(1e-5) ** power) @ vectors.T
    return mean.to(image), root.to(image)


def keep_color(result: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Take the luma of the result and the chroma of the content.

    Parameters
    ----------
    result, content : torch.Tensor
        (1, 3, H, W) RGB in [0, 1], of one size.

    References
    ----------
    Gatys et al., CVPR 2017, section 5.1 (luminance-only transfer).
    """
    luma = torch.tensor(_LUMA, dtype=result.dtype, device=result.device).view(1, 3, 1, 1)
    change = ((result - content) * luma).sum(1, keepdim=True)
    return (content + change).clamp(0, 1)
