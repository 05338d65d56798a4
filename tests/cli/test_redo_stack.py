import json
import os

import numpy as np
import pytest
import tifffile
import zarr
from tests.stacks.conftest import moving, stripes

from napari_neural_style.cli import BAD_INPUT, DONE, main
from napari_neural_style.cli.verdict import NOT_THE_SAME
from napari_neural_style.images import write_image
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.recipe import write_recipe

QUICK = ("--quiet", "--device", "cpu", "--preset", "fast", "--steps", "4", "--scales", "32")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with a stack and a style."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", moving(5), photometric="minisblack", metadata={"axes": "TYX"})
    write_image("style.png", stripes() / 255)
    return tmp_path


def paint(out, *options, style="style.png"):
    assert main(["stack", "cells.tif", style, "-o", out, *QUICK, *options]) == DONE


def redone(capsys, *arguments):
    """Redo; return the exit status and what was said."""
    status = main(["redo", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out or said.err.strip()


def edit(file, change):
    """Change the JSON of each line."""
    lines = [change(json.loads(line)) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_planes_start_from_those_that_they_started_from(folder, capsys):
    paint("a.zarr", "--planes", "2:4")
    paint("a.zarr")  # plane 2 would have started from plane 1
    assert redone(capsys, "a.zarr", "--quiet", "-o", "b.zarr") == (DONE, "")
    assert np.array_equal(zarr.open_array("b.zarr")[:], zarr.open_array("a.zarr")[:])
    assert redone(capsys, "b.zarr") == (DONE, "b.zarr: Bit-identical, all of 5 planes.\n")

    journal = folder / "a.zarr" / "planes.jsonl"
    edit(journal, lambda line: {k: v for k, v in line.items() if k != "from"})
    said = redone(capsys, "a.zarr")[1]
    assert "2 of 5 planes are bit-identical." in said
    assert "it is not told which planes others started from" in said


def test_another_plane_is_named(folder, capsys):
    paint("a.zarr")
    array = zarr.open_array("a.zarr")
    array[3, 5, 5] = 255 - array[3, 5, 5]
    status, said = redone(capsys, "a.zarr")
    assert status == NOT_THE_SAME
    assert said.startswith("a.zarr: 4 of 5 planes are bit-identical. The worst is T 3: Differs")
    other = moving(5)
    other[4, 7, 7] += 1
    tifffile.imwrite("other.tif", other, photometric="minisblack")
    status, said = redone(capsys, "a.zarr", "other.tif", "style.png")
    assert status == BAD_INPUT
    assert said.endswith("The plane T 4 of the stack is another one than was painted.")
    status, said = redone(capsys, "a.zarr", "cells.tif", "cells.tif")
    assert (status, "is not the style 1 that a.zarr" in said) == (BAD_INPUT, True)
    (folder / "cells.tif").rename(folder / "elsewhere.tif")
    assert "no file of the stack" in redone(capsys, "a.zarr")[1]
    tifffile.imwrite("cells.tif", other[:3], photometric="minisblack")
    assert "The stack has the shape" in redone(capsys, "a.zarr", "cells.tif")[1]


def test_a_damaged_plane_is_named_and_painted_again(folder, capsys):
    paint("a.zarr")
    before = zarr.open_array("a.zarr")[:]
    chunk = folder / "a.zarr" / "c" / "3" / "0" / "0" / "0"
    os.truncate(chunk, 20)
    status, said = redone(capsys, "a.zarr")
    assert status == BAD_INPUT
    assert "Cannot read the plane T 3 of a.zarr: its file is damaged" in said
    chunk.unlink()
    command = ["stack", "cells.tif", "style.png", "-o", "a.zarr", *QUICK[1:]]
    assert main(command) == DONE
    assert "T 3: its file was deleted or damaged: it is painted again." in capsys.readouterr().err
    assert np.array_equal(zarr.open_array("a.zarr")[:], before)
    assert redone(capsys, "a.zarr") == (DONE, "a.zarr: Bit-identical, all of 5 planes.\n")


def test_what_cannot_be_compared_is_found_out_before(folder, capsys):
    paint("a.zarr")
    metadata = folder / "a.zarr" / "zarr.json"
    whole = json.loads(metadata.read_text())
    huge = {"name": "regular", "configuration": {"chunk_shape": [5, 2**20, 2**20, 3]}}
    for key, value, words in (
        ("shape", [6, 32, 32, 3], "they cannot be compared"),
        ("data_type", "uint16", "they cannot be compared"),
        ("chunk_grid", huge, "chunks of more than a plane"),
    ):
        metadata.write_text(json.dumps(whole | {key: value}))
        status, said = redone(capsys, "a.zarr")
        assert (status, words in said) == (BAD_INPUT, True), said
    metadata.unlink()
    os.mkfifo(metadata)
    assert redone(capsys, "a.zarr")[0] == BAD_INPUT


def test_some_planes_in_a_tiff_with_masks_of_their_own(folder, capsys):
    masks = np.zeros((5, 32, 32), np.uint8)
    masks[:, 4:20, 4:28] = 1
    masks[2] = 0
    tifffile.imwrite("masks.tif", masks, photometric="minisblack")
    paint("a.tif", "--planes", "1:5:2", "--mask", "masks.tif", "--output", "intensity")
    assert redone(capsys, "a.tif")[1].endswith(
        "A mask for each plane is needed, as when the stack was painted: give them, too (--mask)."
    )
    same = (DONE, "a.tif: Bit-identical, all of 2 planes.\n")
    assert redone(capsys, "a.tif", "--mask", "masks.tif") == same
    masks[3, 0, 0] = 1
    tifffile.imwrite("masks.tif", masks, photometric="minisblack")
    said = redone(capsys, "a.tif", "--mask", "masks.tif")[1]
    assert "The plane T 3 of the stack or its mask is another one" in said


def test_one_plane_of_colours_and_a_recipe_alone(folder, capsys):
    rgba = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 4)).astype(np.uint8)
    tifffile.imwrite("cells.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    paint("a.tif", "--planes", "1", "--color", "match", "--save-recipe", "a.json")
    assert redone(capsys, "a.tif") == (DONE, "a.tif: Bit-identical, all of 1 plane.\n")
    assert "give -o OUT" in redone(capsys, "a.json")[1]
    status, said = redone(capsys, "a.json", "-o", "b.zarr")
    assert (status, "no picture in a.json" in said) == (DONE, True)
    assert np.array_equal(zarr.open_array("b.zarr")[1], tifffile.imread("a.tif"))


def test_channels_that_were_blended(folder, capsys):
    channels = np.stack([moving(2), moving(2)[:, ::-1]], 1)
    tifffile.imwrite("cells.ome.tif", channels, metadata={"axes": "TCYX"})
    together = ("stack", "cells.ome.tif", "style.png", "-o", "a.zarr", "--channels", "together")
    assert main([*together, *QUICK]) == DONE
    assert redone(capsys, "a.zarr") == (DONE, "a.zarr: Bit-identical, all of 2 planes.\n")


def test_a_stranger_leads_to_no_other_folder(folder, capsys):
    paint("a.tif", "--planes", "0")
    recipe = read_metadata("a.tif")
    (folder / "secret").mkdir()
    (folder / "cells.tif").rename(folder / "secret" / "cells.tif")
    for name in ("secret/cells.tif", str(folder / "secret" / "cells.tif"), "secret/*.tif"):
        recipe["content"] = name
        write_recipe("a.json", recipe)
        assert "no file of the stack" in redone(capsys, "a.json", "-o", "b.zarr")[1]
