import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_neural_style import StyleTransfer
from napari_neural_style.cli import BAD_INPUT, DONE, main
from napari_neural_style.cli.verdict import NOT_THE_SAME
from napari_neural_style.images import read_image, to_rgb, write_image
from napari_neural_style.images.metadata import read_metadata
from napari_neural_style.recipe import write_recipe

PAINT = ("stylize", "content.png", "style.jpg", "--quiet", "--device", "cpu", "--size", "40", "-o")
QUICK = ("--steps", "3")


def redone(capsys, *arguments):
    """Redo; return the exit status and what was said."""
    status = main(["redo", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out or said.err.strip()


@pytest.mark.parametrize(
    ("out", "options"),
    [
        ("a.png", QUICK),
        ("a.tif", (*QUICK, "--preset", "gatys")),
        ("a.jpg", (*QUICK, "--color", "luminance", "--init", "noise", "--seed", "4")),
        ("a.png", (*QUICK, "--bits", "16", "--mask", "mask.png", "--feather", "3")),
        ("a.tif", (*QUICK, "--bits", "32", "--tile", "64", "--precision", "bfloat16")),
    ],
)
def test_the_same_bits_again(folder, capsys, out, options):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:50] = 255
    Image.fromarray(mask).save("mask.png")
    assert main([*PAINT, out, *options]) == DONE
    assert redone(capsys, out) == (DONE, f"{out}: Bit-identical.\n")


def steered(folder, content="content.png", **images):
    """Paint a picture that is steered meanwhile, another style included, and save it."""
    first, second = (read_image(folder / name) for name in ("style.jpg", "stripes.tif"))
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 1
    settings = {"steps": 8, "size": 40, "device": "cpu", "keep_best": True}
    transfer = StyleTransfer(read_image(folder / content), first, **settings)
    for update in transfer:
        if update.step == 2:
            transfer.update(style_weight=30.0, mask=mask, feather=2.0)
        if update.step == 4:
            transfer.update(style=[first, second], style_weights=(1, 2), size=48)
        if update.step == 7:
            break
    write_image(folder / "a.tif", transfer.result, metadata=transfer.provenance())


def test_what_several_layers_showed_is_sent_to_napari(folder, capsys):
    steered(folder)
    recipe = read_metadata("a.tif")
    blended = {"sha256": recipe["inputs"]["content"], "name": "composite of “a”, “b”"}
    write_image("a.tif", read_image("a.tif") / 65535, metadata={**recipe, "views": [blended]})
    assert redone(capsys, "a.tif") == (
        BAD_INPUT,
        "napari-neural-style: No file has the content, composite of “a”, “b”, as it was seen: "
        "several layers together, or a coarser resolution. Open the layers in napari, and redo it "
        "there.",
    )


def test_changes_are_made_again_at_their_steps(folder, capsys):
    steered(folder)
    status, said = redone(capsys, "a.tif", "content.png", "style.jpg")
    assert status == BAD_INPUT
    assert "no file of the style 2 from step 5 on beside a.tif" in said
    images = ("content.png", "style.jpg", "stripes.tif")
    status, said = redone(capsys, "a.tif", *images, "-o", "b.tif")
    assert (status, said) == (DONE, "a.tif: Bit-identical.\n")
    assert np.array_equal(read_image("a.tif"), read_image("b.tif"))
    again, first = read_metadata("b.tif"), read_metadata("a.tif")
    assert again["settings"].pop("precision") == first["precision"] != "auto"
    assert first["settings"].pop("precision") == "auto"
    for name in ("settings", "changes", "begun_with", "inputs", "step", "losses"):
        assert again[name] == first[name]


def test_a_run_that_ended_and_went_on(folder, capsys):
    content, style = read_image("content.png"), read_image("style.jpg")
    transfer = StyleTransfer(content, style, "fast", steps=2, size=40, device="cpu")
    transfer.run()
    transfer.update(steps=4, tv_weight=50.0)
    transfer.run()
    write_image("a.png", transfer.result, metadata=transfer.provenance())
    said = redone(capsys, "a.png", "content.png", "style.jpg")
    assert said == (DONE, "a.png: Bit-identical.\n")


def test_images_are_found_by_name_and_known_by_their_pixels(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    shutil.move("style.jpg", elsewhere)
    status, said = redone(capsys, "a.png")
    assert (status, "style.jpg" in said and "--search" in said) == (BAD_INPUT, True)
    assert redone(capsys, "a.png", "--search", elsewhere)[0] == DONE
    # Another picture of that name, which comes first, is passed by.
    shutil.copy("stripes.tif", "style.jpg")
    assert redone(capsys, "a.png", "--search", elsewhere)[0] == DONE
    status, said = redone(capsys, "a.png")
    assert status == BAD_INPUT
    assert "style.jpg is not the style that a.png was painted from" in said
    # The same pixels in a file of another kind and name.
    write_image("same.tif", read_image("content.png") / 255)
    style = elsewhere / "style.jpg"
    assert redone(capsys, "a.png", "same.tif", style)[0] == DONE
    status, said = redone(capsys, "a.png", style, style)
    assert said.endswith("not the content that a.png was painted from: its pixels are others.")
    assert redone(capsys, "a.png", "same.tif", style, style)[1].count("one too many")


def test_a_stranger_leads_to_no_other_folder(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    secret = folder / "secret"
    secret.mkdir()
    (folder / "work").mkdir()
    for name in ("content.png", "style.jpg"):
        shutil.move(name, secret)
    recipe = read_metadata("a.png")
    content = recipe["inputs"]["content"]
    for path in (str(secret / "content.png"), "../secret/content.png", "..\\secret\\content.png"):
        recipe["content"] = path
        recipe["views"] = [{"sha256": content, "name": path, "file": path}]
        write_recipe("work/a.json", recipe)
        status, said = redone(capsys, "work/a.json", "-o", "b.png", "--search", "work")
        assert (status, "no file of the content, content.png," in said) == (BAD_INPUT, True)


def test_a_picture_that_is_another_is_said_to_be(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    recipe, picture = read_metadata("a.png"), read_image("a.png")
    picture[3, 4, 1] ^= 1
    write_image("b.png", picture / 255, metadata=recipe)
    status, said = redone(capsys, "b.png")
    assert status == NOT_THE_SAME
    assert "largest 0.39% of the range" in said
    assert said.endswith(", although machine and versions are the same.\n")
    recipe["versions"]["torch"] = "1.0"
    write_image("b.png", picture / 255, metadata=recipe)
    status, said = redone(capsys, "b.png")
    assert (status, "The same within 12%" in said, "torch" in said) == (DONE, True, True)
    # No farther away, but all strokes are a bit stronger.
    write_image("b.png", 0.5 + 1.03 * (picture / 255 - 0.5), metadata=recipe)
    status, said = redone(capsys, "b.png")
    assert (status, "more than the 12%" in said) == (NOT_THE_SAME, True)
    # Near on the whole: all a bit lighter, or a part erased.
    erased = picture / 255
    erased[:12, :12] = erased[:12, :12].mean((0, 1))
    for edited in (1 - picture / 255, np.minimum(picture / 255 + 0.08, 1), erased):
        write_image("b.png", edited, metadata=recipe)
        status, said = redone(capsys, "b.png")
        assert (status, "more than the 12%" in said) == (NOT_THE_SAME, True)


def test_a_picture_of_another_size_is_found_out_before(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    write_image("b.png", read_image("a.png")[:-2] / 255, metadata=read_metadata("a.png"))
    status, said = redone(capsys, "b.png")
    assert status == BAD_INPUT
    assert "b.png has 40 x 28 pixels, and a run by its recipe makes 40 x 30" in said


def test_threads_that_were_taken_are_no_excuse(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    recipe, image = read_metadata("a.png"), read_image("a.png") / 255
    image[0, 0] = 1 - image[0, 0]
    write_image("b.png", image, metadata=recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        status, said = redone(capsys, "b.png")
    finally:
        torch.set_num_threads(threads)
    assert status == NOT_THE_SAME
    assert "although machine and versions are the same" in said


def too_much(variable, check):
    return torch.empty(2**60)


def test_a_verdict_tells_what_is_not_made_again(folder, capsys):
    content, style = (to_rgb(read_image(name)) for name in ("content.png", "style.jpg"))
    write_image("large.tif", np.tile(content, (4, 4, 1)), 32)
    settings = {"steps": 3, "scales": (256,), "tile": "off", "device": "cpu"}
    transfer = StyleTransfer(read_image("large.tif"), style, "fast", **settings)
    next(transfer)
    transfer._run.objective = too_much  # the memory does run out
    transfer.run()
    recipe = transfer.provenance()
    (note,) = recipe["notes"]
    assert (note["step"], note["repeats"]) == (2, False)
    picture = transfer.result
    picture[0, 0] = 1 - picture[0, 0]
    write_image("a.png", picture, metadata=recipe)
    status, said = redone(capsys, "a.png", "large.tif", "style.jpg")
    assert status == DONE
    assert "The same within" in said
    assert "then, at step 2: The memory of cpu ran out: the run goes on in tiles of" in said


def test_transparency_and_one_channel(folder, capsys):
    rgba = np.dstack([read_image("content.png"), np.full((48, 64), 255, np.uint8)])
    rgba[:10, :, 3] = np.arange(64)
    Image.fromarray(rgba).save("content.png")
    assert main([*PAINT, "a.tif", *QUICK]) == DONE
    assert read_image("a.tif").shape == (30, 40, 4)
    assert redone(capsys, "a.tif") == (DONE, "a.tif: Bit-identical.\n")
    ramp = np.add.outer(np.arange(40), np.arange(48)).astype(np.uint16) * 300
    tifffile.imwrite("content.png", ramp)  # the content, not the name, tells the format
    assert main([*PAINT, "a.tif", *QUICK, "--output", "intensity"]) == DONE
    assert redone(capsys, "a.tif") == (DONE, "a.tif: Bit-identical.\n")


def test_a_recipe_alone_is_painted(folder, capsys):
    assert main([*PAINT, "a.png", *QUICK, "--save-recipe", "a.json"]) == DONE
    assert "give -o OUT" in redone(capsys, "a.json")[1]
    status, said = redone(capsys, "a.json", "-o", "b.png")
    assert (status, "no picture in a.json" in said) == (DONE, True)
    assert np.array_equal(read_image("a.png"), read_image("b.png"))


def test_what_cannot_be_redone_says_why(folder, capsys):
    write_image("plain.png", np.zeros((4, 4, 3)))
    assert "no recipe in it" in redone(capsys, "plain.png")[1]
    write_recipe("old.json", {"settings": {"steps": 3}})
    assert "does not say how it was painted" in redone(capsys, "old.json")[1]
    write_recipe("stack.json", {"settings": {"steps": 3}, "axes": "TYX"})
    assert "does not say how it was painted" in redone(capsys, "stack.json")[1]
    assert main([*PAINT, "a.png", *QUICK]) == DONE
    recipe = read_metadata("a.png")
    recipe["weights"]["sha256"] = "0" * 64
    (folder / "a.json").write_text(json.dumps(recipe))
    assert "not those that it was painted with" in redone(capsys, "a.json", "-o", "b.png")[1]
    recipe["settings"]["weights"] = "../mine.pth"
    (folder / "a.json").write_text(json.dumps(recipe))
    assert "no recipe may choose the files" in redone(capsys, "a.json", "-o", "b.png")[1]
