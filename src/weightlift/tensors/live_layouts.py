"""Live torch tensors that are made of tensors, as `Composite`s: the parts and attributes that a saved file has.

The layouts are those of `rebuild`, so that `as_torch` gives the same tensor back.
"""

from __future__ import annotations

from collections.abc import Callable

from ..dtypes import dtype_named
from ..errors import UnsupportedError
from ..pickles import Global
from ..typed import Any
from ..values import replace
from .lazy import Composite, Role, Tensor, rows_first
from .rebuild import PER_BYTE, QUANTIZED_AS, SPARSE_PARTS

Plain = Callable[[str, Any], Tensor]
"""(name, strided torch tensor) -> the lazy tensor."""

_FLATTENED = ("torchao.", "optimum.quanto.", "torch.sparse.semi_structured.", "torch.testing._internal.two_tensor.")
"""Where the subclasses come from that are wholly told by `__tensor_flatten__`."""


def composite_of(name: str, value: Any, plain: Plain, flatten: tuple[str, ...] = ()) -> Composite | None:
    """Return the composite of a live tensor that is not one strided view, or None for one that is.

    Raises:
        UnsupportedError: a layout or tensor subclass that cannot be told by its parts.
    """
    import torch

    layout = str(value.layout).removeprefix("torch.")
    if hasattr(value, "__tensor_flatten__"):
        made = _jagged(name, value, plain) if layout == "jagged" else _flattened(name, value, plain, flatten)
    elif layout in SPARSE_PARTS:
        made = _sparse(name, layout, value, plain)
    elif value.is_nested:
        made = _nested(name, value, plain)
    elif value.is_quantized:
        made = _quantized(name, value, plain)
    elif value.layout == torch.strided:
        return None
    else:
        raise UnsupportedError(f"{name!r} is a live {value.layout} tensor", remedy="give an ordinary tensor")
    role: Role = "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
    return replace(made, role=role, requires_grad=value.requires_grad)


def _sparse(name: str, layout: str, value: Any, plain: Plain) -> Composite:
    held = value.detach()
    methods = {"indices": "_indices", "values": "_values"} if layout == "sparse_coo" else {}  # as they are, uncoalesced
    parts = {part: plain(f"{name}.{part}", getattr(held, methods.get(part, part))()) for part in SPARSE_PARTS[layout]}
    attributes = {"is_coalesced": held.is_coalesced()} if layout == "sparse_coo" else {}
    return Composite(layout, parts["values"].dtype, tuple(value.shape), parts, attributes)


def _nested(name: str, value: Any, plain: Plain) -> Composite:
    held = value.detach()
    found = {
        "values": held.values(),
        "sizes": held._nested_tensor_size(),  # noqa: SLF001 - what torch.save itself takes
        "strides": held._nested_tensor_strides(),  # noqa: SLF001
        "storage_offsets": held._nested_tensor_storage_offsets(),  # noqa: SLF001
    }
    parts = {part: plain(f"{name}.{part}", tensor) for part, tensor in found.items()}
    rows, width = (*found["sizes"].shape, 0)[:2]
    return Composite("nested", parts["values"].dtype, (rows, *(-1 for _ in range(width))), parts)


def _jagged(name: str, value: Any, plain: Plain) -> Composite:
    found = {"values": value._values, "offsets": value._offsets, "lengths": value._lengths}  # noqa: SLF001
    parts = {part: plain(f"{name}.{part}", tensor.detach()) for part, tensor in found.items() if tensor is not None}
    ragged = value._ragged_idx  # noqa: SLF001
    rest = list(parts["values"].shape)
    rest[ragged - 1] = -1
    rows = parts["offsets"].shape[0] - 1
    return Composite("jagged", parts["values"].dtype, (rows, *rest), parts, {"ragged_idx": ragged})


def _quantized(name: str, value: Any, plain: Plain) -> Composite:
    import torch

    whole = plain(name, value)
    kind = whole.dtype.name
    if kind in QUANTIZED_AS:
        parts = {"int_repr": replace(whole, dtype=dtype_named(QUANTIZED_AS[kind]), class_name="")}
    elif whole.offset or not whole.is_contiguous:
        raise UnsupportedError(f"{name!r} is a view of a {kind} tensor", remedy="give the whole tensor")
    else:  # elements share bytes, and each row begins in a new one
        shape = (*whole.shape[:-1], -(-whole.shape[-1] // PER_BYTE[kind])) if whole.shape else (1,)
        parts = {"packed": Tensor(dtype_named("uint8"), shape, rows_first(shape), 0, whole.storage)}
    scheme = str(value.qscheme()).removeprefix("torch.")
    attributes: dict[str, Any] = {"qscheme": scheme}
    if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        attributes |= {"scale": value.q_scale(), "zero_point": value.q_zero_point()}
    else:
        parts["scales"] = plain(f"{name}.scales", value.q_per_channel_scales())
        parts["zero_points"] = plain(f"{name}.zero_points", value.q_per_channel_zero_points())
        attributes["axis"] = value.q_per_channel_axis()
    return Composite("quantized", whole.dtype, whole.shape, parts, attributes)


def _flattened(name: str, value: Any, plain: Plain, allowed: tuple[str, ...]) -> Composite:
    """A subclass that wraps others, as its parts by name; those of a wrapped one are `outer.inner`."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind.endswith(".DTensor"):
        raise UnsupportedError(
            f"{name!r} is a DTensor, of which this process has a part", remedy="save it from every rank together"
        )
    if kind not in allowed and not kind.startswith(_FLATTENED):
        raise UnsupportedError(
            f"{name!r} is a {kind}, and nobody has said that its parts are all of it",
            remedy="give an ordinary tensor of its values",
        )
    names, context = value.__tensor_flatten__()
    parts: dict[str, Tensor] = {}
    attributes = {"context": _plain_context(name, context)}
    for part in names:
        tensor = getattr(value, part)
        inner = composite_of(f"{name}.{part}", tensor, plain, allowed)
        if inner is None:
            parts[part] = plain(f"{name}.{part}", tensor)
        else:
            parts |= {f"{part}.{key}": held for key, held in inner.parts.items()}
            attributes[part] = {"layout": inner.layout, "class": inner.class_name, **inner.attributes}
    dtype = dtype_named(str(value.dtype).removeprefix("torch."))
    return Composite("wrapper", dtype, tuple(value.shape), parts, attributes, class_name=kind)


def _plain_context(name: str, context: Any, depth: int = 0) -> Any:
    """What `__tensor_flatten__` tells beside the tensors, as data that a file can hold."""
    import torch

    if context is None or type(context) in (bool, int, float, str, bytes):
        return context
    if isinstance(context, torch.dtype | torch.layout | torch.qscheme | torch.memory_format):
        return Global("torch", str(context).removeprefix("torch."))
    if depth < 20 and type(context) in (tuple, torch.Size):
        return tuple(_plain_context(name, item, depth + 1) for item in context)
    if depth < 20 and type(context) is list:
        return [_plain_context(name, item, depth + 1) for item in context]
    if depth < 20 and type(context) is dict:
        return {_plain_context(name, key, depth + 1): _plain_context(name, v, depth + 1) for key, v in context.items()}
    raise UnsupportedError(
        f"{name!r} keeps a {type(context).__qualname__} beside its parts",
        remedy="give an ordinary tensor of its values",
    )
