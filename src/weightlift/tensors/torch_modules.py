"""A live torch module as a target: what it has, and who else holds its tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from sys import getrefcount

from ..dtypes import DType, dtype_named
from ..errors import PlanError, UnsupportedError
from ..typed import Any
from ..values import dataclass
from .as_torch import to_torch
from .computed import Lazy
from .lazy import Tensor
from .mapped import MappedFiles
from .torch_memory import View, overlapping, view_of


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter or buffer of a module: where it hangs, and the tensor that was there at first."""

    owner: Any
    name: str
    tensor: Any
    is_parameter: bool

    @property
    def table(self) -> dict[str, Any]:
        """The table of its module that it hangs in."""
        tables: tuple[dict[str, Any], dict[str, Any]] = self.owner._buffers, self.owner._parameters  # noqa: SLF001
        return tables[self.is_parameter]

    @property
    def now(self) -> Any:
        """The tensor that hangs there by now."""
        return self.table[self.name]

    @property
    def dtype(self) -> DType:
        """The element type by torch's name."""
        return dtype_named(str(self.tensor.dtype).removeprefix("torch."))

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes; None for a lazy module's parameter that has none yet, and for rows of several sizes."""
        lazy = hasattr(self.tensor, "materialize") and _is_uninitialised(self.tensor)
        return None if lazy or self.tensor.is_nested else tuple(self.tensor.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.tensor.numel() * self.tensor.element_size() if self.shape is not None else 0

    @property
    def view(self) -> View:
        """Equal for slots that are one view of the same memory, whether or not they are one tensor object."""
        return view_of(None if self.shape is None else self.tensor, id(self.tensor))


def _is_uninitialised(tensor: Any) -> bool:
    from torch.nn.parameter import is_lazy

    return bool(is_lazy(tensor))


class ModuleTarget:
    """The parameters and persistent buffers of a module by the names of its `state_dict()`."""

    def __init__(self, module: Any) -> None:
        """Raises PlanError for no module, and where two share a part of their memory: setting one changes the other."""
        if not is_module(module):
            raise PlanError(f"a {type(module).__name__}", expected="a live torch module")
        self.module = module
        self.slots: dict[str, Slot] = {}
        self._collect(module, "")
        keys = list(module.state_dict(keep_vars=True))
        self.slots = {key: self.slots[key] for key in keys if key in self.slots}
        self.extra = [key for key in keys if key not in self.slots]
        self._groups: dict[View, list[str]] = {}
        for key, slot in self.slots.items():
            self._groups.setdefault(slot.view, []).append(key)
        self._refuse_overlaps()

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
    def without_values(self) -> list[str]:
        """Non-persistent buffers on the meta device: no file has their values, and nothing here can make them."""
        names = []
        for path, module in self.module.named_modules():
            for name in module._non_persistent_buffers_set:  # noqa: SLF001
                buffer = module._buffers.get(name)  # noqa: SLF001
                if buffer is not None and buffer.device.type == "meta":
                    names.append(f"{path}.{name}" if path else name)
        return names

    @property
    def schema(self) -> dict[str, tuple[tuple[int, ...] | None, DType]]:
        """Name -> (shape, dtype); a shape of None takes any."""
        return {key: (slot.shape, slot.dtype) for key, slot in self.slots.items()}

    @property
    def ties(self) -> list[tuple[str, ...]]:
        """Names that are one and the same tensor, or the same view of the same memory."""
        return [tuple(keys) for keys in self._groups.values() if len(keys) > 1]

    def _refuse_overlaps(self) -> None:
        both = overlapping({keys[0]: view for view, keys in self._groups.items()})
        if both is not None:
            raise PlanError(
                f"{both[0]!r} and {both[1]!r} share a part of their memory",
                expected="all of it (a tie), or none",
                remedy="give one of them memory of its own (clone()) before loading",
            )


def optimizers_holding(replaced: Mapping[int, Any], slots: Iterable[Slot] = ()) -> list[tuple[str, int]]:
    """Return the live optimizers that still hold any of these tensors: class name, and how many they hold.

    They are looked for among all objects of the process only where something beside the `slots` refers to a
    tensor, since that takes as long as loading does.
    """
    import gc

    import torch

    held = _held_elsewhere(replaced, slots)
    if not held or (len(held) <= _FEW and not _in_a_list(held)):
        return []
    found = []
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.optim.Optimizer):
            groups = getattr(thing, "param_groups", ())
            count = sum(id(parameter) in replaced for group in groups for parameter in group["params"])
            if count:
                found.append((type(thing).__name__, count))
    return found


_FEW = 4  # for so many, asking who refers to them is quicker than a look at everything


def _held_elsewhere(replaced: Mapping[int, Any], slots: Iterable[Slot]) -> list[Any]:
    """The tensors that anything but the slots and the table itself refers to."""
    ours = Counter(id(slot.tensor) for slot in slots)
    return [old for old in replaced.values() if getrefcount(old) > ours[id(old)] + 3]  # the table, `old`, the argument


def _in_a_list(held: list[Any]) -> bool:
    """Whether any list but this one holds one of the tensors, as the groups of an optimizer do."""
    import gc

    return any(isinstance(holder, list) and holder is not held for holder in gc.get_referrers(*held))


def as_torch_value(value: Lazy, files: MappedFiles | None = None) -> Any:
    """Return the torch tensor of a lazy one, computed ones too; in place in `files` where they are given."""
    if value.absent and value.numel:
        raise UnsupportedError(
            f"values that are not there ({value.absent})", remedy="give a state dict with its values"
        )
    if isinstance(value, Tensor):
        if files is not None:
            value.check()
            in_place = files.tensor(value)
            if in_place is not None:
                return in_place
        return to_torch(value).detach()
    import torch

    values = value.numpy()
    dtype = getattr(torch, value.dtype.name, None)
    if dtype is None:
        raise UnsupportedError(f"this torch has no {value.dtype}", remedy="use a newer torch")
    if not value.numel:
        return torch.empty(value.shape, dtype=dtype)
    return torch.from_numpy(values.reshape(-1).view("uint8")).view(dtype).reshape(value.shape)


def is_module(value: Any) -> bool:
    """Whether a value is a live torch module, without importing torch where it is none."""
    return any(cls.__module__.startswith("torch.nn.modules") for cls in type(value).__mro__)
