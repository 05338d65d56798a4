import os
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from safetensors.torch import save_file

from napari_neural_style.transfer.checkpoint import read_checkpoint, write_checkpoint

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
