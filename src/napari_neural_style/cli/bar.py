"""The progress bar on stderr."""

from typing import NoReturn, TypeAlias

from tqdm import tqdm

Bar: TypeAlias = "tqdm[NoReturn]"


def make_bar(description: str, initial: int, disable: bool = False) -> Bar:
    """Make a bar that begins with `initial`; its total and postfix are set as they are known."""
    return tqdm(
        desc=description,
        initial=initial,
        disable=disable,
        dynamic_ncols=True,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
    )
