"""The widget's settings, kept between sessions among napari's plugin settings."""

import os
from typing import Any, Final

from ..transfer.weight_files import FOLDER_VARIABLE

PLUGIN = "napari-neural-style"

# Where napari keeps no settings of plugins.
_DEFAULTS: Final = {"history_memory": 256, "preview_interval": 0.25, "memory_limit": 0.0}
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


def preference(settings: Any | None, name: str) -> Any:
    """Return one of the plugin's settings, or its default where there are none.

    Parameters
    ----------
    settings
        Those of :func:`remembered`.
    name
        Of the setting, as in the manifest.
    """
    return _DEFAULTS[name] if settings is None else getattr(settings, name)
