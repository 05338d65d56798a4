import os
import shutil
import signal

import numpy as np
import pytest

from napari_neural_style.cli import BAD_INPUT, DONE, INTERRUPTED, main
from napari_neural_style.cli.many import SOME_IMAGES_FAILED
from napari_neural_style.images import read_image, write_image
from napari_neural_style.images.metadata import read_metadata

QUICK = ("--size", "32", "--precision", "float32", "--device", "cpu", "--preset", "fast")


@pytest.fixture
def images(folder):
    """A folder of three images, in the working directory."""
    (folder / "cells").mkdir()
    image = read_image("content.png")
    write_image("cells/10.png", image[::-1])
    write_image("cells/2.png", image)
    write_image("cells/3.tif", image[..., 0])
    (folder / "cells" / "notes.txt").write_text("no image")
    return folder


def stylize(*arguments):
    return main(["stylize", *arguments, *QUICK])


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_each_image_of_a_folder_is_painted_as_if_alone(images, capsys):
    assert stylize("cells", "style.jpg", "-o", "new/painted", "--steps", "3") == DONE
    out = images / "new" / "painted"
    assert sorted(written(out)) == ["10.png", "2.png", "3.tif"]
    said = capsys.readouterr().err
    assert said.index("2.png, 1 of 3") < said.index("3.tif, 2 of 3") < said.index("10.png, 3 of 3")
    assert stylize("cells/10.png", "style.jpg", "-o", "alone.png", "--steps", "3") == DONE
    np.testing.assert_array_equal(read_image(out / "10.png"), read_image("alone.png"))
    assert main(["redo", "new/painted/2.png", "--search", "cells"]) == DONE


def test_what_is_there_is_kept_unless_it_would_be_another(images, capsys):
    command = ("cells/*.png", "style.jpg", "-o", "out")
    assert stylize(*command, "--steps", "3") == DONE
    before = written(images / "out")
    assert stylize(*command, "--steps", "3") == DONE
    assert written(images / "out") == before
    assert capsys.readouterr().err.count("is there already") == 2
    shutil.copy("cells/2.png", "cells/10.png")  # another image of that name
    assert stylize(*command, "--steps", "3", "--quiet") == DONE
    again = written(images / "out")
    assert again["2.png"] == before["2.png"]
    assert again["10.png"] != before["10.png"]
    for other in (["--steps", "2"], ["--steps", "2", "--bits", "16"]):
        before = again
        assert stylize(*command, *other, "--quiet") == DONE
        again = written(images / "out")
        assert all(again[name] != before[name] for name in again)
    (images / "out" / "2.png").write_text("[]")  # JSON, but no recipe
    assert stylize(*command, *other, "--quiet") == DONE
    assert read_image("out/2.png").dtype == np.uint16


def test_an_image_that_cannot_be_used_is_told_and_left_out(images, capsys):
    write_image("cells/3.png", np.full((32, 32), 7, np.uint8))
    (images / "cells" / "4.png").write_bytes(b"damaged")
    command = ("cells/*.png", "style.jpg", "-o", "out", "--steps", "2", "--quiet")
    assert stylize(*command) == SOME_IMAGES_FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("cells/3.png is left out: ")
    assert "constant" in first
    assert second.startswith("cells/4.png is left out: Cannot use")
    assert sorted(written(images / "out")) == ["10.png", "2.png"]


def test_interrupted_it_goes_on_with_what_is_missing(images, nursery):
    command = ("stylize", "cells", "style.jpg", "-o", "out", "--steps", "60", *QUICK)
    process = nursery.start(*command)
    nursery.wait_for(process, (images / "out" / "2.png").exists)
    os.kill(process, signal.SIGINT)
    assert nursery.wait(process) == INTERRUPTED
    assert nursery.error().endswith("Stopped: the same command goes on with what is missing.\n")
    before = written(images / "out")
    assert "10.png" not in before
    assert main(list(command)) == DONE
    assert written(images / "out")["2.png"] == before["2.png"]
    for name in ("3.tif", "10.png"):
        there = read_metadata(images / "out" / name)
        assert there["step"] == there["total"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cells", "style.jpg", "-o", "out", "--log", "x.csv"], "--log is of one image"),
        (["cells", "style.jpg", "-o", "out", "--resume", "x.st"], "--resume is of one image"),
        (["cells", "-o", "out"], "at least one STYLE"),
        (["cells", "style.jpg", "-o", "cells"], "used twice"),
        (["cells", "style.jpg", "-o", "style.jpg"], "it is a file"),
        (["cells", "style.jpg", "-o", "out", "--bits", "32"], "32"),
        (["cells/*.gif", "style.jpg", "-o", "out"], "there are no image files"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_painted(images, capsys, arguments, complaint):
    assert stylize(*arguments) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert complaint in said
    assert not list(images.glob("out/*"))
