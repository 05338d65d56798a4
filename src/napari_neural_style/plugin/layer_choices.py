"""Which layers are offered, and the pictures of those that are chosen."""

from functools import partial
from typing import Any

from magicgui.widgets import Container
from napari.layers import Image, Labels, Shapes
from psygnal import Signal

from .channels import Channels, layers_of
from .controls import Picture
from .layers import canvas_background, is_drift, is_result, thumbnail
from .samples import ROLE

_PICTURE_PIXELS = 256

_EDITS: dict[type[Any], tuple[str, ...]] = {
    # Of an image: its pixels, and what napari makes of them.
    Image: ("data", "set_data", "contrast_limits", "gamma", "colormap"),
    Labels: ("data", "set_data", "labels_update"),
    Shapes: ("data", "set_data"),
}
"""Events by which layers tell that they were drawn in, among other things."""

_LOOKS = ("thumbnail", "visible", "blending", "name")
"""Events by which images tell that they look different, or are called so."""

Offers = list[tuple[str, Any]]


class LayerOffers:
    """What the controls offer of a viewer's layers.

    Parameters
    ----------
    viewer
        The viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.keep_gone = False
        """Whether a choice whose layer is deleted stays until another is made."""

    def styles(self, box: Any = None) -> Offers:
        """Images that can be painted with."""
        images = [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not is_result(layer) and not is_drift(layer)
        ]
        return [*images, *self._gone(box)]

    def contents(self, box: Any) -> Offers:
        """Images that can be painted, and the selected ones together."""
        single = self.styles()
        layers = self._viewer.layers
        selected = frozenset(layer for _, layer in single if layer in layers.selection)
        together = [Channels(selected, layers)]
        # What was chosen stays, whatever is selected later.
        chosen = box.value if box is not None else None
        if isinstance(chosen, Channels) and all(layer in layers for layer in chosen.members):
            together.append(chosen)
        several = {channels: None for channels in together if len(channels) > 1}
        named = ((channels.name, channels) for channels in several)
        return [*single, *named, *self._gone(box)]

    def regions(self, box: Any = None) -> Offers:
        """Layers that mark regions."""
        drawn = [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Labels | Shapes) and not is_drift(layer)
        ]
        return [*drawn, *self._gone(box)]

    def _gone(self, box: Any) -> Offers:
        """The choice itself, if layers of it were deleted and it is to stay."""
        chosen = box.value if box is not None and self.keep_gone else None
        if chosen is None or isinstance(chosen, str):
            return []
        members = chosen.members if isinstance(chosen, Channels) else (chosen,)
        if all(layer in self._viewer.layers for layer in members):
            return []
        # In front, where a narrow box shows it.
        return [(f"(gone) {' + '.join(sorted(layer.name for layer in members))}", chosen)]


def role_in_sample(layer: Any) -> str | None:
    """Return ``content`` or ``style`` for a layer that a sample was opened to be used as."""
    # A copy of such a layer has its metadata, but was not opened.
    return layer.metadata.get(ROLE) if layer.source.sample else None


class ChosenPictures:
    """Small pictures of the chosen layers, which follow what these look like.

    Parameters
    ----------
    controls
        With the choices, among them one for each picture.
    pictures
        By the name of the choice.
    viewer
        The viewer.
    """

    def __init__(self, controls: Container[Any], pictures: dict[str, Picture], viewer: Any) -> None:
        self._pictures, self._viewer = pictures, viewer
        self._shown: dict[str, Any] = {}
        self._followed: set[Any] = set()
        viewer.layers.events.reordered.connect(self._update)
        for name in pictures:
            controls[name].changed.connect(partial(self._choose, name))
            self._choose(name, controls[name].value)

    def let_go(self) -> None:
        """Follow no layer any more."""
        self._viewer.layers.events.reordered.disconnect(self._update)
        self._follow(set())
        self._shown.clear()

    def _choose(self, name: str, chosen: Any) -> None:
        self._shown[name] = chosen
        self._follow({layer for choice in self._shown.values() for layer in layers_of(choice)})
        self._update()

    def _follow(self, layers: set[Any]) -> None:
        for layer in self._followed - layers:
            for event in _LOOKS:
                getattr(layer.events, event).disconnect(self._update)
        for layer in layers - self._followed:
            for event in _LOOKS:
                getattr(layer.events, event).connect(self._update)
        self._followed = layers

    def _update(self, _event: Any = None) -> None:
        for name, chosen in self._shown.items():
            layers = layers_of(chosen.visible if isinstance(chosen, Channels) else chosen)
            background = canvas_background(self._viewer)
            self._pictures[name].setToolTip("" if chosen is None else chosen.name)
            self._pictures[name].show_pixels(
                thumbnail(layers, self._viewer.dims, _PICTURE_PIXELS, background)
                if layers
                else None
            )


class Edits:
    """Notices when the chosen styles and regions are drawn in, or look different.

    Parameters
    ----------
    controls
        With the choices ``style``, ``style_2``, ``mask`` and ``style_mask``.
    """

    edited = Signal(str, description="Name of the control whose layer was edited.")

    def __init__(self, controls: Container[Any]) -> None:
        self._controls = controls
        self._followed: dict[str, tuple[Any, Any]] = {}
        for name in ("style", "style_2", "mask", "style_mask"):
            controls[name].changed.connect(partial(self._watch, name))
            self._watch(name, controls[name].value)

    def let_go(self) -> None:
        """Follow no layer any more."""
        for name in list(self._followed):
            self._watch(name, None)

    def _watch(self, name: str, chosen: Any) -> None:
        if name in self._followed:
            layer, noticed = self._followed.pop(name)
            for event in self._events_of(layer):
                getattr(layer.events, event).disconnect(noticed)
        if chosen is None or isinstance(chosen, str):
            return

        def notice(_event: Any = None) -> None:
            self.edited.emit(name)

        for event in self._events_of(chosen):
            getattr(chosen.events, event).connect(notice)
        self._followed[name] = chosen, notice

    def _events_of(self, layer: Any) -> tuple[str, ...]:
        return next(names for kind, names in _EDITS.items() if isinstance(layer, kind))
