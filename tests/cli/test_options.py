import dataclasses
from argparse import ArgumentParser

import numpy as np
import pytest
from PIL import Image

from napari_neural_style import PRESETS, Settings
from napari_neural_style.cli import DONE, main
from napari_neural_style.cli.options import add_output, add_settings, given_settings
from napari_neural_style.images import read_image

MASKS = ("mask", "style_masks")


def given_by(*text):
    parser = ArgumentParser()
    add_output(parser, "Where to.")
    add_settings(parser)
    return given_settings(parser.parse_args(["-o", "out.png", *text]))


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
        if field.name in MASKS:
            continue
        if isinstance(value, bool):
            text += [option if value else option.replace("--", "--no-")]
        elif value != ():
            text += [option, as_text(value)]
    given = given_by(*text)
    named = {field.name for field in dataclasses.fields(Settings)}
    assert given.keys() == named - {"style_weights", *MASKS}
    assert Settings(**given) == wanted


def test_layers_by_index_and_image_as_start(folder):
    given = given_by("--content-layers", "25", "--init", "content.png", "--scales", "128")
    assert given["content_layers"] == ("25",)
    assert np.array_equal(given["init"], read_image("content.png"))
    assert given["scales"] == (128,)


def test_help_tells_every_option(capsys):
    assert main(["stylize", "--help"]) == DONE
    text = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        name = field.name.removesuffix("s") if field.name in MASKS else field.name
        assert f"--{name.replace('_', '-')}" in text
    for name, preset in PRESETS.items():
        assert name in text
        assert preset.description in text


def test_masks_are_read_from_files(tmp_path):
    labels = np.arange(12).reshape(3, 4)
    paths = {}
    for name, image in {
        "labels.png": labels.astype(np.uint8),
        "labels.tif": labels.astype(np.int32),
        "soft.tif": (labels / 11).astype(np.float32),
        "rgb.png": np.repeat(labels[..., np.newaxis], 3, axis=2).astype(np.uint8),
    }.items():
        paths[name] = str(tmp_path / name)
        Image.fromarray(image).save(paths[name])
    for name in ("labels.png", "labels.tif", "rgb.png"):
        assert np.array_equal(given_by("--mask", paths[name])["mask"], labels)
    assert np.allclose(given_by("--mask", paths["soft.tif"])["mask"], labels / 11)
    given = given_by("--style-mask", paths["labels.tif"], "--style-mask", paths["rgb.png"])
    assert len(given["style_masks"]) == 2
    assert np.array_equal(given["style_masks"], [labels, labels])


def test_what_is_no_mask(tmp_path):
    colours = np.random.default_rng(0).integers(0, 9, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(colours[..., 0]).save(tmp_path / "a.jpg")
    for name, words in (("a.png", "has colours"), ("a.jpg", "JPEG blurs")):
        with pytest.raises(ValueError, match=rf"{name} as a mask: .*{words}"):
            given_by("--mask", str(tmp_path / name))
