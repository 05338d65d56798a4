import gc
import hashlib

import numpy as np
import pytest
import torch
from napari import settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from tests.transfer.serving import serve

from napari_neural_style import StyleTransfer
from napari_neural_style.plugin import preferences as plugin_preferences
from napari_neural_style.plugin.layers import is_result
from napari_neural_style.transfer import weights
from napari_neural_style.transfer.weight_files import FOLDER_VARIABLE

SMALL = {"preset": "fast", "size": 32, "steps": 3, "device": "cpu"}
"""Settings of a run that takes about a second."""

TIMEOUT = 120_000


def shorten(checkpoint, steps=40):
    """Let a saved run end after some more steps."""
    run = StyleTransfer.load(checkpoint)
    run.update(steps=run.provenance()["step"] + steps)
    run.save(checkpoint)


ENDLESS = 100_000


@pytest.fixture(autouse=True, scope="session")
def _quick_viewers():
    """Spare each viewer what takes half of its time."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        # For each it would read the manifests of all plugins that are installed …
        patch.setattr(PluginManifest, "discover", lambda paths=(): found)
        # … and look for garbage, several times, in all that is imported.
        gc.freeze()
        yield
        gc.unfreeze()


@pytest.fixture(autouse=True)
def preferences(tmp_path, monkeypatch):
    """The folder that napari's preferences are kept in, empty at first."""
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    yield tmp_path
    settings._clear_plugin_settings_cache()


def picture(*shape, dtype=np.uint8, seed=0):
    """Blobs rather than noise, so that there is something to paint."""
    coarse = np.random.default_rng(seed).integers(0, 200, [-(-side // 8) for side in shape[:2]])
    image = np.kron(coarse, np.ones((8, 8), int))[: shape[0], : shape[1]]
    for extra in shape[2:]:
        image = np.stack([image // (channel + 1) for channel in range(extra)], axis=-1)
    return image.astype(dtype)


@pytest.fixture
def dock(qtbot):
    """Dock the widget in a viewer, with some values; a run that goes on is stopped at the end."""
    docked = []

    def dock(viewer, **values):
        _, widget = viewer.window.add_plugin_dock_widget("napari-neural-style", "Style Transfer")
        for name, value in (SMALL | values).items():
            widget[name].value = value
        docked.append(widget)
        return widget

    notification_manager.records.clear()
    yield dock
    for widget in docked:
        if widget.running:
            widget._run.stop()
            qtbot.waitUntil(lambda w=widget: not w.running, timeout=TIMEOUT)


@pytest.fixture
def open_widget(make_napari_viewer_proxy, dock):
    """Open a viewer with a content and a style layer, and the widget docked."""

    def open_widget(content=None, **layer):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(picture(32, 40) if content is None else content, name="content", **layer)
        viewer.add_image(picture(32, 32, 3, seed=1), name="style", rgb=True)
        return viewer, dock(viewer)

    return open_widget


@pytest.fixture
def finish(qtbot):
    def finish(widget):
        qtbot.waitUntil(lambda: widget.run.enabled, timeout=TIMEOUT)

    return finish


@pytest.fixture
def start(qtbot):
    """Press Run and wait until something is painted."""

    def start(viewer, widget, steps=ENDLESS):
        widget.steps.value = steps
        before = len(viewer.layers)
        widget.run.native.click()
        qtbot.waitUntil(lambda: len(viewer.layers) > before, timeout=TIMEOUT)
        return viewer.layers[-1]

    return start


def errors():
    return [record for record in notification_manager.records if record.severity == "error"]


def results(viewer):
    return [layer for layer in viewer.layers if is_result(layer)]


@pytest.fixture(scope="session")
def whole_file(tmp_path_factory):
    """A file such as torchvision's."""
    file = tmp_path_factory.mktemp("whole") / "whole.pth"
    torch.save(weights.load_weights("original"), file)
    return file.read_bytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the weights live: nothing is there."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Without a preference, what the environment said when napari was started holds.
    monkeypatch.setattr(plugin_preferences, "_FOLDER_OUTSIDE", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def server(folder, whole_file, monkeypatch):
    """A server that is taken for torchvision's; sets the path that is asked for."""
    monkeypatch.setattr(weights, "TORCHVISION_SHA256", hashlib.sha256(whole_file).hexdigest())
    with serve(whole_file) as (serving, address):

        def ask_for(path):
            monkeypatch.setattr(weights, "TORCHVISION_URL", f"{address}/{path}")
            return serving

        ask_for("file")
        yield ask_for
