"""A run that goes on from its checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..images import image_hash
from .job import Job
from .machine import load_engine

if TYPE_CHECKING:
    from ..transfer.engine import StyleTransfer


@dataclass
class ResumedJob(Job):
    """What was painted when a checkpoint was saved, and is painted on.

    Its settings are those of the checkpoint, once :meth:`prepare` has read them.

    Attributes
    ----------
    weights
        A file of weights, for a run that has one: no checkpoint chooses what is read.
    """

    weights: str | None = None

    @classmethod
    def of(cls, job: Job, checkpoint: Path, weights: str) -> "ResumedJob":
        """Return the job that goes on from a checkpoint of the images of another job."""
        return cls(
            styles=job.styles,
            settings=job.settings,
            appearance=job.appearance,
            names=job.names,
            content=job.content,
            checkpoint=checkpoint,
            weights=weights,
        )

    def prepare(self) -> "StyleTransfer":
        """Read the checkpoint, and the images that it must be of.

        Raises
        ------
        ValueError
            If it is of other images, or damaged.
        OSError
            If it cannot be read.
        """
        assert self.checkpoint is not None
        transfer = load_engine().load(self.checkpoint, self.weights)
        if transfer.settings.mask is not None and self.settings.mask is None:
            raise ValueError(
                f"{self.checkpoint.name} was painted in regions: choose their layer under Regions."
            )
        self.settings = transfer.settings
        hashes = transfer.provenance()["inputs"]
        if image_hash(self.read_content()) != hashes["content"]:
            raise self._of_others("content")
        if list(map(image_hash, self.read_styles())) != list(hashes["styles"]):
            raise self._of_others("style")
        return transfer

    def _of_others(self, kind: str) -> ValueError:
        assert self.checkpoint is not None
        return ValueError(
            f"The {kind} of {self.checkpoint.name} was not “{self.names[kind]}” as it is shown "
            "now: choose that layer, with the contrast limits and the plane that it had."
        )
