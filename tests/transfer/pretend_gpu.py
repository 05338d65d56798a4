"""A GPU where there is none: it computes on the CPU, and is as strict as CUDA about places.

Tensors made on or moved to ``cuda:0`` say that they are there, and hold one on the CPU. Mixing them
with others is an error, as are their ``data_ptr`` and ``numpy``; what would make the program wait
for a GPU is counted; and memory runs out when it is told to. So all of the engine but its speed can
be seen to work there.
"""

import gc
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from napari_neural_style.transfer import devices

GPU = torch.device("cuda:0")
_FREE = 64 << 30

_ATEN = torch.ops.aten
_BETWEEN = {_ATEN.copy_.default, _ATEN._to_copy.default}
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")  # with indices from anywhere

_T = torch.Tensor
_READING = {_T.item, _T.tolist, _T.nonzero, _T.__float__, _T.__int__, _T.__bool__, _T.__index__}
# Their bindings ask CUDA for its device themselves, and here is none.
_ASKING = {_T.__getitem__, _T.__setitem__, _T.__invert__, _T.contiguous, _T.new_tensor, _T.copy_}


class PretendGpu(TorchDispatchMode):
    """While it is entered there is a GPU.

    Parameters
    ----------
    monkeypatch
        Of pytest.

    Attributes
    ----------
    waits
        How often the program would have waited for the GPU.
    lasts
        After how many operations on it its memory is gone; None for never.
    """

    def __init__(self, monkeypatch: Any) -> None:
        super().__init__()
        self.waits = 0
        self.lasts: int | None = None
        there = [devices.Device(str(GPU), "Pretend"), *devices.available_devices()]
        monkeypatch.setattr(devices, "available_devices", lambda: there)
        monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
        for name, value in {
            "get_device_capability": (9, 0),
            "mem_get_info": (_FREE, _FREE),
            "get_device_name": "Pretend",
            "empty_cache": None,
        }.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)

    def __enter__(self) -> Self:
        _OnGpu.gpu = self
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.run(func, args, kwargs or {})

    def run(self, func, args, kwargs):
        """Compute on the CPU what CUDA would compute."""
        inputs = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        there = [x for x in inputs if isinstance(x, _OnGpu)]
        to = kwargs.get("device")
        if to is not None:
            to, kwargs = torch.device(to), {**kwargs, "device": torch.device("cpu")}
        self._check(func, inputs, there)
        if there and (
            func is _ATEN.equal.default
            or (func is _ATEN._to_copy.default and to is not None and to.type == "cpu")
            or (func is _ATEN.copy_.default and not isinstance(args[0], _OnGpu))
        ):
            self.waits += 1
        result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if func is _ATEN.copy_.default:
            return args[0]
        if not (to.type == "cuda" if to is not None else there):
            return result
        self._take_memory()
        known = {id(x.held): x for x in there}  # what is changed in place stays what it was
        return tree_map(lambda x: known[id(x)] if id(x) in known else _moved(x), result)

    def tensors(self):
        """Count those on it."""
        return sum(type(thing) is _OnGpu for thing in gc.get_objects())

    def _check(self, func, inputs, there):
        elsewhere = [x for x in inputs if not isinstance(x, _OnGpu) and x.dim()]
        free = func in _BETWEEN or func.overloadpacket.__name__ in _INDEXED
        if there and elsewhere and not free:
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}")

    def _take_memory(self):
        if self.lasts is not None:
            self.lasts -= 1
            if self.lasts < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class _OnGpu(torch.Tensor):
    """A tensor on it."""

    held: torch.Tensor
    gpu: PretendGpu

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Self:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=GPU,
        )
        tensor.held = held
        return tensor

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is _T.numpy:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        if func in _READING:
            cls.gpu.waits += 1
            return func(*tree_map(_held, args), **kwargs)
        if func in _ASKING and isinstance(args[0], cls):
            result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
            return args[0] if result is args[0].held else _moved(result)
        with torch._C.DisableTorchFunctionSubclass():  # its results may lie elsewhere
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return cls.gpu.run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.held!r})"


def _held(x):
    return x.held if isinstance(x, _OnGpu) else x


def _moved(x):
    return _OnGpu(x) if isinstance(x, torch.Tensor) else x
