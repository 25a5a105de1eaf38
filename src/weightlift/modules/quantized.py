"""What quantised modules put into their state dict, which their classes compute when asked.

Scales and zero points are Python numbers that become 0-d tensors; weights and biases lie packed in
script objects, whose pickled state is unpacked already. Each function here follows one
`_save_to_state_dict` of torch/ao/nn/quantized.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

from ..dtypes import DTYPES
from ..errors import TensorError, shown
from ..pickles import Global, Object
from ..pickles.script_objects import script_state
from ..sources import Memory
from ..tensors import Composite, Storage, Tensor
from ..tensors.lazy import contiguous
from ..typed import Any

Entries = list[tuple[str, Any]]


def attributes(*names: str) -> Callable[[Object], Entries]:
    """Return a function that gives those attributes of a module which the file has."""

    def entries(module: Object) -> Entries:
        held = module.attributes
        return [(name, held[name]) for name in names if name in held]

    return entries


def scale_and_zero_point(module: Object) -> Entries:
    """`Linear`, `QFunctional`: two numbers, as 0-d tensors."""
    held = module.attributes
    return [(name, number_tensor(held[name], name)) for name in ("scale", "zero_point") if name in held]


def conv(module: Object) -> Entries:
    """Every `Conv`: its state is a tuple; weight, bias, scale and zero point come 11th to 14th.

    Raises:
        TensorError: the state is no such tuple.
    """
    state = module.state
    if not isinstance(state, tuple) or len(state) < 14:
        raise TensorError(f"the state of {module!r} is {shown(state, 60)}", expected="a tuple of at least 14 values")
    weight, bias, scale, zero_point = state[10:14]
    return [
        ("weight", _tensor(weight, "weight")),
        ("bias", bias if bias is None else _tensor(bias, "bias")),
        ("scale", number_tensor(scale, "scale")),
        ("zero_point", number_tensor(zero_point, "zero_point")),
    ]


def linear_packed_params(module: Object) -> Entries:
    """`LinearPackedParams`: its dtype, and the pair of weight and bias.

    Raises:
        TensorError: the packed state is no pair.
    """
    held = module.attributes
    _, state = _packed(held.get("_packed_params"), "_packed_params")
    if not isinstance(state, tuple) or len(state) != 2:
        raise TensorError(f"packed parameters {shown(state, 60)}", expected="(weight, bias)")
    weight, bias = state
    pair = (_tensor(weight, "weight"), bias if bias is None else _tensor(bias, "bias"))
    return [("dtype", held.get("dtype", Global("torch", "qint8"))), ("_packed_params", pair)]


def embedding_packed_params(module: Object) -> Entries:
    """`EmbeddingPackedParams`: its dtype, and the one tensor that is packed.

    Raises:
        TensorError: the packed state holds no tensor.
    """
    held = module.attributes
    _, state = _packed(held.get("_packed_weight"), "_packed_weight")
    tensors = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if not isinstance(tensors, list) or not tensors:
        raise TensorError(f"packed weight {shown(state, 60)}", expected="(version, [weight], ...)")
    weight = _tensor(tensors[0], "_packed_weight")
    return [("dtype", held.get("dtype", Global("torch", "quint8"))), ("_packed_weight", weight)]


def reference_weight(module: Object) -> Entries:
    """The reference modules: how the weight is to be quantised, scheme and dtype first."""
    held = module.attributes
    if "weight_qscheme" not in held:
        return []
    buffers = held.get("_buffers")
    found = buffers if isinstance(buffers, dict) else {}
    scheme = held["weight_qscheme"]
    out: Entries = [("weight_qscheme", scheme), ("weight_dtype", held.get("weight_dtype"))]
    if scheme is not None:
        names = ["weight_scale", "weight_zero_point"]
        if scheme == Global("torch", "per_channel_affine"):
            names.append("weight_axis")
        out += [(name, found[name]) for name in names if name in found]
    return out


def sparse_dynamic_linear(module: Object) -> Entries:
    """`nn.sparse.quantized.dynamic.Linear`: a word for its kind."""
    return [("op_type", module.attributes.get("_op_type", "sparse_dynamic"))]


def sparse_packed_params(module: Object) -> Entries:
    """`nn.sparse.quantized.LinearPackedParams`: its dtype, and its blocks as they are packed."""
    state = module.state
    packed, dtype = (state[0], state[2]) if isinstance(state, tuple) and len(state) == 3 else (None, None)
    _packed(packed, "_packed_params")
    return [("dtype", dtype), ("_packed_params", packed)]


def number_tensor(value: Any, name: str) -> Any:
    """Return `torch.tensor(value)` of a Python number: float32, int64 or bool, of shape ().

    Raises:
        TensorError: it is no number, or an integer that 64 bits cannot hold.
    """
    if isinstance(value, Tensor | Composite):
        return value
    if isinstance(value, bool):
        dtype, data = "bool", bytes([value])
    elif isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        dtype, data = "int64", value.to_bytes(8, "little", signed=True)
    elif isinstance(value, float):
        dtype, data = "float32", _float32(value)
    else:
        raise TensorError(f"{name} is {shown(value, 60)}", expected="a number of at most 64 bits")
    return contiguous(DTYPES[dtype], (), Storage(name, len(data), Memory(data)))


def _float32(value: float) -> bytes:
    try:
        return pack("<f", value)
    except OverflowError:  # torch rounds to infinity, struct refuses
        return pack("<f", float("inf") if value > 0 else float("-inf"))


def _packed(value: Any, name: str) -> tuple[str, Any]:
    found = script_state(value)
    if found is None:
        raise TensorError(f"{name} is {shown(value, 60)}", expected="a script object")
    return found


def _tensor(value: Any, name: str) -> Tensor | Composite:
    if isinstance(value, Tensor | Composite):
        return value
    raise TensorError(f"{name} is {shown(value, 60)}", expected="a tensor")
