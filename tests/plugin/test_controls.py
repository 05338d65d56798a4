import pytest
from magicgui.widgets import Container
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QComboBox, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

from napari_neural_style.plugin.controls import Choice, CountBox, Notice, PercentSlider, StillLabel

LONG = "A sentence that goes on and on. " * 12


@pytest.fixture
def percent(qtbot):
    percent = PercentSlider(name="share", value=50, tooltip="How much.")
    holder = Container(widgets=[percent])
    qtbot.addWidget(holder.native)
    percent.holder = holder
    return percent


@pytest.fixture
def notice(qtbot):
    notice = Notice(3, "What goes on.")
    qtbot.addWidget(notice)
    notice.resize(300, notice.height())
    notice.show()
    return notice


def parts(percent):
    return percent.native.findChild(QSlider), percent.native.findChild(QSpinBox)


def test_a_disabled_percentage_takes_no_typing(percent, qtbot):
    percent.enabled = False
    slider, box = parts(percent)
    assert not percent.enabled
    assert not slider.isEnabled()
    assert not box.isEnabled()
    percent.enabled = True
    assert slider.isEnabled()
    box.selectAll()
    qtbot.keyClicks(box, "70")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert percent.value == 70


def test_slider_and_box_of_a_percentage_say_what_they_do(percent):
    assert [part.toolTip() for part in (percent.native, *parts(percent))] == ["How much."] * 3


@pytest.mark.parametrize(("width", "whole"), [(400, True), (100, False)])
def test_a_choice_is_cut_with_an_ellipsis_where_it_does_not_fit(width, whole, qtbot):
    choice, plain = Choice(choices=["M" * 20]), QComboBox()
    plain.addItem("M" * 20)
    pictures = []
    for box in (choice.native, plain):
        qtbot.addWidget(box)
        box.resize(width, 24)
        pictures.append(box.grab().toImage())
    assert choice.value == choice.native.currentText() == "M" * 20
    assert (pictures[0] == pictures[1]) == whole  # Qt's own box shows no ellipsis


def test_a_notice_keeps_its_height_and_its_text(notice):
    height = notice.height()
    assert height >= 3 * notice.fontMetrics().lineSpacing()
    for text in ("Short.", LONG, ""):
        notice.setText(text)
        assert notice.text() == text
        assert notice.minimumHeight() == notice.maximumHeight() == height
        assert notice._label.heightForWidth(300) <= height


def test_what_does_not_fit_is_in_the_tooltip(notice):
    notice.setText("Short.")
    assert notice.toolTip() == "What goes on."
    notice.setText(LONG)
    assert notice.toolTip() == LONG
    notice.resize(4000, notice.height())
    assert notice.toolTip() == "What goes on."


def test_a_notice_grows_with_the_font(notice):
    before = notice.height()
    notice.setStyleSheet("font-size: 40px;")
    assert notice.minimumHeight() > 2 * before


class Requests(QObject):
    """Counts how often a widget is asked to lay out what is in it."""

    count = 0

    def eventFilter(self, watched, event):
        self.count += event.type() == QEvent.Type.LayoutRequest
        return False


@pytest.mark.parametrize(
    ("make", "calm"), [(lambda: Notice(2, ""), True), (StillLabel, True), (QLabel, False)]
)
def test_new_text_lays_out_nothing_around_it(make, calm, qtbot):
    """With Qt's own labels it does, or this test would tell nothing."""
    window, label, requests = QWidget(), make(), Requests()
    qtbot.addWidget(window)
    QVBoxLayout(window).addWidget(label)
    window.show()
    qtbot.waitExposed(window)
    qtbot.wait(50)
    window.installEventFilter(requests)
    for step in range(3):
        label.setText(f"Step {10**step}")
        qtbot.wait(10)
    assert (requests.count == 0) == calm


@pytest.mark.parametrize(("typed", "taken"), [("5", 16), ("16", 16), ("0", 0), ("640", 640)])
def test_a_number_that_cannot_be_used_is_not_taken(qtbot, typed, taken):
    box = CountBox(" px", least=16, min=0, max=999, value=512)
    qtbot.addWidget(box.native)
    box.native.selectAll()
    qtbot.keyClicks(box.native, typed)
    qtbot.keyClick(box.native, Qt.Key.Key_Return)
    assert box.value == taken
