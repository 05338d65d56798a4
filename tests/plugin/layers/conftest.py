import dask.array as da
import numpy as np
import pytest
from napari import Viewer
from napari.components.dims import Dims


class Canvas:
    """A real viewer, whose screenshots show one pixel of the world in one of their own."""

    def __init__(self):
        self.viewer = Viewer(show=True)
        self.viewer.theme = "dark"

    def clear(self):
        self.viewer.layers.clear()
        self.viewer.dims.update(Dims(ndim=2).model_dump(exclude={"units"}))

    def shot(self, height, width):
        """What is seen from the origin of the world: (height, width, 3) in [0, 1]."""
        rows, columns = self.viewer.window._qt_viewer.canvas.size
        camera = self.viewer.scene.camera
        camera.zoom = 1
        camera.center = (0, rows / 2 - 0.5 - 10, columns / 2 - 0.5 - 10)
        seen = self.viewer.screenshot(canvas_only=True, flash=False)
        assert seen.shape[:2] == (rows, columns)
        return seen[10 : 10 + height, 10 : 10 + width, :3] / 255


@pytest.fixture(scope="module")
def _canvas(qapp):
    canvas = Canvas()
    yield canvas
    canvas.viewer.close()


@pytest.fixture
def canvas(_canvas):
    _canvas.clear()
    yield _canvas
    _canvas.clear()


def counted_planes():
    """Return six planes that are computed when they are asked for, and which ones were."""
    computed = []

    def block(block_info=None):
        location = block_info[None]["chunk-location"]
        computed.append(location[0])
        return picture((1, 8, 8), seed=location[0])

    return da.map_blocks(block, chunks=((1,) * 6, (8,), (8,)), dtype=np.uint8), computed


def picture(shape=(12, 16), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def close(image, other, tolerance=2 / 255 + 1e-6):
    """Compare to two steps of 8 bits, which is what the canvas may round."""
    np.testing.assert_allclose(image, other, atol=tolerance, rtol=0)
