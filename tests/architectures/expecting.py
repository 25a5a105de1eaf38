"""A state dict as JSON, told by torch: what the extracted file has to say, entry by entry."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import torch
from torch.nn.parameter import is_lazy


def expected(state_dict: Any) -> dict[str, Any]:
    """Return keys in order with dtype, shape and hash of the bytes, and the versions of the modules."""
    entries = [[key, value(item)] for key, item in state_dict.items()]
    return {"entries": entries, "versions": list(getattr(state_dict, "_metadata", {}).items())}


def value(item: Any) -> Any:
    """Return the description of one value; `seen.value` gives the same for what weightlift reads."""
    if isinstance(item, torch.Tensor):
        if is_lazy(item):
            return {"uninitialized": True}
        return _quantized(item) if item.is_quantized else _plain(item)
    if isinstance(item, tuple | list):
        return {type(item).__name__: [value(x) for x in item]}
    if isinstance(item, torch.dtype | torch.qscheme):
        return {"torch": str(item).removeprefix("torch.")}
    if isinstance(item, torch.ScriptObject):
        state, name = item.__getstate__()
        return {"script_object": name.removeprefix("__torch__.torch.classes."), "state": value(state)}
    if isinstance(item, float):
        return {"float": item.hex()}
    if item is None or isinstance(item, bool | int | str):
        return {"value": item}
    return {"unknown": repr(item)}


def _plain(tensor: torch.Tensor) -> dict[str, Any]:
    whole = tensor.detach().resolve_conj().resolve_neg().contiguous().flatten()
    data = whole.view(torch.uint8).numpy().tobytes() if whole.numel() else b""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sha256": sha256(data).hexdigest(),
    }


def _quantized(tensor: torch.Tensor) -> dict[str, Any]:
    packed = tensor.dtype in (torch.quint4x2, torch.quint2x4)
    scheme = str(tensor.qscheme()).removeprefix("torch.")
    about: dict[str, Any] = {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "qscheme": scheme,
        "sha256": sha256(bytes(tensor.untyped_storage())).hexdigest()
        if packed
        else _plain(tensor.int_repr())["sha256"],
    }
    if scheme == "per_tensor_affine":
        return about | {"scale": tensor.q_scale().hex(), "zero_point": tensor.q_zero_point()}
    scales, zeros = _plain(tensor.q_per_channel_scales()), _plain(tensor.q_per_channel_zero_points())
    return about | {"scales": scales, "zero_points": zeros, "axis": tensor.q_per_channel_axis()}
