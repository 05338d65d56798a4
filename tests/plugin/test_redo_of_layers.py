"""What the widget paints is painted again from its file, and from that of its layer."""

import json

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers._source import layer_source
from PIL import Image

from napari_neural_style import Settings
from napari_neural_style.cli import main
from napari_neural_style.images import METADATA_KEY, read_image
from napari_neural_style.plugin.job import Job
from napari_neural_style.plugin.layers import displayed_plane
from napari_neural_style.plugin.result import EXACT_KEY
from napari_neural_style.plugin.writers import write_16_bit, write_float

from .conftest import picture

QUICK = Settings("fast", steps=2, size=32, device="cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with a style."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(30, 40, 3, seed=1)).save("waves.png")
    return tmp_path


def opened(viewer, path):
    """Open a file as napari does, whose readers are not there in this test."""
    with layer_source(path=path):
        return viewer.add_image(tifffile.imread(path), name="cells")


def saved(viewer, layer, out, write, settings=QUICK, **appearance):
    """Paint what a layer shows, with the style, and save that as napari would."""
    style = viewer.add_image(read_image("waves.png"), name="waves.png", rgb=True)
    planes = (displayed_plane(part, viewer.dims) for part in (layer, style))
    content, style = planes
    names = {"content": layer.name, "style": "waves.png"}
    job = Job((style,), settings, {"rgb": True, **appearance}, names, content)
    transfer = job.prepare()
    exact = transfer.run()
    data, _ = job.place(job.develop(exact))
    metadata = {METADATA_KEY: json.loads(json.dumps({**transfer.provenance(), **job.names}))}
    if job.in_color and write is write_float:
        metadata[EXACT_KEY] = job.place(exact)[0]
    rgb = job.in_color
    write(out, data, {"name": "painted", "rgb": rgb, "metadata": metadata})


@pytest.mark.parametrize("write", [write_float, write_16_bit])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_plane_through_a_colormap(folder, capsys, order, write):
    stack = np.stack([picture(30, 40, seed=seed).astype(np.uint16) * 9 for seed in range(36)])
    tifffile.imwrite("cells.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    viewer = ViewerModel()
    layer = opened(viewer, "cells.tif")
    layer.colormap, layer.gamma, layer.contrast_limits = "viridis", 0.7, (100, 1800)
    viewer.dims.order = order
    viewer.dims.set_point(order[0], 7)
    saved(viewer, layer, "a.tif", write)
    assert main(["redo", "a.tif"]) == 0
    assert capsys.readouterr().out == "a.tif: Bit-identical.\n"
    tifffile.imwrite("cells.tif", stack[:, ::-1], photometric="minisblack")
    assert main(["redo", "a.tif"]) == 2
    assert "cells.tif is not the content" in capsys.readouterr().err


def test_an_intensity(folder, capsys):
    values = picture(30, 40).astype(np.int16) * 20 - 900
    tifffile.imwrite("cells.tif", values)
    viewer = ViewerModel()
    layer = opened(viewer, "cells.tif")
    layer.colormap, layer.gamma, layer.contrast_limits = "magma", 1.5, (-500, 3000)
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 10:] = 1
    settings = Settings("fast", steps=2, device="cpu", color="luminance", mask=mask)
    saved(viewer, layer, "a.tif", write_16_bit, settings, rgb=False)
    assert main(["redo", "a.tif", "-o", "b.tif"]) == 0
    assert capsys.readouterr().out == "a.tif: Bit-identical.\n"
    assert np.array_equal(read_image("b.tif"), read_image("a.tif"))
    assert read_image("b.tif").dtype == np.int16


def test_transparency(folder, capsys):
    rgba = picture(30, 40, 4)
    rgba[:9, :, 3] = 0
    Image.fromarray(rgba).save("cells.png")
    viewer = ViewerModel()
    layer = viewer.add_image(rgba, name="cells.png", rgb=True)
    saved(viewer, layer, "a.tif", write_float)
    assert main(["redo", "a.tif"]) == 0
    assert capsys.readouterr().out == "a.tif: Bit-identical.\n"
