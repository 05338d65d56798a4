"""The controls that show settings: of a preset, of a recipe, of the last use."""

from dataclasses import replace
from functools import partial
from typing import Any

from magicgui.widgets import Container
from magicgui.widgets.bases import RangedWidget
from qtpy.QtCore import Qt

from ..dials import layers_to_texture, texture_to_layers
from ..recipe import Recipe
from ..settings import PRESETS, Settings
from .encoder_choice import EncoderChoice
from .form import Form
from .own_presets import OwnPresets
from .recipes import for_any_image, left_out, left_out_sentence, values_of
from .request import Request
from .script import to_python
from .status import Status

_REMEMBERED = ("preset", "style_strength", "size", "steps", "device")
_OWN = "A preset of your own."
_OF_IMAGES = ("mask", "style_masks", "init")


class SettingsControls:
    """Lets the controls show settings, and remembers what the user sets.

    Parameters
    ----------
    controls
        Those of :func:`~.fields.make_controls`.
    form
        What stands beside them.
    request
        Reads them; what they refine is set here.
    memory
        The settings of the last use, as :func:`~.preferences.remembered` has them.
    status
        Where to tell what goes on.
    """

    def __init__(
        self,
        controls: Container[Any],
        form: Form,
        request: Request,
        memory: Any | None,
        status: Status,
    ) -> None:
        self._controls, self._form, self._request = controls, form, request
        self._memory, self._status = memory, status
        self._wanted_device = "auto"
        fail = partial(status.fail, lasting=True)
        self.encoder = EncoderChoice(controls["weights"], status.say, fail)
        self.offer_presets()
        self._recall()
        for name in _REMEMBERED:
            controls[name].changed.connect(partial(self._keep, name))
        controls["preset"].changed.connect(self.take_preset)
        controls["texture"].changed.connect(self._tilt)
        if self.own_presets is not None and self.own_presets.note:
            status.fail(self.own_presets.note)

    # ---------------------------------------------------------------- presets

    @property
    def own_presets(self) -> OwnPresets | None:
        """The user's own presets; None if there is nowhere to keep them."""
        return None if self._memory is None else OwnPresets(self._memory)

    def offer_presets(self, chosen: str | None = None) -> None:
        """Offer the presets there are now.

        Parameters
        ----------
        chosen
            The one to show; by default the one that is shown, if it is still there.
        """
        box, own = self._controls["preset"], self.own_presets
        before = box.value
        chosen = chosen or before
        with box.changed.blocked():
            box.choices = [*PRESETS, *(own.names() if own is not None else [])]
            box.value = chosen if chosen in box.choices else self._request.base.preset
        if box.value != before:
            self._keep("preset", box.value)
        for index, name in enumerate(box.choices):
            description = PRESETS[name].description if name in PRESETS else _OWN
            box.native.setItemData(index, description, Qt.ItemDataRole.ToolTipRole)

    def take_preset(self, _value: Any = None) -> None:
        """Let the controls refine the chosen preset."""
        chosen = self._controls["preset"].value
        if chosen not in PRESETS:
            self._status.attempt(partial(self._take_own_preset, chosen))
            return
        self._refine(Settings(preset=chosen), PRESETS[chosen].description)
        self._request.base_strength = 50
        self._tilt()

    def _take_own_preset(self, name: str) -> None:
        own = self.own_presets
        assert own is not None
        self._show(Settings.from_dict(own.get(name)), _OWN)

    # ---------------------------------------------------------------- recipes

    @property
    def chosen_weights(self) -> str:
        """The encoder's weights that are chosen, in place of a file that a recipe names."""
        return str(self._controls["weights"].value)

    @property
    def of_layers(self) -> tuple[str, ...]:
        """What no recipe holds of what the controls ask for: regions, of content and style."""
        return self._request.regions

    def script(self) -> str:
        """Return a script in Python that paints what the controls ask for.

        Raises
        ------
        ValueError
            If the regions cannot be read.
        """
        recipe = Recipe.from_dict(self.recipe(), self.chosen_weights)
        return to_python(replace(recipe, settings=self._request.settings_with_regions()))

    def recipe(self) -> dict[str, Any]:
        """Return what the controls ask for but the regions, as plain data."""
        styles = [style.name for style in self._request.styles if style is not None]
        content = self._request.names["content"] if styles else ""
        settings = self._request.settings().to_dict()
        return {"settings": settings, "content": content, "styles": styles}

    def take(self, settings: Settings, source: str, one_channel: bool | None = None) -> None:
        """Let the controls show the settings of a recipe.

        Parameters
        ----------
        settings
            What belongs to the recipe's images is left out.
        source
            What to say of where they come from.
        one_channel
            Whether the result was an intensity; it is one again if the content has but one channel.
            None if that is not known: what is chosen stays.
        """
        if not self._controls["preset"].enabled:
            raise ValueError("A run is going on: stop it before other settings are taken.")
        values = self.follow(settings, source)
        output = self._controls["output"]
        if one_channel is not None and output.enabled:
            output.value = "intensity" if one_channel else "rgb"
        of_images = [name for name in left_out(settings, values) if name in _OF_IMAGES]
        self._status.say(f"{source} {left_out_sentence(of_images)}".strip())

    def follow(self, settings: Settings, description: str) -> dict[str, Any]:
        """Let the controls show settings, even those of a run that goes on.

        Parameters
        ----------
        settings
            What belongs to their images is left out.
        description
            What to say of them under the presets.

        Returns
        -------
        dict
            The values that stand for them, see :func:`~.recipes.values_of`.
        """
        box = self._controls["preset"]
        with box.changed.blocked():
            box.value = settings.preset
        self._keep("preset", settings.preset)
        return self._show(settings, description)

    def _show(self, settings: Settings, description: str) -> dict[str, Any]:
        base, values = for_any_image(settings), values_of(settings)
        self._refine(base, description)
        self._request.base_strength = values["style_strength"]
        texture = layers_to_texture(base.style_layers, base.preset)
        shown = {**values, "texture": 50 if texture is None else round(texture)}
        if shown["device"] not in self._controls["device"].choices:
            del shown["device"]
        for control in self._controls:
            if control.name in shown and control.name not in ("preset", "weights"):
                control.value = _within(control, shown[control.name])
        reference, weights = texture_to_layers(50, base.preset), values["style_layers"]
        same = weights.keys() == reference.keys()
        self._form.equalizer.offer(reference if same else weights, weights)
        return values

    def _refine(self, base: Settings, description: str) -> None:
        """Let the controls refine some settings."""
        controls = self._controls
        self._request.base = base
        self._form.description.setText(description)
        self.encoder.offer(base.weights)
        for name in ("content_weight", "tv_weight"):
            controls[name].value = getattr(base, name)
        own = texture_to_layers(50, base.preset)
        self._form.equalizer.offer(own, own)
        preset = Settings(preset=base.preset)
        whose = "preset's" if base.scales == preset.scales else "recipe's"
        controls["size"].set_words_for_smallest(
            "content's own size" if base.scales == "auto" else f"{whose} ({base.scales[-1]} px)"
        )
        steps = base.steps if isinstance(base.steps, tuple) else (base.steps,)
        whose = "preset's" if base.steps == preset.steps else "recipe's"
        controls["steps"].set_words_for_smallest(f"{whose} ({sum(steps)})")

    def _tilt(self, _value: Any = None) -> None:
        """Weigh the style's layers as the texture control asks."""
        preset = self._request.base.preset
        texture = self._controls["texture"].value
        self._form.equalizer.show_weights(texture_to_layers(texture, preset))

    # ----------------------------------------------------------- the last use

    def _recall(self) -> None:
        memory, box = self._memory, self._controls["preset"]
        if memory is not None:
            own = memory.own_preset
            box.value = own if own in box.choices else memory.preset
        self.take_preset()
        if memory is None:
            return
        for name in ("style_strength", "size", "steps"):  # which may refine the preset
            self._controls[name].value = getattr(memory, name)
        self._wanted_device = memory.device
        if self._wanted_device in self._controls["device"].choices:
            self._controls["device"].value = self._wanted_device

    def _keep(self, name: str, value: Any) -> None:
        if name == "device":
            self._wanted_device = value
        if self._memory is None:
            return
        if name == "preset":
            self._memory.own_preset = "" if value in PRESETS else value
            if value not in PRESETS:  # napari's page has the others only
                return
        setattr(self._memory, name, value)

    def offer_devices(self, devices: Any, advice: str | None) -> None:
        """Offer what there is to compute on.

        Parameters
        ----------
        devices
            Fastest first, each with ``name`` and ``label``.
        advice
            For a faster one, if there is any.
        """
        wanted = self._wanted_device
        names = [device.name for device in devices]
        box = self._controls["device"]
        with box.changed.blocked():
            box.choices = [
                (f"auto: {devices[0].label}", "auto"),
                *((device.label, device.name) for device in devices),
            ]
            # CUDA without a number is the first card.
            wanted = "cuda:0" if wanted == "cuda" else wanted
            box.value = wanted if wanted in names else "auto"
        if box.value != wanted:
            self._status.say(f"There is no device “{wanted}” here: it is {devices[0].label}.")
        if advice is not None:
            box.tooltip = f"{box.tooltip} {advice}"
            self._status.say(advice)


def _within(control: Any, value: Any) -> Any:
    """Return the value that a control can show that is nearest."""
    if not isinstance(control, RangedWidget):
        return value
    return type(control.value)(min(max(value, control.min), control.max))
