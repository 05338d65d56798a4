import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

from napari_neural_style import StackTransfer
from napari_neural_style.stacks.cluster import Cluster
from napari_neural_style.stacks.connect import _local_cluster, active_client
from napari_neural_style.stacks.remote import _device

from .conftest import QUICK, moving, stripes
from .test_transfer import Lazy


def transfer(client, stack=None, **options):
    return StackTransfer(
        moving(6) if stack is None else stack,
        stripes(),
        "TYX",
        client=client,
        **{**QUICK, "segment": 3} | options,
    )


def local_cluster(workers=2):
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    )


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def here():
    """The planes painted in this process."""
    return transfer("here").run()[:]


def idle(client, seconds=10):
    """Wait until no worker computes; return whether that is so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(client.processing().values()) and not any(client.run(_busy).values()):
            return True
        time.sleep(0.1)
    return False


def _busy(dask_worker):
    return dask_worker.state.executing_count


def _painters():
    from napari_neural_style.stacks import remote

    return list(remote._painters)


def test_the_result_is_that_of_this_process_to_the_bit(client, here):
    run = transfer(client)
    updates = list(run)
    assert np.array_equal(run.result[:], here)
    assert sum(update.finished is not None for update in updates) == 6
    assert run.done == 6
    assert updates[-1].seconds_left == 0
    assert not any(client.run(_painters).values())


def test_both_workers_paint(client):
    run, side_by_side = transfer(client, steps=60), set()
    for update in run:
        if update.finished is None:
            side_by_side.add(update.plane)
        else:
            side_by_side.discard(update.plane)
        if len(side_by_side) == 2:
            run.stop()
    assert len(side_by_side) == 2
    assert idle(client)


def test_an_address_will_do(cluster, here):
    run = transfer(cluster.scheduler_address)
    assert np.array_equal(run.run()[:], here)


def test_the_active_client_is_used(client):
    assert active_client() is None
    with client.as_current():
        run = transfer(None)
        assert isinstance(run._backend, Cluster)
        run.stop()
        run.run()
    assert active_client() is None


def test_a_worker_that_is_killed_loses_nothing(here):
    with (
        local_cluster() as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        run, killed = transfer(client), []
        killer = threading.Thread(target=lambda: killed.append(kill_one_at_work(client)))
        killer.start()
        run.run()
        killer.join()
        assert killed[0] not in client.run(os.getpid).values()
        assert run.failed == {}
        assert np.array_equal(run.result[:], here)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_workers_killed_at_once_lose_nothing(here, workers):
    with (
        local_cluster(workers) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        run, processes = transfer(client), client.run(os.getpid).values()
        for update in run:
            if update.step and processes:
                for process in processes:
                    os.kill(process, signal.SIGKILL)
                processes = []
        assert not processes
        assert run.failed == {}
        assert np.array_equal(run.result[:], here)


def test_a_run_waits_for_workers_to_come_and_says_so(here):
    with local_cluster(1) as cluster, Client(cluster, set_as_default=False) as client:
        run, told = transfer(client), []
        for update in run:
            if update.finished is not None and update.done == 2:
                cluster.scale(0)
            if update.note:
                told.append(update.note)
                cluster.scale(1)
        assert told == ["there is no worker any more; the run goes on as soon as one comes."]
        assert run.failed == {}
        assert np.array_equal(run.result[:], here)


def kill_one_at_work(client):
    """Kill a worker that paints; return its process."""
    processes = client.run(os.getpid)
    while not (busy := [worker for worker, count in client.run(_busy).items() if count]):
        time.sleep(0.01)
    os.kill(processes[busy[0]], signal.SIGKILL)
    return processes[busy[0]]


def test_a_stop_ends_what_the_workers_do(client):
    run = transfer(client, steps=100_000)
    for update in run:
        if update.step:  # they are at it
            run.stop()
    assert run.done == 0
    assert idle(client)
    assert not any(client.run(_painters).values())


def test_a_run_that_is_left_ends_what_the_workers_do(client):
    run = transfer(client, steps=100_000)
    while not next(run).step:
        pass
    run._updates.close()
    assert idle(client)


def test_bad_planes_are_told_and_skipped(client):
    values = moving(5).astype(np.float32)
    values[3] = np.nan
    run = transfer(client, Lazy(values, damaged={1}), steps=2)
    run.run()
    assert run.failed[1,] == "T 1: it cannot be read (chunk 5 is damaged)."
    assert run.failed[3,].startswith("T 3: The plane holds NaN")
    assert run.done == 3
    alone = transfer("here", Lazy(values, damaged={1}), steps=2)
    assert np.array_equal(run.result[:], alone.run()[:])


def test_what_no_plane_can_be_painted_with_is_said(client):
    run = transfer(client, weights="nowhere/weights.pth")
    with pytest.raises((ValueError, OSError), match="nowhere"):
        run.run()
    assert idle(client)


def test_planes_are_read_once(client):
    stack = Lazy((moving(8) >> 6).astype(np.uint8))
    transfer(client, stack, segment=4, steps=2).run()
    # The first of a segment is what two others start from.
    assert sorted(stack.read) in ([*range(8)], [0, *range(8)])


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_neural_style.stacks.connect._SECONDS_TO_ANSWER", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"The scheduler {address} does not answer: give"):
            transfer(address, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("says", [b"", HTTP])
def test_what_listens_and_is_no_scheduler(tmp_path, monkeypatch, says):
    monkeypatch.setattr("napari_neural_style.stacks.connect._SECONDS_TO_ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        taken = []

        def answer():
            taken.append(server.accept()[0])
            taken[0].sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(OSError, match=rf"^The scheduler {address} does not answer: .*\)\.$"):
            transfer(address, out=tmp_path / "out")
        taken[0].close()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nowhere", "ftp://127.0.0.1:3"])
def test_what_is_no_address(address):
    before = set(threading.enumerate())
    with pytest.raises(OSError, match=rf"The scheduler {address} does not answer"):
        transfer(address)
    assert not [thread for thread in set(threading.enumerate()) - before if "loop" in thread.name]


SCHEDULER = """
import asyncio, sys
from distributed import Scheduler, Worker

async def main():
    options = {"host": "127.0.0.1", "dashboard_address": ":0"}
    async with Scheduler(port=0, **options) as scheduler:
        async with Worker(scheduler.address, nthreads=1, **options) as worker:
            print(scheduler.address, flush=True)
            await asyncio.sleep(100)

asyncio.run(main())
"""


def test_a_scheduler_that_dies_loses_nothing_that_is_finished(scheduler, tmp_path, here):
    process, address = scheduler
    run = transfer(address, out=tmp_path / "out")
    while run.done < 2:
        next(run)
    process.kill()
    with pytest.raises(OSError, match=rf"^The scheduler {address} is gone: .* is kept\.$"):
        run.run()
    again = transfer("here", out=tmp_path / "out")
    assert again.done >= 2
    assert np.array_equal(again.run()[:], here)


@pytest.fixture
def scheduler():
    """A scheduler with a worker in a process of their own, and their address."""
    program = [sys.executable, "-c", SCHEDULER]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
def test_a_scheduler_that_was_silent_before(scheduler, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_neural_style.stacks.connect._SECONDS_TO_ANSWER", 1)
    process, address = scheduler
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(OSError, match=r"does not answer: .*nothing came within 1 s"):
        transfer(address, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
@pytest.mark.parametrize("own", [True, False])
def test_a_scheduler_that_falls_silent_loses_nothing(scheduler, monkeypatch, tmp_path, here, own):
    process, address = scheduler
    with ExitStack() as stack:
        client = stack.enter_context(Client(address, set_as_default=False)) if own else address
        run = transfer(client, out=tmp_path / "out")
        while run.done < 2:
            next(run)
        monkeypatch.setattr("napari_neural_style.stacks.scheduler._SECONDS_OF_SILENCE", 2)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(OSError, match=rf"^The scheduler {address} has said nothing for 2 sec"):
            run.run()
        process.send_signal(signal.SIGCONT)
    again = transfer("here", out=tmp_path / "out")
    assert again.done >= 2
    assert np.array_equal(again.run()[:], here)


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
def test_a_stop_does_not_wait_for_a_silent_scheduler(scheduler):
    process, address = scheduler
    run = transfer(address, steps=100_000)
    while not next(run).step:
        pass
    process.send_signal(signal.SIGSTOP)
    run.stop()
    assert list(run) == []
    assert run.done == 0


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
def test_workers_of_this_machine_leave_interrupts_to_this_process():
    run = transfer("local", steps=20, planes=slice(0, 2))
    processes = run._backend._client.run(os.getpid)
    while not next(run).step:
        pass
    for process in processes.values():
        os.kill(process, signal.SIGINT)
    assert run._backend._client.run(os.getpid) == processes
    run.run()
    assert run.failed == {}
    assert run.done == 2


UNGUARDED = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.stacks.test_cluster import moving, transfer
try:
    transfer("local")
except OSError as error:
    print("Told:", error)
"""


def test_workers_that_do_not_start_are_told(tmp_path):
    file = tmp_path / "unguarded.py"
    file.write_text(UNGUARDED)
    program = [sys.executable, file, Path(__file__).parents[2]]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "Told: Workers on this machine cannot be started (" in told


def test_planes_bring_their_masks(client):
    masks = np.zeros((6, 32, 32), np.uint8)
    masks[[0, 2, 3, 5], 4:20, 8:30] = 2
    guides = {"mask": masks, "style_masks": np.full((32, 32), 2), "steps": 2}
    assert np.array_equal(transfer(client, **guides).run()[:], transfer("here", **guides).run()[:])


def test_a_scheduler_without_workers():
    with (
        local_cluster(workers=0) as cluster,
        pytest.raises(OSError, match=r"has no worker: start one with “dask worker tcp://"),
    ):
        transfer(cluster.scheduler_address)


PROGRAM = """
import sys
sys.modules["distributed"] = None
from tests.stacks.test_transfer import transfer, moving, stripes, QUICK
from napari_neural_style import StackTransfer, stylize_stack
assert stylize_stack(moving(1), stripes(), **QUICK)[:].any()
try:
    StackTransfer(moving(1), stripes(), client="local")
except ValueError as error:
    print(error)
"""


def test_without_distributed_stacks_are_painted_here():
    root = Path(__file__).parents[2]
    program = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(program, capture_output=True, text=True, check=True, cwd=root).stdout
    assert told == (
        "Painting on a cluster needs dask.distributed: pip install "
        "'napari-neural-style[cluster]'.\n"
    )


def device_of(wanted, dask_worker):
    torch.cuda.device_count = lambda: 2
    return _device(wanted, dask_worker)


def test_here_each_gpu_has_a_worker(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with _local_cluster() as cluster, Client(cluster) as client:
        for wanted in ("auto", "cuda"):
            devices = client.run(device_of, wanted)
            assert sorted(devices.values()) == ["cuda:0", "cuda:1"]
        assert set(client.run(device_of, "cpu").values()) == {"cpu"}
