"""A device in software: tensors that compute on the CPU and say that they are elsewhere.

Its tensors call their device `meta`, the one device of torch that is always there. As on a GPU, a tensor of the device
meets no tensor of the CPU but one without dimensions, has no `numpy()`, and is moved by `to` and `cpu`. A test
that runs on it shows that no tensor was forgotten on the CPU, and that the numbers are those of the CPU.
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
#: what may join two devices: copies, and tables that are looked up by places of the CPU
_JOINS = {aten.copy_.default, aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}


class Elsewhere(torch.Tensor):
    """A tensor of the device; `real_one` has its numbers."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.real_one = inner
        return made

    def __repr__(self):
        return f"Elsewhere({self.real_one})"

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        if function == torch.Tensor.data.__set__:
            arguments[0].real_one = arguments[1].real_one  # the wrapper stays, its numbers change
            return None
        if function is torch.Tensor.tolist:
            return arguments[0].cpu().tolist()
        with torch._C.DisableTorchFunctionSubclass():  # what comes back stays what it is
            return function(*arguments, **(keywords or {}))

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), keywords=None):
        return _on_device(function, arguments, keywords or {})


class Pretend(TorchDispatchMode):
    """Lets factories make tensors of the device. read: how often the CPU waited for a tensor of the device. without:
    types of numbers that the device does not have."""

    def __init__(self):
        super().__init__()
        self.read, self.without = 0, ()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        keywords, here = keywords or {}, Elsewhere in types
        to = keywords.get("device")
        if not here and (to is None or to.type != DEVICE.type):
            return function(*arguments, **keywords)
        if here and (function is aten._local_scalar_dense.default or (to is not None and to.type == "cpu")):
            self.read += 1
        made = _on_device(function, arguments, keywords)
        for each in tree_flatten(made)[0] if self.without else ():
            if isinstance(each, Elsewhere) and each.dtype in self.without:
                raise TypeError(f"{function}: the device has no {each.dtype}")
        return made


def _on_device(function, arguments, keywords):
    flat = tree_flatten((arguments, keywords))[0]
    outsiders = [e for e in flat if isinstance(e, torch.Tensor) and not isinstance(e, Elsewhere) and e.dim()]
    insiders = [e for e in flat if isinstance(e, Elsewhere)]
    to, moves = keywords.get("device"), function in (aten._to_copy.default, aten.to.device)
    if insiders and outsiders and function not in _JOINS:
        raise RuntimeError(f"{function}: tensors on two devices, {[tuple(e.shape) for e in outsiders]} on the CPU")
    plain = dict(keywords)
    if to is not None:
        plain["device"] = torch.device("cpu")
    real = tree_map(lambda e: e.real_one if isinstance(e, Elsewhere) else e, (arguments, plain))
    with _disable_current_modes():
        result = function(*real[0], **real[1])
    if moves and to is not None and to.type == "cpu":
        return result
    own = {id(e.real_one): e for e in insiders}
    return tree_map(lambda e: own[id(e)] if id(e) in own else _wrapped(e), result)


def _wrapped(value):
    return Elsewhere(value) if isinstance(value, torch.Tensor) else value


@contextlib.contextmanager
def pretend():
    """The device, for the enclosed block."""
    with Pretend() as mode:
        yield mode
