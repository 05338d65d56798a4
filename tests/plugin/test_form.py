"""How the widget is laid out, in a real viewer."""

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSlider,
    QWidget,
)


@pytest.fixture
def form(open_widget, qtbot):
    _, widget = open_widget()
    # A test's viewer is hidden, and so is all that is in it.
    widget.native.window().show()
    qtbot.waitExposed(widget.native.window())
    return widget._form, widget


def settle():
    for _ in range(10):
        QApplication.processEvents()


def stops(widget):
    """What Tab goes through, from the content on."""
    inside = set(widget.native.findChildren(QWidget))
    stop = widget.content.native
    chain = []
    # Not on through napari's window: what PySide hands out of it would never be freed.
    while stop in inside and stop not in chain:
        chain.append(stop)
        stop = stop.nextInFocusChain()
    found = [stop for stop in chain if is_stop(stop)]
    assert set(found) == set(filter(is_stop, inside))
    return found


def is_stop(part):
    tabbed = bool(part.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return tabbed and part.isVisible() and part.focusProxy() is None


def place(stop, widget):
    point = stop.mapTo(widget.native, QPoint(0, stop.height() // 2))
    return point.y(), point.x()


def read(stops, widget):
    """In the order of rows, whose parts may differ by a few pixels, and columns."""
    scrolling = widget.native.findChild(QScrollArea)

    def key(stop):
        y, x = place(stop, widget)
        return not scrolling.isAncestorOf(stop), round(y / 8), x

    return sorted(stops, key=key)


def enable_everything(form, widget):
    form.show_below()
    widget._history.set_steps((1, 2, 3), 3)
    for name in ("go_on", "pause", "stop"):
        widget[name].enabled = True


@pytest.mark.parametrize("preset", ["fast", "tutorial"])
def test_tab_goes_as_one_reads(form, preset, qtbot):
    form, widget = form
    widget.preset.value = "gatys"
    widget.preset.value = preset  # which builds the equalizer anew
    for title in form.sections:
        widget.open_section(title)
    enable_everything(form, widget)
    settle()
    found = stops(widget)
    assert found == read(found, widget)
    sliders = list(form.equalizer._sliders.values())
    assert sliders
    at = found.index(sliders[0])
    assert found[at : at + len(sliders)] == sliders
    names = ("run", "go_on", "pause", "stop")
    at = found.index(widget.run.native)
    below = [widget._compare, widget._drift_button, widget._history._slider, widget._history._keep]
    assert found[at : at + 8] == [*(widget[name].native for name in names), *below]


def test_tab_leaves_out_what_is_folded(form):
    form, widget = form
    widget.open_section("Details")
    assert set(form.equalizer._sliders.values()) <= set(stops(widget))
    form.sections["Details"].toggleButton().click()
    found = stops(widget)
    assert form.sections["Details"].toggleButton() in found
    for name in ("mask", "content_weight", "weights", "output", "style_2"):
        assert widget[name].native not in found
    assert not set(form.equalizer._sliders.values()) & set(found)


def test_a_click_unfolds_a_section(form, qtbot):
    form, widget = form
    form.sections["Regions"].toggleButton().click()
    qtbot.waitUntil(lambda: widget.mask.native.height() > 10)
    assert widget.mask.native in stops(widget)


def test_what_is_unfolded_comes_into_sight(form, qtbot):
    form, widget = form
    area = widget.native.findChild(QScrollArea)
    widget.native.window().resize(1280, 800)
    form.show_below()
    settle()
    assert not widget.checkpoint.native.isVisible()
    form.sections["Output and stack"].toggleButton().click()
    lowest = widget.checkpoint.native
    qtbot.waitUntil(lambda: area.verticalScrollBar().value() > 0)
    qtbot.waitUntil(
        lambda: (
            lowest.mapTo(area.viewport(), QPoint(0, lowest.height())).y()
            <= area.viewport().height()
        )
    )


def test_every_control_has_a_name_for_those_who_hear_it(form):
    form, widget = form
    for title in form.sections:
        widget.open_section(title)
    enable_everything(form, widget)
    settle()
    labelled = {label.buddy() for label in widget.native.findChildren(QLabel)}
    nameless = [
        stop
        for stop in stops(widget)
        if not (stop.accessibleName() or stop in labelled or getattr(stop, "text", str)())
    ]
    assert nameless == []
    strength = widget.style_strength.native
    assert strength.findChild(QSlider).accessibleName() == "Strength"
    assert strength.findChild(QAbstractSpinBox).accessibleName() == "Strength"


def test_everything_says_what_it_does(form):
    form, widget = form
    for title in form.sections:
        widget.open_section(title)
    enable_everything(form, widget)
    kinds = (QAbstractButton, QSlider, QAbstractSpinBox, QComboBox, QLabel)
    silent = [
        part
        for part in widget.native.findChildren(QWidget)
        if isinstance(part, kinds) and part.isVisible() and not said_by(part, widget.native)
    ]
    assert [(part, getattr(part, "text", str)()) for part in silent] == []
    assert not [
        part for part in widget.native.findChildren(QLineEdit) if not said_by(part, widget.native)
    ]


def said_by(part, top):
    """The tooltip that Qt shows over a widget: its own, or that of what it is part of."""
    while not part.toolTip() and part is not top:
        part = part.parentWidget()
    return part.toolTip()


def test_run_stays_where_it_is_when_much_is_said(form, qtbot):
    form, widget = form
    widget._status.say("Short.")
    settle()
    before = place(widget.run.native, widget)
    widget._status.say("⚠ " + "One sentence of an error that is long. " * 10)
    settle()
    assert place(widget.run.native, widget) == before
    assert widget._form.status.toolTip() == widget._form.status.text()


def test_the_widget_opens_as_wide_as_it_is_read_at_ease(form):
    _, widget = form
    assert widget.native.sizeHint().width() == 350


def test_nothing_moves_aside_for_the_scroll_bar(form, qtbot):
    _, widget = form
    area, window = widget.native.findChild(QScrollArea), widget.native.window()
    widths = []
    for height, scrolls in ((1150, False), (500, True)):
        window.resize(1280, height)
        qtbot.waitUntil(lambda scrolls=scrolls: area.verticalScrollBar().isVisible() == scrolls)
        widths.append(widget.style.native.width())
    assert widths[0] == widths[1]


def test_titles_grow_with_the_font(form, qtbot):
    form, _ = form
    title = form.sections["Regions"].toggleButton()
    title.setStyleSheet(title.styleSheet() + "QPushButton { font-size: 24pt; }")
    qtbot.waitUntil(lambda: title.height() >= title.fontMetrics().height() > 24)


def test_a_slider_that_is_off_looks_so(form):
    _, widget = form
    slider = widget.style_strength.native.findChild(QSlider)
    on = slider.grab().toImage()
    widget.style_strength.enabled = False
    settle()
    assert slider.grab().toImage() != on


def test_one_sees_where_the_keyboard_is(form):
    form, widget = form
    for title in form.sections:
        widget.open_section(title)
    enable_everything(form, widget)
    widget.native.window().activateWindow()
    settle()
    for stop in filter(QWidget.isEnabled, stops(widget)):
        looks = []
        for focus in (lambda s: s.setFocus(Qt.FocusReason.TabFocusReason), QWidget.clearFocus):
            focus(stop)
            settle()
            looks.append((stop.grab().toImage(), stop.geometry()))
        (with_focus, place), (without, same) = looks
        assert with_focus != without, stop.accessibleName() or stop.text()
        assert place == same


def test_a_slider_has_the_room_that_its_number_does_not_need(form):
    _, widget = form
    slider, box = (widget.style_strength.native.findChild(c) for c in (QSlider, QAbstractSpinBox))
    number = box.fontMetrics().horizontalAdvance("100 %")
    assert number < box.width() < slider.width() / 2


def test_everything_fits_into_a_narrow_dock(form):
    form, widget = form
    for title in form.sections:
        widget.open_section(title)
    form.show_below()
    widget._history.set_steps(range(54), 100_000)
    assert widget.native.minimumSizeHint().width() <= 300
    for name in ("run", "go_on", "pause", "stop"):
        native = widget[name].native
        assert native.width() >= native.sizeHint().width()
    for area in widget.native.findChildren(QWidget, "qt_scrollarea_viewport"):
        for child in area.children():
            assert child.minimumSizeHint().width() + 16 <= 284
