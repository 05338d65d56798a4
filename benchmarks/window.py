"""The figures of the real window: how soon it paints, how smooth it stays, what that costs.

    xvfb-run -a -s "-screen 0 1920x1200x24 +extension GLX +render -noreset" \
        nice -n -15 python benchmarks/window.py [--sizes 512 2048]

Opens napari with the widget docked, drives it as a user would, and watches the GUI's thread
with a timer: how much later than asked for it comes is the stall. The engine's pace with the
window is compared with its pace in another process that has none, in turns.
"""

import argparse
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from napari_neural_style import Settings, StyleTransfer

os.environ["NAPARI_CONFIG"] = ""
"""The user's settings are neither used nor changed."""
TICK = 0.005
"""Seconds between two looks at the GUI's thread."""
WATCHED = 12.0
"""Seconds that the GUI is watched for while a run goes on."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048])
    sizes = parser.parse_args().sizes
    print(f"{'import napari_neural_style':42} {import_seconds():8.2f} s", flush=True)

    import napari
    from skimage.transform import resize

    from napari_neural_style.plugin.samples import demo_pair

    viewer = napari.Viewer(show=True)
    viewer.window.set_geometry(0, 0, 1500, 950)
    content, content_attributes, style, style_attributes = demo_pair()
    viewer.add_image(content, **content_attributes)
    viewer.add_image(style, **style_attributes)
    spin(lambda: False, 2)
    begin = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
    process()
    print(f"{'widget open':42} {time.perf_counter() - begin:8.2f} s", flush=True)
    spin(lambda: False, 8)  # torch comes behind it, and the estimate
    idle = stalls(4)
    print(f"{'stall of the GUI, idle: 99 % / longest':42} {show(idle)}", flush=True)

    for size in sizes:
        large = resize(content, (size, size), preserve_range=True).astype(np.uint8)
        layer = viewer.add_image(large, name=f"content {size}")
        widget["content"].value, widget["size"].value = layer, size
        widget["style"].value = viewer.layers[style_attributes["name"]]
        spin(lambda: False, 3)
        measure(viewer, widget, size)
    print(
        f"{'peak memory':42} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GB"
    )
    viewer.close()


def import_seconds() -> float:
    """Median of five imports in new processes."""
    clock = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"
    command = [sys.executable, "-c", clock.format("import napari_neural_style")]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5)]
    return statistics.median(float(run.stdout) for run in runs)


def measure(viewer, widget, size: int) -> None:
    """Run at a size, and print what was seen."""
    widget._settings.take(Settings(size=size), "")
    spin(lambda: False, 5)  # with the estimate
    before = len(viewer.layers)
    begin = time.perf_counter()
    widget["run"].native.click()
    spin(lambda: len(viewer.layers) > before, 120)
    first = time.perf_counter() - begin
    print(f"{f'{size} px: first painted frame after Run':42} {first:8.2f} s", flush=True)
    widget["stop"].native.click()
    spin(lambda: not widget.running, 120)

    # From here on at the full size, without an end.
    widget._settings.take(Settings(scales=(size,), steps=20_000, size=size), "")
    before = len(viewer.layers)
    widget["run"].native.click()
    spin(lambda: len(viewer.layers) > before, 120)
    result, transfer = viewer.layers[-1], widget._run._worker._transfer

    busy = stalls(WATCHED)
    print(f"{f'{size} px: stall, running: 99 % / longest':42} {show(busy)}", flush=True)

    # In turns: with the window, and paused while the other process makes the same steps.
    shown, alone = [], []
    with headless(widget["content"].value.data, widget["style"].value.data, size) as steps:
        for _ in range(6):
            shown.append(pace(transfer, max(4, 2 * shown[-1] if shown else 0)))
            widget["pause"].native.click()
            live(0.5 + 2 * shown[-1])
            alone.append(steps(max(2, round(3 / shown[-1]))))
            widget["pause"].native.click()
            live(0.5)
    share = statistics.median(shown) / statistics.median(alone)
    print(
        f"{f'{size} px: a step with the window, to one without':52} {share:6.2f} times", flush=True
    )
    for name, change in live_controls(viewer, widget).items():
        took = []
        for again in range(4):
            spin(lambda: False, random.uniform(0, 1))  # at any moment between two frames
            took.append(reaction(result, partial(change, again)))
        print(
            f"{f'{size} px: seen after, median / longest: {name}':52} "
            f"{statistics.median(took):6.2f} s {max(took):6.2f} s",
            flush=True,
        )
    widget["stop"].native.click()
    spin(lambda: not widget.running, 120)


def live_controls(viewer, widget) -> dict[str, Callable[[int], None]]:
    """What changes each control that lives while a run goes on, given which time it is."""
    from napari_neural_style.plugin.fields import EVERYWHERE, NO_STYLE

    content, style = widget["content"].value, widget["style"].value
    other = viewer.layers[0]
    labels = np.zeros(content.data.shape[:2], np.uint8)
    labels[len(labels) // 4 :] = 1
    region = viewer.add_labels(labels, name="region")
    widget["mask"].value = region
    sliders = widget._form.equalizer._sliders

    def put(name: str, *values: object) -> Callable[[int], None]:
        return lambda again: setattr(widget[name], "value", values[again % len(values)])

    def paint_region(again: int) -> None:
        region.data[: 40 * (again + 1)] = 1
        region.refresh()

    def repaint_style(_again: int) -> None:
        style.data = style.data[::-1].copy()

    return {
        "strength": put("style_strength", 80, 20, 90, 50),
        "texture": put("texture", 80, 20, 90, 50),
        "a layer's weight": lambda again: sliders["relu3_1"].setValue((90, 20, 80, 50)[again]),
        "content weight": put("content_weight", 2.0, 0.5, 3.0, 1.0),
        "smoothness": put("tv_weight", 0.1, 0.3, 0.05, 0.02),
        "colours": put("color", "luminance", "style", "match", "style"),
        "style": put("style", other, style),
        "style edited": repaint_style,
        "second style": put("style_2", other, NO_STYLE, style, other),
        "mix": put("mix", 80, 20, 90, 50),
        "mask": put("mask", EVERYWHERE, region),
        "mask edited": paint_region,
        "soft edge": put("feather", 10, 0, 20, 5),
        "steps": put("steps", 18_000, 17_000, 16_000, 15_000),
    }


def reaction(result, change: Callable[[], None]) -> float:
    """Seconds from a change to the first frame that shows what it made of the picture."""
    changes = len(result.metadata["napari_neural_style"]["changes"])

    def seen() -> bool:
        recipe = result.metadata["napari_neural_style"]
        made = recipe["changes"]
        if len(made) == changes:
            return False
        # What is outside of a region is the content's before a step is made, and how many
        # steps are left is told.
        at_once = {"mask", "feather", "steps"} & made[-1].keys()
        return recipe["step"] > made[-1]["step"] or bool(at_once)

    def made_with_it() -> bool:
        recipe = result.metadata["napari_neural_style"]
        return recipe["step"] > recipe["changes"][-1]["step"]

    begin = time.perf_counter()
    change()
    if not spin(seen, 60):
        return float("nan")
    took = time.perf_counter() - begin
    spin(made_with_it, 60)  # a step after one that was given up is made in any case
    return took


@contextmanager
def headless(content, style, size: int) -> Iterator[Callable[[int], float]]:
    """Another process without a window; called with a number of steps, it gives seconds a step."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=make_steps, args=(there, content, style, size)
    )
    process.start()
    here.recv()

    def seconds_per_step(count: int) -> float:
        here.send(count)
        return here.recv() / count

    yield seconds_per_step
    here.send(0)
    process.join()


def make_steps(told, content, style, size: int) -> None:
    """Make as many steps as are told, and tell the seconds; in the process without a window."""
    transfer = StyleTransfer(content, style, scales=(size,), steps=20_000, size=size)
    steps = iter(transfer)
    for _ in range(3):
        next(steps)
    told.send("ready")
    while count := told.recv():
        begin = time.perf_counter()
        for _ in range(count):
            next(steps)
        told.send(time.perf_counter() - begin)


def pace(transfer, seconds: float) -> float:
    """Seconds a step while the GUI lives for some time, from the end of one to that of another."""
    first, begin = next_step(transfer)
    live(seconds)
    last, end = next_step(transfer)
    return (end - begin) / (last - first)


def next_step(transfer) -> tuple[int, float]:
    """Wait for the end of a step; return its number and when that was."""
    step = transfer._step
    spin(lambda: transfer._step > step, 60)
    return transfer._step, time.perf_counter()


def stalls(seconds: float) -> list[float]:
    """How much later than asked for a timer of the GUI's thread came, each time."""
    from qtpy.QtCore import Qt, QTimer

    late: list[float] = []
    last = time.perf_counter()

    def look() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append(max(0.0, now - last - TICK))
        last = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(look)
    timer.start(round(1000 * TICK))
    spin(lambda: False, seconds)
    timer.stop()
    return late


def show(late: list[float]) -> str:
    """The 99th percentile and the longest, in milliseconds."""
    return f"{1000 * np.percentile(late, 99):8.1f} ms {1000 * max(late):8.1f} ms"


def spin(until: Callable[[], bool], seconds: float) -> bool:
    """Let the GUI live until something holds, but no longer than some time; tell whether it did."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, end = QEventLoop(), time.perf_counter() + seconds
    timer = QTimer()
    timer.timeout.connect(lambda: loop.quit() if until() or time.perf_counter() > end else None)
    timer.start(5)
    loop.exec()
    return until()


def live(seconds: float) -> None:
    """Let the GUI live for some time, without a look at it: that would cost the run, too."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def process() -> None:
    """Let Qt draw all that was asked for."""
    from napari.qt import get_qapp

    for _ in range(20):
        get_qapp().processEvents()


if __name__ == "__main__":
    main()
