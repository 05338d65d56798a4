"""Clients of dask.distributed: the active one, of a scheduler, or of workers on this machine."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_SECONDS_TO_ANSWER: Final = 10
_SECONDS_TO_CLOSE: Final = 3
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


class Connection:
    """A client, and what had to be made for it.

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
        If the scheduler does not answer.
    """

    def __init__(self, client: Any) -> None:
        self._owned: list[Callable[[], Any]] = []  # what ends what was made, in its order
        try:
            self.client = client if hasattr(client, "submit") else self._made_client(client)
        except BaseException:
            self.close()
            raise

    def _made_client(self, address: Any) -> Any:
        try:
            from distributed import Client
            from distributed.utils import LoopRunner
        except ImportError as error:
            raise ValueError(
                "Painting on a cluster needs dask.distributed: pip install "
                "'napari-neural-style[cluster]'."
            ) from error
        if address == "local":
            address = _local_cluster()
            self._owned.append(address.close)
        try:
            if isinstance(address, str):
                # A client that finds no scheduler would leave a thread behind.
                LoopRunner().run_sync(_greet, address)
            client = Client(address, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
        # What is no scheduler may answer anything.
        except Exception as error:
            why = str(error) or f"nothing came within {_SECONDS_TO_ANSWER} seconds"
            raise OSError(
                f"The scheduler {address} does not answer: give the address that “dask "
                f"scheduler” prints, such as tcp://host:8786 ({why})."
            ) from error
        self._owned.append(lambda: _leave(client))
        return client

    def close(self) -> None:
        """End what was made."""
        while self._owned:
            self._owned.pop()()


async def _greet(address: str) -> None:
    """Connect to a scheduler, and leave it."""
    from distributed.comm.core import connect

    # Its own limit ends once something listens, whatever that is.
    comm = await asyncio.wait_for(connect(address, _SECONDS_TO_ANSWER), _SECONDS_TO_ANSWER)
    await comm.close()


def _leave(client: Any) -> None:
    with suppress(TimeoutError):  # of a scheduler that is silent
        client.close(_SECONDS_TO_CLOSE)


def _local_cluster() -> Any:
    import torch
    from distributed import LocalCluster

    cores = os.cpu_count() or 1
    workers = torch.cuda.device_count() or max(1, cores // _LEAST_CORES)
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=max(1, cores // workers),
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
