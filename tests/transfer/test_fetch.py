import hashlib
import shutil
import threading
import urllib.request

import numpy as np
import pytest
from tests.transfer.serving import CUT, serve

from napari_neural_style.transfer import fetch as module
from napari_neural_style.transfer.fetch import Cancelled, NetworkError, WrongFileError, fetch

CONTENT = np.random.default_rng(0).bytes(5 * CUT // 2)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file"


def test_a_file_comes_whole_and_reports_its_progress(server, file):
    seen = []
    fetch(f"{server[1]}/file", file, SHA256, lambda *bytes_: seen.append(bytes_))
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in seen} == {len(CONTENT)}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) >= len(CONTENT) / module._CHUNK


def test_a_cut_connection_is_taken_up_again(server, file):
    serving, address = server
    seen = []
    fetch(f"{address}/resumed", file, SHA256, lambda *bytes_: seen.append(bytes_))
    assert file.read_bytes() == CONTENT
    assert serving.ranges == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert {total for _, total in seen} == {len(CONTENT)}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "404"),
        ("cut", rf"the connection ended after {CUT} bytes and cannot be taken up again"),
    ],
)
def test_what_does_not_come_leaves_nothing(server, file, path, reason):
    with pytest.raises(NetworkError, match=reason):
        fetch(f"{server[1]}/{path}", file, SHA256)
    assert not file.exists()


def test_a_silent_server_is_given_up(server, file, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with pytest.raises(NetworkError, match=r"timed out|cannot be taken up again"):
        fetch(f"{server[1]}/hang", file, SHA256)
    assert not file.exists()


def test_no_server_is_an_error(file):
    with pytest.raises(NetworkError, match=r"^\[Errno \d+\] .*[^>]$"):
        fetch("http://127.0.0.1:9/file", file, SHA256)
    assert not file.exists()


def test_another_file_is_refused(server, file):
    with pytest.raises(WrongFileError, match=SHA256[:8]):
        fetch(f"{server[1]}/file", file, "0" * 64)
    assert not file.exists()


def test_a_download_is_cancelled_while_the_server_is_silent(server, file):
    serving, address = server
    # Nothing but the cancelling ends it: the server would be waited for half a minute.
    with pytest.raises(Cancelled):
        fetch(f"{address}/hang", file, SHA256, cancelled=serving.silent.is_set)
    assert not file.exists()


def test_a_download_is_cancelled_before_it_is_taken_up_again(server, file, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 1e9)
    came = []
    with pytest.raises(Cancelled):
        fetch(
            f"{server[1]}/resumed",
            file,
            SHA256,
            lambda done, _total: came.append(done),
            lambda: bool(came) and came[-1] == CUT,
        )
    assert not file.exists()


def test_no_thread_is_left_behind(server, file):
    fetch(f"{server[1]}/file", file, SHA256)
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join()


def test_a_full_disk_is_told_at_once(server, file, monkeypatch):
    usage = shutil.disk_usage(file.parent)._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    seen = []
    with pytest.raises(OSError, match=r"0 MB are needed, 0 MB are free"):
        fetch(f"{server[1]}/file", file, SHA256, lambda *bytes_: seen.append(bytes_))
    assert not seen
    assert not file.exists()


def test_https_is_not_left(server):
    with (
        urllib.request.urlopen(f"{server[1]}/file") as answer,
        pytest.raises(OSError, match=r"it leads to http://.*, which is not https"),
    ):
        module._check_answer(answer, "https://download.pytorch.org/models/file", 0)
