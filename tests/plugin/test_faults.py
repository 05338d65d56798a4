"""What goes wrong while a run goes on, really made to: what is said, what is kept, and that
afterwards all is well.

More of it is in the tests of the parts: errors of a step and deleted layers in test_widget,
changes in test_steering, downloads in test_download, bad planes in test_stack_job.
"""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from qtpy.QtCore import QObject, QTimer

from napari_neural_style import Settings
from napari_neural_style.images import to_uint8
from napari_neural_style.plugin import worker as module
from napari_neural_style.plugin.layers import METADATA_KEY
from napari_neural_style.plugin.widget import StyleTransferWidget
from napari_neural_style.plugin.worker import Worker
from napari_neural_style.record import Record
from napari_neural_style.settings import strength_to_weight
from napari_neural_style.transfer.autosave import Checkpoints
from napari_neural_style.transfer.engine import StyleTransfer
from napari_neural_style.transfer.replay import Replay, hash_of
from napari_neural_style.transfer.weights import load_weights

from .conftest import ENDLESS, SMALL, TIMEOUT, errors, picture, results, shorten


def remains():
    """Count what a run must not leave behind."""
    gc.collect()
    alive = [
        type(thing).__name__
        for thing in gc.get_objects()
        if issubclass(type(thing), StyleTransfer | Worker)
        # Tensors of three dimensions are the results in all their digits, in their layers.
        or (issubclass(type(thing), torch.Tensor) and thing.dim() != 3)
    ]
    threads = [thread for thread in threading.enumerate() if thread.name == "style transfer"]
    bars = [bar for bar in progress._all_instances if bar.desc.startswith("Style transfer")]
    # One of the folders is torch's own.
    files = [name for name in os.listdir(tempfile.gettempdir()) if not name.startswith("torch")]
    return Counter(alive), len(threads), len(bars), files


@pytest.fixture
def all_is_well(monkeypatch, tmp_path, qtbot, finish):
    """Check that Run works, and that nothing remains of the runs before it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for normalize in (False, True):  # they stay in memory
        load_weights("original", normalize)
    before = remains()

    def all_is_well(viewer, widget):
        for name in ("content", "style"):
            if name not in viewer.layers:
                viewer.add_image(picture(32, 40, 3), name=name)
            widget[name].value = viewer.layers[name]
        viewer.dims.order = sorted(viewer.dims.order)
        painted = results(viewer)
        widget.whole_stack.value = False
        widget._settings.take(Settings(**SMALL), "")
        widget.run.native.click()
        finish(widget)
        assert "Done" in widget._form.status.text()
        assert len(results(viewer)) == len(painted) + 1
        # The estimate behind the open widget has tensors, too.
        forecast = widget._forecast
        qtbot.waitUntil(
            lambda: not (forecast._working or forecast._timer.isActive()), timeout=TIMEOUT
        )
        assert remains() == before

    return all_is_well


@pytest.fixture
def next_frame(qtbot):
    """Wait until a layer has something new."""

    def next_frame(layer):
        data = layer.data
        qtbot.waitUntil(lambda: layer.data is not data, timeout=TIMEOUT)

    return next_frame


def step_of(checkpoint):
    return StyleTransfer.load(checkpoint).provenance()["step"]


# ------------------------------------------------------------ the run goes on


def edit(viewer):
    viewer.layers["content"].data[:] = 0
    viewer.layers["content"].refresh()


def replace(viewer):
    viewer.layers["content"].data = picture(5, 24, 24)


def spoil(viewer):
    """Make of the result what no picture of ours is."""
    result = viewer.layers[-1]
    result.data.setflags(write=False)
    result.editable = False
    result.data = picture(7, 9, 3, dtype=np.uint16)[None]
    result.metadata.clear()


def move(viewer):
    content = viewer.layers["content"]
    content.scale, content.translate, content.rotate = (3, 2, 2), (0, 9, -5), 30


UNHARMFUL = {
    "result spoilt": spoil,
    "content drawn in": edit,
    "content replaced": replace,
    "content moved": move,
    "content hidden": lambda viewer: setattr(viewer.layers["content"], "visible", False),
    "result hidden": lambda viewer: setattr(viewer.layers[-1], "visible", False),
    "result moved": lambda viewer: setattr(viewer.layers[-1], "translate", (0, 7, 7)),
    "layers reordered": lambda viewer: viewer.layers.reverse(),
    "everything selected": lambda viewer: viewer.layers.select_all(),
    "another plane": lambda viewer: viewer.dims.set_point(0, 2),
    "axes turned": lambda viewer: setattr(viewer.dims, "order", (1, 0, 2)),
    "3-D": lambda viewer: setattr(viewer.dims, "ndisplay", 3),
    "2-D": lambda viewer: setattr(viewer.dims, "ndisplay", 2),
    "another theme": lambda viewer: setattr(viewer, "theme", "light"),
    "a layer added": lambda viewer: viewer.add_points([[0, 9, 9]]),
}


def test_whatever_is_done_to_the_viewer_the_run_goes_on(
    open_widget, start, finish, next_frame, all_is_well
):
    viewer, widget = open_widget(np.stack([picture(32, 40, seed=seed) for seed in range(3)]))
    result = start(viewer, widget)
    painted = widget._run._worker._transfer._run.inputs.content.clone()
    for name, act in UNHARMFUL.items():
        act(viewer)
        next_frame(result)
        assert errors() == [], name
    assert torch.equal(widget._run._worker._transfer._run.inputs.content, painted)
    del painted
    widget.stop.native.click()
    finish(widget)
    assert result in viewer.layers
    assert result.data.any()
    all_is_well(viewer, widget)


def test_all_controls_turned_every_millisecond(
    open_widget, start, finish, next_frame, all_is_well, qtbot
):
    viewer, widget = open_widget()
    another = viewer.add_image(picture(40, 32, 3, seed=5), name="another", rgb=True)
    labels = viewer.add_labels(np.tri(32, 40, dtype=int), name="regions")
    widget.style.value = style = viewer.layers["style"]
    result = start(viewer, widget)
    values = {
        "style_strength": (10, 90, 60),
        "texture": (0, 100, 70),
        "content_weight": (2.0, 0.5, 3.0),
        "tv_weight": (0.1, 1.0, 0.25),
        "color": ("style", "match", "luminance"),
        "size": (32, 64, 48),
        "mix": (10, 70, 20),
        "feather": (0, 5, 2),
        "style": (another, style),
        "style_2": (another, style, widget.style_2.choices[0]),
        "mask": (labels, widget.mask.choices[0]),
        "steps": (ENDLESS, ENDLESS - 1),
    }
    turns = 0

    def turn():
        nonlocal turns
        names = list(values)
        name = names[turns % len(names)]
        widget[name].value = values[name][turns // len(names) % len(values[name])]
        turns += 1

    timer = QTimer(widget.native)
    timer.timeout.connect(turn)
    timer.start(1)
    qtbot.waitUntil(lambda: turns >= 400, timeout=TIMEOUT)
    timer.stop()
    for name, choices in values.items():
        widget[name].value = choices[-1]
    wanted = widget._request.settings()

    def settled():
        names = ("style_weight", "style_layers", "content_weight", "tv_weight", "color", "size")
        now = widget._run._worker._transfer.settings
        return not widget._run._worker._wanted and all(
            getattr(now, name) == getattr(wanted, name) for name in names
        )

    qtbot.waitUntil(settled, timeout=TIMEOUT)
    next_frame(result)
    next_frame(result)
    assert errors() == []
    assert result.data.shape[1] == 48
    recipe = result.metadata[METADATA_KEY]
    assert recipe["settings"]["style_weight"] == strength_to_weight(60, "fast")
    assert recipe["style"] == "style"
    widget.stop.native.click()
    finish(widget)
    all_is_well(viewer, widget)


def test_a_loss_that_explodes_is_told_and_the_best_picture_is_kept(
    open_widget, finish, all_is_well
):
    viewer, widget = open_widget()
    widget._settings.take(Settings("gatys", learning_rate=1000, size=32, steps=11), "")
    widget.run.native.click()
    finish(widget)
    notes = [record.message for record in notification_manager.records]
    assert any("exploded" in note and "went back to the best image" in note for note in notes)
    assert "Done: 11 steps" in widget._form.status.text()
    (result,) = results(viewer)
    assert result.data.std() > 5
    assert np.isfinite(result.metadata[METADATA_KEY]["losses"]["total"])
    all_is_well(viewer, widget)


def test_two_widgets_of_a_viewer_paint_side_by_side(open_widget, finish, all_is_well):
    viewer, widget = open_widget()
    another = StyleTransferWidget(viewer, remember=False)
    viewer.window.add_dock_widget(another)
    another._settings.take(Settings(**SMALL), "")
    another.content.value, another.style.value = viewer.layers["style"], viewer.layers["content"]
    for one in (widget, another):
        one.run.native.click()
    for one in (widget, another):
        finish(one)
        assert "Done" in one._form.status.text()
    assert {layer.name for layer in results(viewer)} == {
        "content in the style of style",
        "style in the style of content",
    }
    assert errors() == []
    all_is_well(viewer, another)


def test_layers_and_dock_that_go_while_it_is_paused(
    open_widget, start, next_frame, all_is_well, dock, qtbot
):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    widget.pause.native.click()
    for name in ("content", "style"):
        viewer.layers.remove(name)
    widget.pause.native.click()
    next_frame(result)
    widget.pause.native.click()
    worker = widget._run._worker
    widget.native.parent().title.close_button.click()
    assert worker.wait(60)
    assert result in viewer.layers
    assert result.data.any()
    assert errors() == []
    del worker
    all_is_well(viewer, dock(viewer))


def test_a_full_disk_costs_neither_the_run_nor_what_was_saved(
    open_widget, start, finish, next_frame, all_is_well, disk, monkeypatch, qtbot
):
    folder, remount = disk
    remount("size=1m")
    monkeypatch.setattr(module, "Checkpoints", partial(Checkpoints, every=0))
    viewer, widget = open_widget()
    widget["checkpoint"].value = file = folder / "run.safetensors"
    result = start(viewer, widget)
    qtbot.waitUntil(file.is_file, timeout=TIMEOUT)

    def fill():
        with suppress(OSError), (folder / "junk").open("ab", buffering=0) as junk:
            while True:
                junk.write(bytes(1000))

    def notes():
        told = (record.message for record in notification_manager.records)
        return [note for note in told if "the run goes on; " in note]

    fill()
    qtbot.waitUntil(lambda: bool(notes()), timeout=TIMEOUT)
    next_frame(result)
    widget.stop.native.click()
    finish(widget)
    fill()  # also what a save had begun to write when it was first filled
    (note,) = notes()
    assert "run.safetensors keeps step " in note
    assert "No space left on device" in note
    assert "Cannot write" in widget._form.status.text()
    with pytest.raises(OSError, match=r"Cannot write .*painted\.16bit\.tif: No space left"):
        result.save(str(folder / "painted.16bit.tif"))
    assert f"keeps step {step_of(file)}:" in note
    assert {path.name for path in folder.iterdir()} == {"run.safetensors", "junk"}
    (folder / "junk").unlink()
    all_is_well(viewer, widget)


# ---------------------------------------------------------------- the run ends


def break_tensor(_viewer, widget):
    """Let torch find an image that no convolution can take."""
    variable = widget._run._worker._transfer._run.painting.variable
    variable.data = variable.data[:, :2]


def break_layer(viewer, _widget):
    """Let another plugin's callback fail."""

    def fail(_event):
        raise ZeroDivisionError("of another plugin")

    viewer.layers[-1].events.data.connect(fail)


@pytest.mark.parametrize(
    ("fault", "said", "kept"),
    [
        (break_tensor, "The run failed: RuntimeError: ", 1),
        (break_layer, "of another plugin", 1),
        (lambda viewer, _: viewer.layers.clear(), "the layer of the result was deleted", 0),
    ],
    ids=["error-of-torch", "callback-of-another-plugin", "all-layers-deleted"],
)
def test_a_run_that_cannot_go_on_says_why(
    open_widget, start, finish, all_is_well, fault, said, kept
):
    viewer, widget = open_widget()
    result = start(viewer, widget)
    fault(viewer, widget)
    finish(widget)
    assert said in widget._form.status.text()
    assert len(results(viewer)) == kept
    assert result.data.any()
    assert result.metadata[METADATA_KEY]["step"] > 0
    assert len(errors()) == kept  # a layer that the user deletes is no error
    all_is_well(viewer, widget)


def test_a_stack_that_cannot_be_written_any_more_keeps_its_planes(
    open_widget, finish, all_is_well, qtbot, tmp_path
):
    viewer, widget = open_widget(np.stack([picture(32, 40, seed=seed) for seed in range(60)]))
    place = tmp_path / "painted.zarr"
    widget.whole_stack.value, widget.save_to.value = True, place
    widget.run.native.click()
    journal = place / "planes.jsonl"
    qtbot.waitUntil(lambda: journal.exists() and journal.stat().st_size > 0, timeout=TIMEOUT)
    journal.rename(place / "kept")
    journal.mkdir()
    finish(widget)
    assert "Cannot write" in widget._form.status.text()
    assert len(errors()) == 1
    assert np.asarray(results(viewer)[0].data[0]).any()
    all_is_well(viewer, widget)


@pytest.mark.skipif(not Path("/proc").exists(), reason="nobody can write there on Linux")
def test_a_folder_that_cannot_be_written_is_found_before_the_run(open_widget, finish, all_is_well):
    viewer, widget = open_widget(np.stack([picture(32, 40)] * 2))
    widget.whole_stack.value, widget.save_to.value = True, Path("/proc/painted.zarr")
    widget.run.native.click()
    finish(widget)
    assert "Cannot write" in widget._form.status.text()
    assert "/proc/painted.zarr" in widget._form.status.text()
    assert results(viewer) == []
    all_is_well(viewer, widget)


# -------------------------------------------------------- in a process of its own

VIEWER = """
import os, resource, signal, sys, threading
os.environ["NAPARI_CONFIG"] = ""
import napari, torch
from napari_neural_style import Settings
from qtpy.QtCore import QTimer
from tests.plugin.conftest import ENDLESS, SMALL, picture
torch.set_num_threads(1)
viewer = napari.Viewer()
viewer.add_image(picture(32, 40), name="content")
viewer.add_image(picture(32, 32, 3, seed=1), name="style", rgb=True)
_, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
for name, value in (SMALL | {"steps": ENDLESS}).items():
    widget[name].value = value

def when(condition, act):
    if condition():
        act()
    else:
        QTimer.singleShot(20, lambda: when(condition, act))

QTimer.singleShot(0, widget["run"].native.click)
"""


def open_viewer(program):
    """Start a viewer whose run goes on, and what a program does with it."""
    command = [sys.executable, "-c", VIEWER + program + "napari.run()\nprint('ended')\n"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def test_a_viewer_that_was_suspended_goes_on_and_closes_while_it_paints():
    viewer = open_viewer("""
def paint():
    print("painting", flush=True)
    step = widget._run._worker._transfer._step
    QTimer.singleShot(1500, lambda: when(lambda: widget._run._worker._transfer._step > step, close))

def close():
    print("going on", flush=True)
    viewer.close()

when(lambda: len(viewer.layers) == 3, paint)
""")
    assert viewer.stdout.readline() == "painting\n"
    viewer.send_signal(signal.SIGSTOP)
    time.sleep(1)
    viewer.send_signal(signal.SIGCONT)
    said, complaints = viewer.communicate(timeout=120)
    assert said == "going on\nended\n"
    assert complaints == ""
    assert viewer.returncode == 0


def test_a_viewer_that_is_paused_closes():
    viewer = open_viewer("""
def pause():
    widget["pause"].native.click()
    QTimer.singleShot(200, viewer.close)

when(lambda: len(viewer.layers) == 3, pause)
""")
    assert viewer.communicate(timeout=120) == ("ended\n", "")
    assert viewer.returncode == 0


def test_what_cannot_be_drawn_costs_no_picture():
    """Of the plot of the losses, of napari's canvas, and of what else follows the run."""
    viewer = open_viewer("""
from napari.utils.notifications import notification_manager
from napari_neural_style.plugin.loss_plot import LossPlot

paint = LossPlot.paintEvent
draws = viewer.window._qt_viewer.canvas._scene_canvas.events.draw
seen = []

def fail(*_):
    raise ZeroDivisionError("cannot be drawn")

def fault():
    LossPlot.paintEvent = fail
    draws.connect(fail, position="first")
    widget._run.advanced.connect(fail)
    viewer.layers[2].events.data.connect(lambda event: seen.append(event))
    when(lambda: len(seen) > 2 and len(told()) > 2, stop)

def told():
    return [record.message for record in notification_manager.records]

def stop():
    LossPlot.paintEvent = paint
    draws.disconnect(fail)
    widget["stop"].native.click()
    when(lambda: not widget.running, again)

def again():
    print(widget._form.status.text(), all("cannot be drawn" in text for text in told()))
    widget._settings.take(Settings(**SMALL), "")
    widget["run"].native.click()
    when(lambda: not widget.running, end)

def end():
    print(widget._form.status.text(), len(viewer.layers))
    viewer.close()

when(lambda: len(viewer.layers) == 3, fault)
""")
    said, _ = viewer.communicate(timeout=120)
    stopped, again, _ = said.splitlines()[-3:]
    assert stopped == "Stopped. What was painted stays; Continue goes on from it. True"
    assert again.startswith("Done: 3 steps")
    assert again.endswith(" 4")
    assert viewer.returncode == 0


def test_a_viewer_that_is_killed_is_gone_on_with_in_another(
    open_widget, finish, qtbot, tmp_path, all_is_well
):
    file = tmp_path / "run.safetensors"
    killed = open_viewer(f"""
from functools import partial
from pathlib import Path
from napari_neural_style.plugin import worker

worker.Checkpoints = partial(worker.Checkpoints, every=0)
widget["checkpoint"].value = Path({str(file)!r})
widget["steps"].value = 10_000

def change():
    widget["style_strength"].value = 70
    when(changed, lambda: print("changed", flush=True))

def changed():
    return viewer.layers[2].metadata["napari_neural_style"]["changes"]

when(lambda: len(viewer.layers) == 3, change)
""")
    assert killed.stdout.readline() == "changed\n"
    killed.kill()
    killed.communicate()
    shorten(file)
    painted = StyleTransfer.load(file).run()
    viewer, widget = open_widget()
    widget._menu._resume(file)
    qtbot.waitUntil(lambda: widget.running, timeout=TIMEOUT)
    finish(widget)
    assert errors() == []
    assert widget["style_strength"].value == 70
    (result,) = results(viewer)
    np.testing.assert_array_equal(result.data, to_uint8(painted))
    # That one had not been interrupted, either: here is one that never was.
    job, record = widget._run.job, Record.from_dict(result.metadata[METADATA_KEY])
    assert [{*change.settings} for change in record.changes] == [{"style_weight"}, {"steps"}]
    images = {
        hash_of(record.settings, image): image for image in (job.read_content(), *job.read_styles())
    }
    np.testing.assert_array_equal(Replay(record, images).run(), painted)
    del images
    all_is_well(viewer, widget)


def test_control_c_in_the_terminal_ends_napari_while_it_paints():
    viewer = open_viewer("""
when(lambda: len(viewer.layers) == 3, lambda: os.kill(os.getpid(), signal.SIGINT))
""")
    _, complaints = viewer.communicate(timeout=120)
    assert complaints.endswith("KeyboardInterrupt\n")  # as of napari without a run
    assert viewer.returncode == -signal.SIGINT


def test_memory_that_runs_out_in_a_step_is_told_and_run_works_again():
    viewer = open_viewer("""
def starve():
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
    widget["stop"].native.click()
    when(lambda: not widget.running, paint_large)

def paint_large():
    settings = Settings("fast", scales=(1536,), steps=2, device="cpu")
    widget._settings.take(settings, "")
    widget["run"].native.click()
    when(lambda: not widget.running, recover)

def recover():
    unlimited = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (unlimited, unlimited))
    print(widget._form.status.text(), flush=True)
    print([bool(layer.data.any()) for layer in viewer.layers[2:]], flush=True)
    widget._settings.take(Settings(**SMALL), "")
    widget["run"].native.click()
    when(lambda: not widget.running, again)

def again():
    print(widget._form.status.text(), len(viewer.layers), flush=True)
    viewer.close()

when(lambda: len(viewer.layers) == 3, starve)
""")
    said, _ = viewer.communicate(timeout=300)
    sentence, kept, again, _ = said.splitlines()[-4:]
    assert "The memory of cpu ran out at 1536 x 1229 pixels" in sentence
    assert "choose a smaller size" in sentence
    assert "False" not in kept  # the second may have begun, coarsely
    assert again.startswith("Done: 3 steps")
    assert again.endswith(f" {3 + kept.count('True')}")
    assert viewer.returncode == 0


# ------------------------------------------------------------------------ soak


def test_run_after_run_leaves_nothing(open_widget, start, finish, next_frame, all_is_well, qtbot):
    viewer, widget = open_widget()
    another = viewer.add_image(picture(40, 32, 3, seed=5), name="another", rgb=True)
    window = widget.native.window()

    def swap_styles(_result):
        for style in (another, viewer.layers["style"]):
            widget.style.value = style
            qtbot.wait(100)

    def pause(_result):
        widget.pause.native.click()
        qtbot.wait(50)
        widget.pause.native.click()

    def go_back(result):
        next_frame(result)
        widget._history._slider.setValue(0)
        widget._history._keep.click()
        widget._history._resume.click()

    acts = (
        *(lambda _: None, swap_styles, pause, go_back, viewer.layers.remove),
        lambda _: setattr(widget.size, "value", 48),
        lambda _: setattr(widget.color, "value", "match"),
    )
    objects = []
    for act in 2 * acts:  # what Qt makes once, at any of them, is there in the second round
        act(start(viewer, widget))
        widget.stop.native.click()
        finish(widget)
        for result in results(viewer):
            viewer.layers.remove(result)
        qtbot.wait(200)  # until Qt has deleted what belongs to them
        objects.append(len(window.findChildren(QObject)))
    # Where other programs keep the machine busy, the last of them goes a little later.
    qtbot.waitUntil(lambda: len(window.findChildren(QObject)) <= objects[len(acts) - 1])
    assert errors() == []
    all_is_well(viewer, widget)
