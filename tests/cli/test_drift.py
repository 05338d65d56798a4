import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neural_style.cli import BAD_INPUT, DONE, main
from napari_neural_style.images import METADATA_KEY, Calibration, read_image, to_rgb, write_image
from napari_neural_style.images.drift import draw_drift, measure_drift
from napari_neural_style.images.metadata import read_metadata

QUICK = ("--preset", "fast", "--size", "32", "--steps", "2", "--device", "cpu")


def drift_of(content, result):
    return measure_drift(to_rgb(read_image(content)), to_rgb(read_image(result)))


def test_values_go_into_tiff(folder, capsys):
    calibration = Calibration.of("YX", {"Y": (0.5, "micrometer"), "X": (0.5, "micrometer")})
    write_image("painted.tif", to_rgb(read_image("content.png"))[::-1], calibration=calibration)
    assert main(["drift", "content.png", "painted.tif", "-o", "map.tif"]) == DONE
    drift = drift_of("content.png", "painted.tif")
    np.testing.assert_array_equal(tifffile.imread("map.tif"), drift.map)
    assert drift.map.dtype == np.float32
    with tifffile.TiffFile("map.tif") as file:
        assert file.pages.first.resolution == (20000, 20000)
    names = {"content": "content.png", "result": "painted.tif"}
    assert read_metadata("map.tif") == {"drift": {**names, **drift.summary}}
    assert capsys.readouterr().out == f"{drift}.\n"


def test_a_picture_goes_into_png(folder):
    write_image("painted.png", to_rgb(read_image("content.png"))[::-1])
    assert main(["drift", "content.png", "painted.png", "-o", "map.png"]) == DONE
    drift = drift_of("content.png", "painted.png")
    assert drift.lost.any()
    np.testing.assert_allclose(
        to_rgb(read_image("map.png")), draw_drift(drift), atol=0.5 / 255 + 1e-6
    )
    with Image.open("map.png") as image:
        assert "drift" in json.loads(image.text[METADATA_KEY])


def test_numbers_alone(folder, capsys):
    assert main(["drift", "content.png", "content.png"]) == DONE
    assert capsys.readouterr().out == "Drift 0.00: 0 % of edges lost, 0 % invented.\n"
    assert {path.name for path in folder.iterdir()} == {"content.png", "style.jpg", "stripes.tif"}


def test_one_channel_is_compared_in_the_range_that_it_is_painted_in(folder, capsys):
    y, x = np.mgrid[:40, :40]
    counts = (1000 + 20 * x + 300 * (np.hypot(x - 20, y - 20) < 10)).astype(np.uint16)
    write_image("counts.tif", counts)
    result = counts.copy()
    result[:4, :4] = 4000  # brighter than all of the content, whose range both are seen in
    write_image("intensity.tif", result)
    assert main(["drift", "counts.tif", "intensity.tif", "-o", "map.tif"]) == DONE
    drift = tifffile.imread("map.tif")
    assert drift[:4, :4].max() > 0.5
    assert not drift[12:].any()


def test_transparent_pixels_are_compared_as_they_look(folder):
    content = np.random.default_rng(0).random((32, 32, 4), np.float32)
    content[8:, :, 3] = 0
    result = content.copy()
    result[8:, :, :3] = 0.5
    write_image("content.png", content)
    write_image("painted.png", result)
    assert main(["drift", "content.png", "painted.png", "-o", "map.tif"]) == DONE
    assert not tifffile.imread("map.tif").any()


def test_a_run_maps_its_drift(folder, capsys):
    command = ["stylize", "content.png", "style.jpg", "-o", "painted.png", *QUICK]
    assert main([*command, "--drift", "map.tif"]) == DONE
    drift = drift_of("content.png", "painted.png")
    assert drift.mean > 0.01
    np.testing.assert_array_equal(tifffile.imread("map.tif"), drift.map)
    assert capsys.readouterr().err.endswith(f"\n{drift}; see map.tif.\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("drift content.png stripes.tif -o map.zarr", "Cannot write map.zarr: its extension"),
        ("drift content.png stripes.tif -o content.png", "content.png is used twice"),
        ("drift content.png gone.png", "Cannot read gone.png: there is no such file"),
        ("drift content.png tall.png", "The result has 64 x 48 pixels, and the content 48 x 64"),
        ("drift content.png stack.tif", "Cannot use stack.tif: it is a stack of shape (3, 8, 9)"),
        ("stylize content.png style.jpg -o a.png --drift nowhere/b.png", "Cannot write nowhere/b"),
        ("stylize content.png style.jpg -o a.png --drift a.png", "a.png is used twice"),
        ("stylize --resume run.st -o a.png --drift b.png", "--drift compares the result with"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder, capsys, command, message):
    write_image("tall.png", to_rgb(read_image("content.png")).swapaxes(0, 1))
    tifffile.imwrite("stack.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    assert main(command.split()) == BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"napari-neural-style: {message}")
    assert captured.err.count("\n") == 1
    assert not list(folder.glob("[ab].png"))
