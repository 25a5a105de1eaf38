"""A live torch module as a target: what it has, and setting values down in it, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..dtypes import DType, dtype_named
from ..errors import UnsupportedError
from .as_torch import to_torch
from .computed import Lazy
from .lazy import Tensor


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter or buffer of a module: where it hangs, and the tensor that is there now."""

    owner: Any
    name: str
    tensor: Any
    is_parameter: bool

    @property
    def dtype(self) -> DType:
        """The element type by torch's name."""
        return dtype_named(str(self.tensor.dtype).removeprefix("torch."))

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes; None for a lazy module's parameter that has none yet."""
        lazy = hasattr(self.tensor, "materialize") and _is_uninitialised(self.tensor)
        return None if lazy else tuple(self.tensor.shape)


def _is_uninitialised(tensor: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return bool(is_lazy(tensor))


class ModuleTarget:
    """The parameters and persistent buffers of a module by the names of its `state_dict()`."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.slots: dict[str, Slot] = {}
        self._collect(module, "")
        keys = list(module.state_dict(keep_vars=True))
        self.slots = {key: self.slots[key] for key in keys if key in self.slots}
        self.extra = [key for key in keys if key not in self.slots]

    def _collect(self, module: Any, prefix: str) -> None:
        for name, tensor in module._parameters.items():  # noqa: SLF001 - what state_dict itself walks
            if tensor is not None:
                self.slots[prefix + name] = Slot(module, name, tensor, is_parameter=True)
        hidden = module._non_persistent_buffers_set  # noqa: SLF001
        for name, tensor in module._buffers.items():  # noqa: SLF001
            if tensor is not None and name not in hidden:
                self.slots[prefix + name] = Slot(module, name, tensor, is_parameter=False)
        for name, child in module._modules.items():  # noqa: SLF001
            if child is not None:
                self._collect(child, f"{prefix}{name}.")

    @property
    def schema(self) -> dict[str, tuple[tuple[int, ...] | None, DType]]:
        """Name -> (shape, dtype); a shape of None takes any."""
        return {key: (slot.shape, slot.dtype) for key, slot in self.slots.items()}

    @property
    def ties(self) -> list[tuple[str, ...]]:
        """Names that are one and the same tensor."""
        groups: dict[int, list[str]] = {}
        for key, slot in self.slots.items():
            groups.setdefault(id(slot.tensor), []).append(key)
        return [tuple(keys) for keys in groups.values() if len(keys) > 1]


def set_down(target: ModuleTarget, values: Mapping[str, Any], *, assign: bool, step: Callable[[str], object]) -> None:
    """Put torch tensors into a module. After any error the module is exactly as it was.

    In place, each old value is kept in the place of the new one until all are set, so that they can be
    put back. `step` is told each name before it is set.
    """
    import torch

    undo: list[Callable[[], object]] = []
    try:
        with torch.no_grad():
            for key, value in values.items():
                step(key)
                slot = target.slots[key]
                if assign or slot.tensor.device.type == "meta" or slot.shape is None:
                    undo.append(_assign(slot, value))
                else:
                    undo.append(_copy_in(slot, value))
    except BaseException:
        with torch.no_grad():
            for back in reversed(undo):
                back()
        raise


def _assign(slot: Slot, value: Any) -> Callable[[], object]:
    import torch

    table = slot.owner._parameters if slot.is_parameter else slot.owner._buffers  # noqa: SLF001
    old = table[slot.name]
    new = torch.nn.Parameter(value, requires_grad=old.requires_grad) if slot.is_parameter else value
    table[slot.name] = new

    def back() -> None:
        table[slot.name] = old

    return back


def _copy_in(slot: Slot, value: Any) -> Callable[[], object]:
    old = slot.tensor.detach().clone()
    slot.tensor.copy_(value)
    return lambda: slot.tensor.copy_(old)


def as_torch_value(value: Lazy) -> Any:
    """Return the torch tensor of a lazy one, computed ones too."""
    if isinstance(value, Tensor):
        return to_torch(value)
    import torch

    values = value.numpy()
    dtype = getattr(torch, value.dtype.name, None)
    if dtype is None:
        raise UnsupportedError(f"this torch has no {value.dtype}", remedy="use a newer torch")
    flat = torch.frombuffer(bytearray(values.tobytes()), dtype=dtype) if value.numel else torch.empty(0, dtype=dtype)
    return flat.reshape(value.shape)


def is_module(value: Any) -> bool:
    """Whether a value is a live torch module, without importing torch where it is none."""
    return any(cls.__module__.startswith("torch.nn.modules") for cls in type(value).__mro__)
