import numpy as np
import pytest

from napari_neural_style.images import write_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a working directory with a content and two styles."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:48, :64] / 48
    disc = np.hypot(x - 0.6, y - 0.5) < 0.3
    write_image("content.png", np.stack([x / 1.4, y, disc], -1))
    write_image("style.jpg", np.stack([np.sin(30 * x) ** 2, np.sin(20 * y + 9 * x) ** 2, y], -1))
    write_image("stripes.tif", np.stack([np.sin(40 * x) ** 2, 0 * x, y], -1))
    return tmp_path
