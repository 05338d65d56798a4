import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_neural_style.images import METADATA_KEY, Calibration, write_image
from napari_neural_style.images import metadata as module
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.images.stack_files import write_ome_tiff

STORED = {
    "settings": {"steps": 5},
    "shape": [2, 3],
    "content": "a <b> & c “d”",
    "list": [0.5, None],
}
PIXELS = np.random.default_rng(0).random((9, 12, 3))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.json", "a.txt"])
def test_what_was_written_is_read(tmp_path, name):
    path = tmp_path / name
    if path.suffix in (".json", ".txt"):
        path.write_text(json.dumps(STORED), "utf-8-sig")
    else:
        write_image(path, PIXELS, metadata=STORED)
    assert read_metadata(path) == STORED
    assert read_metadata(str(path)) == STORED


def test_it_is_found_whatever_the_name_is(tmp_path):
    write_image(tmp_path / "a.png", PIXELS, metadata=STORED)
    path = (tmp_path / "a.png").rename(tmp_path / "a.json")
    assert read_metadata(path) == STORED


def test_behind_other_chunks_of_a_png(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, PIXELS, metadata=STORED)
    data = path.read_bytes()
    body = b"tEXtnapari_neural_stylus\0no"
    other = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + other + data[33:])
    Image.open(path).verify()
    assert read_metadata(path) == STORED


def test_of_an_ome_tiff(tmp_path):
    path = tmp_path / "a.tif"
    stack = np.zeros((3, 8, 9), np.uint8)
    write_ome_tiff(path, stack, Calibration.unknown("TYX"), STORED)
    assert read_metadata(path) == STORED


@pytest.mark.parametrize("version", [2, 3])
def test_of_a_zarr_array(tmp_path, version):
    path = tmp_path / "a.zarr"
    attributes = {METADATA_KEY: STORED}
    zarr.create_array(path, shape=(2, 3), dtype="u1", attributes=attributes, zarr_format=version)
    assert read_metadata(path) == STORED


def bare(path, name):
    path = path / name
    match path.suffix:
        case ".zarr":
            zarr.create_array(path, shape=(2, 3), dtype="u1")
        case "":
            path.mkdir()
        case ".ome":
            tifffile.imwrite(
                path, np.zeros((3, 8, 9), np.uint8), metadata={"axes": "TYX"}, ome=True
            )
        case ".imagej":
            tifffile.imwrite(path, np.zeros((3, 8, 9), np.uint8), imagej=True)
        case _:
            write_image(path, PIXELS)
    return path


@pytest.mark.parametrize(
    "name", ["a.png", "a.tif", "a.jpg", "a.zarr", "folder", "a.ome", "a.imagej"]
)
def test_where_nothing_is_stored(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: there is no recipe in it") as caught:
        read_metadata(bare(tmp_path, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"hello", "no JSON"),
        (b'{"a": ', "no JSON"),
        (b"\xff\xfe\xfd\0\1", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "no JSON"),
        (b"II*\0" + b"\xff" * 50, "damaged"),
        (b"\xff\xd8\xff", "no recipe"),
        (b"\xff\xd8\xff\xfe\0\0\xff\xfe\0\xff", "no recipe"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 7, "no recipe"),
    ],
)
def test_damaged_files(tmp_path, content, words):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_metadata(path)


def test_a_torn_png(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, PIXELS, metadata=STORED)
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ValueError, match="no JSON, or damaged"):
        read_metadata(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_metadata(tmp_path / "gone.json")


def test_many_small_parts_do_not_take_all_memory(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b"[]," * 4_000_000 + b"[]]")
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 1000000 values"):
        read_metadata(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("name", ["a.json", "a.png", "a.zarr"])
def test_large_files_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)
    path, stored = tmp_path / name, {"a": "b" * 2**20}
    match path.suffix:
        case ".zarr":
            zarr.create_array(path, shape=(2,), dtype="u1", attributes={METADATA_KEY: stored})
        case ".png":
            write_image(path, PIXELS, metadata=stored)
        case _:
            path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="more than 1 MB"):
        read_metadata(path)
