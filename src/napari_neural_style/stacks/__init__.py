"""Time series and z-stacks: their planes painted one after another, or on a cluster."""

from napari_neural_style.stacks.transfer import StackTransfer, stylize_stack
from napari_neural_style.stacks.update import StackUpdate

__all__ = ["StackTransfer", "StackUpdate", "stylize_stack"]
