"""What the workers of a cluster do."""

import threading
import time
from typing import Any, Final

import torch
from distributed import Event as Flag
from distributed import WorkerPlugin, get_worker
from numpy.typing import NDArray

import napari_neural_style
from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.painter import PlanePainter
from napari_neural_style.stacks.task import BadPlaneError, Recipe, Task

_SECONDS_BETWEEN_REPORTS: Final = 0.5

_alone = threading.Lock()  # one plane at a time, whatever the number of threads
_painters: dict[str, PlanePainter] = {}


class Brief(WorkerPlugin):
    """Gives every worker of a cluster, also those to come, the recipe of a stack once.

    Parameters
    ----------
    topic
        Names the run.
    recipe
        What all planes have in common.
    """

    def __init__(self, topic: str, recipe: Recipe) -> None:
        self.name, self._recipe = topic, recipe
        self._version = napari_neural_style.__version__

    def setup(self, worker: Any) -> None:
        """Make a painter; it keeps weights, encoder and the targets of the styles."""
        here = napari_neural_style.__version__
        if here != self._version:
            raise RuntimeError(
                f"{worker.address} has napari-neural-style {here}, and not {self._version}"
            )
        device = _device(self._recipe.settings.device, worker)
        _painters[self.name] = PlanePainter(self._recipe.on(device))

    def teardown(self, worker: Any) -> None:
        """Let go of it."""
        _painters.pop(self.name, None)


def paint(topic: str, index: Index, task: Task) -> tuple[NDArray[Any] | None, str | None]:
    """Paint a plane in a worker; return it, or a sentence that says why not."""
    worker = get_worker()
    with _alone:
        # Sums in other numbers of threads round otherwise: as many as the worker has, always.
        torch.set_num_threads(worker.state.nthreads)
        stopped = Flag(topic)
        steps = _painters[topic].paint(task)
        reported = time.monotonic()
        try:
            while True:
                update = next(steps)
                now = time.monotonic()
                if update.note or now - reported > _SECONDS_BETWEEN_REPORTS:
                    reported = now
                    if stopped.is_set():
                        return None, "it was stopped."
                    worker.log_event(topic, (index, update.step, update.total, update.note))
        except StopIteration as end:
            return end.value, None
        except BadPlaneError as error:
            return None, str(error)


def _device(wanted: str, worker: Any) -> str:
    """The GPU of a worker, where several share a machine with several."""
    count = torch.cuda.device_count()
    if wanted not in ("auto", "cuda") or count < 2 or not isinstance(worker.name, int):
        return wanted
    return f"cuda:{worker.name % count}"
