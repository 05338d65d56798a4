import pytest
from magicgui.widgets import Container
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider, QSpinBox

from napari_neural_style.plugin.controls import Notice, PercentSlider

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


def test_a_notice_keeps_its_height_and_its_text(notice):
    height = notice.height()
    assert height >= 3 * notice.fontMetrics().lineSpacing()
    for text in ("Short.", LONG, ""):
        notice.setText(text)
        assert notice.text() == text
        assert notice.minimumHeight() == notice.maximumHeight() == height
        assert notice.heightForWidth(300) <= height


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
