import copy
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from safetensors.torch import save_file

from napari_neural_style import StyleTransfer
from napari_neural_style.transfer import checkpoint
from napari_neural_style.transfer.autosave import Checkpoints
from napari_neural_style.transfer.checkpoint import read_checkpoint, write_checkpoint
from napari_neural_style.transfer.weights import fingerprint, load_weights

STATE = {
    "settings": {"steps": [1, 2], "init": None, "style_layers": {"r11": 0.1}},
    "image": torch.arange(6.0).view(1, 2, 3),
    "history": [torch.ones(2, dtype=torch.float64), None, torch.tensor(0.1)],
    "rate": 0.1,
    "finished": False,
}

tensors = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.int64]).map(
    lambda dtype: torch.arange(6).to(dtype).view(2, 3)
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
names = st.text("abc.0", min_size=1, max_size=4)
states = st.dictionaries(
    names,
    st.recursive(
        plain | tensors,
        lambda values: st.lists(values, max_size=3) | st.dictionaries(names, values, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


@pytest.fixture
def file(tmp_path):
    return tmp_path / "run.checkpoint"


@given(state=states)
@budget(max_examples=50)
def test_state_comes_back_to_the_last_bit(tmp_path_factory, state):
    file = tmp_path_factory.mktemp("run") / "run.checkpoint"
    write_checkpoint(file, state)
    assert_same(read_checkpoint(file), state)


def test_tensors_may_share_memory_or_have_any_strides(file):
    whole = torch.arange(24.0).view(4, 6)
    state = {"a": whole, "b": whole, "c": whole.T[::2], "d": whole[1]}
    write_checkpoint(file, state)
    assert_same(read_checkpoint(file), state)


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "u4", "i8", "f2", ">f4", "f8"])
def test_arrays_come_back(file, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)[:, ::-1]
    write_checkpoint(file, {"settings": {"mask": array, "masks": (array[:1], array[:0])}})
    settings = read_checkpoint(file)["settings"]
    for one, other in zip(
        (settings["mask"], *settings["masks"]), (array, array[:1], array[:0]), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_path_may_be_a_string(file):
    write_checkpoint(str(file), STATE)
    assert_same(read_checkpoint(str(file)), STATE)


def test_a_new_checkpoint_replaces_the_old_one(file):
    write_checkpoint(file, {"step": 1})
    write_checkpoint(file, {"step": 2})
    assert read_checkpoint(file) == {"step": 2}
    assert [*file.parent.iterdir()] == [file]


def test_a_failure_leaves_the_old_checkpoint_and_nothing_else(file):
    write_checkpoint(file, {"step": 1})
    with pytest.raises(TypeError):
        write_checkpoint(file, {"step": 2, "image": torch.ones(3), "wrong": object()})
    assert read_checkpoint(file) == {"step": 1}
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_full_disk_leaves_the_old_checkpoint(file):
    import resource

    write_checkpoint(file, {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Cannot write .*run\.checkpoint: .*File too large"):
            write_checkpoint(file, {"step": 2, "image": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_checkpoint(file) == {"step": 1}
    assert [*file.parent.iterdir()] == [file]


def test_what_a_killed_process_has_left_is_deleted(file):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    left = file.with_name(f".{file.name}.{process.pid}.part")
    others = [file.with_name(name) for name in (f".{file.name}.{os.getppid()}.part", ".a.1.part")]
    for path in (left, *others):
        path.write_text("half")
    write_checkpoint(file, STATE)
    assert sorted(file.parent.iterdir()) == sorted([file, *others])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_stays_a_link(file):
    link = file.with_name("link")
    link.symlink_to(file)
    write_checkpoint(link, STATE)
    assert link.is_symlink()
    assert_same(read_checkpoint(file), STATE)


def test_a_folder_that_is_not_there_is_named(file):
    path = file.parent / "nowhere" / "run.checkpoint"
    with pytest.raises(OSError, match=r"nowhere.*there is no such file or folder"):
        write_checkpoint(path, STATE)


def test_a_folder_in_the_way_is_named(tmp_path):
    with pytest.raises(OSError, match=r"Cannot write .*it is a folder"):
        write_checkpoint(tmp_path, STATE)
    assert [*tmp_path.iterdir()] == []


def test_a_missing_file_is_named(file):
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint .*run\.checkpoint"):
        read_checkpoint(file)


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.99])
def test_a_cut_file_is_refused(file, share):
    write_checkpoint(file, STATE)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="damaged or no checkpoint of napari-neural-style"):
        read_checkpoint(file)


@pytest.mark.parametrize("place", [0, 5, 20, -1, -20])
def test_a_file_with_a_wrong_byte_is_refused(file, place):
    """Also one within the images and moments, which would resume and paint something else."""
    write_checkpoint(file, STATE)
    data = bytearray(file.read_bytes())
    data[place] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(ValueError, match="damaged or no checkpoint of napari-neural-style"):
        read_checkpoint(file)


class Trap:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def foreign(tmp_path):
    (tmp_path / "text").write_text("not a checkpoint")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    torch.save({"step": 1}, tmp_path / "torch")
    save_file({"image": torch.ones(2)}, tmp_path / "tensors")
    metadata = {"format": "some other program's"}
    save_file({"image": torch.ones(2)}, tmp_path / "metadata", metadata)
    return [tmp_path / name for name in ("text", "pickle", "torch", "tensors", "metadata")]


def test_a_foreign_file_is_refused_and_never_executed(tmp_path):
    for file in foreign(tmp_path):
        with pytest.raises(ValueError, match=f"{file.name}.*no checkpoint.*anew"):
            read_checkpoint(file)
    assert not (tmp_path / "sprung").exists()


def test_a_later_version_is_told(file, monkeypatch):
    monkeypatch.setattr(checkpoint, "_VERSION", 4)
    write_checkpoint(file, STATE)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="it is of version 4, and only 3 can be read"):
        read_checkpoint(file)


def with_header(text, data=b""):
    return struct.pack("<Q", len(text)) + text.encode() + data


def claims(shape, end, dtype="F32"):
    tensor = {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}
    metadata = {"format": "napari-neural-style checkpoint 3", "state": "{}", "checksum": "0"}
    return with_header(json.dumps({"__metadata__": metadata, "a": tensor}), bytes(8))


def meant(state):
    """A file of which every byte is as it was meant."""
    file = io.BytesIO()
    checkpoint._write(file, state, {})
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**40) + b"{}",
        with_header(" " * (17 << 20) + "{}"),
        with_header("{}"),
        claims([2**40], 2**42),
        claims([2**62, 2**62], 8),
        claims([-1], 8),
        claims([2], 8, "F7"),
        meant("[" * 100_000 + "]" * 100_000),
        meant('{"content": {"tensor": [1]}}'),
    ],
    ids=[
        *("length", "header", "empty", "size", "product", "negative", "dtype", "nested"),
        "reference",
    ],
)
def test_what_claims_too_much_is_refused_at_once(file, data):
    file.write_bytes(data)
    with pytest.raises(ValueError, match="damaged or no checkpoint of napari-neural-style"):
        read_checkpoint(file)


# ------------------------------------------------------------------------ real ones


class Real:
    """The checkpoint of a run; hypothesis would print a tuple with all that is in it."""

    def __init__(self, file):
        self.file, self.whole, self.state = file, file.read_bytes(), read_checkpoint(file)


@pytest.fixture(scope="module", params=["adam", "lbfgs", "bounded-lbfgs"])
def real(request, tmp_path_factory):
    file = tmp_path_factory.mktemp("real") / "run.checkpoint"
    y, x = np.mgrid[:20, :24] / 20
    images = np.stack([x / 1.2, y, x * y / 1.2], -1), np.stack([y, np.sin(9 * x) ** 2, y], -1)
    mask = (x > 0.5).astype(np.uint8)
    settings = {"mask": mask, "tolerance": 0.001, "scales": (20, 24), "steps": (2, 3)}
    means = {"precision": "float32", "device": "cpu", "optimizer": request.param}
    transfer = StyleTransfer(*images, **settings, **means)
    for _ in range(4):
        next(transfer)
    transfer.save(file)
    return Real(file)


def refused(file):
    with pytest.raises(ValueError, match=r"^'.*run\.checkpoint' is damaged or no ") as caught:
        StyleTransfer.load(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@given(data=st.data())
@budget(max_examples=60)
def test_a_checkpoint_with_a_wrong_or_missing_byte_is_refused(real, data):
    file, whole = real.file, real.whole
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    place = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, header))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(data.draw(st.sampled_from([damaged, whole[:place]])))
    refused(file)


HOSTILE = (
    *(None, -1, "x", [], {}, math.nan, math.inf, 1e300, 10**30, True, [1, 2], {"a": 1}),
    *(torch.zeros(3), torch.tensor(math.nan), np.zeros((2, 2)), "\n" * 5000),
    *(2**63, -(10**4000), "../../other.txt", [[[[]]]] * 3, [0] * 10**5, {"tensor": "content"}),
)


def paths(value, path=()):
    """Where there is something in a state, the state itself left out."""
    if path:
        yield path
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, dict | list) else ():
        yield from paths(value[key], (*path, key))


def twisted(value):
    """Return what may stand in the place of a value that is nearly right."""
    if not isinstance(value, torch.Tensor):
        return (value * 2, value[:-1]) if isinstance(value, list) else ()
    others = [value.double(), value[None], value.reshape(-1)[:0]]
    if value.is_floating_point():
        for bad in (math.nan, math.inf, -6e4, -1e30, 3e38):
            everywhere = torch.full(value.shape, bad).to(value.dtype)
            spot = value.clone()
            spot.view(-1)[:1] = everywhere.view(-1)[:1]
            others += [everywhere, spot]
    return others


@given(data=st.data())
@budget(max_examples=40)
def test_what_is_no_state_of_a_run_is_refused_or_harmless(real, data):
    """What could be one, such as other weights of the losses, is not told from it."""
    file, state = real.file, real.state
    path = data.draw(st.sampled_from(list(paths(state))))
    state = copy.deepcopy(state)
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    instead = data.draw(st.sampled_from([*HOSTILE, *twisted(inner[path[-1]])]))
    inner[path[-1]] = instead
    write_checkpoint(file, state)
    try:
        transfer = StyleTransfer.load(file)
    except (ValueError, MemoryError) as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    for _, update in zip(range(5), transfer, strict=False):
        assert update.image.shape[2] == 3
    assert 0 <= transfer.result.min() <= transfer.result.max() <= 1
    json.dumps(transfer.provenance(), allow_nan=False)
    transfer.save(file)
    StyleTransfer.load(file)


def test_a_last_step_that_leads_nowhere_is_no_end(file):
    """No loss tells of it, and no checkpoint of such an image can be resumed."""
    image = np.random.default_rng(0).random((20, 24, 3))
    transfer = StyleTransfer(image, image, "fast", size=24, optimizer="adam", steps=2, device="cpu")
    next(transfer)
    transfer._run.painting._optimizer._mean.fill_(math.inf)
    (update,) = transfer
    assert "its best image was taken instead" in update.note
    transfer.save(file)
    np.testing.assert_array_equal(StyleTransfer.load(file).result, transfer.result)


def test_no_checkpoint_chooses_the_files_that_are_read(real, tmp_path):
    file, state = real.file, real.state
    mine = tmp_path / "mine.safetensors"
    os.mkfifo(mine)  # who opens it waits for good
    write_checkpoint(file, {**state, "settings": {**state["settings"], "weights": str(mine)}})
    refused(file)


def test_weights_that_are_deleted_meanwhile_are_not_missed(tmp_path):
    own = tmp_path / "own.safetensors"
    save_file(load_weights("original", normalize=True), own)
    image = np.random.default_rng(0).random((20, 24, 3))
    layers = {"style_layers": "relu1_1", "content_layers": "relu1_2", "device": "cpu"}
    transfer = StyleTransfer(image, image, "fast", weights=own, size=24, steps=3, **layers)
    next(transfer)
    own.unlink()
    transfer.update(style_layers=("relu1_1", "relu5_1"), size=32)
    assert {update.note for update in transfer} == {None}
    assert transfer.settings.style_layers == ("relu1_1", "relu5_1")


# --------------------------------------------------------------------- every so often


def test_saves_take_little_of_the_time(file):
    """The first is after the first step; a slow disk makes them rare."""
    now, saved = [0.0], []

    class Run:
        def save(self, path):
            saved.append(now[0])
            now[0] += 4.0

    step = SimpleNamespace(step=1)
    checkpoints = Checkpoints(Run(), file, every=30, clock=lambda: now[0])
    for _ in range(200):
        now[0] += 1.0
        assert checkpoints.after(step) is None
    assert saved == [1.0, 85.0, 169.0]


def test_a_save_that_fails_is_told_once_until_one_succeeds(real, tmp_path):
    file, whole = real.file, real.whole
    file.write_bytes(whole)
    transfer = StyleTransfer.load(file)
    place = tmp_path / "a" / "run"
    place.parent.mkdir()
    checkpoints = Checkpoints(transfer, place, every=0)
    update = next(transfer)
    assert checkpoints.after(update) is None
    place.unlink()
    place.parent.rmdir()
    note = checkpoints.after(update)
    assert note.startswith("Step 5 could not be saved, and the run goes on; ")
    assert note.endswith("/run: there is no such file or folder.")
    assert checkpoints.after(update) is None
    with pytest.raises(OSError, match="there is no such file or folder"):
        checkpoints.finish()
    place.parent.mkdir()
    assert checkpoints.after(update) is None
    assert totals(StyleTransfer.load(place)) == totals(transfer)
    place.unlink()
    place.parent.rmdir()
    assert checkpoints.after(update) is not None
    with pytest.raises(OSError, match="there is no such file or folder"):
        Checkpoints(transfer, place)


def test_only_checkpoints_are_replaced(real, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG and much that nobody has twice")
    with pytest.raises(FileExistsError, match=r"photo\.png: it is a file of another kind"):
        Checkpoints(None, photo)
    assert photo.read_bytes().endswith(b"twice")
    for replaceable in (b"", real.whole, real.whole[:200]):
        photo.write_bytes(replaceable)
        Checkpoints(None, photo)


def test_a_run_that_was_interrupted_is_kept_beside_the_next_one(tmp_path):
    image = np.random.default_rng(0).random((24, 24, 3))
    file = tmp_path / "run.st"

    def paint(stop):
        transfer = StyleTransfer(image, image, "fast", size=24, steps=9)
        checkpoints, notes = Checkpoints(transfer, file, every=0), []
        for update in transfer:
            notes.append(checkpoints.after(update))
            if update.step == stop:
                return notes  # what ends it does not let it finish
        checkpoints.finish()
        return notes

    assert paint(4) == [None] * 4
    first = file.read_bytes()
    held = f"{file} held a run that was interrupted: it is kept in "
    assert paint(2) == [f"{held}run-interrupted.st, from which it can be resumed.", None]
    assert paint(9)[0] == f"{held}run-interrupted-2.st, from which it can be resumed."
    assert (tmp_path / "run-interrupted.st").read_bytes() == first
    assert len(totals(StyleTransfer.load(tmp_path / "run-interrupted-2.st"))) == 7
    assert paint(9) == [None] * 9  # one that came to its end is of no use any more
    file.write_bytes(first[:-9])
    assert paint(9) == [None] * 9  # nor is one that is damaged
    file.write_bytes(meant("[]"))
    assert paint(9) == [None] * 9  # nor one that holds something else


def totals(transfer):
    return [update.losses["total"] for update in transfer]


def test_another_machine_is_told_and_as_many_threads_are_taken(real):
    file, state = real.file, real.state
    machine = {**state["machine"], "threads": 2, "torch": "1.0", "system": "Plan 9"}
    write_checkpoint(file, {**state, "machine": machine})
    threads = torch.get_num_threads()
    try:
        note = next(StyleTransfer.load(file)).note
        assert torch.get_num_threads() == min(2, os.cpu_count())
    finally:
        torch.set_num_threads(threads)
    assert note.startswith("The run was saved on another machine (torch 1.0, now ")
    assert "Plan 9" not in note
    write_checkpoint(file, {**state, "device": "cuda:77"})
    transfer = StyleTransfer.load(file)
    assert transfer.device != "cuda:77"
    assert "saved on cuda:77, which is not there" in next(transfer).note
    write_checkpoint(file, state)
    assert next(StyleTransfer.load(file)).note is None


def test_a_run_with_weights_of_its_own_needs_the_same_ones(real, tmp_path):
    own = tmp_path / "own.safetensors"
    weights = load_weights("original", normalize=True)
    save_file(weights, own)
    file, state = real.file, real.state
    settings = {**state["settings"], "weights": "/home/me/own.safetensors"}
    write_checkpoint(file, {**state, "settings": settings, "weights": fingerprint(weights)})
    refused(file)
    resumed = StyleTransfer.load(file, weights=own)
    write_checkpoint(file, state)
    assert totals(resumed) == totals(StyleTransfer.load(file))
    save_file({name: weight * 2 for name, weight in weights.items()}, own)
    write_checkpoint(file, {**state, "settings": settings})
    with pytest.raises(ValueError, match="it was painted with other weights than"):
        StyleTransfer.load(file, weights=own)
