"""What results were painted from, as it looked then."""

from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from .layers import Composite, Plane, StackSource, unwrapped

Origin: TypeAlias = Plane | Composite | StackSource

# Not in the layers' metadata, which are saved and copied.
_ORIGINS: WeakKeyDictionary[Any, Origin] = WeakKeyDictionary()


def remember_origin(result: Any, origin: Origin | None) -> None:
    """Note what the layer of a result is painted from; None if that is not known."""
    if origin is None:
        _ORIGINS.pop(unwrapped(result), None)
    else:
        _ORIGINS[unwrapped(result)] = origin


def origin_of(result: Any) -> Origin | None:
    """Return what the layer of a result was painted from; None if that is not known."""
    return _ORIGINS.get(unwrapped(result))
