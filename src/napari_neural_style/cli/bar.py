"""The progress bar on stderr."""

from typing import NoReturn, TypeAlias

from tqdm import tqdm

Bar: TypeAlias = "tqdm[NoReturn]"


def make_bar(description: str, initial: int, total: int, disable: bool = False) -> Bar:
    """Make a bar that begins with `initial`; total and postfix may change."""
    return tqdm(
        desc=description,
        initial=initial,
        total=total,
        disable=disable,
        dynamic_ncols=True,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
    )
