"""A state dict as JSON, told by weightlift: the same words as `expecting`, without torch."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from weightlift.pickles import Global
from weightlift.pickles.script_objects import script_state
from weightlift.tensors import Composite, Tensor


def seen(state_dict: Any) -> dict[str, Any]:
    """Return keys in order with dtype, shape and hash of the bytes, and the versions of the modules."""
    entries = [[key, value(item)] for key, item in state_dict.items()]
    return {"entries": entries, "versions": [list(pair) for pair in (state_dict.versions or {}).items()]}


def value(item: Any) -> Any:
    """Return the description of one value."""
    if isinstance(item, Tensor):
        return {"dtype": str(item.dtype), "shape": list(item.shape), "sha256": sha256(item.tobytes()).hexdigest()}
    if isinstance(item, Composite):
        return _quantized(item)
    if isinstance(item, tuple | list):
        return {type(item).__name__: [value(x) for x in item]}
    if isinstance(item, Global):
        return {item.module: item.name}
    if (script := script_state(item)) is not None:
        return {"script_object": script[0], "state": value(script[1])}
    if isinstance(item, float):
        return {"float": item.hex()}
    if item is None or isinstance(item, bool | int | str):
        return {"value": item}
    return {"unknown": repr(item)}


def _quantized(tensor: Composite) -> dict[str, Any]:
    held = tensor.parts["packed"] if "packed" in tensor.parts else tensor.parts["int_repr"]
    about = {
        "dtype": str(tensor.dtype),
        "shape": list(tensor.shape),
        "qscheme": tensor.attributes["qscheme"],
        "sha256": sha256(held.tobytes()).hexdigest(),
    }
    if about["qscheme"] == "per_tensor_affine":
        return about | {"scale": tensor.attributes["scale"].hex(), "zero_point": tensor.attributes["zero_point"]}
    parts = {name: value(tensor.parts[name]) for name in ("scales", "zero_points")}
    return about | parts | {"axis": tensor.attributes["axis"]}
