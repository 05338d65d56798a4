from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from .conftest import ENDLESS

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_keys_start_and_stop_a_run(open_widget, qtbot, finish):
    _, widget = open_widget()
    window = widget.native.window()
    window.show()
    widget.steps.value = ENDLESS
    # A number that is being typed counts.
    box = widget.size.native
    box.lineEdit().selectAll()
    QTest.keyClicks(box.lineEdit(), "48")
    assert widget.size.value == 32
    QTest.keyClick(box, Qt.Key.Key_Return, CTRL)
    assert widget.running
    assert widget.size.value == 48
    # In the rest of the window, too.
    QTest.keyClick(window, Qt.Key.Key_Return, CTRL | SHIFT)
    finish(widget)
    # A floating dock is another window.
    widget.native.parent().setFloating(True)
    QTest.keyClick(widget.style_strength.native, Qt.Key.Key_Enter, CTRL)
    assert widget.running
    QTest.keyClick(widget.texture.native, Qt.Key.Key_Enter, CTRL | SHIFT)
    finish(widget)


def test_a_closed_dock_gives_the_keys_back(open_widget):
    viewer, widget = open_widget()
    window = widget.native.window()
    dock = widget.native.parent()
    bound = set(viewer.keymap)
    assert len(bound) == 2
    viewer.window.remove_dock_widget(dock)
    assert not bound & set(viewer.keymap)
    QTest.keyClick(window, Qt.Key.Key_Return, CTRL)
    assert not widget.running
