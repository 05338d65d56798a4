"""The layers of VGG19, and the names in use for them.

This module needs no torch, so that settings can be checked without it.
"""

import difflib
import functools
from dataclasses import dataclass
from typing import Final

#: Output channels of each convolution, block by block; a pooling ends each block.
BLOCKS: Final = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)


@dataclass(frozen=True)
class Layer:
    """One module of ``vgg19().features``."""

    kind: str
    """``conv``, ``relu`` (after the convolution of the same number) or ``pool``."""
    block: int
    """Block, from 1; the features are halved ``block - 1`` times there."""
    number: int
    """Number within the block, from 1; 0 for the pooling that ends it."""
    index: int
    """Index in torchvision's ``vgg19().features``."""
    channels: int
    """Number of feature maps."""

    @property
    def name(self) -> str:
        """The VGG name, such as ``relu4_2``."""
        return f"{self.kind}{self.block}" + (f"_{self.number}" if self.number else "")

    @property
    def stride(self) -> int:
        """Pixels of the image to one position of the layer."""
        return 1 << (self.block - (self.kind != "pool"))


def _layers() -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for block, widths in enumerate(BLOCKS, start=1):
        for number, width in enumerate(widths, start=1):
            for kind in ("conv", "relu"):
                layers.append(Layer(kind, block, number, len(layers), width))
        layers.append(Layer("pool", block, 0, len(layers), widths[-1]))
    return tuple(layers)


#: Every layer, in torchvision's order.
LAYERS: Final = _layers()


def convolutions() -> tuple[Layer, ...]:
    """The sixteen convolutions, in order."""
    return tuple(layer for layer in LAYERS if layer.kind == "conv")


@functools.cache
def layer_names() -> dict[str, Layer]:
    """Every accepted name and its layer."""
    names: dict[str, Layer] = {}
    running = 0
    for layer in LAYERS:
        block, number = layer.block, layer.number
        names[layer.name] = names[str(layer.index)] = layer
        if layer.kind == "pool":
            names |= dict.fromkeys((f"pool_{block}", f"p{block}", f"block{block}_pool"), layer)
            continue
        running += layer.kind == "conv"
        names[f"{layer.kind}_{running}"] = layer
        if layer.kind == "relu":  # Gatys' code, the series and Keras name the ReLU's output
            aliases = (f"r{block}{number}", f"re{block}{number}", f"block{block}_conv{number}")
            names |= dict.fromkeys(aliases, layer)
    return names


def find_layer(name: str) -> Layer:
    """Return the layer of a name in any of the conventions in use.

    Parameters
    ----------
    name : str
        ``conv4_2`` / ``relu4_2`` (VGG), ``conv_10`` / ``relu_10`` (the PyTorch
        tutorial's running number), ``r42``, ``re42``, ``block4_conv2`` (Gatys'
        code, the series, Keras: the ReLU), ``25`` (index in torchvision's
        ``vgg19().features``), and the poolings ``pool4``, ``p4``, ``block4_pool``.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the nearest valid ones.
    """
    names = layer_names()
    layer = names.get(str(name).strip().lower())
    if layer is None:
        close = difflib.get_close_matches(str(name).lower(), names, n=12, cutoff=0.5)
        # Of the same length first: a wrong digit is likelier than a missing one.
        near = sorted(close, key=lambda found: len(found) != len(str(name)))[:4]
        near = near or ["conv4_2", "relu4_2", "relu_10", "r42", "block4_conv2", "25"]
        raise ValueError(
            f"VGG19 has no layer {name!r}; the nearest names are {', '.join(near)} "
            "(conv1_1 to relu5_4 in all)."
        )
    return layer
