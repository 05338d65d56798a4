"""Make the pictures of the documentation anew.

    python docs/make_pictures.py [NAME ...]

``window``, ``widget`` and ``regions`` need a display (``xvfb-run`` will do). ``peers`` runs every
program on the same pairs for the time that the default preset takes; it needs
``pastiche``'s command, which is installed with the package. ``gif`` is a run from the
content to the end. Pairs are those of File ▸ Open Sample.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from napari import Viewer
from napari.qt import get_qapp
from PIL import Image, ImageDraw, ImageFont

from napari_neural_style import StyleTransfer
from napari_neural_style.artwork import ARTWORKS, draw
from napari_neural_style.images import to_rgb, to_uint8
from napari_neural_style.images.drift import draw_drift, measure_drift
from napari_neural_style.plugin import samples
from napari_neural_style.plugin.channels import Channels
from napari_neural_style.plugin.widget import StyleTransferWidget
from napari_neural_style.settings import strength_to_weight, texture_to_layers

FOLDER = Path(__file__).parent / "images"
SIZE = 384
Picture = npt.NDArray[np.uint8]


def pair(sample: str) -> tuple[Picture, Picture]:
    """Content and style of a sample, as they are shown."""
    (content, shown, _), (style, _, _) = getattr(samples, sample)()
    return to_uint8(to_rgb(content, contrast_limits=shown.get("contrast_limits"))), style


def paint(
    content: Picture, style: Picture, seconds: float | None = None, **settings: object
) -> tuple[Picture, float]:
    """Run a preset to its end or for so many seconds; the picture and the time it took."""
    start = time.perf_counter()
    transfer = StyleTransfer(content, style, **settings)
    for _ in transfer:
        if seconds and time.perf_counter() - start > seconds:
            transfer.stop()
    assert transfer.result is not None
    return to_uint8(transfer.result), time.perf_counter() - start


def paint_with_pastiche(content: Picture, style: Picture, seconds: float) -> Picture:
    """Run pastiche's command, as it is by default, for so many seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, image in (("content.png", content), ("style.png", style)):
            Image.fromarray(image).save(folder / file)
        command = (
            f"{Path(sys.executable).with_name('pastiche')} --content content.png "
            f"--styles style.png --output out.png --size {SIZE} --style-size {SIZE} "
            "--workspace steps --workspace-step 5 --num-steps 100000"
        )
        (folder / "steps").mkdir()
        process = subprocess.Popen(command.split(), cwd=folder, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
        files = sorted((folder / "steps").iterdir(), key=lambda file: file.stat().st_mtime)
        return np.asarray(Image.open(files[-2]).convert("RGB"))  # the last may be half-written


def sheet(name: str, columns: list[str], rows: list[list[Picture]], size: int = SIZE) -> None:
    """Write a table of pictures, each so many pixels wide, the columns named."""
    font = ImageFont.load_default(16)
    heights = [round(size * row[0].shape[0] / row[0].shape[1]) for row in rows]
    page = Image.new("RGB", (size * len(columns), 28 + sum(heights)), "white")
    for index, title in enumerate(columns):
        ImageDraw.Draw(page).text((size * index + 8, 5), title, "black", font)
    top = 28
    for row, height in zip(rows, heights, strict=True):
        for index, picture in enumerate(row):
            own = Image.fromarray(picture)
            own = own.resize((size, round(size * own.height / own.width)), Image.Resampling.LANCZOS)
            page.paste(own.crop((0, 0, size, height)), (size * index, top))
        top += height
    page.save(FOLDER / name, quality=88)


def window() -> None:
    """Write the whole window of napari after the demo."""
    command = Path(sys.executable).with_name("napari-neural-style")
    subprocess.run([command, "demo", "--screenshot", FOLDER / "demo.png"], check=True)


def open_panel(sample: str, section: str, height: int) -> tuple[Viewer, StyleTransferWidget]:
    """Open napari with a sample and the widget, one of its sections open."""
    viewer = Viewer(show=False)
    for data, attributes, kind in getattr(samples, sample)():
        getattr(viewer, f"add_{kind}")(data, **attributes)
    panel = StyleTransferWidget(viewer, remember=False)
    viewer.window.add_dock_widget(panel, name="Style Transfer (Neural Style)", area="right")
    panel.open_section(section)
    viewer.window.show()
    viewer.window.set_geometry(0, 0, 1500, height)
    return viewer, panel


def run(panel: StyleTransferWidget) -> None:
    """Press Run, and wait for the end."""
    ended: list[object] = []
    panel.run_ended.connect(ended.append)
    panel["run"].native.click()
    live_until(lambda: bool(ended))
    enough = time.monotonic() + 5  # what comes later: the estimate of the next run
    live_until(lambda: time.monotonic() > enough)


def live_until(done: Callable[[], bool]) -> None:
    """Let napari go on until something is the case."""
    while not done():
        get_qapp().processEvents()
        time.sleep(0.01)


def widget() -> None:
    """The widget after a sketch, one of its sections open."""
    viewer, panel = open_panel("histology", "Details", 1180)
    panel["preset"].value = "fast"
    run(panel)
    panel.native.grab().save(str(FOLDER / "widget.png"))
    viewer.close()


def regions() -> None:
    """Two channels together, painted but for the nuclei's surroundings, in napari's window."""
    viewer, panel = open_panel("channels", "Regions", 950)
    layers = viewer.layers
    layers["Mitochondria"].visible = False
    layers.selection = {layers["Nuclei"], layers["Actin"]}
    panel["content"].value = Channels(frozenset(layers.selection), layers)
    panel["style"].value = next(layer for layer in layers if getattr(layer, "rgb", False))
    panel["mask"].value = layers["Region: nuclei"]
    viewer.reset_view()
    run(panel)
    viewer.screenshot(str(FOLDER / "regions.png"), canvas_only=False, flash=False)
    viewer.close()


def peers() -> None:
    """Ours beside the published programs, on the same pairs for the same time."""
    columns = ["content", "style", "default", "tutorial", "gatys", "pastiche"]
    rows = []
    for sample in ("histology", "cells", "cat"):
        content, style = pair(sample)
        ours, seconds = paint(content, style, size=SIZE)
        print(f"{sample}: {seconds:.0f} s each")
        published = [
            paint(content, style, seconds, preset=preset, size=SIZE)[0]
            for preset in ("tutorial", "gatys")
        ]
        theirs = paint_with_pastiche(content, style, seconds)
        rows.append([content, style, ours, *published, theirs])
    sheet("peers.jpg", columns, rows)


def strength() -> None:
    """The style strength from 0 to 100 %."""
    steps = (0, 25, 50, 75, 100)
    rows = []
    for sample in ("histology", "cat"):
        content, style = pair(sample)
        rows.append(
            [paint(content, style, size=SIZE, style_weight=strength_to_weight(s))[0] for s in steps]
        )
    sheet("strength.jpg", [f"{step} %" for step in steps], rows)


def gallery() -> None:
    """Contents in all styles of our own, which stand above."""
    size = 288
    styles = {name: draw(name) for name in ARTWORKS}
    rows = [[np.full_like(next(iter(styles.values())), 255), *styles.values()]]
    for sample in ("cells", "histology", "retina", "cat", "coffee"):
        content, _ = pair(sample)
        rows.append([content, *(paint(content, style, size=size)[0] for style in styles.values())])
    sheet("gallery.jpg", ["", *(ARTWORKS[name].title for name in styles)], rows, size)


def speed() -> None:
    """The two presets of our own."""
    rows = []
    for sample in ("histology", "cat"):
        content, style = pair(sample)
        fast, sketched = paint(content, style, preset="fast", size=SIZE)
        default, painted = paint(content, style, size=SIZE)
        print(f"{sample}: fast {sketched:.1f} s, default {painted:.1f} s")
        rows.append([content, style, fast, default])
    sheet("speed.jpg", ["content", "style", "fast", "default"], rows)


def scale() -> None:
    """The size of the style beside that of the content."""
    scales = (0.25, 0.5, 1.0, 2.0)
    rows = []
    for sample, artwork in (("histology", "stained_glass"), ("cat", "pointillism")):
        content, style = pair(sample)[0], draw(artwork, 2 * SIZE)  # a style is never enlarged
        rows.append([paint(content, style, size=SIZE, style_scale=s)[0] for s in scales])
    sheet("scale.jpg", [f"style_scale={scale:g}" for scale in scales], rows)


def texture() -> None:
    """Which of the style's patterns, from fine to coarse."""
    steps = (0, 25, 50, 75, 100)
    rows = []
    for sample in ("histology", "cat"):
        content, style = pair(sample)
        layers = (texture_to_layers(step) for step in steps)
        rows.append([paint(content, style, size=SIZE, style_layers=own)[0] for own in layers])
    sheet("texture.jpg", [f"{step} %" for step in steps], rows)


def colors() -> None:
    """Whose colours the result has."""
    modes = ("style", "match", "luminance")
    rows = []
    for sample in ("cells", "histology"):
        content, style = pair(sample)
        painted = [paint(content, style, size=SIZE, color=mode)[0] for mode in modes]
        rows.append([content, style, *painted])
    sheet("colors.jpg", ["content", "style", *(f'color="{mode}"' for mode in modes)], rows)


def drift() -> None:
    """Where results stopped being true to their content."""
    rows = []
    for sample in ("retina", "cells"):
        content, style = pair(sample)
        painted, _ = paint(content, style, size=SIZE)
        measured = measure_drift(to_rgb(content), to_rgb(painted))
        print(f"{sample}: {measured}")
        rows.append([content, painted, to_uint8(draw_drift(measured))])
    sheet("drift.jpg", ["content", "result", "drift"], rows)


def gif() -> None:
    """A run from the content to the end: many frames of its lively beginning."""
    side, count = 320, 24
    content, style = pair("histology")
    transfer = StyleTransfer(content, style, size=side)
    wanted = {round(transfer.total * (i / count) ** 2) for i in range(1, count + 1)}
    first = Image.fromarray(content).resize((side, side), Image.Resampling.LANCZOS)
    frames = [first]
    for update in transfer:
        if update.step in wanted:
            painted = Image.fromarray(to_uint8(update.image))
            frames.append(painted.resize((side, side), Image.Resampling.BICUBIC))
    # Without dithering, whose noise would be most of the file.
    frames = [frame.quantize(96, dither=Image.Dither.NONE) for frame in frames]
    milliseconds = [1200, *[160] * (len(frames) - 2), 2500]
    frames[0].save(
        FOLDER / "run.gif",
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        optimize=True,
    )


PICTURES: dict[str, Callable[[], None]] = {
    make.__name__: make
    for make in (
        window,
        widget,
        regions,
        peers,
        strength,
        texture,
        speed,
        scale,
        colors,
        drift,
        gallery,
        gif,
    )
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="*", choices=PICTURES, default=list(PICTURES))
    FOLDER.mkdir(exist_ok=True)
    for chosen in parser.parse_args().picture:
        PICTURES[chosen]()
