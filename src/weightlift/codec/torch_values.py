"""Tensors, live and lazy, and torch's own small values. torch is used where it is loaded, and never imported."""

from __future__ import annotations

import re
import sys

from ..dtypes import DTYPES
from ..errors import MalformedError, shown
from ..limits import DEFAULT_LIMITS
from ..pickles import Global, Object
from ..tensors import Composite, Tensor
from ..tensors.lazy import is_dense
from ..typed import TYPE_CHECKING, Any
from .arrays import encode_lazy_array

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

Node = dict[str, Any]

LAZY = (
    "weightlift.tensors.lazy.Tensor",
    "weightlift.tensors.lazy.Composite",
    "weightlift.tensors.computed.Computed",
)
NAMED = tuple(f"torch.{name}" for name in ("dtype", "layout", "memory_format", "qscheme"))

TORCH_NAMES = {
    *DTYPES,
    *("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged", "_mkldnn"),
    *("contiguous_format", "channels_last", "channels_last_3d", "preserve_format"),
    *("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric"),
    "per_channel_affine_float_qparams",
}
_DEVICE = re.compile(r"[a-z]{1,20}(:[0-9]{1,4})?")


def _torch() -> Any:
    """Return torch where the program has loaded it, or None."""
    return sys.modules.get("torch")


def encode_named(encoder: Encoder, value: Any) -> Any:
    """The name of a dtype, layout, memory format or quantisation scheme."""
    name = str(value).removeprefix("torch.")
    if name not in TORCH_NAMES:
        return encoder.refuse(f"is {shown(value, 60)}", "save its name")
    return {"$torch": name}


def decode_named(decoder: Decoder, node: Node) -> Any:
    """The inverse of `encode_named`; without torch, or with one that lacks it, the inert `Global` of that name."""
    name = decoder.text(node["$torch"])
    if name not in TORCH_NAMES:
        raise MalformedError(f"torch.{shown(name, 40)}", expected="a dtype, layout, memory format or scheme")
    return vars(_torch()).get(name, Global("torch", name)) if _torch() else Global("torch", name)


def encode_size(encoder: Encoder, value: Any) -> Any:
    """The sizes."""
    if any(type(size) is not int for size in value):
        return encoder.refuse("is a shape with symbolic sizes", "save it as tuple(int(n) for n in shape)")
    return {"$size": [encoder.value(size) for size in value]}


def decode_size(decoder: Decoder, node: Node) -> tuple[int, ...]:
    """The inverse of `encode_size`; without torch a tuple."""
    sizes = decoder.items(node["$size"])
    if any(type(size) is not int or not -(1 << 63) <= size < 1 << 63 for size in sizes):
        raise MalformedError(f"sizes {shown(sizes, 60)}", expected="integers of 64 bits")
    made: tuple[int, ...] = _torch().Size(sizes) if _torch() else tuple(sizes)
    return made


def encode_device(_: Encoder, value: Any) -> Node:
    """`cuda:0`."""
    return {"$device": str(value)}


def decode_device(decoder: Decoder, node: Node) -> Any:
    """The inverse of `encode_device`; without torch the inert call that makes it."""
    name = decoder.text(node["$device"])
    if not _DEVICE.fullmatch(name):
        raise MalformedError(f"the device {shown(name, 40)}", expected="a type and an index")
    if not _torch():
        return Object(Global("torch", "device"), (name,), is_call=True, offset=0)
    try:
        return _torch().device(name)
    except RuntimeError:
        raise MalformedError(f"the device {shown(name, 40)}", expected="one that torch knows") from None


def encode_tensor(encoder: Encoder, value: Any) -> Any:
    """The name of the tensor in the data files, the stride it had where that is dense, and its role."""
    name = encoder.enter(value)
    if name is None:
        return None
    held = encoder.tensors[name]
    if isinstance(held, Tensor) and held.role == "array":
        return encode_lazy_array(name, held)
    made: Node = {"$tensor": name}
    if isinstance(held, Tensor) and is_permuted(held):
        made["stride"] = list(held.stride)
    if isinstance(held, Tensor | Composite):
        if held.role == "parameter":
            made["parameter"] = True
        if held.requires_grad != (held.role == "parameter"):
            made["requires_grad"] = held.requires_grad
    return made


def is_permuted(tensor: Tensor) -> bool:
    """Whether the elements lie without gaps or overlaps, and in another order than rows first."""
    return not tensor.is_contiguous and is_dense(tensor.shape, tensor.stride)


def decode_tensor(decoder: Decoder, node: Node) -> Any:
    """What the caller puts in place of the tensor, in the role it had."""
    stride = node.get("stride")
    if stride is not None:
        _check_stride(stride)
    parameter, grad = node.get("parameter", False), node.get("requires_grad", node.get("parameter", False))
    if type(parameter) is not bool or type(grad) is not bool:
        raise MalformedError("a tensor's role", expected="true or false")
    made = decoder.tensor(node["$tensor"], None if stride is None else tuple(stride))
    if not parameter and not grad:
        return made
    if isinstance(made, Tensor | Composite):
        return made.with_role("parameter" if parameter else made.role, requires_grad=grad)
    torch = _torch()
    if torch is None or not isinstance(made, torch.Tensor):
        return made
    try:
        plain = made.detach()
        return torch.nn.Parameter(plain, requires_grad=grad) if parameter else plain.requires_grad_(grad)
    except RuntimeError:
        raise MalformedError(f"a gradient for a tensor of {made.dtype}", expected="floating point") from None


def _check_stride(stride: Any) -> None:
    if not isinstance(stride, list) or len(stride) > DEFAULT_LIMITS.dimensions:
        raise MalformedError(f"strides {shown(stride, 40)}", expected="a list, one for each dimension")
    if any(type(step) is not int or not 0 <= step < 1 << 63 for step in stride):
        raise MalformedError(f"strides {shown(stride, 40)}", expected="integers of 0 or more")
