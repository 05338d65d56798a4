"""What the menu Layers ▸ Filter ▸ Neural Style and the command palette do."""

import napari
from napari.layers import Image
from napari.utils.notifications import show_info

from .channels import layers_of
from .preferences import PLUGIN
from .widget import StyleTransferWidget

# As napari's own menu item names the dock: it then shows and hides the same one.
DOCK = "Style Transfer (Neural Style)"


def stylize() -> None:
    """Paint the selected image layer, or several as the blend that is seen."""
    viewer = _viewer()
    selected = {layer for layer in viewer.layers.selection if isinstance(layer, Image)}
    if not selected:
        show_info("Select the image layer that is to be painted, then choose this again.")
        return
    widget = _shown_widget(viewer)
    if not widget["run"].enabled:
        show_info("A run is going on: stop it before the next one.")
        return
    for choice in widget["content"].choices:
        if set(layers_of(choice)) == selected:
            widget["content"].value = choice
            # The style must be another layer, if there is one.
            widget.reset_choices()
            widget["run"].native.click()
            return
    show_info("A result cannot be painted again: select the image layer that is to be painted.")


def stop() -> None:
    """End the run that goes on."""
    widget = _open_widget(_viewer())
    if widget is None or not widget["stop"].enabled:
        show_info("No style transfer is going on.")
        return
    widget["stop"].native.click()


def drift() -> None:
    """Map where the selected result has other structures than its content."""
    _shown_widget(_viewer()).map_drift()


def open_sample() -> None:
    """Open a content and a style, with the content selected: it is what is to be painted."""
    viewer = _viewer()
    content, _style = viewer.open_sample(PLUGIN, "demo")
    viewer.layers.selection.active = content


def _viewer() -> "napari.viewer.Viewer":
    # Asked for by annotation, it would come wrapped, and its layers not be those that the
    # widget knows.
    viewer = napari.current_viewer()
    assert viewer is not None, "a command comes from the menu of a viewer"
    return viewer


def _open_widget(viewer: "napari.viewer.Viewer") -> StyleTransferWidget | None:
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, StyleTransferWidget):
            return widget
    return None


def _shown_widget(viewer: "napari.viewer.Viewer") -> StyleTransferWidget:
    widget = _open_widget(viewer)
    if widget is None:
        widget = StyleTransferWidget(viewer)
        viewer.window.add_dock_widget(widget, name=DOCK)
    dock = widget.native.parent()
    dock.show()
    dock.raise_()
    return widget
