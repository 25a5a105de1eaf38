"""What torch's and numpy's rebuild functions would make, as lazy tensors.

Follows torch/_utils.py, torch/_tensor.py and torch/nn/parameter.py of 2.13; the argument lists of
older versions are shorter at the end.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..dtypes import DType, dtype_named
from ..errors import PickleError, TensorError, shown, worded
from ..pickles import Global, Object
from ..pickles.known_globals import REBUILDS
from ..pickles.python_values import PYTHON_VALUES
from ..pickles.state import Rebuild
from ..typed import Any
from ..values import dataclass, replace
from .arrays import ARRAY_VALUES
from .lazy import AnyTensor, Composite, Role, Storage, Tensor, rows_first

_INTEGERS = frozenset((int,))
QUANTIZED_AS = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}
PER_BYTE = {"quint4x2": 2, "quint2x4": 4}


@dataclass(frozen=True, slots=True)
class TypedStorage:
    """What a persistent id stands for: a storage, and the element type that the id names.

    `dtype` is None for untyped storages. `offset_bytes` is where a storage view begins in the whole
    storage: tensors on a view are tensors on the whole, further in, so that aliases stay aliases.
    """

    storage: Storage
    dtype: DType | None
    offset_bytes: int = 0

    def at(self, dtype: DType, offset: int) -> int:
        """Return the offset in elements of the whole storage of element `offset`."""
        if self.offset_bytes * 8 % dtype.bits:
            raise TensorError(f"a storage view that begins at byte {self.offset_bytes}", expected=f"whole {dtype}s")
        return offset + self.offset_bytes * 8 // dtype.bits


def rebuilders(**more: Rebuild) -> Mapping[Global, Rebuild]:
    """Return the table that a pickle machine needs: global -> what stands in for calling it.

    `more` adds what only one format can rebuild, by the names of `known_globals`.
    """
    named: dict[str, Rebuild] = {**PYTHON_VALUES, **ARRAY_VALUES, **TENSOR_VALUES, **more}
    return {Global(*key): named[name] for key, name in REBUILDS.items() if name in named}


_default: dict[Global, Rebuild] = {}


def _default_table() -> Mapping[Global, Rebuild]:
    if not _default:
        _default.update(rebuilders())
    return _default


def _sizes(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or len(value) > 64 or not _INTEGERS.issuperset(map(type, value)):
        raise TensorError(f"{what} {shown(value)}", expected="a tuple of at most 64 integers")
    if value and not -(1 << 63) <= min(value) <= max(value) < 1 << 63:
        raise TensorError(f"{what} {shown(value)}", expected="integers of 64 bits")
    return tuple(value)


def _index(value: Any, what: str) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise TensorError(f"{what} {shown(value)}", expected="an integer of 64 bits")
    return value


def dtype_of(value: Any) -> DType:
    """Return the dtype that a pickled `torch.float32` names."""
    if isinstance(value, Global) and value.module == "torch":
        return dtype_named(value.name)
    raise TensorError(f"{shown(value)} stands where a dtype should", expected="torch.<dtype>")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    if not isinstance(storage, TypedStorage) or storage.dtype is None:
        raise TensorError(f"a tensor on {shown(storage)}", expected="a storage of known element type")
    at = storage.at(storage.dtype, _index(offset, "storage offset"))
    return Tensor(storage.dtype, _sizes(size, "size"), _sizes(stride, "stride"), at, storage.storage)


def _tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any = False, hooks: Any = None, metadata: Any = None
) -> AnyTensor:
    made = _tensor(storage, offset, size, stride)
    flags = metadata if isinstance(metadata, dict) else {}
    if grad or flags:
        made = replace(made, requires_grad=grad is True, conj=flags.get("conj") is True, neg=flags.get("neg") is True)
    return made


def _tensor_v3(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> AnyTensor:
    if not isinstance(storage, TypedStorage):
        raise TensorError(f"a tensor on {shown(storage)}", expected="a storage")
    flags = metadata if isinstance(metadata, dict) else {}
    kind = dtype_of(dtype)
    return Tensor(
        kind,
        _sizes(size, "size"),
        _sizes(stride, "stride"),
        storage.at(kind, _index(offset, "storage offset")),
        storage.storage,
        requires_grad=grad is True,
        conj=flags.get("conj") is True,
        neg=flags.get("neg") is True,
    )


def _with_role(value: Any, role: Role, *, requires_grad: bool) -> AnyTensor:
    if not isinstance(value, Tensor | Composite):
        raise TensorError(f"a {role} of {shown(value)}", expected="a tensor")
    return value.with_role(role, requires_grad=requires_grad)


def _parameter(data: Any, grad: Any = True, hooks: Any = None, state: Any = None) -> AnyTensor:
    made = _with_role(data, "parameter", requires_grad=grad is True)
    return replace(made, extra=dict(state)) if isinstance(made, Tensor) and isinstance(state, dict) else made


def _old_parameter(data: Any = None, grad: Any = True, *_: Any) -> Any:
    if data is None:  # a Parameter that was never given data: an uninitialised lazy parameter
        return Object(Global("torch.nn.parameter", "Parameter"), (), is_call=True, offset=0)
    return _with_role(data, "parameter", requires_grad=grad is True)


def _qtensor(
    storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, grad: Any = False, hooks: Any = None
) -> Composite:
    """A quantised tensor: the stored integers, and how they map to real numbers."""
    plain = _tensor(storage, offset, size, stride)
    if not isinstance(quantizer, tuple) or not quantizer or not isinstance(quantizer[0], Global):
        raise TensorError(f"quantizer {shown(quantizer)}", expected="(scheme, scale, zero point, ...)")
    scheme = quantizer[0].name
    as_integer = QUANTIZED_AS.get(plain.dtype.name)
    parts = {"int_repr": replace(plain, dtype=dtype_named(as_integer))} if as_integer else {"packed": _packed(plain)}
    attributes: dict[str, Any] = {"qscheme": scheme}
    if len(quantizer) == 3:
        attributes |= {"scale": quantizer[1], "zero_point": quantizer[2]}
    elif len(quantizer) == 4:
        for name, value in zip(("scales", "zero_points"), quantizer[1:3], strict=True):
            if isinstance(value, Tensor):
                parts[name] = value
            else:
                attributes[name] = value
        attributes["axis"] = quantizer[3]
        zero_points = parts.get("zero_points")
        if scheme == "per_channel_affine" and zero_points is not None and zero_points.dtype.name.startswith("float"):
            # torch pickles both schemes under one name and tells them apart like this (aten quantizer factories)
            attributes["qscheme"] = "per_channel_affine_float_qparams"
    return Composite("quantized", plain.dtype, plain.shape, parts, attributes, requires_grad=grad is True)


def _packed(plain: Tensor) -> Tensor:
    """The bytes of a type whose elements share bytes; each row begins in a new one (c10/core/Storage)."""
    per_byte = PER_BYTE.get(plain.dtype.name)
    if per_byte is None or plain.offset or not plain.is_contiguous:
        raise TensorError(f"a view of quantised {plain.dtype}", expected="a whole tensor of a quantised type")
    shape = (*plain.shape[:-1], -(-plain.shape[-1] // per_byte)) if plain.shape else (1,)
    return Tensor(dtype_named("uint8"), shape, rows_first(shape), 0, plain.storage)


SPARSE_PARTS = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


def _sparse_tensor(layout: Any, data: Any) -> Composite:
    kind = layout.name.removeprefix("torch.") if isinstance(layout, Global) else ""
    names = SPARSE_PARTS.get(kind)
    if names is None or not isinstance(data, tuple) or len(data) < len(names) + 1:
        raise TensorError(
            f"a sparse tensor of layout {shown(layout, 40)}", expected=f"one of {', '.join(SPARSE_PARTS)}"
        )
    parts = dict(zip(names, data, strict=False))
    for name, part in parts.items():
        if not isinstance(part, Tensor):
            raise TensorError(f"{name} of a sparse tensor is {shown(part, 40)}", expected="a tensor")
    attributes = {}
    if kind == "sparse_coo":
        attributes["is_coalesced"] = data[3] if len(data) > 3 else None
    return Composite(kind, parts["values"].dtype, _sizes(data[len(names)], "size"), parts, attributes)


def _nested_tensor(buffer: Any, sizes: Any, strides: Any, offsets: Any) -> Composite:
    parts = {"values": buffer, "sizes": sizes, "strides": strides, "storage_offsets": offsets}
    for name, part in parts.items():
        if not isinstance(part, Tensor):
            raise TensorError(f"{name} of a nested tensor is {shown(part, 40)}", expected="a tensor")
    rows = sizes.shape[0] if sizes.shape else 0
    width = sizes.shape[1] if len(sizes.shape) == 2 else 0
    return Composite("nested", buffer.dtype, (rows, *(-1 for _ in range(width))), parts)


def _jagged_tensor(state: Any) -> Any:
    """`torch.nested` with the jagged layout: values and offsets, the ragged dimension is -1."""
    if not isinstance(state, dict):
        raise TensorError(f"a jagged tensor from {shown(state, 40)}", expected="a dict")
    parts = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    values = parts.get("values")
    if values is None or "offsets" not in parts:
        raise TensorError("a jagged tensor without values and offsets")
    ragged = state.get("_ragged_idx", 1)
    rest = list(values.shape)
    if isinstance(ragged, int) and 1 <= ragged <= len(rest):
        rest[ragged - 1] = -1
    rows = max(0, parts["offsets"].shape[0] - 1) if parts["offsets"].shape else 0
    return Composite("jagged", values.dtype, (rows, *rest), parts, {"ragged_idx": ragged})


def _meta_tensor(dtype: Any, size: Any, stride: Any, grad: Any = False) -> Tensor:
    kind, shape, steps = dtype_of(dtype), _sizes(size, "size"), _sizes(stride, "stride")
    probe = Tensor(kind, shape, steps, 0, Storage("meta", 0, device="meta", absent="meta"), requires_grad=grad is True)
    if len(shape) == len(steps):
        probe.storage.nbytes = max(0, probe.extent[1])
    return probe


def _wrapper_subclass(
    cls: Any, dtype: Any, size: Any, stride: Any, offset: Any, layout: Any, device: Any, grad: Any
) -> Composite:
    """A subclass that wraps others (DTensor ...); its parts come with the state, in `_from_type`."""
    return Composite(
        "wrapper",
        dtype_of(dtype),
        _sizes(size, "size"),
        {},
        requires_grad=grad is True,
        class_name=worded(cls) if not isinstance(cls, Global) else str(cls),
    )


def _from_type(fn: Any, cls: Any, args: Any, state: Any = None) -> Any:
    """A tensor with a class or attributes of its own: `fn(*args)` and then the state."""
    rebuild = _default_table().get(fn) if isinstance(fn, Global) else None
    if rebuild is None or not isinstance(args, tuple):
        return Object(fn, args if isinstance(args, tuple) else (args,), is_call=True, offset=0)
    try:
        made = rebuild(*args)
    except TypeError as error:
        raise PickleError(f"{fn} cannot take the arguments it is given ({error})") from None
    attributes = _state_attributes(state)
    class_name = "" if not isinstance(cls, Global) or cls == Global("torch", "Tensor") else str(cls)
    if isinstance(made, Composite):
        return (
            _wrapped(made, attributes, class_name) if made.layout == "wrapper" else replace(made, class_name=class_name)
        )
    if isinstance(made, Tensor):
        role: Role = "buffer" if attributes.get("_is_buffer") is True else made.role
        if class_name in ("torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"):
            role, class_name = ("parameter" if class_name.endswith("Parameter") else "buffer"), ""
        return replace(made, role=role, class_name=class_name, extra={worded(k): v for k, v in attributes.items()})
    return made


def _state_attributes(state: Any) -> dict[Any, Any]:
    """The Python attributes of a tensor: its `__dict__`, or (`__dict__`, slots)."""
    attributes: dict[Any, Any] = {}
    for layer in state if isinstance(state, tuple) else (state,):
        if isinstance(layer, dict):
            attributes |= layer
    return attributes


def _wrapped(made: Composite, attributes: dict[Any, Any], class_name: str) -> Composite:
    """A wrapper subclass with the tensors among its attributes as its parts."""
    parts: dict[str, Tensor] = {}
    for key, value in attributes.items():
        if isinstance(value, Tensor):
            parts[worded(key)] = value
        elif isinstance(value, Composite):
            parts |= {f"{worded(key)}.{name}": part for name, part in value.parts.items()}
    rest = {worded(k): v for k, v in attributes.items() if not isinstance(v, Tensor | Composite)}
    return replace(made, parts=parts, attributes=rest, class_name=class_name)


def _device_tensor(data: Any, dtype: Any = None, device: Any = None, grad: Any = False) -> AnyTensor:
    """A tensor of a device without storages (XLA, HPU): its values came as an array or CPU tensor."""
    from .arrays import Array

    made = data.tensor() if isinstance(data, Array) else data
    if not isinstance(made, Tensor | Composite):
        raise TensorError(f"a device tensor of {shown(data, 40)}", expected="an array or a tensor")
    # torch casts to `dtype` where it differs (bfloat16 came as a float32 array)
    if isinstance(made, Tensor) and dtype is not None and dtype_of(dtype) is not made.dtype:
        made = replace(made, cast=dtype_of(dtype))
    return replace(made, requires_grad=grad is True)


def _size(sizes: Any = ()) -> tuple[int, ...]:
    return _sizes(sizes, "torch.Size")


def _layout(name: Any) -> Global:
    if not isinstance(name, str):
        raise PickleError(f"layout {shown(name, 40)}", expected="a string")
    return Global("torch", name.removeprefix("torch."))


TENSOR_VALUES: dict[str, Rebuild] = {
    "tensor": _tensor,
    "tensor_v2": _tensor_v2,
    "tensor_v3": _tensor_v3,
    "parameter": _parameter,
    "old_parameter": _old_parameter,
    "qtensor": _qtensor,
    "sparse_tensor": _sparse_tensor,
    "nested_tensor": _nested_tensor,
    "jagged_tensor": _jagged_tensor,
    "meta_tensor": _meta_tensor,
    "wrapper_subclass": _wrapper_subclass,
    "from_type": _from_type,
    "device_tensor": _device_tensor,
    "size": _size,
    "layout": _layout,
}
"""Rebuild name -> function. `known_globals` says which global each serves."""
