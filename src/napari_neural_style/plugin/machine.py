"""What this machine can compute on, found out behind the open widget."""

import threading
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from ..transfer.engine import StyleTransfer


class Machine(QObject):
    """Loads torch in a thread and asks it for the devices.

    The first run then starts at once, and the GUI never waits for torch.
    """

    found = Signal(object, object)
    """The devices, fastest first, each with ``name`` and ``label``; and an advice or None."""
    failed = Signal(str)
    """Why there is no torch."""

    def look(self) -> None:
        """Start looking; one of the signals will come."""
        threading.Thread(target=self._look, name="devices").start()

    def _look(self) -> None:
        try:
            load_engine()
            from ..transfer import devices

            self.found.emit(devices.available_devices(), devices.advice())
        except Exception as error:
            self.failed.emit(str(error))


def load_engine() -> "type[StyleTransfer]":
    """Import the engine, and torch with it.

    Raises
    ------
    OSError
        If torch cannot be loaded; the message says what may help.
    """
    try:
        from ..transfer.engine import StyleTransfer
    except (ImportError, OSError) as error:
        advice = "Install it again, see https://pytorch.org/get-started/locally."
        if "1114" in str(error):  # on Windows, if Qt's libraries were loaded before
            advice = (
                "Start napari so that torch is loaded first: "
                'python -c "import torch, napari.__main__ as n; n.main()"'
            )
        raise OSError(f"PyTorch could not be loaded: {error}. {advice}") from error
    return StyleTransfer
