"""Planes painted by the workers of dask.distributed."""

import queue
import uuid
import warnings
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from napari_neural_style.stacks.axes import Index
from napari_neural_style.stacks.backend import Event
from napari_neural_style.stacks.connect import Connection
from napari_neural_style.stacks.scheduler import Scheduler
from napari_neural_style.stacks.task import Recipe, Task

# To the end of a run: of a scheduler that is silent, and of one that still has to do.
_SECONDS_OF_SILENCE: Final = 3
_SECONDS_TO_END: Final = 10


@dataclass(frozen=True)
class _Running:
    """A plane that was sent out.

    Attributes
    ----------
    task
        What was sent.
    worker
        Who was meant to paint it; None for anybody.
    future
        Dask's.
    outcome
        What comes of it, brought here.
    """

    task: Task
    worker: str | None
    future: Any
    outcome: "Future[Any]"


class Cluster:
    """Paints planes as tasks; this process reads the stack and keeps what is finished.

    A worker needs neither the stack nor the disk: each task brings its plane and the one to
    start from, and gives back the painted one. A task whose worker dies is given to another.

    Parameters
    ----------
    client
        As for :class:`~.connect.Connection`.

    Raises
    ------
    ValueError, OSError
        As :class:`~.connect.Connection`; or if the scheduler has no worker.
    """

    def __init__(self, client: Any) -> None:
        self._topic = f"napari-neural-style-{uuid.uuid4().hex}"
        self._events: queue.Queue[Event | tuple[Index, Future[Any]]] = queue.Queue()
        self._running: dict[Index, _Running] = {}
        self._briefed = self._deserted = False
        self._connection = Connection(client)
        try:
            self._client = self._connection.client
            self._scheduler = Scheduler(self._client)
            address = self._scheduler.address
            if not self._scheduler.workers:
                raise OSError(
                    f"The scheduler {address} has no worker: start one with “dask worker "
                    f"{address}”."
                )
            self._client.subscribe_topic(self._topic, self._on_report)
        except BaseException:
            self._connection.close()
            raise

    def brief(self, recipe: Recipe) -> None:
        """Tell the workers, also those that will come, what the planes have in common.

        Raises
        ------
        OSError
            If they cannot paint.
        """
        from napari_neural_style.stacks.remote import Brief

        async def register() -> None:
            await self._client.register_plugin(Brief(self._topic, recipe))

        try:
            self._scheduler.ask(register())
        except Exception as error:  # what a worker cannot import or do, it may say in any way
            self._scheduler.check(error)
            raise OSError(
                f"The workers of {self._scheduler.address} cannot paint: {error}. They "
                "need napari-neural-style in the version that is used here."
            ) from error
        self._briefed = True

    @property
    def room(self) -> int:
        """How many planes are painted at a time: one by each worker."""
        return max(1, len(self._scheduler.workers))

    def start(self, index: Index, task: Task) -> None:
        """Send a plane to a worker."""
        busy = {running.worker for running in self._running.values()}
        # Left to itself, the scheduler gives a worker of several threads several planes.
        free = (worker for worker in self._scheduler.workers if worker not in busy)
        self._send(index, task, next(free, None))

    def _send(self, index: Index, task: Task, worker: str | None) -> None:
        from napari_neural_style.stacks.remote import paint

        with warnings.catch_warnings():
            # A plane travels with its task: where that is done again, it is there again.
            warnings.filterwarnings("ignore", "Sending large graph")
            future = self._client.submit(
                paint,
                *(self._topic, index, task),
                key=f"{self._topic}-{'-'.join(map(str, index))}{'' if worker else '-again'}",
                pure=False,
                workers=worker,
            )
        outcome = self._scheduler.begin(_outcome(future))
        self._running[index] = _Running(task, worker, future, outcome)
        outcome.add_done_callback(lambda outcome: self._events.put((index, outcome)))

    def next_event(self, seconds: float) -> Event | None:
        """Wait for a report of a worker, or for a plane."""
        from distributed import KilledWorker

        self._look()
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(event, Event):  # one that came late is of no use
            return event if event.index in self._running else None
        index, outcome = event
        if index not in self._running or self._running[index].outcome is not outcome:
            return None
        del self._running[index]
        try:
            painted, error = outcome.result()
        except (CancelledError, KilledWorker) as exception:
            self._scheduler.check()
            painted, error = None, f"the workers that painted it were lost ({exception})."
        except Exception as exception:
            self._scheduler.check(exception)
            raise
        return Event(index, painted=painted, error=error)

    def _look(self) -> None:
        """See which workers there are, and send planes of those that are gone to others."""
        self._scheduler.look()
        there = self._scheduler.workers
        for index, running in list(self._running.items()):
            if running.worker is not None and running.worker not in there:
                # To any: where there is none, the first to come.
                self._send(index, running.task, None)
        if not there and not self._deserted and self._running:
            note = "there is no worker any more; the run goes on as soon as one comes."
            self._events.put(Event(next(iter(self._running)), note=note))
        self._deserted = not there

    def close(self) -> None:
        """Stop what is going on."""
        with suppress(OSError):  # without the scheduler, nothing is going on
            self._scheduler.ask(self._end(), _SECONDS_OF_SILENCE, _SECONDS_TO_END)
        self._running.clear()
        self._client.unsubscribe_topic(self._topic)
        self._connection.close()

    async def _end(self) -> None:
        futures = [running.future for running in self._running.values()]
        if futures:
            # Cancelling alone would let planes that are being painted go on to their end.
            from distributed import Event as Flag

            await Flag(self._topic, client=self._client).set()
            await self._client.cancel(futures, force=True)
        if self._briefed:
            await self._client.unregister_worker_plugin(self._topic)

    def _on_report(self, event: Any) -> None:
        _, (index, step, steps, note) = event
        self._events.put(Event(tuple(index), step, steps, note))


async def _outcome(future: Any) -> Any:
    """What comes of a task, brought here."""
    return await future
