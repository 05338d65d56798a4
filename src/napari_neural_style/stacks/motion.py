"""Motion between two planes of a time series: optical flow, and an image carried along it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import optical_flow_tvl1

from napari_neural_style.images import resized

Flow = NDArray[np.float32]
Image = NDArray[np.float32]

# Longest side that flow is computed at: motion is smooth, and the time grows with the pixels.
_FLOW_SIDE: Final = 256
# Flow counts as motion where, averaged over so many pixels, it leaves less than the second share
# of a change, and not at all where it leaves more than the first. Of the noise of a camera
# TV-L1 leaves 0.83 (0.76 or more in 99 % of the places).
_NEIGHBOURHOOD: Final = 6.0
_NOISE, _MOTION = 0.8, 0.7
# A flow and the one back may differ by so much of their lengths, and so many pixels.
_RELATIVE, _ABSOLUTE = 0.1, 1.0
# Width of the change from carried pixels to new ones.
_FEATHER: Final = 1.0


def optical_flow(before: Image, after: Image) -> Flow:
    """Find where each pixel of a plane was in the plane before it.

    Computed on the lightness, at 256 pixels at most, by TV-L1 (Zach, Pock & Bischof, "A
    duality based approach for realtime TV-L1 optical flow", 2007). It is 0 where noise alone
    tells the planes apart, so that what stands still is not carried to and fro.

    Parameters
    ----------
    before, after : array
        (H, W, 3) RGB in [0, 1], both of the same shape.

    Returns
    -------
    numpy.ndarray
        (2, H, W) float32: pixel ``p`` of ``after`` shows what is at ``p + flow[:, p]`` of
        ``before``; rows and columns in pixels.
    """
    height, width = before.shape[:2]
    factor = min(1.0, _FLOW_SIDE / max(height, width))
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    reference, moving = (resized(image.mean(-1), shape) for image in (after, before))
    # Limits common to both, so that a faint sequence moves as surely as a bright one.
    low, high = min(reference.min(), moving.min()), max(reference.max(), moving.max())
    scale = 1 / max(float(high - low), 1e-6)
    reference, moving = (reference - low) * scale, (moving - low) * scale
    flow = np.asarray(optical_flow_tvl1(reference, moving), np.float32)
    flow *= _share_of_motion(reference, moving, flow)
    if shape != (height, width):
        flow = np.stack([resized(part, (height, width)) for part in flow])
        flow *= np.array([height / shape[0], width / shape[1]])[:, None, None]
    return np.asarray(flow, np.float32)


def _share_of_motion(
    reference: NDArray[np.float32], moving: NDArray[np.float32], flow: Flow
) -> NDArray[np.float32]:
    """Say how far a flow is one of things that move, and not of noise, in [0, 1]."""
    carried = warp(moving[..., np.newaxis], flow)[..., 0]
    left, before = (
        ndimage.gaussian_filter(np.abs(image - reference), _NEIGHBOURHOOD)
        for image in (carried, moving)
    )
    share: NDArray[np.float32] = np.clip(
        (_NOISE * before - left) / np.maximum((_NOISE - _MOTION) * before, 1e-9), 0, 1
    )
    return share


def warp(image: Image, flow: Flow) -> Image:
    """Carry an image along a flow.

    Parameters
    ----------
    image : array
        (H, W, C) in [0, 1].
    flow : array
        (2, H, W), as from :func:`optical_flow`.

    Returns
    -------
    numpy.ndarray
        (H, W, C) float32 in [0, 1]. Cubic, for the image must not blur along a chain.
    """
    places = np.indices(flow.shape[1:], np.float32) + flow
    channels = [
        ndimage.map_coordinates(channel, places, order=3, mode="nearest")
        for channel in np.moveaxis(np.asarray(image, np.float32), -1, 0)
    ]
    warped: Image = np.clip(np.stack(channels, -1), 0, 1)
    return warped


def visible_before(flow: Flow, back: Flow) -> NDArray[np.float32]:
    """Say how far each pixel could be seen in the plane before: 1, or 0 where it is new.

    A pixel is new where going back and forth does not return to it (Sundaram, Brox &
    Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow",
    2010), or where it comes from beyond the edge.

    Parameters
    ----------
    flow, back : array
        (2, H, W): from the later plane to the earlier one, and the other way round.
    """
    height, width = flow.shape[1:]
    places = np.indices((height, width), np.float32) + flow
    returned = np.stack([ndimage.map_coordinates(part, places, order=1) for part in back])
    error = ((flow + returned) ** 2).sum(0)
    allowed = _RELATIVE * ((flow**2).sum(0) + (returned**2).sum(0)) + _ABSOLUTE
    rows, columns = places
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    seen = ((error < allowed) & inside).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(seen, _FEATHER) * seen, np.float32)
