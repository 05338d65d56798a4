"""What SECURITY.md promises of files and of the network."""

import ast
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import numcodecs
import numpy as np
import pytest
import tifffile
import torch
import zarr

import napari_neural_style
from napari_neural_style import StyleTransfer
from napari_neural_style.images import (
    METADATA_KEY,
    check_writable,
    read_calibration,
    read_image,
    write_image,
)
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.images.stack_files import open_stack
from napari_neural_style.plugin.own_presets import OwnPresets
from napari_neural_style.recipe import Recipe, read_recipe, write_recipe
from napari_neural_style.stacks.lock import FolderLock
from napari_neural_style.stacks.store import PlaneStore
from napari_neural_style.transfer.weight_files import (
    FOLDER_VARIABLE,
    TORCHVISION_NAME,
    TORCHVISION_SHA256,
    TORCHVISION_URL,
)
from napari_neural_style.transfer.weights import load_weights

PACKAGE = Path(napari_neural_style.__file__).parent
ROOT = Path(__file__).parents[1]
SECURITY = ROOT / "SECURITY.md"


# ------------------------------------------------------------------ code in files


class Trap:
    """A pickle that would make a folder if it were loaded."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.fixture
def trap(tmp_path):
    """What must not be run; it is checked that it would, and was not."""
    target = tmp_path / "owned"
    yield Trap(target)
    assert not target.exists()
    pickle.loads(pickle.dumps(Trap(target)))
    assert target.exists()


def archive(trap, file):
    torch.save({"features.0.weight": trap}, file)


def torch_before_1_6(trap, file):
    torch.save({"features.0.weight": trap}, file, _use_new_zipfile_serialization=False)


def plain_pickle(trap, file):
    file.write_bytes(pickle.dumps(trap))


def numpy_objects(trap, file):
    with file.open("wb") as opened:
        np.save(opened, np.array([trap], object), allow_pickle=True)


def refusal(read, path):
    """What a reader says of a file that it refuses."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


READERS = {
    "weights.pth": load_weights,
    "weights.safetensors": load_weights,
    "checkpoint": StyleTransfer.load,
    "image.png": read_image,
    "image.tif": read_image,
    "calibration.tif": read_calibration,
    "stack.tif": open_stack,
    "metadata.json": read_metadata,
    "recipe.json": read_recipe,
}


@pytest.mark.parametrize("plant", [archive, torch_before_1_6, plain_pickle, numpy_objects])
@pytest.mark.parametrize("name", READERS)
def test_no_file_runs_code(tmp_path, trap, name, plant):
    plant(trap, tmp_path / name)
    said = refusal(READERS[name], tmp_path / name)
    # Sizes are asked for after an image was read.
    assert (name in said and "\n" not in said) or name == "calibration.tif"


@pytest.mark.parametrize("place", ["weights", "torch/hub/checkpoints"])
def test_no_weights_that_are_found_run_code(tmp_path, trap, place, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = tmp_path / place / TORCHVISION_NAME
    file.parent.mkdir(parents=True)
    archive(trap, file)
    with pytest.raises(ValueError, match="could run code"):
        load_weights("torchvision")


CODECS = {
    "filter": {"dtype": "|u1", "filters": [{"id": "pickle"}], "compressor": None},
    "compressor": {"dtype": "|u1", "filters": None, "compressor": {"id": "pickle"}},
    "behind another": {
        "dtype": "|O",
        "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}],
        "compressor": None,
    },
    "of text": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}},
}


@pytest.fixture
def pickles_allowed(monkeypatch):
    """Newer versions of numcodecs unpickle only if they are told to; so it is with older ones."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)


def zarr_array(path, codecs, chunk):
    path.mkdir()
    sizes = {"shape": [2, 8, 9], "chunks": [1, 8, 9]}
    zarray = {"zarr_format": 2, **sizes, "order": "C", "fill_value": None, **codecs}
    (path / ".zarray").write_text(json.dumps(zarray))
    (path / "0.0.0").write_bytes(chunk)
    return path


@pytest.mark.usefixtures("pickles_allowed")
@pytest.mark.parametrize("codecs", CODECS)
def test_no_zarr_array_runs_code(tmp_path, trap, codecs):
    path = zarr_array(tmp_path / "a.zarr", CODECS[codecs], pickle.dumps(trap))
    with pytest.raises(ValueError, match=r"Cannot (use|read) .*a\.zarr: .*(pickle|no numbers)"):
        open_stack(path).data[0]
    with pytest.raises(ValueError, match="there is no recipe in it"):
        read_metadata(path)


@pytest.mark.usefixtures("pickles_allowed")
def test_no_stack_that_is_gone_on_with_runs_code(tmp_path, trap):
    path, recipe = tmp_path / "a.zarr", {"steps": 3}
    PlaneStore.create(path, (2, 8, 9), np.dtype("u1"), "TYX", recipe, {})
    (path / "zarr.json").unlink()
    whole = zarr_array(tmp_path / "b.zarr", CODECS["compressor"], pickle.dumps(trap))
    attributes = {METADATA_KEY: recipe, "found": {}}
    (whole / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(ValueError, match=r"b\.zarr is there already, and is no painted stack"):
        PlaneStore.reopen(whole, (2, 8, 9), np.dtype("u1"), recipe).read((0,))


def test_a_stack_that_is_gone_on_with_changes_no_other_file(tmp_path):
    path, recipe, other = tmp_path / "a.zarr", {"steps": 3}, tmp_path / "other.txt"
    PlaneStore.create(path, (2, 8, 9), np.dtype("u1"), "TYX", recipe, {})
    other.write_text("one\ntwo")  # the last line of a journal would be cut off
    (path / "planes.jsonl").symlink_to(other)
    with pytest.raises(ValueError, match=r"planes\.jsonl is a link"):
        PlaneStore.reopen(path, (2, 8, 9), np.dtype("u1"), recipe)
    assert not PlaneStore.removed_if_empty(path)
    assert other.read_text() == "one\ntwo"


JOURNALS = [
    "[" * 100_000,
    '{"plane": [1e400], "source": "x"}',
    '{"plane": [[0]], "source": "x"}',
    '{"plane": ["0"], "source": "x"}',
    '{"plane": {"0": 1}, "source": "x"}',
    '{"plane": [99], "source": "x"}',
    '{"plane": [-1], "source": "x"}',
    '{"plane": [1, 0, 0], "source": "x"}',
    '{"plane": [1], "source": {"x": 1}}',
    "9" * 5000,
]


def test_the_journal_of_a_stack_is_read_with_suspicion(tmp_path):
    path, recipe = tmp_path / "a.zarr", {"steps": 3}
    same = (path, (2, 8, 9), np.dtype("u1"), recipe)
    PlaneStore.create(*same[:3], "TYX", recipe, {})
    journal, good = path / "planes.jsonl", '{"plane": [0], "source": "x", "bytes": 0}'
    journal.write_text("\n".join([good, *JOURNALS, ""]))
    store = PlaneStore.reopen(*same)
    assert store.done == {(0,)}
    store.refresh()
    assert store.digest
    os.truncate(journal, 65 << 20)
    with pytest.raises(ValueError, match=r"planes\.jsonl is no journal"):
        PlaneStore.reopen(*same)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["found"] = [1]
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="is no painted stack"):
        PlaneStore.reopen(*same)


OWNERS = ("[" * 100_000, '["host", 1e400, 1]', '["host", -1, 1]', '["host", 1, 1e999999]', "{}")


@pytest.mark.parametrize("owner", [*OWNERS, json.dumps([socket.gethostname(), 2**70, 1])])
def test_the_lock_of_a_stack_is_read_with_suspicion(tmp_path, owner):
    (tmp_path / "planes.lock").write_text(owner)
    with pytest.raises(OSError, match="is being painted by") as refused:
        FolderLock(tmp_path).check()
    assert len(str(refused.value)) < 400 + 2 * len(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("plant", [os.mkfifo, lambda file: file.symlink_to("/dev/zero")])
def test_what_has_no_end_among_the_files_of_a_stack_is_not_read(tmp_path, plant):
    path, recipe = tmp_path / "a.zarr", {"steps": 3}
    same = (path, (2, 8, 9), np.dtype("u1"), recipe)
    PlaneStore.create(*same[:3], "TYX", recipe, {})
    plant(path / "planes.lock")
    with suppress(OSError):
        FolderLock(path).check()
    plant(path / "planes.jsonl")
    with pytest.raises(ValueError, match=r"planes\.jsonl is "):
        PlaneStore.reopen(*same)
    plant(path / ".zattrs")
    for read in (open_stack, lambda _: PlaneStore.reopen(*same)):
        with pytest.raises(ValueError, match=r"a\.zarr"):
            read(path)
    assert not PlaneStore.removed_if_empty(path)
    group = tmp_path / "b.zarr"
    zarr.create_group(group, zarr_format=2, attributes=OME).create_group("0")
    plant(group / "0" / ".zarray")
    with pytest.raises(ValueError, match=r"its \.zarray must be a file"):
        open_stack(group)


@pytest.mark.parametrize("write", [check_writable, lambda path: write_recipe(path, {"steps": 3})])
def test_what_is_written_follows_no_link_that_was_planted(tmp_path, write):
    path, other = tmp_path / "a.json", tmp_path / "other.txt"
    planted = tmp_path / f".a.json.{os.getpid()}.part"
    planted.symlink_to(other)
    write(path)
    assert not other.exists()
    assert not planted.is_symlink()


FORBIDDEN = ("eval", "exec", "compile", "__import__", "marshal", "shelve", "dill", "cloudpickle")


def test_the_source_loads_no_code():
    """Beside what ruff forbids: unpickling, a shell, unsafe YAML."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Name):
                assert node.id not in FORBIDDEN, file
            if isinstance(node, ast.Call):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if ast.unparse(node.func) == "torch.load":
                    assert given["weights_only"] == "True", file
                assert given.get("allow_pickle", "False") == "False", file
                assert given.get("shell", "False") == "False", file


# ----------------------------------------------------------- all memory, for ever


@pytest.mark.parametrize(
    ("name", "before", "order"), [("a.png", b"", "big"), ("a.tif", b"\4\0\1\0\0\0", "little")]
)
def test_a_small_image_that_says_it_is_huge_is_refused_in_a_sentence(tmp_path, name, before, order):
    path = tmp_path / name
    write_image(path, np.zeros((16, 16, 3)))
    side, huge = (before + length.to_bytes(4, order) for length in (16, 2**20))
    path.write_bytes(path.read_bytes().replace(side, huge, 2))
    with pytest.raises(ValueError, match=r"its 1048576 x 1048576 pixels take \d+ GB of memory"):
        read_image(path)


def test_what_has_no_end_is_no_image(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**42)  # of holes, which take no room on the disk
    with pytest.raises(ValueError, match=r"its bytes take \d+ GB of memory, and \d+ GB are free"):
        read_image(path)
    if os.name == "posix":
        with pytest.raises(ValueError, match="/dev/zero: it is a device, not a file"):
            read_image("/dev/zero")


def test_a_zarr_array_that_says_it_is_huge_is_refused_in_a_sentence(tmp_path):
    plane = {"dtype": "|u1", "filters": None, "compressor": None}
    path = zarr_array(tmp_path / "a.zarr", plane, b"")
    for sizes in ({"shape": [2, 10**6, 10**6]}, {"chunks": [10**6, 10**6, 10**6]}):
        metadata = json.loads((path / ".zarray").read_text())
        (path / ".zarray").write_text(json.dumps({**metadata, **sizes}))
        with pytest.raises(ValueError, match=r"takes? \d+ GB of memory, and \d+ GB are free"):
            open_stack(path)
        (path / ".zarray").write_text(json.dumps(metadata))


@pytest.mark.parametrize("read", [read_image, open_stack])
def test_the_pages_of_a_tiff_do_not_lead_in_a_circle(tmp_path, read):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 16, 16), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[-1]
        end = last.offset + 2 + 12 * len(last.tags)
    data = bytearray(path.read_bytes())
    assert data[end : end + 4] == bytes(4)
    data[end : end + 4] = first.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="its pages lead in a circle"):
        read(path)


def test_an_image_starts_no_other_program(tmp_path):
    path = tmp_path / "a.png"  # of which Pillow makes Ghostscript an image
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n%%EOF\n")
    with pytest.raises(ValueError, match="not an image of a known format"):
        read_image(path)


def test_entities_do_not_take_all_memory(tmp_path):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 30))
    xml = f'<!DOCTYPE o [<!ENTITY e0 "lol">{entities}]><OME><Pixels PhysicalSizeX="&e29;"/></OME>'
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), description=xml, metadata=None)
    assert read_calibration(path).sizes == {}
    assert read_image(path).shape == (16, 16)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_a_pipe_among_images_is_not_waited_for(tmp_path):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, np.zeros((16, 16, 3)))
    os.mkfifo(tmp_path / "c.png")
    assert open_stack(tmp_path).data.shape == (2, 16, 16, 3)


ZARR_ATTRIBUTES = {
    "calibration": {"axes": "TYX", "scale": [1, 1, 1], "units": ["second", "pixel", "pixel"]},
}
OME = {
    "multiscales": [
        {
            "axes": [{"name": "t", "unit": "second"}, {"name": "y"}, {"name": "x"}],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}],
                }
            ],
        }
    ],
    "omero": {"channels": [{"label": "DAPI"}]},
}
JUNK = (None, True, -1, 1e400, "", "x" * 999, [], {}, [[]], {"a": 1}, "../..", [0] * 4)


def changed(data):
    """Yield JSON data with each of its parts replaced by junk, or left out."""
    yield from JUNK
    parts = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(parts):
        inner = changed(value) if isinstance(value, dict | list) else JUNK
        for other in inner:
            whole = data.copy()
            whole[key] = other
            yield whole
        if isinstance(data, dict):
            yield {name: value for name, value in data.items() if name != key}


@pytest.mark.parametrize("kept", [ZARR_ATTRIBUTES, OME], ids=["array", "group"])
def test_strange_attributes_of_zarr_are_refused_in_a_sentence(tmp_path, kept):
    path = tmp_path / "a.zarr"
    sizes = {"shape": (2, 8, 9), "chunks": (1, 8, 9), "dtype": "u1"}
    if kept is OME:
        zarr.create_group(path, zarr_format=2).create_array("0", **sizes)
    else:
        zarr.create_array(path, zarr_format=2, **sizes)
    refused = 0
    for attributes in (kept, *changed(kept)):
        (path / ".zattrs").write_text(json.dumps(attributes))
        said = refusal(open_stack, path)
        refused += bool(said)
        assert (str(path) in said and "\n" not in said) or not said
        assert len(said) < len(str(path)) + 400
    assert refused > 20


class Stored:
    def __init__(self, presets):
        self.presets = presets


@pytest.mark.parametrize(
    "presets",
    [
        "[" * 100_000,
        '{"a": ' * 100_000,
        '{"a": {"steps": 1' + "0" * 5000 + "}}",
        '{"a": {"steps": NaN}}',
        '{"a": {"mask": {"dtype": "|O", "shape": [2, 2], "base64": ""}}}',
        '{"a": {"steps": 1}, "a": {"steps": 0}}',
    ],
)
def test_own_presets_are_read_with_suspicion(presets):
    own = OwnPresets(Stored(presets))
    assert own.names() in ([], ["a"])
    with pytest.raises(ValueError, match=r"“a”"):
        own.get("a")


def test_a_recipe_in_a_compressed_chunk_is_not_unfolded(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, np.zeros((16, 16, 3)))
    data = path.read_bytes()
    text = METADATA_KEY.encode() + b"\0\1\0\0\0" + zlib.compress(bytes(10**8))
    for kind in (b"zTXt", b"iTXt"):
        chunk = len(text).to_bytes(4, "big") + kind + text
        chunk += zlib.crc32(kind + text).to_bytes(4, "big")
        path.write_bytes(data[:33] + chunk + data[33:])
        assert read_image(path).shape == (16, 16, 3)
        with pytest.raises(ValueError, match="there is no recipe in it"):
            read_recipe(path)


def test_a_recipe_may_not_ask_for_all_memory():
    recipe = Recipe.from_dict({"preset": "fast", "size": 65536, "device": "cpu"})
    picture = np.random.default_rng(0).random((32, 32, 3))
    with pytest.raises(ValueError, match="choose a size of at most"):
        StyleTransfer(picture, picture, settings=recipe.settings)


# -------------------------------------------------------------------- the network

RUNS = """
import socket, sys

asked = []

def listen(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        asked.append((event, str(arguments[-1])))

sys.addaudithook(listen)
from napari_neural_style.cli import main

quick = ["--preset", "fast", "--size", "32", "--steps", "1", "--quiet"]
assert not main(["stylize", "a.png", "b.png", "-o", "out.png", *quick])
assert not main(["stack", "stack.tif", "b.png", "-o", "out.zarr", *quick])
assert not main(["info"])
assert "distributed" not in sys.modules
assert not asked, asked
socket.socket().connect_ex(("127.0.0.1", 9))
assert len(asked) == 1  # it would have been heard
"""


def test_no_run_asks_the_network(tmp_path):
    pictures = np.random.default_rng(0).random((2, 32, 32, 3))
    write_image(tmp_path / "a.png", pictures[0])
    write_image(tmp_path / "b.png", pictures[1])
    planes = (pictures * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", planes, metadata={"axes": "TYXS"})
    subprocess.run([sys.executable, "-c", RUNS], cwd=tmp_path, check=True)


def test_the_documented_address():
    parts = urlsplit(TORCHVISION_URL)
    assert (parts.scheme, parts.netloc) == ("https", "download.pytorch.org")
    assert f"`{parts.netloc}`" in SECURITY.read_text("utf-8")
    assert re.fullmatch("[0-9a-f]{64}", TORCHVISION_SHA256)


@pytest.mark.parametrize(("page", "least"), [("SECURITY.md", 20), ("docs/faults.md", 60)])
def test_each_promise_has_its_tests(page, least):
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / page).read_text("utf-8"))
    assert len(named) > least
    for file, test in named:
        source = (ROOT / file).read_text("utf-8")
        assert re.search(rf"^def {test}\(", source, re.M), f"{file}::{test}"


def test_each_fault_has_its_test():
    rows = (ROOT / "docs/faults.md").read_text("utf-8").splitlines()
    rows = [row for row in rows if row.startswith("| ") and "Made by" not in row]
    assert all("`tests/" in row.split(" | ")[-1] for row in rows)
