import numpy as np
import pytest
import torch
from napari import settings

SMALL = {"preset": "fast", "size": 32, "steps": 3, "device": "cpu"}
"""Settings of a run that takes about a second."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Images this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
