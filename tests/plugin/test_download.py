import sys
import threading
import time

import pytest
from napari.utils.progress import progress
from qtpy.QtCore import QThread
from qtpy.QtWidgets import QApplication
from tests.transfer.serving import CUT

from napari_neural_style.plugin.download import WeightsDownload
from napari_neural_style.transfer import fetch, weights
from napari_neural_style.transfer.weight_files import is_installed

from .conftest import TIMEOUT


@pytest.fixture
def download(make_napari_viewer):
    """A download, and what it has said."""
    viewer = make_napari_viewer()
    download = WeightsDownload()
    said = []
    download.progressed.connect(lambda *bytes_: said.append(bytes_))
    for name in ("finished", "failed", "cancelled"):
        getattr(download, name).connect(lambda *what, name=name: said.append((name, *what)))
    yield viewer, download, said
    download.cancel()
    for thread in threading.enumerate():
        if thread.name == "weights":
            thread.join()


def bars():
    return list(progress._all_instances)


def test_the_weights_come_with_a_bar(server, download, whole_file, qtbot):
    _, download, said = download
    threads = []
    download.progressed.connect(lambda *_: threads.append(QThread.currentThread()))
    with qtbot.waitSignal(download.finished, timeout=TIMEOUT):
        download.start()
        (bar,) = bars()
    assert bar.total == len(whole_file)
    assert not bars()
    assert is_installed("torchvision")
    assert said[-2:] == [(len(whole_file), len(whole_file)), ("finished",)]
    assert set(threads) == {QApplication.instance().thread()}


def test_weights_that_are_there_are_not_downloaded(server, download, folder, qtbot):
    _, download, said = download
    folder.mkdir()
    (folder / "vgg19-dcbb9e9d.pth").touch()
    with qtbot.waitSignal(download.finished, timeout=TIMEOUT):
        download.start()
    assert server("file").ranges == []
    assert said == [("finished",)]


def test_the_bar_cancels_it_while_the_server_is_silent(server, download, folder, qtbot):
    _, download, said = download
    serving = server("hang")
    download.start()
    download.start()  # once more, which changes nothing
    qtbot.waitUntil(serving.silent.is_set, timeout=TIMEOUT)
    (bar,) = bars()
    with qtbot.waitSignal(download.cancelled, timeout=TIMEOUT):
        bar.cancel()
    assert not bars()
    assert list(folder.iterdir()) == []
    assert said[-1] == ("cancelled",)
    assert all(received <= CUT for received, _ in said[:-1])


def test_it_goes_on_without_the_viewer(server, download, folder, qtbot):
    viewer, download, _ = download
    serving = server("hang")
    download.start()
    qtbot.waitUntil(serving.silent.is_set, timeout=TIMEOUT)
    viewer.close()
    download.progressed.emit(CUT, 2 * CUT)
    with qtbot.waitSignal(download.cancelled, timeout=TIMEOUT):
        download.cancel()
    assert not bars()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [("missing", "404"), ("cut", "cannot be taken up again"), ("file", "not the expected file")],
)
def test_why_it_failed_is_told(server, download, folder, qtbot, monkeypatch, path, reason):
    _, download, said = download
    monkeypatch.setattr(fetch, "_PAUSE", 0.0)
    if path == "file":
        monkeypatch.setattr(weights, "TORCHVISION_SHA256", "0" * 64)
    server(path)
    with qtbot.waitSignal(download.failed, timeout=TIMEOUT) as signal:
        download.start()
    assert reason in signal.args[0]
    assert "weights='original'" in signal.args[0]
    assert not bars()
    assert [what for what in said if isinstance(what[0], str)] == [("failed", *signal.args)]
    assert list(folder.iterdir()) == []


def test_without_torch_it_fails_with_a_sentence(download, qtbot, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari_neural_style.transfer.engine", None)
    with qtbot.waitSignal(download[1].failed, timeout=TIMEOUT) as signal:
        download[1].start()
    assert "PyTorch could not be loaded" in signal.args[0]


def test_it_can_be_tried_again(server, download, qtbot):
    _, download, said = download
    server("missing")
    with qtbot.waitSignal(download.failed, timeout=TIMEOUT):
        download.start()
    server("hang")
    download.start()
    with qtbot.waitSignal(download.cancelled, timeout=TIMEOUT):
        download.cancel()
    server("file")
    with qtbot.waitSignal(download.finished, timeout=TIMEOUT):
        download.start()
    assert [name for name, *_ in said if isinstance(name, str)] == [
        "failed",
        "cancelled",
        "finished",
    ]


def test_the_text_says_how_long_or_how_much(qtbot):
    download = WeightsDownload()
    download._begin = time.monotonic() - 10
    assert download._describe(4_000_000, 12_000_000) == "20 s left"
    assert download._describe(3_000_000, 0) == "3 MB"
