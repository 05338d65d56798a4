"""A scheduler of dask.distributed, which may be gone or silent: nothing waits for it for ever."""

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, Final

# A healthy one answers at once, but a machine may be busy, or a network slow.
_SECONDS_OF_SILENCE: Final = 30
_SECONDS_BETWEEN_QUESTIONS: Final = 0.5
_SECONDS_BETWEEN_LOOKS: Final = 0.1
# If there is more between two looks, it was this process that was busy, or suspended.
_LONGEST_LOOK: Final = 1.0


class Scheduler:
    """The scheduler of a client; its workers are asked for again and again, in the background.

    Parameters
    ----------
    client
        A ``distributed.Client``.

    Raises
    ------
    OSError
        If the scheduler is gone, or silent.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.address: str = client.scheduler.address
        self.workers: list[str] = []
        """Addresses of the workers, as last told."""
        self._question: Future[Any] | None = None
        self._looked = self._asked = time.monotonic()
        self._silent = 0.0
        self._lost = ""  # why it is, in words
        self.workers = list(self.ask(client.scheduler.ncores()))

    @property
    def _gone(self) -> str:
        return (
            f"The scheduler {self.address} is gone: start it and its workers again, and then the "
            "run. What is finished is kept."
        )

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Let the client's event loop run something; its methods are coroutines there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._client.loop.asyncio_loop)

    def ask(
        self, coroutine: Coroutine[Any, Any, Any], silence: float | None = None, most: float = 1e9
    ) -> Any:
        """Wait for what :meth:`begin` does.

        Parameters
        ----------
        coroutine
            What the scheduler is asked for.
        silence, most
            Seconds to wait for a scheduler that says nothing (30 by default), and in all. What
            was asked is not taken back.

        Raises
        ------
        OSError
            If the scheduler is gone or silent, or the time is over.
        """
        answer, begun = self.begin(coroutine), time.monotonic()
        while not wait([answer], _SECONDS_BETWEEN_LOOKS).done:
            self.look(silence)
            if time.monotonic() - begun > most:
                raise OSError(f"The scheduler {self.address} did not do in time what it was told.")
        try:
            return answer.result()
        except Exception as error:  # which one depends on the moment
            self.check(error)
            raise

    def look(self, silence: float | None = None) -> None:
        """Note what is known of the workers by now.

        Raises
        ------
        OSError
            If the scheduler is gone, or has been silent for so many seconds.
        """
        self.check()
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        if self._question is None:
            if now - self._asked > _SECONDS_BETWEEN_QUESTIONS:
                self._question, self._asked = self.begin(self._client.scheduler.ncores()), now
        elif not self._question.done():
            self._silent += min(passed, _LONGEST_LOOK)
            longest = _SECONDS_OF_SILENCE if silence is None else silence
            if self._silent > longest:
                self._lost = (
                    f"The scheduler {self.address} has said nothing for {longest:g} seconds: see "
                    "whether it still works, and start the run again. What is finished is kept."
                )
                self.check()
        else:
            question, self._question, self._silent = self._question, None, 0.0
            try:
                self.workers = list(question.result())
            except OSError as error:
                self._lost = self._gone
                self.check(error)

    def check(self, error: Exception | None = None) -> None:
        """Raise an OSError in words if the scheduler is lost, as an error may show."""
        from distributed.comm.core import CommClosedError

        # The client itself may notice later.
        if self._client.status != "running" or isinstance(error, CommClosedError):
            self._lost = self._lost or self._gone
        if self._lost:
            raise OSError(self._lost) from error
