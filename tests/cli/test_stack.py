import json
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from contextlib import suppress

import numpy as np
import pytest
import tifffile
import zarr

from napari_neural_style.cli import BAD_INPUT, DONE, INTERRUPTED, main
from napari_neural_style.cli.stack import SOME_PLANES_FAILED
from napari_neural_style.images import METADATA_KEY, Calibration, write_image
from napari_neural_style.images.calibration import ome_color
from napari_neural_style.images.stack_files import open_stack

QUICK = ("--steps", "2", "--scales", "40", "--precision", "float32", "--device", "cpu")
SIZES = Calibration("TYX", (30.0, 0.5, 0.25), ("second", "micrometer", "micrometer"))


def moving(count=3):
    y, x = np.mgrid[:32, :40] / 32
    rng = np.random.default_rng(0)
    planes = [3000 * np.exp(-((x - 0.4 - t / 20) ** 2 + (y - 0.5) ** 2) * 20) for t in range(count)]
    stack = (100 + np.stack(planes) + 200 * rng.random((32, 40))).astype(np.uint16)
    # The contrast limits are those of the planes that can be read.
    stack[:, 0, 0], stack[:, 0, 1] = 50, 4000
    return stack


@pytest.fixture
def series(tmp_path, monkeypatch):
    """Return a time series; the working directory has it as OME-TIFF, and a style."""
    monkeypatch.chdir(tmp_path)
    stack = moving()
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "TimeIncrement": 30.0}
    tifffile.imwrite(
        *("cells.ome.tif", stack), metadata=metadata, photometric="minisblack", compression="zlib"
    )
    y, x = np.mgrid[:32, :32] / 32
    write_image("style.png", np.stack([np.sin(30 * x) ** 2, np.sin(20 * y + 9 * x) ** 2, y], -1))
    return stack


def stack(*arguments):
    return main(["stack", *arguments, *QUICK])


def damage(path, page):
    with tifffile.TiffFile(path) as file:
        offset = file.pages[page].dataoffsets[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        before = file.read(20)
        file.seek(offset)
        file.write(b"\xff" * 20)
    return offset, before


def test_ome_tiff_to_ome_tiff(series, tmp_path, capsys):
    assert stack("cells.ome.tif", "style.png", "-o", "out.tif") == DONE
    result = open_stack("out.tif")
    assert result.calibration.axes == "TYXS"
    for axis in "TYX":
        assert result.calibration.size(axis) == SIZES.size(axis)
    assert result.data.shape == (3, 32, 40, 3)
    assert result.data.dtype == np.uint8
    assert all(np.ptp(result.data[t]) > 50 for t in range(3))
    with tifffile.TiffFile("out.tif") as file:
        root = ElementTree.fromstring(file.ome_metadata)
    description = next(part.text for part in root.iter() if part.tag.endswith("Description"))
    recipe = json.loads(description)[METADATA_KEY]
    assert recipe["content"] == "cells.ome.tif"
    assert recipe["styles"] == ["style.png"]
    assert [len(digest) for digest in recipe["sha256_of_styles"]] == [64]
    assert recipe["settings"]["steps"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"cells.ome.tif", "style.png", "out.tif"}
    output = capsys.readouterr()
    assert output.out == ""
    assert "3/3" in output.err
    assert output.err.endswith("Wrote out.tif, 3 planes of 40 x 32 pixels.\n")


def test_zarr_to_zarr_some_planes_at_first(series, capsys):
    zarr.create_array("cells.zarr", data=series, dimension_names=("t", "y", "x"))
    command = ("cells.zarr", "style.png", "-o", "out.zarr", "--quiet")
    assert stack(*command, "--planes", "1:3") == DONE
    some = zarr.open_array("out.zarr", mode="r")[:]
    assert some.shape == (3, 32, 40, 3)
    assert not some[0].any()
    assert some[1].any()
    assert stack(*command) == DONE
    whole = zarr.open_array("out.zarr", mode="r")[:]
    assert whole[0].any()
    assert np.array_equal(whole[1:], some[1:])
    assert open_stack("out.zarr").calibration.axes == "TYXS"
    assert capsys.readouterr() == ("", "")


def test_zarr_keeps_the_sizes(series):
    assert stack("cells.ome.tif", "style.png", "-o", "out.zarr", "--output", "intensity") == DONE
    assert open_stack("out.zarr").calibration == SIZES


def test_planes_in_ome_tiff_are_those_chosen(series):
    command = ("cells.ome.tif", "style.png", "-o", "out.tif", "--output", "intensity")
    assert stack(*command, "--planes", "1:") == DONE
    result = open_stack("out.tif")
    assert result.data.shape == (2, 32, 40)
    assert result.data.dtype == np.uint16
    assert result.calibration == SIZES
    for t in range(2):
        assert np.corrcoef(result.data[t].ravel(), series[t + 1].ravel())[0, 1] > 0.7


def test_transparency_is_kept(series):
    colours = np.repeat((series // 16).astype(np.uint8)[..., np.newaxis], 4, 3)
    colours[..., 3] = 255
    colours[:, :, 20:, 3] = 0
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "metadata": {"axes": "TYXS"}}
    tifffile.imwrite("clear.ome.tif", colours, **options)
    assert stack("clear.ome.tif", "style.png", "-o", "out.tif") == DONE
    result = open_stack("out.tif")
    assert result.calibration.axes == "TYXS"
    assert result.data.shape == (3, 32, 40, 4)
    assert np.array_equal(result.data[..., 3], colours[..., 3])
    assert np.ptp(result.data[:, :, :20, :3]) > 50


def test_channels_keep_their_names(series):
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite("two.ome.tif", series[:2], metadata=metadata, photometric="minisblack")
    assert stack("two.ome.tif", "style.png", "-o", "out.tif") == DONE
    assert open_stack("out.tif").calibration.channels == ("DAPI", "GFP")


def test_no_plane_that_was_done_is_lost(series, tmp_path, capsys):
    command = ("cells.ome.tif", "style.png", "-o", "out.tif")
    assert stack(*command, "--planes", "0:2") == DONE
    assert "done are kept in out.tif.zarr" in capsys.readouterr().err
    first = tifffile.imread("out.tif")
    assert stack(*command, "--planes", "2") == DONE
    last = tifffile.imread("out.tif")
    assert first.shape == (2, 32, 40, 3)
    assert last.shape == (32, 40, 3)
    assert np.array_equal(zarr.open_array("out.tif.zarr", mode="r")[:], [*first, last])
    assert stack(*command) == DONE
    whole = tifffile.imread("out.tif")
    assert np.array_equal(whole, [*first, last])
    assert not (tmp_path / "out.tif.zarr").exists()

    assert stack(*command, "--planes", "1:") == BAD_INPUT
    assert "out.tif is there already" in capsys.readouterr().err
    (tmp_path / "out.tif").rename("kept.tif")
    assert stack(*command, "--planes", "1:") == DONE
    (tmp_path / "kept.tif").replace("out.tif")
    assert stack(*command, "--planes", "0") == BAD_INPUT
    assert np.array_equal(tifffile.imread("out.tif"), whole)


@pytest.mark.parametrize("name", ["masks.tif", "masks.zarr"])
def test_a_mask_for_each_plane(series, name):
    masks = np.zeros(series.shape, np.uint8)
    for t in range(3):
        masks[t, :, 10 * t : 10 * t + 10] = 1
    if name == "masks.tif":
        tifffile.imwrite(name, masks, photometric="minisblack")
    else:
        zarr.create_array(name, data=masks)
    intensity = ("cells.ome.tif", "style.png", "--output", "intensity")
    assert stack(*intensity, "-o", "out.zarr", "--mask", name) == DONE
    result = zarr.open_array("out.zarr", mode="r")[:]
    assert np.array_equal(result[masks == 0], series[masks == 0])
    for t in range(3):
        assert np.mean(result[t] != series[t], where=masks[t] > 0) > 0.5


def test_a_mask_for_each_plane_with_a_mask_of_the_style(series):
    masks = np.zeros(series.shape, np.uint8)
    masks[:, :16], masks[:, 16:] = 3, 7
    zarr.create_array("masks.zarr", data=masks)
    tifffile.imwrite("regions.tif", masks[0, :, :32])
    guided = ("cells.ome.tif", "style.png", "--mask", "masks.zarr", "--style-mask", "regions.tif")
    assert stack(*guided, "-o", "out.zarr") == DONE
    assert stack("cells.ome.tif", "style.png", "-o", "other.zarr") == DONE
    results = [zarr.open_array(path, mode="r")[:] for path in ("out.zarr", "other.zarr")]
    assert not np.array_equal(*results)


def test_one_mask_for_all_planes(series):
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :10] = 255
    tifffile.imwrite("mask.tif", mask)
    intensity = ("cells.ome.tif", "style.png", "--output", "intensity")
    assert stack(*intensity, "-o", "out.zarr", "--mask", "mask.tif") == DONE
    result = zarr.open_array("out.zarr", mode="r")[:]
    assert np.array_equal(result[:, mask == 0], series[:, mask == 0])
    assert np.mean(result[:, mask > 0] != series[:, mask > 0]) > 0.5


def test_a_folder_of_images(series, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    for number, plane in enumerate(series):
        tifffile.imwrite(tmp_path / "frames" / f"{number}.tif", plane)
    assert stack("frames/*.tif", "style.png", "-o", "out.zarr", "--axes", "ZYX") == DONE
    assert open_stack("out.zarr").calibration.axes == "ZYXS"
    assert stack("frames", "style.png", "-o", "other.zarr") == DONE
    assert "names no axes: taken for TYX" in capsys.readouterr().err


def test_a_bad_plane_is_told_and_left_out(series, capsys):
    offset, before = damage("cells.ome.tif", 1)
    command = ("cells.ome.tif", "style.png", "-o", "out.tif")
    assert stack(*command) == SOME_PLANES_FAILED
    error = capsys.readouterr().err
    assert "T 1: " in error
    assert "1 of 3 planes could not be painted" in error
    result = open_stack("out.tif").data
    assert result[0].any()
    assert not result[1].any()
    assert result[2].any()
    kept = result[2]
    with open("cells.ome.tif", "r+b") as file:
        file.seek(offset)
        file.write(before)
    assert stack(*command) == DONE
    result = open_stack("out.tif").data
    assert result[1].any()
    assert np.array_equal(result[2], kept)
    damage("cells.ome.tif", 1)
    assert stack(*command) == SOME_PLANES_FAILED
    assert "out.tif is left as it was" in capsys.readouterr().err
    assert np.array_equal(open_stack("out.tif").data[:], result[:])


RUN = "stack cells.ome.tif style.png -o out.zarr"
BAD = [
    ("stack cells.ome.tif -o out.zarr", "STYLE"),
    ("stack cells.ome.tif style.png", "--out"),
    ("stack cells.ome.tif style.png -o out.png", ".zarr, .tif"),
    ("stack cells.ome.tif style.png -o no/out.tif", "no such file or folder"),
    ("stack cells.ome.tif style.png -o cells.ome.tif", "used twice"),
    ("stack cells.ome.tif style.png -o mask.tif --mask mask.tif", "mask.tif is used twice"),
    ("stack gone.tif style.png -o out.zarr", "gone.tif"),
    ("stack cells.ome.tif gone.png -o out.zarr", "gone.png"),
    ("stack style.png style.png -o out.zarr", "a Zarr folder, a folder of image files"),
    ("stack colours.tif style.png -o out.zarr --output intensity", "has colours"),
    ("stack long.tif style.png -o out.tif --output intensity", "no int64; choose .zarr"),
    (f"{RUN} --axes TZYX", "whose axes are TYX of 3 x 32 x 40"),
    (f"{RUN} --axes QYX", "T, Z or C"),
    (f"{RUN} --axes TXY", "whose axes are TYX"),
    (
        f"{RUN} --mask short.tif",
        "short.tif has the shape 2 x 32 x 40, and cells.ome.tif",
    ),
    (f"{RUN} --mask gone.tif", "gone.tif: there is no such file"),
    (f"{RUN} --mask colours.tif", "colours.tif"),
    (f"{RUN} --mask empty.tif", "mask has no label in any of the planes"),
    ("stack cells.ome.tif style.png -o file.zarr", "file.zarr is there already, and is no"),
    (f"{RUN} --planes ten", "'ten' is no range"),
    (f"{RUN} --planes 5:9", "5:9 chooses nothing: cells.ome.tif has the planes 0 to 2 along T."),
    (f"{RUN} --planes 7", "the planes 0 to 2 along T"),
    (f"{RUN} --steps many", "steps='many'"),
    (f"{RUN} --output intensity --color match", "leave --color out"),
    (f"{RUN} --scheduler tcp://127.0.0.1:9", "tcp://127.0.0.1:9"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_usage_is_told_in_one_line(series, tmp_path, capfd, arguments, words):
    tifffile.imwrite("colours.tif", np.ones((3, 32, 40, 3), np.uint8), photometric="rgb")
    tifffile.imwrite("short.tif", series[:2], photometric="minisblack")
    tifffile.imwrite("empty.tif", np.zeros_like(series), photometric="minisblack")
    (tmp_path / "file.zarr").write_text("data")
    tifffile.imwrite("long.tif", series.astype(np.int64), photometric="minisblack")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert main([*arguments.split(), "--quiet"]) == BAD_INPUT
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("napari-neural-style: ")
    assert words in output.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_full_disk_is_told_and_the_same_command_goes_on(disk, series, capsys):
    folder, remount = disk
    command = ("cells.ome.tif", "style.png", "-o", "disk/out.zarr", "--quiet")
    assert stack(*command, "--planes", "0") == DONE
    done = zarr.open_array("disk/out.zarr", mode="r")[0]
    with suppress(OSError), (folder / "junk").open("wb", buffering=0) as junk:
        while True:
            junk.write(b"x" * 100)
    for _ in range(2):
        assert stack(*command) == BAD_INPUT
        error = capsys.readouterr().err
        assert "Cannot write disk/out.zarr: the disk is full (0.0 kB are free). Make" in error
        assert error.endswith("start again: what is done is kept.\n")
        assert error.count("\n") == 1
    (folder / "junk").unlink()
    remount("size=10m")
    assert stack(*command) == DONE
    result = zarr.open_array("disk/out.zarr", mode="r")[:]
    assert np.array_equal(result[0], done)
    assert result.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("out", ["disk/out.zarr", "disk/out.tif"])
def test_a_disk_that_can_only_be_read_is_told(disk, series, capsys, out):
    _, remount = disk
    remount("size=10m")
    command = ("cells.ome.tif", "style.png", "-o", out, "--quiet")
    assert stack(*command, "--planes", "0") == DONE
    remount("ro")
    assert stack(*command) == BAD_INPUT
    error = capsys.readouterr().err
    assert f"napari-neural-style: Cannot write {out}" in error
    assert "[Errno" not in error
    assert error.count("\n") == 1
    if out.endswith(".zarr"):
        assert "Make it writable and start again: what is done is kept." in error
        assert stack(*command, "--planes", "0") == DONE  # there is nothing to write
    remount("rw")
    assert stack(*command) == DONE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")
def test_an_interrupted_stack_goes_on(series, tmp_path):
    code = "import sys; from napari_neural_style.cli import main; sys.exit(main())"
    command = ["stack", "cells.ome.tif", "style.png", "-o", "out.tif", "--steps", "60"]
    command += ["--scales", "40", "--precision", "float32", "--device", "cpu"]
    journal = tmp_path / "out.tif.zarr" / "planes.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not journal.is_file():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == INTERRUPTED, error
    assert "Traceback" not in error
    done = int(re.search(r"Stopped: (\d) of 3 planes are done", error)[1])
    assert "the same command goes on" in error
    assert not (tmp_path / "out.tif").exists()
    kept = zarr.open_array("out.tif.zarr", mode="r")[:done]
    assert kept.any(axis=(1, 2, 3)).all()
    assert main(command) == DONE
    result = open_stack("out.tif").data
    assert np.array_equal(result[:done], kept)
    assert all(result[t].any() for t in range(3))


def test_a_local_cluster(series, capsys):
    alone = ("cells.ome.tif", "style.png", "-o", "alone.zarr", "--quiet")
    assert stack(*alone) == DONE
    spread = ("cells.ome.tif", "style.png", "-o", "spread.zarr", "--scheduler", "local")
    assert stack(*spread) == DONE
    painted = [zarr.open_array(path, mode="r")[:] for path in ("alone.zarr", "spread.zarr")]
    assert np.array_equal(*painted)
    assert "3/3" in capsys.readouterr().err


def test_channels_together_are_painted_in_their_colours(series, capsys):
    channels = np.stack([series, np.flip(series, 2), np.zeros_like(series)], 1)
    colors = [ome_color(color) for color in ("#ff8000", "#0000ff", "#00ff00")]
    metadata = {"axes": "TCYX", "PhysicalSizeX": 0.25, "Channel": {"Color": colors}}
    tifffile.imwrite("three.ome.tif", channels, metadata=metadata, photometric="minisblack")
    nothing = np.zeros((32, 40), np.uint8)
    nothing[0, 0] = 1
    tifffile.imwrite("mask.tif", nothing)
    command = ("three.ome.tif", "style.png", "-o", "out.tif", "--channels", "together")
    assert stack(*command, "--mask", "mask.tif", "--feather", "0", "--planes", "1:") == DONE
    result = open_stack("out.tif")
    assert result.calibration.axes == "TYXS"
    assert result.calibration.size("X") == (0.25, "micrometer")
    shade = np.clip((channels[1:] - 50.0) / 3950, 0, 1)
    colours = np.stack([shade[:, 0], shade[:, 0] * 128 / 255, shade[:, 1]], -1)
    outside = np.abs(result.data[:] - 255 * colours)[:, nothing == 0]
    assert outside.max() < 1

    # A plane that is mended changes no limits.
    channels[0, 0, 5, 5] = 60000
    tifffile.imwrite("three.ome.tif", channels, metadata=metadata, photometric="minisblack")
    assert stack(*command, "--mask", "mask.tif", "--feather", "0") == DONE
    assert np.array_equal(open_stack("out.tif").data[1:], result.data[:])

    capsys.readouterr()
    assert stack("cells.ome.tif", *command[1:]) == BAD_INPUT
    assert "an axis C and no colours, and cells.ome.tif has the axes TYX" in capsys.readouterr().err
