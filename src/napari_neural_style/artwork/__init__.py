"""Style pictures drawn by code, each the same again for a given seed.

`ARTWORKS` names them, `draw` draws one. The modules that draw are imported when
they are first needed.
"""

from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

__all__ = ["ARTWORKS", "Artwork", "draw"]

SIZES = range(64, 2049)


@dataclass(frozen=True)
class Artwork:
    """What a picture is called and looks like.

    Attributes
    ----------
    title : str
        For a menu or a layer's name.
    description : str
        One sentence.
    """

    title: str
    description: str


ARTWORKS = {
    "impasto": Artwork(
        "Night impasto",
        "Thick swirling strokes along a field of vortices, in night blues and warm lights.",
    ),
    "stained_glass": Artwork(
        "Stained glass",
        "A sun over water in leaded panes of streaky glass, lit from behind.",
    ),
    "pointillism": Artwork(
        "Pointillism",
        "An evening by the water in dots of divided and complementary colour.",
    ),
    "woodcut": Artwork(
        "Woodcut",
        "Mountains, sun and sea in engraved lines that swell with the tone, black on cream.",
    ),
    "watercolour": Artwork(
        "Watercolour",
        "Translucent washes that bleed, granulate and dry with dark edges on rough paper.",
    ),
    "mosaic": Artwork(
        "Peacock mosaic",
        "Overlapping fans of glass and gold tesserae, set in rings.",
    ),
}
"""The pictures, each drawn by the module of its name."""


def draw(name: str, size: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """Draw one of the pictures.

    Parameters
    ----------
    name : str
        A key of `ARTWORKS`.
    size : int
        Pixels along each side, 64 to 2048; the composition stays the same.
    seed : int
        Another seed gives another picture in the same manner.

    Returns
    -------
    ndarray of uint8, (size, size, 3)
        RGB.

    Raises
    ------
    ValueError
        If there is no such picture, or the size is out of range.
    """
    if name not in ARTWORKS:
        raise ValueError(f"There is no artwork {name!r}; choose from {', '.join(ARTWORKS)}.")
    if size not in SIZES:
        raise ValueError(f"size is {size!r}, but must be a whole number from 64 to 2048.")
    module = import_module(f"{__name__}.{name}")
    picture = module.draw(int(size), np.random.default_rng(seed))
    pixels: NDArray[np.uint8] = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels
