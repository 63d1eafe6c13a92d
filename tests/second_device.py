"""A second device, for machines that have none: its tensors lie in the CPU's memory, and do not mix with the CPU's.

As on a GPU an operation of both fails, and so does ``numpy()`` without ``cpu()``: what computes on this device has made
every tensor there. PyTorch's default device stays the CPU, so that a tensor made without a device fails too.
"""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

SECOND = torch.device("hpu")  # a type that PyTorch knows by name, and has no code of its own for
_CROSSING = (Tensor.copy_, Tensor.to, Tensor.cpu, torch._has_compatible_shallow_copy_type)
_CPU_ONLY = (Tensor.numpy, Tensor.__array__, torch.from_numpy)


class OnSecond(Tensor):
    """A tensor of the second device."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return SECOND
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func in _CPU_ONLY:
            raise TypeError(f"{func} needs a tensor of the CPU")
        if func not in _CROSSING:
            strays = [t for t in tensors if not isinstance(t, OnSecond) and t.dim()]
            if strays:
                raise RuntimeError(
                    f"expected all tensors of {func} to be on {SECOND}, but found {strays[0].shape} on the CPU"
                )
        result = super().__torch_function__(func, types, args, kwargs)
        # Autograd makes gradients where no mode sees it.
        return result.as_subclass(cls) if func == Tensor.grad.__get__ and result is not None else result


def _is_second(value):
    return isinstance(value, (str, torch.device)) and str(value).startswith(SECOND.type)


class SecondDevice(TorchFunctionMode):
    """Knows the second device by its name; counts what was made there."""

    def __init__(self):
        super().__init__()
        self.made = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is Tensor.cpu or (
            func is Tensor.to and any(str(a) == "cpu" for a in (*args[1:], kwargs.get("device")))
        ):
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs).as_subclass(Tensor)
        if not _is_second(kwargs.get("device")) and not (func is Tensor.to and any(map(_is_second, args[1:]))):
            if func is Tensor.to and any(isinstance(a, OnSecond) for a in args[1:]):
                args = (args[0].as_subclass(OnSecond), *args[1:])
            return func(*args, **kwargs)
        self.made += 1
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        args = [torch.device("cpu") if _is_second(a) else a for a in args]
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs).as_subclass(OnSecond)
