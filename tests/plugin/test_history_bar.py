import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLabel

from napari_neural_style.plugin.history_bar import HistoryBar


@pytest.fixture
def bar(qtbot):
    made = HistoryBar()
    qtbot.addWidget(made)
    made.resize(330, made.sizeHint().height())
    made.show()
    qtbot.waitExposed(made)
    made.told = []
    made.scrubbed.connect(lambda step: made.told.append(("scrubbed", step)))
    made.live.connect(lambda: made.told.append(("live",)))
    made.kept.connect(lambda step: made.told.append(("kept", step)))
    made.resumed.connect(lambda step: made.told.append(("resumed", step)))
    return made


@pytest.fixture
def press(qtbot):
    def press(bar, *keys):
        for key in keys:
            qtbot.keyClick(bar._slider, getattr(Qt.Key, f"Key_{key}"))

    return press


def test_disabled_until_there_is_something_to_go_back_to(bar):
    assert not bar.isEnabled()
    assert bar.step is None
    bar.set_steps([3], 200)
    assert not bar.isEnabled()
    bar.set_steps([3, 10], 200)
    assert bar.isEnabled()
    assert bar.told == []


def test_the_step_has_the_room_that_it_needs_in_a_larger_font(bar):
    bar.setStyleSheet("QLabel { font-size: 30px; padding: 3px; }")  # as themes have theirs
    bar.set_steps([3, 52], 52)
    (label,) = bar._label.findChildren(QLabel)
    assert label.text() == "52/52"
    assert bar._label.width() >= label.sizeHint().width()


def test_follows_the_run_at_its_right_end(bar):
    for count in range(2, 9):
        bar.set_steps(range(0, 10 * count, 10), 200)
        assert bar.following
        assert bar.step == 10 * count - 10
        assert bar._label.text() == f"{10 * count - 10}/200"
    assert bar.told == []


def test_arrow_keys_scrub_and_come_back(bar, press):
    bar.set_steps([1, 5, 9, 14], 20)
    press(bar, "Left", "Left")
    assert bar.told == [("scrubbed", 9), ("scrubbed", 5)]
    assert (bar.step, bar.following) == (5, False)
    assert bar._label.text() == "5/20"
    press(bar, "End")
    assert bar.told[2:] == [("live",)]
    assert bar.following
    press(bar, "Home")
    assert bar.told[3:] == [("scrubbed", 1)]


def test_stays_at_its_step_while_new_ones_come(bar, press):
    bar.set_steps([1, 5, 9, 14], 20)
    press(bar, "Left", "Left")
    bar.told.clear()
    bar.set_steps([1, 3, 5, 9, 14, 16, 18], 20)
    assert (bar.step, bar.told) == (5, [])
    press(bar, "Right")
    assert bar.told == [("scrubbed", 9)]


def test_goes_to_the_nearest_when_its_step_was_dropped(bar, press):
    bar.set_steps([0, 10, 20, 30, 40], 100)
    press(bar, "Left")
    bar.told.clear()
    bar.set_steps([0, 20, 41], 100)
    assert (bar.step, bar.told) == (20, [("scrubbed", 20)])
    assert not bar.following
    bar.set_steps([0, 50], 100)
    assert (bar.step, bar.told[1:]) == (0, [("scrubbed", 0)])
    assert not bar.following


def test_what_is_held_does_not_slip_away(bar):
    bar.set_steps(range(0, 100, 10), 200)
    slider = bar._slider
    slider.setSliderDown(True)
    slider.setSliderPosition(4)
    assert bar.told == [("scrubbed", 40)]
    bar.set_steps(range(0, 200, 20), 200)
    assert (slider.value(), slider.maximum()) == (4, 9)
    assert bar.step == 40
    slider.setSliderPosition(6)
    # Told by the snapshots there are now, not by those that the slider goes over.
    assert bar.told[1:] == [("scrubbed", 60)]
    slider.setSliderDown(False)
    assert (slider.value(), bar.step) == (3, 60)
    slider.setSliderDown(True)
    slider.setSliderPosition(9)
    bar.set_steps(range(0, 220, 20), 220)
    slider.setSliderDown(False)
    assert bar.following
    assert bar.step == 200


def test_a_run_that_ends_while_the_slider_is_held(bar):
    bar.set_steps(range(10), 20)
    bar._slider.setSliderDown(True)
    bar._slider.setSliderPosition(4)
    bar.set_steps([1], 20)
    bar._slider.setSliderPosition(0)
    assert not bar.isEnabled()
    assert bar.following


def test_buttons_tell_the_step(bar, press, qtbot):
    bar.set_steps([1, 5, 9, 14], 20)
    assert not bar._resume.isEnabled()
    qtbot.mouseClick(bar._keep, Qt.MouseButton.LeftButton)
    assert bar.told == [("kept", 14)]
    press(bar, "Left")
    qtbot.mouseClick(bar._keep, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(bar._resume, Qt.MouseButton.LeftButton)
    assert bar.told[1:] == [("scrubbed", 9), ("kept", 9), ("resumed", 9)]


def test_cleared_it_follows_the_next_run_and_tells_nothing(bar, press):
    bar.set_steps([1, 5, 9, 14], 20)
    press(bar, "Home")
    bar.told.clear()
    bar.clear()
    assert not bar.isEnabled()
    assert bar._label.text() == ""
    bar.set_steps([1, 2, 3], 50)
    assert (bar.following, bar.step, bar.told) == (True, 3, [])


def test_everything_is_reached_with_the_keyboard(bar, press, qtbot):
    bar.set_steps([1, 5, 9], 20)
    press(bar, "Left")
    following, reached = bar._slider, []
    for _ in range(3):
        assert following.focusPolicy() & Qt.FocusPolicy.TabFocus
        reached.append(following)
        following = following.nextInFocusChain()
        while following.focusPolicy() == Qt.FocusPolicy.NoFocus:
            following = following.nextInFocusChain()
    assert reached == [bar._slider, bar._keep, bar._resume]
    qtbot.keyClick(bar._keep, Qt.Key.Key_Space)
    assert bar.told[-1] == ("kept", 5)


def test_fits_a_narrow_dock_of_napari(make_napari_viewer_proxy):
    bar = HistoryBar()
    make_napari_viewer_proxy().window.add_dock_widget(bar)
    bar.set_steps([1, 5, 9], 9999)
    bar.ensurePolished()
    assert bar.minimumSizeHint().width() <= 300


def test_says_what_things_do(bar):
    for child in (bar._slider, bar._label, bar._keep, bar._resume):
        assert child.toolTip()


def test_dragged_with_the_mouse(bar, qtbot):
    bar.set_steps(range(100), 100)
    slider = bar._slider
    y = slider.height() // 2
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=QPoint(slider.width() - 6, y))
    assert slider.isSliderDown()
    qtbot.mouseMove(slider, QPoint(slider.width() // 2, y))
    qtbot.waitUntil(lambda: not bar.following)
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(slider.width() // 2, y))
    assert 30 < bar.step < 70
    assert bar.told[-1] == ("scrubbed", bar.step)
