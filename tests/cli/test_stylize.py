import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neural_style import PRESETS, Settings, StyleTransfer
from napari_neural_style.cli import BAD_INPUT, DONE, INTERRUPTED, main
from napari_neural_style.images import (
    METADATA_KEY,
    read_calibration,
    read_image,
    to_rgb,
    write_image,
)

QUICK = ("--steps", "4", "--precision", "float32", "--device", "cpu")


def log_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def recipe(path):
    with Image.open(path) as image:
        image.load()
        return json.loads(image.text[METADATA_KEY])


@pytest.mark.parametrize(
    ("content", "out", "options", "dtype"),
    [
        ("content.png", "out.png", [], np.uint8),
        ("content.png", "out.png", ["--bits", "16"], np.uint16),
        ("content.png", "out.tif", [], np.uint16),
        ("content.png", "out.tiff", ["--bits", "8"], np.uint8),
        ("content.png", "out.jpg", [], np.uint8),
    ],
)
def test_stylize_writes_every_format(folder, capsys, content, out, options, dtype):
    assert main(["stylize", content, "style.jpg", "-o", out, *QUICK, *options]) == DONE
    image = read_image(out)
    assert image.shape == (48, 64, 3)
    assert image.dtype == dtype
    assert np.abs(to_rgb(image) - to_rgb(read_image(content))).mean() > 0.01
    output = capsys.readouterr()
    assert output.out == ""
    assert "4/4" in output.err
    assert "0 s left, content " in output.err
    assert output.err.endswith(f"Wrote {out}, 64 x 48 pixels, after 4 of 4 steps.\n")


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stylize_reads_microscopy_files(folder, channels, dtype):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 200, (48, 48, *channels)).astype(dtype)
    tifffile.imwrite("cells.tif", image, photometric="rgb" if channels else "minisblack")
    arguments = ["stylize", "cells.tif", "style.jpg", "-o", "out.png", "--quiet", *QUICK]
    assert main(arguments) == DONE
    assert read_image("out.png").shape == (48, 48, *(channels or (3,)))


def test_twelve_bit_grayscale_is_seen_as_napari_shows_it(folder):
    image = np.random.default_rng(3).integers(100, 4096, (48, 48)).astype(np.uint16)
    tifffile.imwrite("camera.tif", image)
    arguments = ["stylize", "camera.tif", "style.jpg", "-o", "out.png", "--quiet", *QUICK]
    assert main([*arguments, "--style-weight", "0", "--tv-weight", "0"]) == DONE
    expected = to_rgb(image, contrast_limits=(image.min(), image.max()))
    assert np.abs(to_rgb(read_image("out.png")) - expected).max() < 0.003


@pytest.mark.parametrize("out", ["out.png", "out.tif", "out.jpg"])
def test_transparency_is_kept(folder, out):
    alpha = np.zeros((48, 64))
    alpha[:, 20:] = np.linspace(0.2, 1, 44)
    write_image("seen.png", np.dstack([to_rgb(read_image("content.png")), alpha]))
    arguments = ["stylize", "seen.png", "style.jpg", "-o", out, "--quiet", *QUICK]
    assert main(arguments) == DONE
    image = read_image(out)
    if out == "out.jpg":
        assert image.shape == (48, 64, 3)
        assert image[:, :10].max() < 10
    else:
        assert image.shape == (48, 64, 4)
        assert np.abs(image[..., 3] / np.iinfo(image.dtype).max - alpha).max() < 0.003
    assert main([*arguments, "--size", "32"]) == DONE
    assert read_image(out).shape[:2] == (24, 32)


def test_channels_of_one_image_are_painted_in_their_colours(folder):
    channels = np.stack([cells("u2"), cells("u2")[::-1], np.zeros((48, 64), np.uint16)])
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite("cells.ome.tif", channels, metadata=metadata, photometric="minisblack")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:40] = 255
    write_image("mask.png", mask)
    files = ("cells.ome.tif", "style.jpg", "-o", "out.tif", "--mask", "mask.png")
    assert main(["stylize", *files, "--drift", "drift.png", "--quiet", *QUICK]) == DONE
    result = read_image("out.tif") / 65535
    shade = channels[:2].astype(float)
    low, high = shade.min((1, 2), keepdims=True), shade.max((1, 2), keepdims=True)
    cyan, magenta = (shade - low) / (high - low)
    colours = np.stack([magenta, cyan, np.minimum(cyan + magenta, 1)], -1)
    assert np.abs(result - colours)[mask == 0].max() < 2 / 255  # blended in 8 bits
    assert np.abs(result - colours)[mask > 0].max() > 0.1
    assert read_calibration("out.tif").size("X") == (0.5, "micrometer")


@pytest.mark.parametrize("out", ["out.png", "out.tif"])
def test_outside_of_a_mask_even_what_nobody_sees_stays(folder, out):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    image[:, :20, 3] = 0
    Image.fromarray(image).save("seen.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:40] = 255
    write_image("mask.png", mask)
    arguments = ["stylize", "seen.png", "style.jpg", "-o", out, "--mask", "mask.png", *QUICK]
    assert main([*arguments, "--quiet"]) == DONE
    result = read_image(out)
    expected = image.astype(result.dtype) * (np.iinfo(result.dtype).max // 255)
    same = (result == expected).all(-1)
    assert same[mask == 0].all()
    assert not same[mask > 0].all()


def test_floats_are_written_as_they_are(folder):
    arguments = ["stylize", "content.png", "style.jpg", "-o", "out.tif", "--quiet", *QUICK]
    assert main([*arguments, "--bits", "32"]) == DONE
    image = read_image("out.tif")
    content, style = (to_rgb(read_image(name)) for name in ("content.png", "style.jpg"))
    expected = StyleTransfer(content, style, steps=4, precision="float32", device="cpu").run()
    assert np.array_equal(image, expected)


def cells(dtype):
    y, x = np.mgrid[:48, :64] / 48
    image = 300 + 3000 * np.exp(-((x - 0.6) ** 2 + (y - 0.5) ** 2) * 20) + 200 * np.sin(50 * x * y)
    return (image / 14).astype(dtype) if np.dtype(dtype).itemsize == 1 else image.astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "out"),
    [
        *(("u2", "out.tif"), ("u2", "out.png"), ("u1", "out.jpg")),
        *(("i2", "out.tif"), ("u4", "out.tif"), ("f4", "out.tif")),
    ],
)
def test_intensity_stays_one_channel_in_its_dtype_and_range(folder, dtype, out):
    image = cells(dtype)
    tifffile.imwrite("cells.tif", image)
    arguments = ["stylize", "cells.tif", "style.jpg", "-o", out, "--output", "intensity"]
    assert main([*arguments, "--quiet", *QUICK]) == DONE
    result = read_image(out)
    assert result.shape == image.shape
    assert result.dtype == image.dtype
    if out == "out.jpg":
        return
    assert result.min() >= image.min()
    assert result.max() <= image.max()
    assert np.corrcoef(result.ravel(), image.ravel())[0, 1] > 0.7
    assert (result != image).mean() > 0.5


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f4"])
def test_intensity_of_nothing_painted_is_the_image(folder, dtype):
    image = cells(dtype)
    tifffile.imwrite("cells.tif", image)
    arguments = ["stylize", "cells.tif", "style.jpg", "-o", "out.tif", "--output", "intensity"]
    still = ["--style-weight", "0", "--tv-weight", "0"]
    assert main([*arguments, *still, "--quiet", *QUICK]) == DONE
    tolerance = 1e-4 * float(image.max()) if dtype in ("u4", "f4") else 1
    assert np.abs(read_image("out.tif").astype(float) - image).max() <= tolerance


@pytest.mark.parametrize("kind", ["rgb", "intensity"])
def test_outside_a_mask_pixels_stay_to_the_last_bit(folder, kind):
    image = cells("u4")
    tifffile.imwrite("cells.tif", image)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 16:56] = 255
    Image.fromarray(mask).save("mask.png")
    arguments = ["stylize", "cells.tif", "style.jpg", "-o", "out.tif", "--output", kind]
    assert main([*arguments, "--mask", "mask.png", "--feather", "2", "--quiet", *QUICK]) == DONE
    result = read_image("out.tif")
    expected = image if kind == "intensity" else np.rint(to_rgb(image) * 65535)
    assert np.array_equal(result[mask == 0], expected[mask == 0])
    assert (result != expected)[mask > 0].mean() > 0.5


def test_regions_are_painted_with_the_style_regions_of_their_label(folder):
    x = np.mgrid[:48, :64][1] / 48
    noise = np.random.default_rng(0).random((48, 64))
    content = 0.5 + 0.1 * noise[..., np.newaxis] * np.ones(3)
    write_image("flat.png", content)
    style = np.where(x[..., np.newaxis] < 0.66, (0.9, 0.1, 0.1), (0.1, 0.1, 0.9))
    write_image("two.png", style * (0.8 + 0.2 * noise[..., np.newaxis]))
    labels = np.where(x < 0.66, 1, 2).astype(np.uint8)
    Image.fromarray(labels).save("labels.png")
    Image.fromarray((3 - labels).astype(np.uint8)).save("crossed.png")
    means = {}
    for name in ("labels.png", "crossed.png"):
        masks = ["--mask", "labels.png", "--style-mask", name]
        arguments = ["stylize", "flat.png", "two.png", "-o", "out.png", *masks]
        options = ["--steps", "30", "--style-strength", "80", "--precision", "float32"]
        assert main([*arguments, *options, "--quiet"]) == DONE
        image = to_rgb(read_image("out.png"))
        means[name] = [image[:, :24].mean((0, 1)), image[:, 40:].mean((0, 1))]
    (left, right), (crossed_left, crossed_right) = means["labels.png"], means["crossed.png"]
    assert left[0] > left[2]
    assert right[2] > right[0]
    assert crossed_left[2] > crossed_left[0]
    assert crossed_right[0] > crossed_right[2]


@pytest.mark.parametrize("kind", ["rgb", "intensity"])
def test_tiff_keeps_the_physical_size(folder, kind):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    tifffile.imwrite("cells.ome.tif", cells("u2"), metadata=metadata)
    arguments = ["stylize", "cells.ome.tif", "style.jpg", "-o", "out.tif", "--output", kind]
    assert main([*arguments, "--quiet", *QUICK]) == DONE
    assert read_calibration("out.tif").scale == pytest.approx((0.5, 0.25))
    assert read_calibration("out.tif").units == ("micrometer", "micrometer")
    assert main([*arguments, "--size", "32", "--quiet", *QUICK]) == DONE
    assert read_image("out.tif").shape[:2] == (24, 32)
    assert read_calibration("out.tif").scale == pytest.approx((1, 0.5))


def test_quiet_prints_nothing(folder, capfd):
    arguments = ["stylize", "content.png", "style.jpg", "-o", "out.png", "--quiet", *QUICK]
    assert main(arguments) == DONE
    assert capfd.readouterr() == ("", "")


def test_log_and_recipe(folder):
    arguments = ["stylize", "content.png", "style.jpg", "stripes.tif", "-o", "out.png"]
    options = ["--log", "losses.csv", "--style-weights", "3,1", "--seed", "7"]
    assert main([*arguments, *options, *QUICK]) == DONE
    rows = log_rows(folder / "losses.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert list(rows[0]) == ["step", "scale", "content", "style", "tv", "total", "seconds"]
    for row in rows:
        parts = float(row["content"]) + float(row["style"]) + float(row["tv"])
        assert float(row["total"]) == pytest.approx(parts, rel=1e-5)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    found = recipe("out.png")
    assert found["content"] == "content.png"
    assert found["styles"] == ["style.jpg", "stripes.tif"]
    assert found["seed"] == 7
    assert found["losses"]["total"] == float(rows[-1]["total"])
    settings = Settings.from_dict(found["settings"])
    assert settings == Settings(
        style_weights=(3, 1), seed=7, steps=4, precision="float32", device="cpu"
    )


def test_style_strength_is_the_weight_for_the_eye(folder):
    weights = []
    for strength in ("0", "50", "100"):
        arguments = ["stylize", "content.png", "style.jpg", "-o", "out.png", "--quiet"]
        options = ["--preset", "fast", "--style-strength", strength, "--steps", "1"]
        assert main([*arguments, *options]) == DONE
        weights.append(recipe("out.png")["settings"]["style_weight"])
    assert weights[0] < weights[1] < weights[2]
    assert weights[1] == PRESETS["fast"].settings["style_weight"]


def start(folder, *arguments):
    command = "import sys; from napari_neural_style.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", command, "stylize", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(process, path, count):
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.05)
    pytest.fail(f"The run ended early: {process.stderr.read()}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 143)]
)
def test_an_interrupted_run_keeps_what_was_painted(folder, number, status):
    log = folder / "losses.csv"
    with start(
        folder,
        *("content.png", "style.jpg", "-o", "out.png", "--log", log.name),
        *("--steps", "100000", "--device", "cpu"),
    ) as process:
        wait_for_rows(process, log, 3)
        process.send_signal(number)
        _, error = process.communicate()
    assert process.returncode == status
    assert "Traceback" not in error
    found = recipe(folder / "out.png")
    assert found["step"] == len(log_rows(log))
    assert read_image(folder / "out.png").shape == (48, 64, 3)


def test_a_resumed_run_ends_like_an_uninterrupted_one(folder, monkeypatch):
    command = ["stylize", "content.png", "style.jpg", "--quiet", "--bits", "16"]
    settings = ["--steps", "8", "--precision", "float32", "--device", "cpu"]
    whole = ["-o", "whole.png", "--log", "whole.csv"]
    assert main([*command, *settings, *whole]) == DONE

    save, saved = StyleTransfer.save, []

    def save_and_interrupt(self, path):
        save(self, path)
        saved.append(path)
        if len(saved) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StyleTransfer, "save", save_and_interrupt)
    parts = ["-o", "part.png", "--log", "parts.csv"]
    checkpoint = ["--checkpoint", "run.safetensors", "--checkpoint-every", "0"]
    assert main([*command, *settings, *parts, *checkpoint]) == INTERRUPTED
    assert recipe("part.png")["step"] == 3

    resume = ["--resume", "run.safetensors"]
    assert main([*command, *parts, *resume, *checkpoint]) == DONE
    assert np.array_equal(read_image("part.png"), read_image("whole.png"))
    for part, row in zip(
        log_rows(folder / "parts.csv"), log_rows(folder / "whole.csv"), strict=True
    ):
        part["seconds"] = row["seconds"]
        assert part == row

    assert main([*command, *parts, *resume]) == DONE  # a finished run stays as it is
    assert np.array_equal(read_image("part.png"), read_image("whole.png"))


def test_a_resumed_run_may_change_weights_but_not_how_it_began(folder, capsys):
    command = ["stylize", "-o", "out.png", "--quiet"]
    run = [*command, "content.png", "style.jpg", "--checkpoint", "run.safetensors", *QUICK]
    assert main(run) == DONE
    resume = [*command, "--resume", "run.safetensors"]
    assert main([*resume, "--style-strength", "80", "--steps", "6"]) == DONE
    assert recipe("out.png")["step"] == 6
    assert main([*resume, "--size", "40"]) == DONE
    assert read_image("out.png").shape == (30, 40, 3)
    capsys.readouterr()
    assert main([*resume, "--seed", "5"]) == BAD_INPUT
    assert "seed=5 cannot change" in capsys.readouterr().err


def test_a_resumed_run_keeps_what_its_content_is(folder, capsys):
    tifffile.imwrite("cells.tif", cells("u2"))
    command = ["stylize", "-o", "out.tif", "--quiet", "--output", "intensity"]
    run = [*command, "cells.tif", "style.jpg", "--checkpoint", "run.safetensors", *QUICK]
    assert main(run) == DONE
    painted = read_image("out.tif")
    assert main([*command, "--resume", "run.safetensors", "cells.tif"]) == DONE
    assert np.array_equal(read_image("out.tif"), painted)
