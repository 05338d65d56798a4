"""The numbers along the axes of a plot of losses."""

import math

# From fine to coarse: the digits that ticks begin with, and at every how manyth power of ten.
_SPACINGS = (((1, 2, 5), 1), ((1, 3), 1), *(((1,), every) for every in (1, 2, 3, 5, 10, 20)))


def step_ticks(last: int, most: int) -> range:
    """Return round steps from 0 to the last one, no more than ``most`` beside the 0."""
    least = max(last / most, 1)
    power = 10 ** math.floor(math.log10(least))
    spacing = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least)
    return range(0, last + 1, spacing)


def loss_ticks(low: float, high: float, most: int) -> dict[float, str]:
    """Return round numbers, as exponents of ten, and how they are written.

    Parameters
    ----------
    low, high
        Exponents that they lie between, at least 0.7 apart.
    most
        How many there may be, from three.
    """
    for digits, every in _SPACINGS:
        ticks = [
            (digit, exponent)
            for exponent in range(math.floor(low), math.ceil(high) + 1)
            for digit in digits
            if exponent % every == 0 and low <= exponent + math.log10(digit) <= high
        ]
        if len(ticks) <= most:
            break
    plain = all(-3 <= exponent < 4 for _, exponent in ticks)
    return {
        exponent + math.log10(digit): f"{float(f'{digit}e{exponent}'):g}"
        if plain
        else f"{digit}e{exponent}"
        for digit, exponent in ticks
    }
