"""What a state dict holds besides tensors, as torch has it: tuples, dtypes, packed parameters.

Quantised modules put these into their state dict and take them back from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UnsupportedError, WeightliftError, shown
from ..pickles import Global
from ..pickles.script_objects import script_state
from ..typed import Any
from .as_torch import _torch, mapping_to_torch
from .computed import Computed
from .lazy import AnyTensor, Composite, Tensor
from .torch_modules import as_torch_value

# The C++ classes that hold packed weights, and nothing else that a file may ask torch to build.
_PACKED_CLASSES = {
    *(f"quantized.{name}PackedParamsBase" for name in ("Linear", "Conv2d", "Conv3d", "Embedding")),
    "rnn.CellParamsBase",
    "sparse.LinearPackedParamsBase",
}


def values_to_torch(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return torch's form of every value by name; tensors that share a storage share it again.

    Raises:
        UnsupportedError: a value that torch cannot be handed, by its name.
    """
    flat: dict[str, AnyTensor] = {}
    seen: set[int] = set()
    for key, value in values.items():
        try:
            _collect(value, flat, seen)
        except RecursionError:
            raise UnsupportedError("a value that holds itself", where=repr(key)) from None
    made = mapping_to_torch(flat)
    again: dict[int, Any] = {}
    computed: dict[object, Any] = {}
    out = {}
    for key, value in values.items():
        try:
            if not isinstance(value, Computed):
                out[key] = _value(value, made, again)
                continue
            if value.view not in computed:
                computed[value.view] = as_torch_value(value)
            out[key] = computed[value.view]
        except WeightliftError as error:
            raise error.at(repr(key)) from None
    return out


def _collect(value: Any, flat: dict[str, AnyTensor], seen: set[int]) -> None:
    """Put every tensor inside a value into `flat`, under a name that `_value` finds again."""
    if isinstance(value, Tensor | Composite):
        flat[str(id(value))] = value
    elif isinstance(value, tuple | list | dict):
        waiting = value.values() if isinstance(value, dict) else value
        for item in waiting:
            if id(item) not in seen:
                _collect(item, flat, seen)
        seen.add(id(value))  # when it is through: what holds itself goes on until Python stops it
    elif (script := script_state(value)) is not None:
        _collect(script[1], flat, seen)


def _value(value: Any, made: Mapping[str, Any], again: dict[int, Any]) -> Any:
    """Return torch's form of a value; of one that is met twice, the same object twice."""
    if isinstance(value, Tensor | Composite):
        return made[str(id(value))]
    if isinstance(value, tuple | list | dict):
        if id(value) not in again:
            again[id(value)] = _container(value, made, again)
        return again[id(value)]
    if isinstance(value, Global):
        return _named(value)
    if (script := script_state(value)) is not None:
        return _script_object(script[0], _value(script[1], made, again))
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | bytearray):
        return value
    raise UnsupportedError(f"{shown(value)}", expected="tensors or plain data")


def _container(value: Any, made: Mapping[str, Any], again: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _value(item, made, again) for key, item in value.items()}
    items = [_value(item, made, again) for item in value]
    return tuple(items) if isinstance(value, tuple) else items


def _named(value: Global) -> Any:
    """A dtype, quantisation scheme or memory layout of torch."""
    torch = _torch()
    found = getattr(torch, value.name, None) if value.module == "torch" else None
    if not isinstance(found, torch.dtype | torch.qscheme | torch.layout | torch.memory_format):
        raise UnsupportedError(f"{value}", expected="a dtype, scheme or layout of torch")
    return found


def _script_object(class_name: str, state: Any) -> Any:
    """Packed parameters, made by torch from their state."""
    torch = _torch()
    if class_name not in _PACKED_CLASSES:
        raise UnsupportedError(f"a script object {class_name}", expected=f"one of {', '.join(sorted(_PACKED_CLASSES))}")
    made = torch.ScriptObject.__new__(torch.ScriptObject)
    try:
        made.__setstate__((state, f"__torch__.torch.classes.{class_name}"))
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise UnsupportedError(f"torch cannot make a {class_name} of its state ({reason:.160})") from None
    return made
