"""What grows when a viewer lives for two hundred runs.

    xvfb-run -a -s "-screen 0 1920x1200x24 +extension GLX +render -noreset" \
        python benchmarks/soak.py [--runs 200] [--only-napari]

A child process opens napari with the widget docked and drives it as a user would, ten kinds of
runs in turn. After each run this process reads the child's resident memory and processor time
from outside; the child counts what is alive. With ``--only-napari`` layers of the same shapes
come and go without the plugin: what then grows is napari's own.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import psutil
from window import spin

from napari_neural_style import PRESETS

ROUND = 10
"""Runs of which each is of another kind; counts are compared after whole rounds."""
ALLOWED_MB = 50
"""What the resident memory may grow by after the first round."""
ALLOWED_SLOWING = 1.3
"""The later runs' processor time to the first ones'; other programs add to it."""
COUNTED = ("own", "used", "blocks", "layers", "threads", "qobjects", "timers", "bars", "tensors")
COUNTED += ("ours",)


def main() -> None:
    """Start the child, watch it, print a table and a verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only-napari", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        live(options.runs, options.only_napari)
        return
    rows = []
    print(f"{'run':>4} {'MB':>7} {'s':>6}  " + "".join(f"{name:>10}" for name in COUNTED))
    for row in watch(options.runs, options.only_napari):
        rows.append(row)
        if row["run"] % ROUND == 0:
            counts = "".join(f"{row[name]:10d}" for name in COUNTED)
            print(f"{row['run']:4d} {row['mb']:7.0f} {row['seconds']:6.2f}  {counts}", flush=True)
    sys.exit(0 if judge(rows) else 1)


def watch(runs: int, only_napari: bool) -> Iterator[dict]:
    """Yield what was counted after each run, and what it costs as seen from outside."""
    command = [sys.executable, __file__, "--child", "--runs", str(runs)]
    command += ["--only-napari"] * only_napari
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        watched, before = psutil.Process(child.pid), 0.0
        for line in child.stdout:
            if not line.startswith("{"):
                continue
            times = watched.cpu_times()
            spent = times.user + times.system
            memory = watched.memory_info()
            own = round((memory.rss - memory.shared) / 1e6)  # neither libraries nor the display's
            row = {"mb": memory.rss / 1e6, "own": own, "seconds": spent - before}
            yield {**json.loads(line), **row}
            before = spent
            print(file=child.stdin, flush=True)  # it waits, so that it is seen at rest
        if child.wait() != 0:
            sys.exit(f"The child ended with status {child.returncode}.")


def judge(rows: list[dict]) -> bool:
    """Say what has grown; tell whether that is little enough."""
    first, last = rows[ROUND - 1], rows[len(rows) // ROUND * ROUND - 1]
    grown = last["mb"] - first["mb"]
    each = grown / max(1, last["run"] - first["run"])
    print(f"resident memory after run {first['run']}: {first['mb']:.0f} MB, ", end="")
    print(f"after run {last['run']}: {last['mb']:.0f} MB, {grown:+.0f} MB, {each:+.3f} MB a run")
    # Of the kind that does the same work whatever else the machine does.
    seconds = [row["seconds"] for row in rows[ROUND::ROUND]] or [first["seconds"]]
    half = len(seconds) // 2
    early, late = map(statistics.median, (seconds[: half + 1], seconds[half:]))
    print(f"processor time of a run to its end: {early:.2f} s early, {late:.2f} s late")
    leaked = {
        name: (first["kinds"].get(name, 0), count)
        for name, count in last["kinds"].items()
        if count > first["kinds"].get(name, 0)
    }
    for name, (before, after) in sorted(leaked.items()):
        print(f"  more of {name}: {before} after run {first['run']}, {after} at the end")
    fine = grown <= ALLOWED_MB and late <= ALLOWED_SLOWING * early and not leaked
    print("verdict:", "nothing grows" if fine else "SOMETHING GROWS")
    return fine


# ------------------------------------------------------------------ in the child


def live(runs: int, only_napari: bool) -> None:
    """Open the viewer, and after each run print what is alive."""
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.set_geometry(0, 0, 1200, 900)
    user = NapariUser(viewer) if only_napari else User(viewer)
    for number in range(1, runs + 1):
        user.run(number)
        spin(user.at_rest, 60)
        print(json.dumps({"run": number, **alive()}), flush=True)
        sys.stdin.readline()
    viewer.close()


def alive() -> dict:
    """Count what is alive, all in all and by kind."""
    import gc

    from napari.layers import Layer
    from napari.utils.progress import progress
    from qtpy.QtCore import QObject, QTimer
    from qtpy.QtWidgets import QApplication

    for _ in range(3):
        gc.collect()
    tensor = sys.modules["torch"].Tensor if "torch" in sys.modules else ()
    kinds: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, Layer) or (tensor and issubclass(kind, tensor)):
            kinds[kind.__name__] += 1
        elif issubclass(kind, tuple):  # points and snapshots: as many as the last run was long
            continue
        elif str(kind.__module__).startswith("napari_neural_style"):
            kinds[f"{kind.__module__.removeprefix('napari_neural_style.')}.{kind.__name__}"] += 1
    layers = sum(n for name, n in kinds.items() if name in ("Image", "Labels", "Points"))
    ours = sum(n for name, n in kinds.items() if "." in name)
    tops = QApplication.topLevelWidgets()
    qobjects = len(tops) + sum(len(top.findChildren(QObject)) for top in tops)
    timers = sum(len(top.findChildren(QTimer)) for top in tops)
    kinds |= {"QObject": qobjects, "QTimer": timers}
    kinds |= {"Thread": threading.active_count(), "bar": len(progress._all_instances)}
    return {
        "used": allocated_mb(),
        "blocks": sys.getallocatedblocks(),
        "layers": layers,
        "threads": kinds["Thread"],
        "qobjects": qobjects,
        "timers": timers,
        "bars": kinds["bar"],
        "tensors": kinds["Tensor"] + kinds["Parameter"],
        "ours": ours,
        "kinds": kinds,
    }


def allocated_mb() -> int:
    """Megabytes that glibc has handed out, in all its heaps; what it keeps of freed ones is not."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as file:
        stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        heaps = ElementTree.parse(file.name).getroot()
    sizes = {total.get("type"): int(total.get("size")) for total in heaps.findall("./total")}
    kept = int(heaps.find("./system[@type='current']").get("size"))
    return round((kept - sizes["fast"] - sizes["rest"] + sizes["mmap"]) / 1e6)


class NapariUser:
    """Adds and removes layers as the plugin does, without it."""

    def __init__(self, viewer) -> None:
        self.viewer = viewer
        viewer.add_image(pixels(160, 128, 1)[..., 0], name="content")
        viewer.add_image(pixels(128, 128, 2), rgb=True, name="style")

    def at_rest(self) -> bool:
        """Tell whether nothing goes on."""
        return True

    def run(self, number: int) -> None:
        """Add a layer, show some frames in it, delete the one before."""
        old = [layer for layer in self.viewer.layers if layer.name.startswith("result")]
        layer = self.viewer.add_image(pixels(80, 64, number), rgb=True, name="result")
        for frame in range(6):
            side = 128 if frame > 2 else 64
            layer.data = pixels(side * 5 // 4, side, frame)
            spin(lambda: False, 0.05)
        for gone in old:
            self.viewer.layers.remove(gone)


class User:
    """Presses the buttons of the widget."""

    def __init__(self, viewer) -> None:
        self.viewer = viewer
        for seed, name in enumerate(("style", "another", "content")):
            self.add(name, seed)
        _, self.widget = viewer.window.add_plugin_dock_widget(
            "napari-neural-style", "Style Transfer"
        )
        self.layers = viewer.layers
        spin(self.at_rest, 60)

    def at_rest(self) -> bool:
        """Tell whether no estimate is being made, or about to be."""
        forecast = self.widget._forecast
        return not forecast._timer.isActive() and threading.active_count() == 1

    def add(self, name: str, seed: int):
        """Open an image."""
        return self.viewer.add_image(pixels(160, 128, seed), rgb=True, name=name)

    def run(self, number: int) -> None:
        """Make a run of one of ten kinds, and tidy up."""
        self.settle_controls()
        kinds = (
            *(self.to_its_end, self.stopped, self.steered, self.restyled, self.resized),
            *(self.deleted, self.looked_back, self.another_preset, self.gone_on_with),
            self.new_content,
        )
        kinds[(number - 1) % ROUND](number)
        self.until(lambda: not self.widget.running)
        for result in self.results[:-1]:
            self.layers.remove(result)

    def settle_controls(self) -> None:
        """Let every kind of run find the same settings."""
        values = {
            **{"content": self.layers["content"], "style": self.layers["style"]},
            **{"preset": "fast", "style_strength": 50, "texture": 50, "color": "style"},
            **{"size": 128, "steps": 30, "device": "cpu", "mask": "", "style_2": ""},
        }
        for name, value in values.items():
            if name in ("mask", "style_2"):
                value = self.widget[name].choices[0]
            self.widget[name].value = value

    @property
    def results(self) -> list:
        """The layers that were painted."""
        return [layer for layer in self.layers if "napari_neural_style" in layer.metadata]

    def press(self, name: str) -> None:
        """Press a button."""
        self.widget[name].native.click()

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the viewer live until something holds."""
        if not spin(condition, 120):
            sys.exit("A run hangs.")

    def start(self, steps: int = 5000):
        """Run, and wait for the first frame."""
        self.widget["steps"].value = steps
        before = len(self.results)
        self.press("run")
        self.until(lambda: len(self.results) > before)
        return self.results[-1]

    def frames(self, layer, count: int = 2) -> None:
        """Wait for some frames."""
        for _ in range(count):
            data = layer.data
            self.until(lambda data=data: layer.data is not data)

    def to_its_end(self, _number: int) -> None:
        """Press Run and wait."""
        self.press("run")
        self.until(lambda: not self.widget.running)

    def stopped(self, _number: int) -> None:
        """Stop it after the first frame, or before it."""
        self.start()
        self.press("stop")
        self.until(lambda: not self.widget.running)
        self.press("run")
        self.press("stop")

    def steered(self, _number: int) -> None:
        """Pause, turn the controls, go on."""
        layer = self.start()
        self.press("pause")
        for value in range(0, 100, 10):
            self.widget["style_strength"].value = value
            self.widget["texture"].value = 100 - value
            spin(lambda: False, 0.01)
        self.press("pause")
        self.frames(layer)
        self.widget["color"].value = "luminance"
        self.frames(layer)
        self.press("stop")

    def restyled(self, _number: int) -> None:
        """Take another style, then two, then draw in one."""
        layer = self.start()
        self.widget["style"].value = self.layers["another"]
        self.frames(layer)
        self.widget["style_2"].value = self.layers["style"]
        self.widget["mix"].value = 30
        self.frames(layer)
        self.layers["style"].data[:20, :20] = 200
        self.layers["style"].refresh()
        self.frames(layer)
        self.press("stop")

    def resized(self, _number: int) -> None:
        """Take another size while it runs."""
        layer = self.start()
        for size in (192, 96):
            self.widget["size"].value = size
            self.frames(layer)
        self.press("stop")

    def deleted(self, _number: int) -> None:
        """Delete the result under it."""
        self.layers.remove(self.start())

    def looked_back(self, _number: int) -> None:
        """Scrub through the history, keep a picture, go on from one."""
        layer, history = self.start(), self.widget._history
        self.until(lambda: len(history._steps) > 3)
        for position in (1, 2, 1):
            history._slider.setValue(position)
            spin(lambda: False, 0.05)
        history._keep.click()
        history._resume.click()
        self.frames(layer, 1)
        self.press("stop")

    def another_preset(self, number: int) -> None:
        """One preset after the other, with another colour mode."""
        # First one at the published scale and in float32: its weights stay in memory, too.
        presets = ["gatys", *(name for name in PRESETS if name not in ("fast", "gatys"))]
        self.widget["preset"].value = presets[number // ROUND % len(presets)]
        self.widget["color"].value = "match"
        self.widget["size"].value, self.widget["steps"].value = 96, 10
        self.to_its_end(number)

    def gone_on_with(self, number: int) -> None:
        """Compare, then Continue in the same layer, twice."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.to_its_end(number)
        QTest.mousePress(self.widget._compare, Qt.MouseButton.LeftButton)
        spin(lambda: False, 0.1)
        QTest.mouseRelease(self.widget._compare, Qt.MouseButton.LeftButton)
        for _ in range(2):
            self.layers.selection.active = self.results[-1]
            self.press("go_on")
            self.until(lambda: not self.widget.running)

    def new_content(self, number: int) -> None:
        """Another content with regions and one channel, both deleted while it runs."""
        content = self.viewer.add_image(pixels(160, 128, number)[..., 0], name="gray")
        regions = self.viewer.add_labels((pixels(160, 128, 1)[..., 0] > 90) * 1, name="regions")
        self.widget["content"].value, self.widget["mask"].value = content, regions
        self.widget["output"].value = "intensity"
        layer = self.start()
        self.layers.remove(regions)
        self.layers.remove(content)
        self.frames(layer, 1)
        self.press("stop")
        self.until(lambda: not self.widget.running)
        self.widget["output"].value = "rgb"


def pixels(height: int, width: int, seed: int):
    """Blobs, so that there is something to paint."""
    import numpy as np

    coarse = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1), int)).astype(np.uint8)


if __name__ == "__main__":
    main()
