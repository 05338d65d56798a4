"""What L-BFGS knows of the loss' curvature, and the step that follows from it."""

from typing import Any, Final

import torch
from torch.nn import functional as F

from napari_neural_style.transfer.state import State, tensor, tensors, whole

# Curvature along a move, relative to that across, that is worth remembering.
_LEAST: Final = 1e-10

Point = tuple[torch.Tensor, torch.Tensor]
"""An image, and the gradient there."""


class Curvature:
    """Moves of an image and the changes of the gradient that they made.

    The recursion that makes a step of them needs nothing of the images but their products.
    Those with a gradient are computed for all pairs at once; how they differ from those with
    the gradient before is their products with its change; and the step is made of all pairs at
    once. Memory is gone through twice a step, where it was four times and more for each pair.
    Nothing waits for the device.

    Parameters
    ----------
    like : torch.Tensor
        An image.
    pairs : int
        Pairs that are remembered at most.

    References
    ----------
    Nocedal, "Updating quasi-Newton matrices with limited storage", 1980; by products: Chen,
    Wang & Zhou, "Large-scale L-BFGS using MapReduce", NeurIPS 2014.
    """

    def __init__(self, like: torch.Tensor, pairs: int) -> None:
        self._shape = like.shape
        self._pairs = pairs
        self._learnt = 0
        self._moves = like.new_empty(pairs, like.numel())
        self._changes = torch.empty_like(self._moves)
        self._rows = list(self._moves), list(self._changes)
        # Of moves (down) with changes that are no older, of changes with changes, and the
        # inverse of those of pairs: 0 for a pair that tells nothing.
        self._crossed = like.new_zeros(pairs, pairs)
        self._squared = like.new_zeros(pairs, pairs)
        self._inverses = like.new_zeros(pairs)
        # Of moves, and of changes, with the gradient.
        self._along = like.new_zeros(2, pairs)
        self._scale = like.new_ones(())

    def begin(self, gradient: torch.Tensor, scale: torch.Tensor) -> None:
        """Take note of a first gradient; if nothing was learnt, take all curvatures as `scale`."""
        self._along = self._multiplied(gradient)
        if not self._learnt:
            self._scale = scale

    def learn(self, after: Point, before: Point, taken_back: torch.Tensor) -> None:
        """Remember how a move changed the gradient; forget the oldest such.

        Parameters
        ----------
        after, before : tuple
            Where the move led, and where it began.
        taken_back : torch.Tensor
            Whether the next step begins there, too.
        """
        for rows, *points in zip(self._rows, after, before, strict=True):
            torch.sub(*points, out=rows[self._slot].view(self._shape))
        along_before = self._along
        along = self._note_products(after[1], along_before)
        self._along = torch.where(taken_back, along_before, along)

    def take_over(self, coarse: "Curvature") -> None:
        """Begin with what was learnt of a smaller image, enlarged.

        Losses are of the same size at every scale, and so is the product of a move and its
        change: of more pixels, each has a smaller gradient.
        """
        ratio = self._moves.shape[1] / coarse._moves.shape[1]
        self._scale = coarse._scale / ratio

        def enlarged(small: torch.Tensor) -> torch.Tensor:
            larger = F.interpolate(small.view(coarse._shape), self._shape[2:], mode="bilinear")
            return larger.view(-1)

        for slot in coarse._old_to_new[-self._pairs :]:
            self._moves[self._slot] = enlarged(coarse._moves[slot])
            self._changes[self._slot] = change = enlarged(coarse._changes[slot]).div_(ratio)
            self._note_products(change, torch.zeros_like(self._along))

    def step(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the step to where the gradient is expected to be zero."""
        along_moves, along_changes = self._along
        # The two loops. Of these shares, what is not known yet is zero.
        of_changes, of_moves = torch.zeros_like(self._along)
        for i in reversed(self._old_to_new):
            slope = along_moves[i] + self._crossed[i] @ of_changes
            of_changes[i] = -self._inverses[i] * slope
        sloping = (along_changes + self._squared @ of_changes) / self._scale
        for i in self._old_to_new:
            slope = sloping[i] - self._crossed[:, i] @ of_moves
            of_moves[i] = of_changes[i] + self._inverses[i] * slope
        known = len(self._old_to_new)
        step = gradient.neg()
        flat = step.view(-1)
        flat.addmv_(self._changes[:known].T, of_changes[:known], alpha=-1).div_(self._scale)
        flat.addmv_(self._moves[:known].T, of_moves[:known])
        return step

    def _note_products(self, gradient: torch.Tensor, along_before: torch.Tensor) -> torch.Tensor:
        """Take note of the products of a pair that was put where the oldest was.

        Parameters
        ----------
        gradient : torch.Tensor
            After its move.
        along_before : torch.Tensor
            Products with the gradient before its move, which those of the pair are put into.

        Returns
        -------
        torch.Tensor
            Products with the gradient.
        """
        slot = self._slot
        move, change = self._moves[slot], self._changes[slot]
        self._learnt += 1
        product, square = move @ change, change @ change
        along = self._multiplied(gradient)
        along_before[:, slot] = along[:, slot] - torch.stack([product, square])
        self._crossed[:, slot], squared = along - along_before
        self._squared[slot] = self._squared[:, slot] = squared
        tells = product > _LEAST * square
        self._inverses[slot] = torch.where(tells, 1 / product, 0)
        self._scale = torch.where(tells, square / product, self._scale)
        return along

    def _multiplied(self, gradient: torch.Tensor) -> torch.Tensor:
        along = torch.zeros_like(self._along)
        known = len(self._old_to_new)
        for products, rows in zip(along, (self._moves, self._changes), strict=True):
            products[:known] = rows[:known] @ gradient.view(-1)
        return along

    @property
    def _slot(self) -> int:
        """Where the next pair is put."""
        return self._learnt % self._pairs

    @property
    def _old_to_new(self) -> list[int]:
        known = min(self._learnt, self._pairs)
        return [i % self._pairs for i in range(self._learnt - known, self._learnt)]

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors, lists of tensors and numbers."""
        known = len(self._old_to_new)
        return {
            "learnt": self._learnt,
            "moves": self._rows[0][:known],
            "changes": self._rows[1][:known],
            "products": [self._crossed, self._squared],
            "along": self._along,
            "inverses": self._inverses,
            "scale": self._scale,
        }

    def load(self, state: State) -> None:
        """Go on from :meth:`state`."""
        self._learnt = whole("learnt", state["learnt"], 0, 2**62)
        known = len(self._old_to_new)
        for name, rows in zip(("moves", "changes"), self._rows, strict=True):
            saved = tensors(state, name, rows[0])
            if len(saved) != known:
                raise ValueError(f"its {name} are not as many as were learnt")
            for row, other in zip(rows, saved, strict=False):
                row.copy_(other)
        products = tensors(state, "products", self._crossed, self._squared)
        if len(products) != 2:
            raise ValueError("its products are not two tables")
        # Not those that another run may go on with.
        self._crossed, self._squared = (table.clone() for table in products)
        self._along = tensor(state, "along", self._along).clone()
        self._inverses = tensor(state, "inverses", self._inverses).clone()
        self._scale = tensor(state, "scale", self._scale)
