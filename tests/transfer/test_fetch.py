import hashlib
import shutil
import sys
import threading
from functools import partial

import numpy as np
import pytest
from tests.transfer.serving import AUTHORITY, CUT, proxy, serve

from napari_neural_style.transfer import fetch as module
from napari_neural_style.transfer.fetch import Cancelled, NetworkError, WrongFileError

CONTENT = np.random.default_rng(0).bytes(5 * CUT // 2)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
fetch = partial(module.fetch, limit=2 * len(CONTENT))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.0)


@pytest.fixture
def server():
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def secure(monkeypatch):
    """The address of a server of https, which is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))
    with serve(CONTENT, secure=True) as served:
        yield served


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file"


def test_a_file_comes_whole_and_reports_its_progress(server, file):
    seen = []
    fetch(f"{server[1]}/file", file, SHA256, progress=lambda *bytes_: seen.append(bytes_))
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in seen} == {len(CONTENT)}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) >= len(CONTENT) / module._CHUNK


def test_a_cut_connection_is_taken_up_again(server, file):
    serving, address = server
    seen = []
    fetch(f"{address}/resumed", file, SHA256, progress=lambda *bytes_: seen.append(bytes_))
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
            progress=lambda done, _total: came.append(done),
            cancelled=lambda: bool(came) and came[-1] == CUT,
        )
    assert not file.exists()


@pytest.mark.parametrize("path", ["file", "hang", "missing"])
def test_no_thread_is_left_behind(server, secure, file, path):
    for serving, address in (server, secure):
        try:
            fetch(f"{address}/{path}", file, SHA256, cancelled=serving.silent.is_set)
        except (Cancelled, NetworkError):
            assert not file.exists()
        for thread in threading.enumerate():
            if thread.name == "download":
                thread.join(module._PATIENCE / 2)
                assert not thread.is_alive()
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("said", [True, False])
def test_a_server_may_not_send_more_than_there_is(server, file, said):
    path = "file" if said else "endless"
    with pytest.raises(NetworkError, match="longer than the 0 MB it may be"):
        module.fetch(f"{server[1]}/{path}", file, SHA256, limit=len(CONTENT) - 1)
    assert not file.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_disk_that_fills_meanwhile_leaves_nothing(server, file):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fetch(f"{server[1]}/file", file, SHA256)
        assert not file.exists()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    fetch(f"{server[1]}/file", file, SHA256)
    assert file.read_bytes() == CONTENT


def test_a_full_disk_is_told_at_once(server, file, monkeypatch):
    usage = shutil.disk_usage(file.parent)._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    seen = []
    with pytest.raises(OSError, match=r"0 MB are needed, 0 MB are free"):
        fetch(f"{server[1]}/file", file, SHA256, progress=lambda *bytes_: seen.append(bytes_))
    assert not seen
    assert not file.exists()


def test_over_https(secure, file):
    fetch(f"{secure[1]}/file", file, SHA256)
    assert file.read_bytes() == CONTENT


def test_a_server_that_nobody_vouches_for_is_not_trusted(secure, file, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{secure[1]}/file", file, SHA256)
    assert secure[0].ranges == []
    assert not file.exists()


def test_a_redirection_on_the_same_server_is_followed(secure, file):
    fetch(f"{secure[1]}/to?/file", file, SHA256)
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("elsewhere", ["http", "host", "port", "file"])
def test_a_redirection_to_elsewhere_is_not(server, secure, file, elsewhere):
    address = secure[1]
    other = {
        "http": server[1],
        "host": address.replace("localhost", "127.0.0.1"),
        "port": "https://localhost:1",
        "file": file.parent.as_uri(),
    }[elsewhere]
    with pytest.raises(NetworkError, match=rf"it leads to {other}.*|not allowed"):
        fetch(f"{address}/to?{other}/other", file, SHA256)
    assert server[0].ranges == []  # it was not even asked
    assert secure[0].ranges == [None]
    assert not file.exists()


def test_through_a_proxy(secure, file, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    serving, address = secure
    with proxy() as (gate, led):
        monkeypatch.setenv("HTTPS_PROXY", gate)
        fetch(f"{address}/resumed", file, SHA256)
    assert file.read_bytes() == CONTENT
    assert led == [address.removeprefix("https://")] * 3
    assert len(serving.ranges) == 3


def test_what_is_no_answer_is_told_in_a_short_line(server, file):
    with pytest.raises(NetworkError) as told:
        fetch(f"{server[1]}/babble", file, SHA256)
    assert str(told.value).isprintable()
    assert 0 < len(str(told.value)) <= 200


def test_a_length_that_is_none_is_not_known(server, file):
    seen = []
    fetch(f"{server[1]}/many", file, SHA256, progress=lambda *bytes_: seen.append(bytes_))
    assert seen[-1] == (len(CONTENT), 0)


def test_a_proxy_that_is_gone_is_told(secure, file, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match="refused"):
        fetch(f"{secure[1]}/file", file, SHA256)
    assert secure[0].ranges == []  # not past the proxy
    assert not file.exists()
