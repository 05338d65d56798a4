import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_neural_style import __version__
from napari_neural_style.cli import BAD_INPUT, DONE, main

RUN = "stylize content.png style.jpg -o out.png"


BAD = [
    ("", "COMMAND"),
    ("paint", "'paint'"),
    ("stylize", "--out"),
    ("stylize content.png -o out.png", "STYLE"),
    ("stylize content.png style.jpg -o out.gif", ".png"),
    ("stylize content.png style.jpg -o no/out.png", "no such file or folder"),
    ("stylize content.png style.jpg -o out.jpg --bits 16", "16 bits"),
    ("stylize content.png style.jpg -o out.png --bits 32", "32 bits"),
    (f"{RUN} --output out.png", "'intensity'"),
    (f"{RUN} --output intensity", "content.png has colours"),
    ("stylize gray.png style.jpg -o out.tif --output intensity --bits 8", "its own dtype, uint8"),
    ("stylize gray.png style.jpg -o out.png --output intensity --color match", "leave --color out"),
    ("stylize float.tif style.jpg -o out.png --output intensity", "float32"),
    ("stylize --resume run -o out.png --output intensity", "CONTENT"),
    (f"{RUN} --mask gone.png", "gone.png"),
    (f"{RUN} --mask content.png", "content.png as a mask: it has colours"),
    (f"{RUN} --mask black.png", "mask is 0 everywhere"),
    (f"{RUN} --style-mask gray.png", "there is no mask"),
    (f"{RUN} --feather -1", "feather=-1"),
    ("stylize content.png style.jpg -o black.png --mask black.png", "black.png is used twice"),
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
    (f"{RUN} --recipe gone.json", "gone.json: there is no such file"),
    (f"{RUN} --recipe notes.png", "notes.png: it is no JSON"),
    (f"{RUN} --recipe gray.png", "gray.png: there is no recipe in it"),
    (f"{RUN} --recipe newer.json", "version 9.1 wrote it"),
    (f"{RUN} --recipe foreign.json", "give the weights yourself (--weights)"),
    (f"{RUN} --recipe planes.json", "--mask none"),
    (f"{RUN} --recipe planes.json --mask none --size 3", "size=3"),
    (f"{RUN} --recipe planes.json --resume run", "not allowed with"),
    (f"{RUN} --save-recipe no/a.json", "no/a.json"),
    (f"{RUN} --save-recipe out.png", "out.png is used twice"),
    (f"{RUN} --recipe planes.json --save-recipe planes.json", "planes.json is used twice"),
    ("stack stack.tif style.jpg --quiet -o out.zarr --recipe foreign.json", "--weights"),
    ("stack stack.tif style.jpg --quiet -o out.zarr --recipe planes.json", "--mask none"),
    (
        "stack stack.tif style.jpg --quiet -o out.zarr --save-recipe out.zarr",
        "out.zarr is used twice",
    ),
    ("stack stack.tif style.jpg --quiet -o out.tif --save-recipe out.tif.zarr", "used twice"),
    ("stack stack.tif style.jpg --quiet -o out.tif --recipe stack.tif", "there is no recipe in it"),
    ("demo --steps few", "'few'"),
    ("demo --screenshot no/window.png", "no/window.png"),
    ("demo --size 3", "size=3"),
    ("info more", "more"),
]


def write_bad_files(folder):
    (folder / "notes.png").write_text("not an image")
    Image.new("RGB", (8, 8)).save(folder / "black.png")
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).save(folder / "gray.png")
    tifffile.imwrite(folder / "float.tif", ramp.astype(np.float32))
    tifffile.imwrite(folder / "stack.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    recipes = {
        "newer": {"settings": {"glow": 1}, "versions": {"napari-neural-style": "9.1"}},
        "foreign": {"settings": {"weights": "secret.pth"}},
        "planes": {"settings": {}, "plane_masks": True},
    }
    for name, recipe in recipes.items():
        (folder / f"{name}.json").write_text(json.dumps(recipe))


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
    commands = ["--help", "--version", "stylize --help", "stack --help", *(bad for bad, _ in BAD)]
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
        ("--mask gray.png", "mask"),
    ],
)
def test_what_only_the_engine_can_refuse(folder, capfd, arguments, words):
    write_bad_files(folder)
    assert main([*RUN.split(), *arguments.split()]) == BAD_INPUT
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not (folder / "out.png").exists()


def test_version(capsys):
    assert main(["--version"]) == DONE
    assert capsys.readouterr().out == f"{__version__}\n"
