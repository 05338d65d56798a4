"""The user's own presets: settings with a name, kept among the plugin's settings."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ..recipe import Recipe
from ..settings import PRESETS, Settings
from .recipes import for_any_image

_NAME: Final = re.compile(r"[\w .,+()%-]{1,40}")
_MOST: Final = 100


class OwnPresets:
    """Settings that the user gave names.

    Parameters
    ----------
    store
        Keeps them, as JSON, in its attribute ``presets``, such as the plugin's settings.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def note(self) -> str:
        """What is to be told about what is stored; empty if all is well."""
        return self._read()[1]

    def names(self) -> list[str]:
        """Return their names, in alphabetical order."""
        return sorted(self._read()[0], key=str.casefold)

    def get(self, name: str) -> dict[str, Any]:
        """Return the settings of one, as :meth:`Settings.from_dict` takes them.

        Raises
        ------
        ValueError
            If there is none of this name, or it was damaged.
        """
        presets, _ = self._read()
        if name not in presets:
            raise ValueError(f"There is no preset “{name}” of your own.")
        # The weights are the user's own choice, and may be a file.
        Recipe.from_dict(presets[name], presets[name].get("weights"), f"your preset “{name}”")
        return dict(presets[name])

    def save(self, name: str, settings: Settings) -> None:
        """Keep settings, without what belongs to their images; in place of those of this name.

        Raises
        ------
        ValueError
            If the name cannot be used, or there are too many.
        """
        if not _NAME.fullmatch(name) or name != name.strip():
            raise ValueError(
                f"A preset cannot be called “{name[:60]}”: a name has 1 to 40 letters, digits, "
                "spaces and . , + - _ ( ) %."
            )
        if name.casefold() in PRESETS:
            raise ValueError(f"“{name}” is a preset already: choose a name of your own.")
        presets, _ = self._read()
        if name not in presets and len(presets) >= _MOST:
            raise ValueError(f"You have {_MOST} presets of your own: remove one first.")
        self._write({**presets, name: for_any_image(settings).to_dict()})

    def remove(self, name: str) -> None:
        """Forget one; nothing happens if there is none of this name."""
        presets, _ = self._read()
        if presets.pop(name, None) is not None:
            self._write(presets)

    def _write(self, presets: Mapping[str, Any]) -> None:
        self._store.presets = json.dumps(presets)

    def _read(self) -> tuple[dict[str, dict[str, Any]], str]:
        try:
            stored = json.loads(self._store.presets or "{}")
            if not isinstance(stored, dict):
                raise ValueError("no names and settings")
        except (TypeError, ValueError, RecursionError) as error:
            return {}, (
                f"Your own presets cannot be read ({error}): the next that you save replaces them."
            )
        presets = {name: data for name, data in stored.items() if isinstance(data, dict)}
        damaged = ", ".join(f"“{name}”" for name in stored if name not in presets)
        return presets, f"Not readable among your own presets: {damaged}." if damaged else ""
