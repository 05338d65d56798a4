"""Planes painted by the workers of dask.distributed."""

import os
import queue
import sys
import threading
import time
import uuid
import warnings
from functools import partial
from typing import Any, Final, Self

from numpy.typing import NDArray

from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.backend import Event
from napari_neural_style.stacks.painter import Finished, PlanePainter, Recipe

_SECONDS_TO_ANSWER: Final = 10
_SECONDS_BETWEEN_REPORTS: Final = 0.5
_LEAST_CORES: Final = 4
"""Of a worker on this machine, where there is no GPU."""


def active_client() -> Any:
    """Return the client of dask.distributed that is active in this process, if there is one."""
    distributed = sys.modules.get("distributed")
    if distributed is None:  # not imported, so there is none
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


class Cluster:
    """Paints planes as tasks; this process reads the stack and keeps what is finished.

    A worker needs neither the stack nor the disk: each task brings its plane and the one to
    start from, and gives back the painted one. A task whose worker dies is given to another.

    Parameters
    ----------
    client
        A ``distributed.Client``, the address of a scheduler, or ``"local"`` for workers on
        this machine, one for each GPU.
    recipe
        What the planes have in common.

    Raises
    ------
    ValueError
        If dask.distributed is not installed.
    OSError
        If the scheduler does not answer, or has no worker.
    """

    def __init__(self, client: Any, recipe: Recipe) -> None:
        self._recipe = recipe
        self._topic = f"napari-neural-style-{uuid.uuid4().hex}"
        self._events: queue.Queue[Event | Index] = queue.Queue()
        self._futures: dict[Index, Any] = {}
        self._owned: list[Any] = []
        self._client = client if hasattr(client, "submit") else self._made_client(client)
        if not self._client.nthreads():
            address = self._client.scheduler.address
            self._close()
            raise OSError(
                f"The scheduler {address} has no worker: start one with “dask worker {address}”."
            )

    def _made_client(self, address: Any) -> Any:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ValueError(
                "Painting on a cluster needs dask.distributed: pip install "
                "'napari-neural-style[cluster]'."
            ) from error
        if address == "local":
            workers, threads = _local_workers()
            address = LocalCluster(
                n_workers=workers, threads_per_worker=threads, dashboard_address=None
            )
            self._owned.append(address)
        try:
            client = Client(address, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise OSError(
                f"The scheduler {address} does not answer: give the address that “dask "
                f"scheduler” prints, such as tcp://host:8786 ({error})."
            ) from error
        self._owned.insert(0, client)
        return client

    @property
    def room(self) -> int:
        """How many planes are painted at a time: one by each worker."""
        return max(1, len(self._client.nthreads()))

    def __enter__(self) -> Self:
        self._client.subscribe_topic(self._topic, self._on_report)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._futures:
            # Cancelling alone would let planes that are being painted go on to their end.
            from distributed import Event as Flag

            Flag(self._topic, client=self._client).set()
            self._client.cancel(list(self._futures.values()), force=True)
            self._futures.clear()
        self._client.unsubscribe_topic(self._topic)
        self._close()

    def _close(self) -> None:
        for owned in self._owned:
            owned.close()
        self._owned.clear()

    def start(self, index: Index, values: NDArray[Any], parent: Finished | None) -> None:
        """Send a plane to a worker."""
        with warnings.catch_warnings():
            # A plane travels with its task: where that is done again, it is there again.
            warnings.filterwarnings("ignore", "Sending large graph")
            future = self._client.submit(
                _paint,
                self._recipe,
                self._topic,
                index,
                values,
                parent,
                key=f"{self._topic}-{'-'.join(map(str, index))}",
                pure=False,
            )
        self._futures[index] = future
        future.add_done_callback(partial(self._on_end, index))

    def next_event(self, seconds: float) -> Event | None:
        """Wait for a report of a worker, or for a plane."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(event, Event):  # one that came late is of no use
            return event if event.index in self._futures else None
        future = self._futures.pop(event)
        from distributed import CancelledError, KilledWorker

        try:
            painted, error = future.result(timeout=_SECONDS_TO_ANSWER)
        except (CancelledError, KilledWorker) as exception:
            painted, error = None, f"the workers that painted it were lost ({exception})."
        return Event(event, painted=painted, error=error)

    def _on_end(self, index: Index, _future: Any) -> None:
        self._events.put(index)

    def _on_report(self, event: Any) -> None:
        _, (index, step, steps, note) = event
        self._events.put(Event(tuple(index), step, steps, note))


def _local_workers() -> tuple[int, int]:
    """How many workers this machine gets, and how many threads each."""
    import torch

    cores = os.cpu_count() or 1
    workers = torch.cuda.device_count() or max(1, cores // _LEAST_CORES)
    return workers, max(1, cores // workers)


# ---------------------------------------------------------------- in the workers

_alone = threading.Lock()  # one plane at a time, whatever the number of threads
_painters: dict[str, PlanePainter] = {}


def _paint(
    recipe: Recipe, topic: str, index: Index, values: NDArray[Any], parent: Finished | None
) -> tuple[NDArray[Any] | None, str | None]:
    """Paint a plane in a worker; return it, or a sentence that says why not."""
    import torch
    from distributed import Event as Flag
    from distributed import get_worker

    worker = get_worker()
    with _alone:
        torch.set_num_threads(worker.state.nthreads)
        stopped = Flag(topic)
        steps = _painter(recipe, topic, worker).paint(values, parent)
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
        except ValueError as error:
            return None, str(error)


def _painter(recipe: Recipe, topic: str, worker: Any) -> PlanePainter:
    """The painter of a stack: it is kept, and with it weights, encoder and style targets."""
    if topic not in _painters:
        _painters.clear()
        _painters[topic] = PlanePainter(recipe.on(_device(recipe.settings.device, worker)))
    return _painters[topic]


def _device(wanted: str, worker: Any) -> str:
    """The GPU of a worker, where several share a machine with several."""
    import torch

    count = torch.cuda.device_count()
    if wanted != "auto" or count < 2 or not isinstance(worker.name, int):
        return wanted
    return f"cuda:{worker.name % count}"
