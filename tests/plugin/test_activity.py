import pytest
from napari._qt.qt_main_window import _QtMainWindow
from napari.utils.progress import progress
from qtpy.QtGui import QMovie

from napari_neural_style.plugin.activity import ActivityBar

State = QMovie.MovieState


@pytest.fixture
def movie(make_napari_viewer_proxy):
    make_napari_viewer_proxy(show=True)
    window = _QtMainWindow.current()
    assert window is not None
    return window._activity_dialog._toggleButton._inProgressIndicator.movie()


def test_the_indicator_turns_with_the_frames_only(movie, qtbot):
    """By itself it has Qt draw the whole window thirty times a second."""
    bar = ActivityBar("painting", lambda: None)
    assert movie.state() == State.Paused
    before = movie.currentFrameNumber()
    bar.turn()
    assert movie.state() == State.Paused
    assert movie.currentFrameNumber() != before
    bar.close()
    qtbot.waitUntil(lambda: movie.state() == State.NotRunning)


def test_the_indicator_turns_by_itself_for_others(movie, qtbot):
    other = progress(total=3, desc="saving")
    bar = ActivityBar("painting", lambda: None)
    bar.close()
    assert movie.state() == State.Running
    other.close()
    qtbot.waitUntil(lambda: movie.state() == State.NotRunning)
