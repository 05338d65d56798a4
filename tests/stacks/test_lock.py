import json
import os
import socket
import subprocess
import sys
import time

import psutil
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
    file.write_text(json.dumps([socket.gethostname(), dead.pid, time.time()]))
    lock = FolderLock(tmp_path)
    lock.acquire()
    started = psutil.Process().create_time()
    assert json.loads(file.read_text()) == [socket.gethostname(), os.getpid(), started]
    lock.release()


def test_an_id_that_another_process_has_now_does_not_count(tmp_path, file):
    before = psutil.Process().create_time() - 100
    file.write_text(json.dumps([socket.gethostname(), os.getpid(), before]))
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()


@pytest.mark.parametrize("text", ["", "5", "[1]", "\0\0\0"])
def test_what_names_nobody_does_not_count_for_long(tmp_path, file, text):
    file.write_text(text)
    with pytest.raises(OSError, match="being painted by another process: wait"):
        FolderLock(tmp_path).acquire()
    before = time.time() - 100
    os.utime(file, (before, before))
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()


FULL = """
import resource, sys
from pathlib import Path
from napari_neural_style.stacks.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    lock.acquire()
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are of POSIX")
def test_where_nothing_can_be_written_no_file_is_left(tmp_path, file):
    program = [sys.executable, "-c", FULL, tmp_path]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert told == f"Cannot write {tmp_path}: File too large.\n"
    assert not file.exists()


def test_there_is_no_such_folder(tmp_path):
    with pytest.raises(OSError, match=r"^Cannot write .*gone: there is no such file or folder\.$"):
        FolderLock(tmp_path / "gone").acquire()


@pytest.mark.parametrize("text", ["", json.dumps(["elsewhere", 2**22 + 1, 5.0])])
def test_of_others_nothing_is_known(tmp_path, file, text):
    file.write_text(text)
    with pytest.raises(OSError, match=r"If nothing paints there, delete .*planes.lock\.$"):
        FolderLock(tmp_path).acquire()
    assert file.read_text() == text
