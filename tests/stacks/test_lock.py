import json
import os
import socket
import subprocess
import sys

import pytest

from napari_neural_style.stacks.lock import FolderLock


@pytest.fixture
def file(tmp_path):
    return tmp_path / "planes.lock"


def test_one_at_a_time(tmp_path, file):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire()
    who = f"being painted by process {os.getpid()} on {socket.gethostname()}: wait"
    for attempt in (second.check, second.acquire):
        with pytest.raises(OSError, match=who):
            attempt()
    second.release()  # which is not its own
    assert file.exists()
    first.release()
    assert not file.exists()
    second.acquire()
    second.release()


def test_a_process_that_is_no_more_does_not_count(tmp_path, file):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file.write_text(json.dumps([socket.gethostname(), dead.pid]))
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert json.loads(file.read_text()) == [socket.gethostname(), os.getpid()]
    lock.release()


@pytest.mark.parametrize("text", ["", json.dumps(["elsewhere", 2**22 + 1])])
def test_of_others_nothing_is_known(tmp_path, file, text):
    file.write_text(text)
    with pytest.raises(OSError, match=r"If nothing paints there, delete .*planes.lock\.$"):
        FolderLock(tmp_path).acquire()
    assert file.read_text() == text
