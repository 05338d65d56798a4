import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_neural_style import PRESETS, Settings
from napari_neural_style.cli import BAD_INPUT, DONE, main
from napari_neural_style.images import image_hash, read_image, to_rgb, write_image
from napari_neural_style.recipe import read_recipe, write_recipe
from napari_neural_style.settings import strength_to_weight

RUN = ("stylize", "content.png", "style.jpg", "--quiet", "-o")
QUICK = ("--device", "cpu", "--precision", "float32", "--steps", "3")
OPTIONS = (
    *("--preset", "fast", "--style-strength", "70", "--style-layers", "relu1_1=2,relu3_1=1"),
    *("--size", "48", "--seed", "3", "--color", "luminance", "--init", "noise"),
)


def settings_of(path):
    return read_recipe(path).settings


@pytest.mark.parametrize("source", ["saved.json", "first.png", "second.tif", "third.jpg"])
def test_a_recipe_paints_what_the_same_options_paint(folder, source):
    out = source if source != "saved.json" else "first.png"
    assert main([*RUN, out, *QUICK, *OPTIONS, "--save-recipe", "saved.json"]) == DONE
    assert main([*RUN, "again.png", "--bits", "16", "--recipe", source]) == DONE
    assert main([*RUN, "same.png", "--bits", "16", *QUICK, *OPTIONS]) == DONE
    assert np.array_equal(read_image("again.png"), read_image("same.png"))
    assert settings_of("again.png") == settings_of(source)


def test_the_recipe_of_a_run_tells_what_it_was(folder):
    assert main([*RUN, "out.png", *QUICK, "--save-recipe", "run.json"]) == DONE
    recipe = json.loads((folder / "run.json").read_text("utf-8"))
    assert (recipe["content"], recipe["styles"]) == ("content.png", ["style.jpg"])
    assert recipe["inputs"]["content"] == image_hash(to_rgb(read_image("content.png")))
    assert recipe["inputs"]["styles"] == [image_hash(to_rgb(read_image("style.jpg")))]
    assert recipe["step"] == 3
    assert recipe["losses"]["total"] > 0
    assert "not data" in recipe["note"]


def test_options_go_before_the_recipe(folder):
    assert main([*RUN, "a.png", *QUICK, *OPTIONS]) == DONE
    given = ("--steps", "2", "--style-strength", "20", "--no-keep-best", "--init", "content")
    assert main([*RUN, "b.png", "--recipe", "a.png", *given]) == DONE
    wanted = settings_of("a.png").to_dict() | {
        **{"steps": 2, "init": "content", "keep_best": False},
        "style_weight": strength_to_weight(20, "fast"),
    }
    assert settings_of("b.png") == Settings.from_dict(wanted)


def test_another_preset_keeps_what_the_recipe_says_beyond_its_own(folder):
    write_recipe("a.json", {"settings": Settings("fast", size=40, steps=2, seed=9).to_dict()})
    command = [*RUN, "out.png", "--recipe", "a.json", "--preset", "tutorial"]
    assert main([*command, "--style-strength", "60"]) == DONE
    weight = strength_to_weight(60, "tutorial")
    assert weight > PRESETS["tutorial"].settings["style_weight"]
    assert settings_of("out.png") == Settings(
        "tutorial", size=40, steps=2, seed=9, style_weight=weight
    )


def test_of_one_channel(folder):
    ramp = np.add.outer(np.arange(40), np.arange(48)).astype(np.uint16) * 300
    tifffile.imwrite("cells.tif", ramp)
    command = ["stylize", "cells.tif", "style.jpg", "--quiet", "--output", "intensity", "-o"]
    assert main([*command, "a.tif", *QUICK]) == DONE
    assert main([*command, "b.tif", "--recipe", "a.tif"]) == DONE
    assert np.array_equal(read_image("a.tif"), read_image("b.tif"))
    write_recipe("colours.json", {"settings": Settings("fast", steps=1).to_dict()})
    assert main([*command, "c.tif", "--recipe", "colours.json"]) == DONE
    assert settings_of("c.tif").color == "luminance"


def test_regions_are_in_the_recipe(folder):
    labels = np.ones((48, 64), np.uint8)
    labels[:, 20:40] = 0
    labels[:, 40:] = 2
    Image.fromarray(labels).save("labels.png")
    Image.fromarray(labels).resize((32, 32), 0).save("style-labels.png")
    write_image("style.jpg", np.random.default_rng(0).random((32, 32, 3)))
    regions = ("--mask", "labels.png", "--style-mask", "style-labels.png", "--feather", "2")
    assert main([*RUN, "a.png", *QUICK, *regions]) == DONE
    assert main([*RUN, "b.png", "--recipe", "a.png"]) == DONE
    assert np.array_equal(read_image("a.png"), read_image("b.png"))
    assert (
        main([*RUN, "c.png", "--recipe", "a.png", "--mask", "none", "--style-mask", "none"]) == DONE
    )
    assert settings_of("c.png").mask is None
    assert (read_image("c.png") != read_image("a.png"))[:, 20:40].mean() > 0.5


def test_weights_of_a_file_are_given_anew(folder, capsys):
    write_recipe("a.json", {"settings": Settings(weights="mine.pth", steps=2).to_dict()})
    assert main([*RUN, "b.png", "--recipe", "a.json", "--weights", "original"]) == DONE
    assert settings_of("b.png") == Settings(steps=2)
    write_recipe("c.json", {"settings": Settings(weights="original", steps=2).to_dict()})
    assert main([*RUN, "d.png", "--recipe", "c.json", "--weights", "gone.pth"]) == BAD_INPUT
    assert "gone.pth" in capsys.readouterr().err


def test_a_run_that_was_steered_is_said_to_be_another(folder, capsys):
    steered = {"settings": Settings(steps=2).to_dict(), "changes": [{"step": 1}]}
    write_recipe("a.json", steered)
    command = [*RUN, "b.png", "--recipe", "a.json"]
    assert main(command) == DONE
    assert capsys.readouterr().err == ""
    assert main([part for part in command if part != "--quiet"]) == DONE
    assert "a.json were changed while it was painted" in capsys.readouterr().err


@pytest.fixture
def series(folder):
    """Return a stack of three planes, which is in the folder too."""
    rng = np.random.default_rng(0)
    stack = (1000 + 2000 * rng.random((3, 32, 40))).astype(np.uint16)
    tifffile.imwrite("cells.ome.tif", stack, metadata={"axes": "TYX"})
    return stack


STACK = ("stack", "cells.ome.tif", "style.jpg", "--quiet", "-o")


@pytest.mark.parametrize("source", ["saved.json", "a.zarr", "a.tif"])
def test_a_recipe_paints_a_stack(series, source):
    out = source if source != "saved.json" else "a.zarr"
    small = ("--scales", "40", "--style-strength", "80")
    assert main([*STACK, out, *QUICK, *small, "--save-recipe", "saved.json"]) == DONE
    assert read_recipe("saved.json").styles == ("style.jpg",)
    assert main([*STACK, "b.zarr", "--recipe", source, "--device", "cpu"]) == DONE
    assert main([*STACK, "c.zarr", *QUICK, *small]) == DONE
    painted = zarr.open_array("b.zarr", mode="r")[:]
    assert painted.any()
    assert np.array_equal(painted, zarr.open_array("c.zarr", mode="r")[:])


def test_the_recipe_of_a_stack_paints_an_image(series):
    assert main([*STACK, "a.zarr", *QUICK, "--scales", "40", "--planes", "0"]) == DONE
    assert main([*RUN, "b.png", "--recipe", "a.zarr", "--device", "cpu"]) == DONE
    assert settings_of("b.png") == Settings(
        steps=3, scales=(40,), precision="float32", device="cpu"
    )


def test_masks_of_planes_are_given_anew(series):
    masks = np.zeros((3, 32, 40), np.uint8)
    masks[:, 8:24, 8:32] = 1
    tifffile.imwrite("masks.tif", masks, metadata={"axes": "TYX"}, ome=True)
    given = ("--mask", "masks.tif")
    assert main([*STACK, "a.zarr", *QUICK, "--scales", "40", *given]) == DONE
    assert read_recipe("a.zarr").own_masks
    assert main([*STACK, "b.zarr", "--recipe", "a.zarr", "--device", "cpu", *given]) == DONE
    a, b = (zarr.open_array(name, mode="r")[:] for name in ("a.zarr", "b.zarr"))
    assert np.array_equal(a, b)
    everywhere = ("--recipe", "a.zarr", "--device", "cpu", "--mask", "none")
    assert main([*STACK, "c.zarr", *everywhere]) == DONE
    c = zarr.open_array("c.zarr", mode="r")[:]
    assert (a != c)[:, :8].mean() > 0.3
