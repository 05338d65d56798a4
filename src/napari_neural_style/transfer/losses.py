"""Gram-matrix style loss and total variation: the sums and the gradients they need."""

from typing import Final

import torch

# Positions whose products are summed at once: widened to float32, they stay in the cache.
_CHUNK: Final = 4096
# A row of so many positions is summed in float32, …
_WIDE: Final = 128
# … and the sums of rows are added up for so many numbers at once.
_WIDENED: Final = 1 << 20
# Rows of an image whose differences are held at once.
_STRETCH: Final = 256
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
        (C, C), F Fᵀ, in float32 at least; that of float32 in float64 on a CPU.

    References
    ----------
    Gatys, Ecker & Bethge, CVPR 2016, section 2.2, equation 3.
    """
    matrix = rows(features)
    if matrix.dtype == torch.float32 and matrix.device.type == "cpu":
        return _gram_sum_in_float64(matrix, features.shape[3])
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


def _gram_sum_in_float64(matrix: torch.Tensor, width: int) -> torch.Tensor:
    """Sum up so that rounded to float32 it is the same in whatever strips of rows it is made."""
    channels = matrix.shape[1]
    sums = torch.zeros(channels, channels, dtype=torch.float64)
    if width < _WIDE:
        for chunk in torch.split(matrix, _CHUNK):
            wide = chunk.double()
            sums.addmm_(wide.T, wide)
        return sums
    # A row is the same in all strips: within it float32 will do, at half of the cost.
    for lines in torch.split(matrix.view(-1, width, channels), max(1, _WIDENED // channels**2)):
        sums.add_(torch.bmm(lines.mT, lines).sum(0, dtype=torch.float64))
    return sums


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


def add_total_variation(gradient: torch.Tensor, image: torch.Tensor, weight: float) -> torch.Tensor:
    """Weighted total variation: half the mean absolute difference of neighbours, down and across.

    Parameters
    ----------
    gradient : torch.Tensor
        (1, 3, H, W); the gradient with respect to the image is added to it.
    image : torch.Tensor
        (1, 3, H, W).
    weight : float
        Of the loss.

    Returns
    -------
    torch.Tensor
        The loss, of no dimension.

    References
    ----------
    Mahendran & Vedaldi, CVPR 2015; in this form "Dive into Deep Learning", 14.12.
    """
    losses = []
    for dim in (2, 3):
        count = image.numel() // image.shape[dim] * (image.shape[dim] - 1)
        if not count:  # a single row has no neighbours below
            continue
        share = weight / 2 / count
        # By stretches: differences of a whole large image would be several images more.
        for start in range(0, image.shape[2], _STRETCH):
            length = min(_STRETCH, image.shape[2] - start)
            if dim == 2:
                length = min(length + 1, image.shape[2] - start)
            stretch = image.narrow(2, start, length)
            neighbours = stretch.shape[dim] - 1
            difference = stretch.narrow(dim, 1, neighbours) - stretch.narrow(dim, 0, neighbours)
            losses.append(share * difference.abs().sum())
            part = gradient.narrow(2, start, length)
            difference.sign_()
            part.narrow(dim, 1, neighbours).add_(difference, alpha=share)
            part.narrow(dim, 0, neighbours).sub_(difference, alpha=share)
    return torch.stack(losses).sum() if losses else image.new_zeros(())
