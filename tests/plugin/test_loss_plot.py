import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QColor, QImage
from qtpy.QtWidgets import QApplication

from napari_neural_style.plugin.loss_plot import LossPlot
from napari_neural_style.plugin.loss_point import LossPoint


@pytest.fixture
def plot(qtbot):
    made = LossPlot()
    qtbot.addWidget(made)
    made.resize(330, 110)
    made.show()
    return made


def run(steps, scale=64, first=1):
    return [
        LossPoint(step, scale, {"total": 2 / step, "style": 1 / step, "content": 0.5, "tv": 0.0})
        for step in range(first, first + steps)
    ]


def pixels(plot):
    """The picture, as an array (h, w, 3)."""
    image = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    memory = image.constBits()
    if hasattr(memory, "setsize"):
        memory.setsize(image.sizeInBytes())
    rows = np.frombuffer(memory, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def columns_of(plot, color, tolerance=75):
    """The columns of pixels in which a colour, or most of it, is seen between the axes."""
    wanted = np.array(QColor(color).getRgb()[:3])
    near = np.abs(pixels(plot)[18:-16].astype(int) - wanted).max(axis=2) < tolerance
    return 40 + np.flatnonzero(near[:, 40:-6].any(axis=0))


STYLE = {"dark": "#f0a43c", "light": "#b45300"}
CONTENT = {"dark": "#5cb0ff", "light": "#1565c0"}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_curves_go_over_the_whole_width_in_the_theme_s_colours(plot, theme):
    plot.set_theme(get_theme(theme))
    plot.add(run(200))
    for color in (STYLE[theme], CONTENT[theme]):
        assert np.ptp(columns_of(plot, color)) > 200
    assert np.ptp(columns_of(plot, get_theme(theme).text.as_hex(), tolerance=30)) > 200
    corner = pixels(plot)[25, -8]
    np.testing.assert_array_equal(corner, QColor(get_theme(theme).foreground.as_hex()).getRgb()[:3])


def test_nothing_is_drawn_without_points(plot):
    assert not columns_of(plot, STYLE["dark"]).size
    plot.add(run(20))
    assert columns_of(plot, STYLE["dark"]).size
    plot.clear()
    assert not columns_of(plot, STYLE["dark"]).size


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), -1.0])
def test_losses_that_cannot_be_drawn_are_skipped(plot, bad):
    plot.add(run(1))
    plot.add([LossPoint(2, 64, {"total": bad, "style": bad, "content": bad})])
    plot.add([LossPoint(3, 64, {})])
    plot.add(run(10, first=4))
    assert np.ptp(columns_of(plot, STYLE["dark"])) > 200
    plot.clear()
    plot.add([LossPoint(1, 64, {"total": bad, "style": bad, "content": bad})])
    assert not columns_of(plot, STYLE["dark"]).size


def test_a_new_scale_is_marked(plot):
    plot.add(run(100))
    before = pixels(plot)
    plot.clear()
    plot.add([*run(50), *run(50, scale=128, first=51)])
    changed = np.flatnonzero((before[30:60] != pixels(plot)[30:60]).any(axis=2).all(axis=0))
    assert changed.size
    assert np.ptp(changed) <= 2


def test_losses_under_the_mouse_stand_in_the_legend(plot, qtbot):
    plot.add(run(200))
    legend = pixels(plot)[:14]
    qtbot.mouseMove(plot, QPoint(200, 60))
    qtbot.waitUntil(lambda: (pixels(plot)[:14] != legend).any())
    qtbot.mouseMove(plot, QPoint(60, 60))
    QApplication.sendEvent(plot, QEvent(QEvent.Type.Leave))
    np.testing.assert_array_equal(pixels(plot)[:14], legend)


@pytest.mark.parametrize("size", [(160, 80), (330, 110), (900, 300)])
@pytest.mark.parametrize("steps", [1, 2, 3000])
def test_any_size_and_any_number_of_points(plot, size, steps):
    plot.resize(*size)
    plot.add([*run(steps), *run(3, scale=4096, first=steps + 1)])
    for x in (0, size[0] // 2, size[0] - 1):
        plot._mouse = x
        assert columns_of(plot, CONTENT["dark"]).size


def test_fits_a_narrow_dock(plot):
    assert plot.minimumSizeHint().width() <= 330
    assert (plot.sizeHint().width(), plot.sizeHint().height()) == (330, 110)
    assert plot.toolTip()
    assert plot.focusPolicy() == Qt.FocusPolicy.NoFocus
