"""The menu beside the presets: recipes, and presets of one's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QApplication, QFileDialog, QInputDialog, QMenu, QMessageBox, QWidget

from ..recipe import Recipe, read_recipe, write_recipe
from ..record import Record
from ..settings import Settings
from .layers import METADATA_KEY, is_result, quoted
from .script import run_to_python, to_python
from .settings_controls import SettingsControls
from .status import Status

if TYPE_CHECKING:
    import napari.viewer

_RECIPES = "Recipe (*.json)"
_PAINTED = "Painted images (*.png *.tif *.tiff *.jpg *.jpeg)"
_CHECKPOINTS = "Checkpoints (*.safetensors);;All files (*)"
_READABLE = f"Recipes and painted images (*.json *.png *.tif *.tiff *.jpg *.jpeg);;{_RECIPES}"


class RecipeMenu(QMenu):
    """Takes settings from results and files, and keeps them.

    Parameters
    ----------
    parent
        Whose theme it has.
    viewer
        The viewer, whose selected layer is meant.
    settings
        The controls that show settings.
    status
        Where to tell what was done, and what went wrong.
    open_result
        Shows a painted image from a file over the content.
    resume
        Goes on with the run of a checkpoint.
    redo
        Paints a result again, given its layer.
    """

    def __init__(
        self,
        parent: QWidget,
        viewer: "napari.viewer.Viewer",
        settings: SettingsControls,
        status: Status,
        open_result: Callable[[str], None],
        resume: Callable[[Path], None],
        redo: Callable[[Any], None],
    ) -> None:
        super().__init__(parent)
        self._viewer, self._settings, self._status = viewer, settings, status
        self._open_result, self._resume, self._redo = open_result, resume, redo
        self.setToolTipsVisible(True)
        self._copy = self._offer(
            "Copy settings from the selected result",
            self.copy_from_result,
            "Let the controls show what the selected result was painted with.",
        )
        self._offer(
            "Load recipe …",
            self._ask_for_recipe,
            "From a recipe's file, or from a picture that was saved with its recipe.",
        )
        self._offer(
            "Save recipe …",
            self._ask_where_to_save,
            "The settings as they are now, for the command line's --recipe too.",
        )
        self._offer(
            "Open a saved result …",
            self._ask_for_result,
            "A painted image that was saved with its recipe, as a layer over the content, to go "
            "on from: as name.16bit.tif or name.float.tif, or by the command line. napari's own "
            ".tif and .png have pixels alone.",
        )
        self._again = self._offer(
            "Redo the selected result",
            self.redo,
            "Paint it again from its own recipe, with all that was changed meanwhile, and say "
            "whether it comes out the same; of a whole stack, plane by plane. What it was painted "
            "from must be open.",
        )
        self._offer(
            "Resume from a checkpoint …",
            self._ask_for_checkpoint,
            "Go on with a run that was saved while it went on, as if it had never ended. Choose "
            "its content and style first.",
        )
        self._offer(
            "Copy as Python",
            self.copy_as_python,
            "A script that paints the selected result again, or what the controls ask for, to the "
            "clipboard. It reads the layers from files that it names; of a stack that is not "
            "painted yet, it paints the plane that is shown.",
        )
        self.addSeparator()
        self._keep = self._offer(
            "Keep as a preset of your own …",
            self._ask_for_name,
            "The settings as they are now, offered among the presets from now on.",
        )
        self._remove = self.addMenu("Remove a preset of your own")
        self.aboutToShow.connect(self._show_what_applies)

    def _offer(self, text: str, do: Any, tooltip: str) -> Any:
        action = self.addAction(text, partial(self._status.attempt, do))
        assert action is not None
        action.setToolTip(tooltip)
        return action

    def _show_what_applies(self) -> None:
        for action in (self._copy, self._again):
            action.setEnabled(self._selected() is not None)
        own = self._settings.own_presets
        names = [] if own is None else own.names()
        self._keep.setEnabled(own is not None)
        assert self._remove is not None
        self._remove.setEnabled(bool(names))
        self._remove.clear()
        for name in names:
            self._remove.addAction(name, partial(self._status.attempt, partial(self.remove, name)))

    def _selected(self) -> Any | None:
        layer = self._viewer.layers.selection.active
        return layer if layer is not None and is_result(layer) else None

    def _chosen_result(self) -> Any:
        layer = self._selected()
        if layer is None:
            raise ValueError("Select the layer of a result, then choose this again.")
        return layer

    def redo(self) -> None:
        """Paint the selected result again, and compare."""
        self._redo(self._chosen_result())

    def copy_from_result(self) -> None:
        """Let the controls show what the selected result was painted with."""
        layer = self._chosen_result()
        data, called = layer.metadata[METADATA_KEY], f"“{layer.name}”"
        recipe = Recipe.from_dict(data, self._settings.chosen_weights, called)
        self._take(recipe, f"Settings of “{layer.name}”.", one_channel=not layer.rgb)

    def load(self, path: str | Path) -> None:
        """Let the controls show a recipe from a file."""
        recipe = read_recipe(path, self._settings.chosen_weights)
        self._take(recipe, f"Settings of {Path(path).name}.", recipe.one_channel or None)

    def _take(self, recipe: Recipe, source: str, one_channel: bool | None) -> None:
        if recipe.changed:
            source += " Settings were changed meanwhile: these are the last ones."
        if recipe.own_masks:
            source += " Each plane had regions of its own, which no recipe holds."
        self._settings.take(recipe.settings, source, one_channel)

    def save(self, path: str | Path) -> None:
        """Write what the controls ask for to a file."""
        path = Path(path)
        path = path if path.suffix else path.with_suffix(".json")
        write_recipe(path, self._settings.recipe())
        told = f"The recipe is in {path.name}"
        options = [f"--{name.replace('_', '-')}" for name in self._settings.of_layers]
        if options:
            told += (
                ", but not the regions: save their layers as images, and give those with "
                f"{' and '.join(options)}"
            )
        self._status.say(f"{told}.")

    def copy_as_python(self) -> None:
        """Put a script that paints the same picture on the clipboard."""
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        layer, weights = self._selected(), self._settings.chosen_weights
        data = {} if layer is None else layer.metadata[METADATA_KEY]
        if "inputs" in data and "axes" not in data:  # a stack has axes
            script = run_to_python(Record.from_dict(data, weights, quoted(layer)))
        elif data:
            script = to_python(Recipe.from_dict(data, weights))
        else:
            script = self._settings.script()
        clipboard.setText(script)
        self._status.say("A script that paints this is on the clipboard.")

    def keep(self, name: str) -> None:
        """Keep what the controls ask for as a preset."""
        own = self._settings.own_presets
        assert own is not None
        own.save(name, Settings.from_dict(self._settings.recipe()["settings"]))
        self._settings.offer_presets(name)
        self._status.say(f"“{name}” is among the presets now.")

    def remove(self, name: str) -> None:
        """Remove a preset of the user's own."""
        own = self._settings.own_presets
        assert own is not None
        own.remove(name)
        self._settings.offer_presets()
        self._status.say(f"The preset “{name}” was removed.")

    def _ask_for_result(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a saved result", filter=_PAINTED)
        if path:
            self._open_result(path)

    def _ask_for_checkpoint(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Resume from a checkpoint", filter=_CHECKPOINTS)
        if path:
            self._resume(Path(path))

    def _ask_for_recipe(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load recipe", filter=_READABLE)
        if path:
            self.load(path)

    def _ask_where_to_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save recipe", "recipe.json", _RECIPES)
        if path:
            self.save(path)

    def _ask_for_name(self) -> None:
        name, given = QInputDialog.getText(self, "A preset of your own", "Its name:")
        if given and self._may_replace(name.strip()):
            self.keep(name.strip())

    def _may_replace(self, name: str) -> bool:
        """Ask whether a preset of this name is to be replaced, if there is one."""
        own = self._settings.own_presets
        if own is None or name not in own.names():
            return True
        question = f"There is a preset “{name}” of your own. Replace it?"
        answer = QMessageBox.question(self, "A preset of your own", question)
        return bool(answer == QMessageBox.StandardButton.Yes)
