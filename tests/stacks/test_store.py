import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_neural_style.stacks.store import PaintedOtherwiseError, PlaneStore, digest_of

SHAPE, DTYPE, NAMES, RECIPE = (3, 2, 8, 10), np.dtype(np.uint16), "TZYX", {"steps": 5}
JOURNAL = "planes.jsonl"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "painted.zarr"


def create(path, recipe=RECIPE):
    return PlaneStore.create(path, SHAPE, DTYPE, NAMES, recipe, {"limits": [0, 9]})


def reopen(path, shape=SHAPE, dtype=DTYPE, recipe=RECIPE):
    return PlaneStore.reopen(path, shape, dtype, recipe)


def plane(seed=0):
    return np.random.default_rng(seed).integers(1, 60000, SHAPE[2:]).astype(DTYPE)


def test_planes_are_there_at_once_for_others(path):
    store = create(path)
    store.write((1, 0), plane(), "of it")
    other = zarr.open_array(path, mode="r")
    assert np.array_equal(other[1, 0], plane())
    assert not other[0].any()
    assert other.chunks == (1, 1, 8, 10)
    assert other.metadata.dimension_names == tuple(NAMES)
    assert store.done == {(1, 0)}


def test_colours_are_in_one_chunk(path):
    store = PlaneStore.create(path, (3, 8, 10, 3), np.dtype(np.uint8), "TYXS", RECIPE, {})
    assert store.array.chunks == (1, 8, 10, 3)


def test_going_on_later(path):
    store = create(path)
    store.write((0, 1), plane(1), "of it")
    store.write((2, 0), plane(2), "of it")
    again = reopen(path)
    assert again.done == {(0, 1), (2, 0)}
    assert again.recipe == RECIPE
    assert again.found == {"limits": [0, 9]}
    assert np.array_equal(again.read((2, 0)), plane(2))
    again.write((1, 1), plane(3), "of it")
    assert reopen(path).done == {(0, 1), (2, 0), (1, 1)}


@pytest.mark.parametrize("torn", ['{"plane"', '{"plane": [1, 1], "source": "it"}'])
def test_a_torn_line_is_no_plane_and_harms_no_other(path, torn):
    create(path).write((0, 1), plane(), "of it")
    with (path / JOURNAL).open("a") as journal:
        journal.write(torn)
    again = reopen(path)
    assert again.done == {(0, 1)}
    again.write((1, 0), plane(), "of it")
    assert reopen(path).done == {(0, 1), (1, 0)}


@pytest.mark.parametrize("harm", [Path.unlink, lambda chunk: os.truncate(chunk, 9)])
def test_a_plane_whose_file_is_gone_or_cut_is_to_be_painted_again(path, harm):
    store = create(path)
    for index in ((0, 1), (1, 0)):
        store.write(index, plane(), "of it")
    store.write((2, 1), np.zeros_like(plane()), "of it")  # of which there is no file
    harm(path / "c" / "1" / "0" / "0" / "0")
    again = reopen(path)
    assert (again.done, again.damaged) == ({(0, 1), (2, 1)}, {(1, 0)})
    again.write((1, 0), plane(), "of it")
    assert reopen(path).damaged == set()


def test_a_bit_that_is_other_in_a_file_is_found(path):
    store = create(path)
    store.write((0, 1), plane(), "of it")
    chunk = path / "c" / "0" / "1" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(RuntimeError, match="checksum"):
        reopen(path).read((0, 1))


@pytest.mark.parametrize("spoilt", [b"\0\0\0\0\n", b"5\n", b'{"plane": 3}\n'])
def test_a_line_that_a_power_cut_has_spoilt_harms_no_other(path, spoilt):
    create(path).write((0, 1), plane(), "of it")
    with (path / JOURNAL).open("ab") as journal:
        journal.write(spoilt)
    again = reopen(path)
    again.write((1, 0), plane(), "of it")
    assert reopen(path).done == {(0, 1), (1, 0)}


def test_another_version_is_named(path):
    create(path, {"steps": 5, "version": "0.3.0"}).write((0, 0), plane(), "of it")
    why = r"painted otherwise \(version 0\.3\.0 of this program\): choose another place"
    with pytest.raises(PaintedOtherwiseError, match=why):
        reopen(path, recipe={"steps": 5, "version": "0.4.0"})
    with pytest.raises(PaintedOtherwiseError, match="other images or settings"):
        reopen(path, recipe={"steps": 6, "version": "0.4.0"})


def test_what_others_painted_since_is_found(path):
    store = create(path)
    reopen(path).write((1, 0), plane(), "of it")
    store.refresh()
    assert store.done == {(1, 0)}
    other = reopen(path)
    other.keep("limits", [1, 9])
    with pytest.raises(PaintedOtherwiseError):
        store.refresh()


def test_a_torn_first_line(path):
    create(path)
    (path / JOURNAL).write_text('{"pla')
    again = reopen(path)
    assert again.done == set()
    again.write((1, 0), plane(), "of it")
    assert reopen(path).done == {(1, 0)}


@pytest.mark.parametrize(
    "other",
    [{"recipe": {"steps": 6}}, {"shape": (4, 2, 8, 10)}, {"dtype": np.dtype(np.uint8)}],
)
def test_a_stack_that_was_painted_otherwise_is_not_touched(path, other):
    create(path).write((0, 0), plane(), "of it")
    with pytest.raises(ValueError, match=r"painted\.zarr holds a stack that was painted otherwise"):
        reopen(path, **other)
    assert np.array_equal(reopen(path).read((0, 0)), plane())


def test_what_is_no_painted_stack_is_not_touched(path):
    path.mkdir()
    (path / "thesis.txt").write_text("three years")
    with pytest.raises(ValueError, match="is no painted stack: choose another place"):
        reopen(path)
    assert (path / "thesis.txt").read_text() == "three years"
    file = path.with_name("file")
    file.write_text("data")
    with pytest.raises(ValueError, match="is no painted stack"):
        reopen(file)
    foreign = path.with_name("foreign.zarr")
    zarr.create_array(foreign, shape=SHAPE, dtype=DTYPE)
    with pytest.raises(ValueError, match=r"foreign\.zarr"):
        reopen(foreign)


def test_there_is_no_such_folder(tmp_path):
    with pytest.raises(OSError, match=r"Cannot write .*nowhere"):
        create(tmp_path / "nowhere" / "painted.zarr")


READ_ONLY = "/proc/painted.zarr"  # for root, too


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="it is a folder of Linux")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(OSError, match=rf"Cannot write {READ_ONLY}"):
        create(Path(READ_ONLY))


def test_a_disk_that_is_too_small_is_said_before_anything_is_painted(path):
    with pytest.raises(
        OSError, match=r"takes up to 1342177\.3 TB, and the disk has [\d.]+ .B free"
    ):
        PlaneStore.create(path, (10**10, 8192, 8192), DTYPE, "TYX", RECIPE, {})
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is a device of Linux")
def test_a_disk_that_is_full_leaves_what_is_done(path):
    store = create(path)
    store.write((0, 0), plane(), "of it")
    journal = path / JOURNAL
    journal.rename(path / "kept")
    journal.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the disk is full .* what is done is kept") as caught:
        store.write((0, 1), plane(), "of it")
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value).startswith("Cannot write")
    assert str(caught.value).endswith("is kept.")
    assert store.done == {(0, 0)}
    (path / "kept").replace(journal)
    again = reopen(path)
    assert again.done == {(0, 0)}
    again.write((0, 1), plane(), "of it")


PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from napari_neural_style.stacks.store import PlaneStore
path = Path(sys.argv[1])
store = PlaneStore.create(path, (9, 64, 64), np.dtype(np.uint16), "TYX", {}, {})
rng = np.random.default_rng(0)
store.write((0,), rng.integers(0, 65536, (64, 64)).astype(np.uint16), "of it")
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.write((1,), rng.integers(0, 65536, (64, 64)).astype(np.uint16), "of it")
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are of POSIX")
def test_a_plane_that_cannot_be_written_is_not_done(path):
    program = [sys.executable, "-c", PROGRAM, path]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert told == f"Cannot write {path}: File too large.\n"
    again = reopen(path, (9, 64, 64), DTYPE, {})
    assert again.done == {(0,)}
    assert again.read((0,)).std() > 1000


def test_what_a_plane_was_painted_from_is_known_later(path):
    source = plane(5)
    create(path).write((0, 1), plane(), digest_of(source))
    again = reopen(path)
    again.check((0, 1), digest_of(source))
    again.check((0, 0), digest_of(plane(6)))  # which is not done
    with pytest.raises(PaintedOtherwiseError, match="painted otherwise"):
        again.check((0, 1), digest_of(plane(6)))


def test_digests_are_of_values_and_not_of_how_they_lie_in_memory():
    source, mask = plane(), np.eye(3, dtype=bool)
    same = digest_of(source)
    assert digest_of(np.asfortranarray(source)) == same
    assert digest_of(source.astype(source.dtype.newbyteorder(">"))) == same
    assert digest_of(source, None) == same
    others = [source + 1, source.T, source.astype(np.int32)]
    assert len({same, digest_of(source, mask), *map(digest_of, others)}) == 5
