"""The figures of the real window: how soon it paints, how smooth it stays, what that costs.

    xvfb-run -a -s "-screen 0 1920x1200x24 +extension GLX +render -noreset" \
        nice -n -15 python benchmarks/window.py [--sizes 512 2048]

Opens napari with the widget docked, drives it as a user would, and watches the GUI's thread
with a timer: how much later than asked for it comes is the stall. The engine's pace with the
window is compared with its pace without one, in turns, in the same process.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from napari_neural_style import Settings

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

    reactions = []
    for strength in (80, 20, 90, 40):
        begin, data = time.perf_counter(), result.data
        widget["style_strength"].value = strength
        wanted = widget._run.job.settings.style_weight
        spin(lambda wanted=wanted: transfer.settings.style_weight == wanted, 60)
        step = transfer._step
        spin(lambda step=step: transfer._step > step, 60)
        data = result.data
        spin(lambda data=data: result.data is not data, 60)
        reactions.append(time.perf_counter() - begin)
    seconds = statistics.median(reactions)
    print(f"{f'{size} px: a control is seen in the picture after':42} {seconds:8.2f} s", flush=True)

    # In turns: with the window, and paused with the same step made here.
    shown, alone = [], []
    for _ in range(4):
        shown.append(pace(transfer, lambda: spin(lambda: False, 3)))
        widget["pause"].native.click()
        spin(lambda: False, 0.5 + 2 * shown[-1])
        count = max(2, round(3 / shown[-1]))
        begin = time.perf_counter()
        for _ in range(count):
            transfer._run.advance()
        alone.append((time.perf_counter() - begin) / count)
        widget["pause"].native.click()
        spin(lambda: False, 0.5)
    share = statistics.median(shown) / statistics.median(alone)
    print(
        f"{f'{size} px: a step with the window, to one without':42} {share:8.2f} times", flush=True
    )
    widget["stop"].native.click()
    spin(lambda: not widget.running, 120)


def pace(transfer, wait: Callable[[], None]) -> float:
    """Seconds a step while something waits."""
    step, begin = transfer._step, time.perf_counter()
    wait()
    return (time.perf_counter() - begin) / max(1, transfer._step - step)


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


def process() -> None:
    """Let Qt draw all that was asked for."""
    from napari.qt import get_qapp

    for _ in range(20):
        get_qapp().processEvents()


if __name__ == "__main__":
    main()
