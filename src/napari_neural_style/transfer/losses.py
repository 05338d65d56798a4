"""Gram-matrix style loss and total variation: the sums and the gradients they need."""

from typing import Final

import torch

# Positions whose products are summed at once: widened to float32, they stay in the cache.
_CHUNK: Final = 4096
# So many roundings are needed to even out, and so many positions to be worth a product.
_LEAST_CHUNKS: Final = 8
_LEAST_CHUNK: Final = 128


def rows(features: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) features, channels last, as (H·W, C); a copy where columns are left out."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def gram_sum(features: torch.Tensor) -> torch.Tensor:
    """Sum over the positions of the products of all pairs of feature maps.

    Parameters
    ----------
    features : torch.Tensor
        (1, C, H, W), channels last.

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
    if matrix.is_cuda:  # one call: launching many costs more than the memory
        wide = matrix.float()
        return wide.T @ wide
    gram = torch.zeros(matrix.shape[1], matrix.shape[1], device=matrix.device)
    size = min(_CHUNK, matrix.shape[0] // _LEAST_CHUNKS)
    if matrix.dtype == torch.bfloat16 and size >= _LEAST_CHUNK:
        # bfloat16 products are summed in float32 and rounded once a chunk: over many chunks
        # that is less than the rounding of the features. (In float16 they would overflow.)
        chunks = matrix[: matrix.shape[0] // size * size].view(-1, size, matrix.shape[1])
        gram = torch.bmm(chunks.mT, chunks).sum(0, dtype=torch.float32)
        matrix = matrix[chunks.shape[0] * size :]
    for chunk in torch.split(matrix, _CHUNK):
        wide = chunk.float()
        gram.addmm_(wide.T, wide)
    return gram


def add_gram_sum_gradient(
    gradient: torch.Tensor, features: torch.Tensor, gram_gradient: torch.Tensor
) -> None:
    """Add the gradient, with respect to F, of a function of F Fᵀ.

    Parameters
    ----------
    gradient : torch.Tensor
        (1, C, H, W), channels last; changed in place.
    features : torch.Tensor
        (1, C, H, W), channels last.
    gram_gradient : torch.Tensor
        (C, C), symmetric, with respect to F Fᵀ.
    """
    # d<S, F Fᵀ>/dF = (S + Sᵀ) F, and S is symmetric.
    factor = (2 * gram_gradient).to(features.dtype)
    positions = gradient.permute(0, 2, 3, 1)
    if positions.stride(1) == positions.shape[2] * positions.stride(2):
        positions.view(-1, features.shape[1]).addmm_(rows(features), factor)
    else:
        positions.add_((rows(features) @ factor).view(positions.shape))


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
