"""The widget's settings, kept between sessions among napari's plugin settings."""

from typing import Any

PLUGIN = "napari-neural-style"


def remembered() -> Any | None:
    """Return the settings of the last use, as attributes; assigning one saves it.

    The manifest's ``contributions.configurations`` declares them, and napari shows
    them among its preferences. None if there is nowhere to keep them: before napari
    0.9, or with the plugin disabled.
    """
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN).style_transfer
    except (ImportError, KeyError):
        return None
