"""napari with a sample pair, the widget docked, and the result painting itself."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.qt import get_qapp
from qtpy.QtCore import Qt, QTimer

from ..images import write_image
from .commands import DOCK
from .samples import demo_pair
from .widget import StyleTransferWidget
from .worker import Outcome, explain

_WINDOW = (1500, 950)
_DOCK_WIDTH = 360
_SETTLING_MS = 500
"""Until napari has taken the bar out of its activity dock, which it does when idle."""


def run_demo(
    screenshot: str | os.PathLike[str] | None = None,
    result: str | os.PathLike[str] | None = None,
    steps: int | None = None,
    size: int | None = None,
) -> int:
    """Open napari, paint the sample pair, and stay until the window is closed.

    Parameters
    ----------
    screenshot
        Where to write a picture of the whole window when the run ends; the window
        closes then.
    result
        Where to write the painted image when the run ends.
    steps, size
        As in the widget, instead of its defaults.

    Returns
    -------
    int
        The exit status: 0, or 1 if the run failed or did not end. What went wrong is
        said on stderr.

    Raises
    ------
    OSError
        If there is no display, or one that napari cannot draw on.
    """
    _require_display()
    viewer = napari.Viewer(show=False)
    content, content_attributes, style, style_attributes = demo_pair()
    viewer.add_image(content, **content_attributes)
    viewer.add_image(style, **style_attributes)
    # The demo looks the same for everyone, whatever they chose last.
    widget = StyleTransferWidget(viewer, remember=False)
    dock = viewer.window.add_dock_widget(widget, name=DOCK, area="right")
    _arrange(viewer, dock)
    if steps is not None:
        widget["steps"].value = steps
    if size is not None:
        widget["size"].value = size

    problems: list[str] = []

    def finish(outcome: Outcome) -> None:
        widget.run_ended.disconnect(finish)
        with _noting(problems):
            if outcome.error is not None:
                raise outcome.error
            if result is not None and outcome.exact is not None:
                write_image(Path(result), outcome.exact, metadata=outcome.recipe)
        if screenshot is not None:
            QTimer.singleShot(_SETTLING_MS, partial(picture, screenshot))

    def picture(path: str | os.PathLike[str]) -> None:
        with _noting(problems):
            _settle()
            viewer.screenshot(str(path), canvas_only=False, flash=False)
        viewer.close()

    widget.run_ended.connect(finish)
    # Once the window is there: the first thing to be seen is not a busy GUI.
    QTimer.singleShot(0, widget["run"].native.click)
    try:
        napari.run()
    finally:
        viewer.close()
    if (screenshot or result) and finish in widget.run_ended:
        problems.append("the window was closed before the run ended.")
    for problem in problems:
        print(f"The demo failed: {problem}", file=sys.stderr)
    return 1 if problems else 0


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Put down what goes wrong: an exception would end in one of Qt's slots."""
    try:
        yield
    except Exception as error:
        problems.append(explain(error) or f"{type(error).__name__}: {error}")


def _arrange(viewer: Any, dock: Any) -> None:
    """Show the window as large as the screen allows, with room for the widget."""
    screen = get_qapp().primaryScreen().availableGeometry()
    width, height = min(_WINDOW[0], screen.width()), min(_WINDOW[1], screen.height())
    viewer.window.show()
    viewer.window.set_geometry(screen.x(), screen.y(), width, height)
    dock.parent().resizeDocks([dock], [_DOCK_WIDTH], Qt.Orientation.Horizontal)
    _settle()
    viewer.reset_view()


def _settle() -> None:
    """Let Qt draw all that was asked for."""
    for _ in range(20):
        get_qapp().processEvents()


def _require_display() -> None:
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if platform in ("offscreen", "minimal"):
        raise OSError(
            f"napari draws with OpenGL, which QT_QPA_PLATFORM={platform} does not have: unset it, "
            "and without a display put “xvfb-run -a” before the command."
        )
    # Without one, Qt would not raise but abort the process.
    needed = sys.platform.startswith("linux") and "QT_QPA_PLATFORM" not in os.environ
    if needed and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        raise OSError(
            "napari needs a display, and there is none: run “make demo”, or put "
            "“xvfb-run -a” before the command."
        )
