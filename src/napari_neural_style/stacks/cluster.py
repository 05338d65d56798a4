"""Planes painted by the workers of dask.distributed."""

import os
import queue
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.backend import Event
from napari_neural_style.stacks.task import Recipe, Task

_SECONDS_TO_ANSWER: Final = 10
# Of a worker on this machine, where there is no GPU.
_LEAST_CORES: Final = 4


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

    Raises
    ------
    ValueError
        If dask.distributed is not installed.
    OSError
        If the scheduler does not answer, or has no worker.
    """

    def __init__(self, client: Any) -> None:
        self._topic = f"napari-neural-style-{uuid.uuid4().hex}"
        self._events: queue.Queue[Event | Index] = queue.Queue()
        self._running: dict[Index, tuple[Any, str]] = {}  # futures, and the workers meant
        self._owned: list[Callable[[], Any]] = []  # what ends what was made, in its order
        self._briefed = self._gone = False
        try:
            self._client = client if hasattr(client, "submit") else self._made_client(client)
            self._address = self._client.scheduler.address
            if not self._workers():
                raise OSError(
                    f"The scheduler {self._address} has no worker: start one with “dask worker "
                    f"{self._address}”."
                )
            self._client.subscribe_topic(self._topic, self._on_report)
        except BaseException:
            self._let_go()
            raise

    def _made_client(self, address: Any) -> Any:
        try:
            from distributed import Client, LocalCluster
            from distributed.utils import LoopRunner
        except ImportError as error:
            raise ValueError(
                "Painting on a cluster needs dask.distributed: pip install "
                "'napari-neural-style[cluster]'."
            ) from error
        if address == "local":
            workers, threads = _local_workers()
            try:
                address = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=threads,
                    # Any free port: a dashboard of its own is of no use, and may be taken.
                    dashboard_address="127.0.0.1:0",
                    preload=["napari_neural_style.stacks.uninterrupted"],
                )
            except (OSError, RuntimeError) as error:
                raise OSError(
                    f"Workers on this machine cannot be started ({error}). A script that starts "
                    "them needs “if __name__ == '__main__':”; without them, planes are painted "
                    "one by one."
                ) from error
            self._owned.append(address.close)
        try:
            if isinstance(address, str):
                # A client that finds no scheduler would leave a thread behind.
                LoopRunner().run_sync(_greet, address)
            client = Client(address, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise OSError(
                f"The scheduler {address} does not answer: give the address that “dask "
                f"scheduler” prints, such as tcp://host:8786 ({error})."
            ) from error
        self._owned.append(client.close)
        return client

    def _workers(self) -> list[str]:
        with self._asking():
            return list(self._client.nthreads())

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raise an OSError in words if the scheduler is gone."""
        try:
            self._check()
            yield
        except Exception as error:  # which one depends on the moment
            self._check(error)
            raise

    def _check(self, error: Exception | None = None) -> None:
        from distributed.comm.core import CommClosedError

        # The client itself may notice later.
        self._gone |= self._client.status != "running" or isinstance(error, CommClosedError)
        if self._gone:
            raise OSError(
                f"The scheduler {self._address} is gone: start it and its workers again, and then "
                "the run. What is finished is kept."
            ) from error

    def brief(self, recipe: Recipe) -> None:
        """Tell the workers, also those that will come, what the planes have in common.

        Raises
        ------
        OSError
            If they cannot paint.
        """
        from napari_neural_style.stacks.remote import Brief

        try:
            self._client.register_plugin(Brief(self._topic, recipe))
        except Exception as error:  # what a worker cannot import or do, it may say in any way
            raise OSError(
                f"The workers of {self._address} cannot paint: {error}. They "
                "need napari-neural-style in the version that is used here."
            ) from error
        self._briefed = True

    @property
    def room(self) -> int:
        """How many planes are painted at a time: one by each worker."""
        return max(1, len(self._workers()))

    def start(self, index: Index, task: Task) -> None:
        """Send a plane to a worker."""
        from napari_neural_style.stacks.remote import paint

        busy = {worker for _, worker in self._running.values()}
        # Left to itself, the scheduler gives a worker of several threads several planes.
        worker = next((worker for worker in self._workers() if worker not in busy), "")
        with warnings.catch_warnings():
            # A plane travels with its task: where that is done again, it is there again.
            warnings.filterwarnings("ignore", "Sending large graph")
            future = self._client.submit(
                paint,
                self._topic,
                index,
                task,
                key=f"{self._topic}-{'-'.join(map(str, index))}",
                pure=False,
                workers=[worker] if worker else None,
                allow_other_workers=bool(worker),
            )
        self._running[index] = future, worker
        future.add_done_callback(partial(self._on_end, index))

    def next_event(self, seconds: float) -> Event | None:
        """Wait for a report of a worker, or for a plane."""
        from distributed import CancelledError, KilledWorker

        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            self._check()
            return None
        if isinstance(event, Event):  # one that came late is of no use
            return event if event.index in self._running else None
        future, _ = self._running.pop(event)
        try:
            with self._asking():
                painted, error = future.result(timeout=_SECONDS_TO_ANSWER)
        except (CancelledError, KilledWorker) as exception:
            painted, error = None, f"the workers that painted it were lost ({exception})."
        return Event(event, painted=painted, error=error)

    def close(self) -> None:
        """Stop what is going on."""
        with suppress(OSError), self._asking():  # without the scheduler, nothing is going on
            self._clear()
        self._let_go()

    def _clear(self) -> None:
        if self._running:
            # Cancelling alone would let planes that are being painted go on to their end.
            from distributed import Event as Flag

            Flag(self._topic, client=self._client).set()
            self._client.cancel([future for future, _ in self._running.values()], force=True)
            self._running.clear()
        self._client.unsubscribe_topic(self._topic)
        if self._briefed:
            self._client.unregister_worker_plugin(self._topic)

    def _let_go(self) -> None:
        while self._owned:
            self._owned.pop()()

    def _on_end(self, index: Index, _future: Any) -> None:
        self._events.put(index)

    def _on_report(self, event: Any) -> None:
        _, (index, step, steps, note) = event
        self._events.put(Event(tuple(index), step, steps, note))


async def _greet(address: str) -> None:
    """Connect to a scheduler, and leave it."""
    from distributed.comm.core import connect

    comm = await connect(address, timeout=_SECONDS_TO_ANSWER)
    await comm.close()


def _local_workers() -> tuple[int, int]:
    """How many workers this machine gets, and how many threads each."""
    import torch

    cores = os.cpu_count() or 1
    workers = torch.cuda.device_count() or max(1, cores // _LEAST_CORES)
    return workers, max(1, cores // workers)
