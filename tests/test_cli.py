import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_neural_style import PRESETS, Settings, StyleTransfer, __version__
from napari_neural_style.cli import BAD_INPUT, DONE, INTERRUPTED, main, stylize
from napari_neural_style.cli.options import add_settings, given_settings
from napari_neural_style.images import METADATA_KEY, read_image, to_rgb, write_image

QUICK = ("--steps", "4", "--precision", "float32", "--device", "cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a working directory with a content and two styles."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:48, :64] / 48
    disc = np.hypot(x - 0.6, y - 0.5) < 0.3
    write_image("content.png", np.stack([x / 1.4, y, disc], -1))
    write_image("style.jpg", np.stack([np.sin(30 * x) ** 2, np.sin(20 * y + 9 * x) ** 2, y], -1))
    write_image("stripes.tif", np.stack([np.sin(40 * x) ** 2, 0 * x, y], -1))
    return tmp_path


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
    assert read_image("out.png").shape == (48, 48, 3)


def test_twelve_bit_grayscale_is_seen_as_napari_shows_it(folder):
    image = np.random.default_rng(3).integers(100, 4096, (48, 48)).astype(np.uint16)
    tifffile.imwrite("camera.tif", image)
    arguments = ["stylize", "camera.tif", "style.jpg", "-o", "out.png", "--quiet", *QUICK]
    assert main([*arguments, "--style-weight", "0", "--tv-weight", "0"]) == DONE
    expected = to_rgb(image, contrast_limits=(image.min(), image.max()))
    assert np.abs(to_rgb(read_image("out.png")) - expected).max() < 0.003


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


def as_text(value):
    match value:
        case tuple():
            return ",".join(map(as_text, value))
        case dict():
            return ",".join(f"{name}={number!r}" for name, number in value.items())
        case _:
            return str(value)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_has_an_option_that_takes_every_preset_value(preset):
    wanted = Settings(preset=preset)
    text = ["--style-weight", "1"]
    for field in dataclasses.fields(Settings):
        value, option = getattr(wanted, field.name), "--" + field.name.replace("_", "-")
        if isinstance(value, bool):
            text += [option if value else option.replace("--", "--no-")]
        elif value != ():
            text += [option, as_text(value)]
    parser = ArgumentParser()
    add_settings(parser)
    given = given_settings(parser.parse_args(text))
    assert given.keys() >= {field.name for field in dataclasses.fields(Settings)} - {
        "style_weights"
    }
    assert Settings(**given) == wanted


def test_layers_by_index_and_image_as_start(folder):
    parser = ArgumentParser()
    add_settings(parser)
    text = ["--content-layers", "25", "--init", "content.png", "--scales", "128"]
    given = given_settings(parser.parse_args(text))
    assert given["content_layers"] == ("25",)
    assert np.array_equal(given["init"], read_image("content.png"))
    assert given["scales"] == (128,)


def test_help_tells_every_option(capsys):
    assert main(["stylize", "--help"]) == DONE
    text = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in text
    for name, preset in PRESETS.items():
        assert name in text
        assert preset.description in text


RUN = "stylize content.png style.jpg -o out.png"
BAD = [
    ("", "COMMAND"),
    ("paint", "'paint'"),
    ("stylize", "--output"),
    ("stylize content.png -o out.png", "STYLE"),
    ("stylize content.png style.jpg -o out.gif", ".png"),
    ("stylize content.png style.jpg -o no/out.png", "no such file or folder"),
    ("stylize content.png style.jpg -o out.jpg --bits 16", "16 bits"),
    ("stylize content.png style.jpg -o content.png", "used twice"),
    ("stylize content.png missing.png -o out.png", "missing.png"),
    ("stylize notes.png style.jpg -o out.png", "not an image"),
    ("stylize black.png style.jpg -o out.png", "black.png is constant"),
    ("stylize stack.tif style.jpg -o out.png", "select one plane"),
    (f"{RUN} --log no/a.csv", "no/a.csv"),
    (f"{RUN} --checkpoint out.png", "used twice"),
    (f"{RUN} --steps many", "steps='many'"),
    (f"{RUN} --preset gatis", "'gatys'"),
    (f"{RUN} --style-layers x", "'x'"),
    (f"{RUN} --style-strength 101", "101"),
    (f"{RUN} --style-strength 9 --style-weight 9", "not allowed with"),
    (f"{RUN} --init gone.png", "gone.png"),
    (f"{RUN} --unknown", "--unknown"),
    ("demo --steps few", "'few'"),
    ("demo --screenshot no/window.png", "no/window.png"),
    ("demo --size 3", "size=3"),
    ("info more", "more"),
]


def write_bad_files(folder):
    (folder / "notes.png").write_text("not an image")
    Image.new("RGB", (8, 8)).save(folder / "black.png")
    tifffile.imwrite(folder / "stack.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_usage_is_told_in_one_line(folder, capfd, arguments, words):
    write_bad_files(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(arguments.split()) == BAD_INPUT
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("napari-neural-style: ")
    assert "Traceback" not in output.err
    assert words in output.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_neither_help_nor_complaints_import_torch(folder):
    write_bad_files(folder)
    code = (
        "import json, sys\n"
        "from napari_neural_style.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    main(arguments.split())\n"
        "loaded = {'torch', 'napari', 'qtpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    commands = ["--help", "--version", "stylize --help", *(bad for bad, _ in BAD)]
    process = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--weights notes.png", "notes.png"),
        ("--resume notes.png", "notes.png"),
        ("--resume gone.run", "gone.run"),
        ("--device cuda:99", "cuda:99"),
        ("--size 65000", "65000"),
        ("--style-weights 1,2", "style_weights"),
    ],
)
def test_what_only_the_engine_can_refuse(folder, capfd, arguments, words):
    write_bad_files(folder)
    assert main([*RUN.split(), *arguments.split()]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not (folder / "out.png").exists()


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
    monkeypatch.setattr(stylize, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    parts = ["-o", "part.png", "--log", "parts.csv"]
    checkpoint = ["--checkpoint", "run.safetensors"]
    assert main([*command, *settings, *parts, *checkpoint]) == INTERRUPTED
    assert recipe("part.png")["step"] == 4

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


def test_a_resumed_run_may_change_weights_but_not_sizes(folder, capsys):
    command = ["stylize", "-o", "out.png", "--quiet"]
    run = [*command, "content.png", "style.jpg", "--checkpoint", "run.safetensors", *QUICK]
    assert main(run) == DONE
    resume = [*command, "--resume", "run.safetensors"]
    assert main([*resume, "--style-strength", "80", "--steps", "4"]) == DONE
    capsys.readouterr()
    assert main([*resume, "--steps", "5"]) == BAD_INPUT
    assert "steps=5 cannot change" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_demo_without_a_display_is_refused_in_one_line(monkeypatch, capfd):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["demo"]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "display" in error


def test_version(capsys):
    assert main(["--version"]) == DONE
    assert capsys.readouterr().out == f"{__version__}\n"


def test_info_tells_what_a_bug_report_needs(capsys):
    assert main(["info"]) == DONE
    text = capsys.readouterr().out
    for word in ("Python", "napari ", "torch ", "numpy ", "Qt ", "memory", "cpu ", "cores"):
        assert word in text
    assert "vgg19" in text
    assert "torchvision" in text
    assert re.search(r"fastest in \w+\n", text)
    assert Path(re.search(r"precision +of the CPU: remembered in (.+)", text)[1]).is_file()
    assert "error" not in text


def test_info_survives_a_broken_torch(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["info"]) == DONE
    assert "ModuleNotFoundError" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX executable")
def test_info_tells_how_to_get_the_right_torch(capsys, monkeypatch, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this torch uses its GPU")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert main(["info"]) == DONE
    assert "https://pytorch.org" in capsys.readouterr().out
