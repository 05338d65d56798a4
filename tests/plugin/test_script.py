import json
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from napari_neural_style import (
    Settings,
    StackTransfer,
    StyleTransfer,
    stylize,
    stylize_stack,
)
from napari_neural_style.images import (
    image_hash,
    intensity_like,
    read_image,
    rgba_like,
    to_rgb,
    write_image,
)
from napari_neural_style.images.rendering import ColorTable, Rendering
from napari_neural_style.images.views import View
from napari_neural_style.plugin.script import run_to_python, to_python
from napari_neural_style.recipe import Recipe
from napari_neural_style.record import Record

from .conftest import picture

QUICK = Settings("fast", steps=3, size=32, device="cpu", precision="float32")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder with a content and a style."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("content.png", "style.png", "cells.tif", "style2.png")):
        write_image(name, picture(32, 40, 3, seed=seed) / 255, 8)
    return tmp_path


def run(recipe):
    with open("script.py", "w", encoding="utf-8") as file:
        file.write(to_python(recipe))
    return runpy.run_path("script.py").get("painted")


def painted(content, styles, settings):
    given = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    return stylize(read_image(content), [read_image(style) for style in styles], **given)


def test_a_script_makes_the_same_picture():
    expected = painted("content.png", ["style.png"], QUICK)
    assert np.array_equal(run(Recipe(QUICK)), expected)
    assert np.array_equal(read_image("painted.png"), np.rint(expected * 255))


def test_the_script_says_what_is_not_as_the_preset_says():
    script = to_python(Recipe(QUICK, content="cells", styles=("waves",)))
    assert script.splitlines()[1:] == [
        "from napari_neural_style import stylize",
        "from napari_neural_style.images import read_image, write_image",
        "",
        "painted = stylize(",
        "    read_image('content.png'),",
        "    read_image('style.png'),",
        "    preset='fast',",
        "    steps=3,",
        "    size=32,",
        "    device='cpu',",
        "    precision='float32',",
        ")",
        'write_image("painted.png", painted)',
    ]


def test_the_script_of_a_run_that_was_steered_says_so():
    script = to_python(Recipe(QUICK, changed=True))
    assert script.startswith("# The settings were changed while this was painted")
    assert script.endswith(to_python(Recipe(QUICK)))


def test_files_are_beside_the_script():
    recipe = Recipe(QUICK, content="/data/cells.tif", styles=("..\\content.png", "b"))
    recipe = replace(recipe, settings=replace(QUICK, style_weights=(2, 1)))
    expected = painted("cells.tif", ["content.png", "style2.png"], recipe.settings)
    assert np.array_equal(run(recipe), expected)


def test_regions_and_layers_and_a_start():
    labels = np.ones((32, 40), np.uint8)
    labels[:, 20:] = 2
    start = picture(32, 40, 3, seed=7)
    for name, image in (("mask", labels), ("style_mask1", labels[:, ::-1]), ("init", start)):
        tifffile.imwrite(f"{name}.tif", np.ascontiguousarray(image))
    settings = replace(
        *(QUICK,),
        **{"mask": labels, "style_masks": (labels[:, ::-1],), "init": start},
        **{"style_layers": {"r11": 1.0, "relu3_1": 0.25}, "scales": (24, 32)},
    )
    expected = painted("content.png", ["style.png"], settings)
    assert np.array_equal(run(Recipe(settings)), expected)


def test_a_script_makes_the_same_stack():
    stack = np.stack([picture(32, 40, seed=seed) for seed in range(2)])
    tifffile.imwrite("cells.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    masks = (stack > 90).astype(np.uint8)
    tifffile.imwrite("masks.tif", masks, photometric="minisblack", metadata={"axes": "TYX"})
    settings = replace(QUICK, size=None)
    given = {name: getattr(settings, name) for name in ("preset", "steps", "device", "precision")}
    for own_masks in (False, True):
        guides = {"mask": masks} if own_masks else {}
        style = read_image("style.png")
        expected = stylize_stack(stack, style, "TYX", **given, **guides)[:]
        run(Recipe(settings, content="cells.tif", axes="TYX", own_masks=own_masks))
        result = zarr.open_array("painted.zarr", mode="r")[:]
        assert np.array_equal(result, expected)
        shutil.rmtree("painted.zarr")


def test_a_script_shows_a_stack_as_it_was_shown():
    stack = np.stack([picture(32, 40, seed=seed).astype(np.uint16) * 7 for seed in range(2)])
    tifffile.imwrite("cells.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    given = {"preset": "fast", "steps": 2, "device": "cpu", "precision": "float32"}
    shades = Rendering("cells", (100.0, 900.0), 0.7)
    options = {"client": "here", "rendering": shades, "output": "intensity", **given}
    transfer = StackTransfer(stack, read_image("style.png"), "ZYX", **options)
    expected = transfer.run()[:]
    told = json.loads(json.dumps({**transfer.provenance(), "content": "cells.tif"}))
    run(Recipe.from_dict(told))
    assert np.array_equal(zarr.open_array("painted.zarr", mode="r")[:], expected)


@pytest.mark.parametrize(
    "name", ['"); open("x","w").close()#.png', "a\nopen('x','w')\n.png", "'\\.tif"]
)
def test_names_of_strangers_stay_names(folder, name):
    recipe = Recipe.from_dict({"settings": QUICK.to_dict(), "content": name, "style": name})
    with pytest.raises(OSError, match="Cannot read"):
        run(recipe)
    assert not (folder / "x").exists()


def test_a_script_makes_changes_again_that_no_step_lies_between(folder):
    content, style = map(read_image, ("content.png", "style.png"))
    transfer = StyleTransfer(content, style, settings=replace(QUICK, steps=4))
    for changes in ([{"size": 48}, {"size": 32}], [{"steps": 6}], [{"color": "luminance"}]):
        for _ in transfer:  # to its end
            pass
        for change in changes:
            transfer.update(**change)
            transfer.apply()
        transfer.update(steps=transfer.provenance()["step"] + 2)
    next(transfer)
    transfer.update(color="style")
    transfer.apply()
    hashes = {
        image_hash(to_rgb(image)): name
        for name, image in (("content.png", content), ("style.png", style))
    }
    told = json.loads(json.dumps(transfer.provenance()))
    assert told["changes"][-1]["step"] == told["step"]
    (folder / "script.py").write_text(run_to_python(Record.from_dict(told), hashes), "utf-8")
    again = runpy.run_path("script.py")["painted"]
    np.testing.assert_array_equal(again, transfer.result)


def test_a_script_makes_a_run_again_with_its_changes(folder):
    content, style, other = map(read_image, ("content.png", "style.png", "style2.png"))
    mask = np.zeros((32, 40), np.uint8)
    mask[:, 9:] = 1
    values = picture(32, 40, seed=5).astype(np.uint16) * 7
    tifffile.imwrite("values.tif", values)
    shown = Rendering("values", (100.0, 900.0), 0.8).straight(values)[0]
    transfer = StyleTransfer(shown, style, settings=replace(QUICK, steps=8, mask=mask))
    transfer.update(picture=content)
    for update in transfer:
        if update.step == 2:
            transfer.update(style=[style, other], style_weights=(1, 2), mask=mask[:, ::-1])
        if update.step == 5:
            break
    pairs = zip((content, style, other), ("content.png", "style.png", "style2.png"), strict=True)
    hashes = {image_hash(to_rgb(image)): name for image, name in pairs}
    part = ((0, 32), (0, 40))
    view = View(
        *(image_hash(shown), "values", "values.tif"),
        **{"shape": (32, 40), "part": part, "kind": "straight"},
        rendering=Rendering("values", (100.0, 900.0), 0.8),
    )
    told = json.loads(json.dumps({**transfer.provenance(), "views": [view.to_dict()]}))
    script = run_to_python(Record.from_dict(told), hashes)
    (folder / "script.py").write_text(script, "utf-8")
    subprocess.run([sys.executable, "script.py"], check=True, cwd=folder)
    sixteen = np.rint(transfer.result * np.float32(65535)).astype(np.uint16)
    assert np.array_equal(read_image("painted.tif"), sixteen)


@pytest.mark.parametrize("kind", ["gray", "straight"])
def test_a_script_makes_one_channel_and_transparency(folder, kind):
    table = ColorTable(np.eye(4, dtype=np.float32), True, None, None)  # which a gray one has not
    shades = Rendering("my cells", (100.0, 900.0), 0.8, table)
    values = picture(32, 40, seed=5).astype(np.uint16) * 7
    mask = np.ones((32, 40), np.uint8)
    mask[:12] = 0
    if kind == "straight":
        shades = Rendering("my cells", (0.0, 255.0), 1.0)
        values = picture(32, 40, 4, seed=5)
        values[:20, :20, 3] = 0
    content = shades.straight(values)[0] if kind == "straight" else shades.gray(values)
    tifffile.imwrite("my_cells.tif", values)
    transfer = StyleTransfer(content, read_image("style.png"), settings=replace(QUICK, size=None))
    for update in transfer:
        if update.step == 1:
            transfer.update(mask=mask)
    view = View(
        *(image_hash(to_rgb(content)), "my cells"),
        **{"shape": values.shape, "part": ((0, 32), (0, 40)), "kind": kind},
        rendering=shades,
    )
    told = json.loads(json.dumps({**transfer.provenance(), "views": [view.to_dict()]}))
    record = Record.from_dict(told)
    script = run_to_python(record, {record.styles[0]: "style.png"})
    (folder / "script.py").write_text(script, "utf-8")
    subprocess.run([sys.executable, "script.py"], check=True, cwd=folder)
    again = read_image("painted.tif")
    if kind == "gray":
        expected = intensity_like(values, transfer.result[..., 0], (100.0, 900.0), 0.8, mask)
    else:
        expected, again = rgba_like(values, transfer.result, mask), np.rint(again / 257)
        assert (expected[:12, :20] == values[:12, :20]).all()  # what nobody sees
    assert again.shape == expected.shape
    assert np.array_equal(again, expected)
