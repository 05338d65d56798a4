"""Content loss, Gram-matrix style loss and total variation, each with its gradient.

The content and style losses are functions of features, so their gradients with
respect to the features are written out: the backward pass through the encoder
then starts from them, and the same code serves an image in one piece or in tiles.
"""

import torch

# Positions whose products are summed at once: small enough to stay in the cache
# while half-precision features are widened to float32.
_CHUNK = 8192


def rows(features: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) features as (H·W, C), without a copy when channels come last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def gram_sum(features: torch.Tensor) -> torch.Tensor:
    """Sum over the positions of the products of all pairs of feature maps.

    Parameters
    ----------
    features : torch.Tensor
        (1, C, H, W).

    Returns
    -------
    torch.Tensor
        (C, C), F Fᵀ, in float32 at least.

    References
    ----------
    Gatys, Ecker & Bethge, CVPR 2016, section 2.2, equation 3.
    """
    matrix = rows(features)
    if matrix.dtype in (torch.float32, torch.float64):
        return matrix.T @ matrix
    if matrix.is_cuda:
        wide = matrix.float()
        return wide.T @ wide
    gram = torch.zeros(matrix.shape[1], matrix.shape[1], device=matrix.device)
    for chunk in torch.split(matrix, _CHUNK):
        wide = chunk.float()
        gram.addmm_(wide.T, wide)
    return gram


def gram_sum_gradient(features: torch.Tensor, gram_gradient: torch.Tensor) -> torch.Tensor:
    """Gradient of a function of F Fᵀ with respect to F.

    Parameters
    ----------
    features : torch.Tensor
        (1, C, H, W).
    gram_gradient : torch.Tensor
        (C, C), symmetric.

    Returns
    -------
    torch.Tensor
        (1, C, H, W), channels last.
    """
    _, channels, height, width = features.shape
    # d<S, F Fᵀ>/dF = (S + Sᵀ) F, and S is symmetric.
    gradient = rows(features) @ (2 * gram_gradient).to(features.dtype)
    return gradient.view(1, height, width, channels).permute(0, 3, 1, 2)


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Half the mean absolute difference of neighbours, down and across.

    Parameters
    ----------
    image : torch.Tensor
        (1, 3, H, W).

    References
    ----------
    Mahendran & Vedaldi, CVPR 2015; in this form "Dive into Deep Learning", 14.12.
    """
    down = image[..., 1:, :] - image[..., :-1, :]
    across = image[..., :, 1:] - image[..., :, :-1]
    # A single row has no neighbours below, a mean over none is NaN.
    means = [difference.abs().mean() for difference in (down, across) if difference.numel()]
    return torch.stack(means).sum() / 2
