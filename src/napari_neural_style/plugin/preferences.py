"""The widget's settings, kept between sessions among napari's plugin settings."""

import os
from typing import Any

from ..transfer.weight_files import FOLDER_VARIABLE

PLUGIN = "napari-neural-style"

_FOLDER_OUTSIDE = os.environ.get(FOLDER_VARIABLE, "")


def remembered() -> Any | None:
    """Return the settings of the last use, as attributes; assigning one saves it.

    The manifest's ``contributions.configurations`` declares them, and napari shows
    them among its preferences. None if there is nowhere to keep them: before napari
    0.9, or with the plugin disabled. From now on weights live where they say.
    """
    try:
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings(PLUGIN).style_transfer
    except (ImportError, KeyError):
        return None
    settings.events.weights_folder.connect(_move_weights)
    _use_folder(settings.weights_folder)
    return settings


def _move_weights(event: Any) -> None:
    _use_folder(event.value)


def _use_folder(folder: str) -> None:
    # In the environment, so that the processes of a cluster find the weights as well.
    os.environ[FOLDER_VARIABLE] = folder or _FOLDER_OUTSIDE
