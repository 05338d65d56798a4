"""The documentation, in the browser."""

from napari.utils.notifications import show_info
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

DOCUMENTATION = "https://napari-neural-style.github.io/napari-neural-style/"


def show_help() -> None:
    """Open the documentation in the browser."""
    if not QDesktopServices.openUrl(QUrl(DOCUMENTATION)):
        show_info(f"No browser opened: the documentation is at {DOCUMENTATION}")
