"""numpy's arrays, scalars and dtypes. Arrays become tensors; what no tensor holds, a tensor of its bytes."""

from __future__ import annotations

import re
import sys

from ..dtypes import DTYPES
from ..errors import MalformedError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS
from ..tensors import Tensor
from ..tensors.as_numpy import numpy_dtype
from ..typed import TYPE_CHECKING, Any
from . import scalars

if TYPE_CHECKING:
    import numpy as np

    from .decoder import Decoder
    from .encoder import Encoder

Node = dict[str, Any]

_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)")
_RAW = re.compile(r"[<>|=]?([US][0-9]{1,9}|[mM]8(\[[0-9]{0,9}[A-Za-zμ]{1,7}\])?)")
_ML_DTYPES = {dtype.numpy for dtype in DTYPES.values() if dtype.numpy.startswith(("bfloat", "float8"))}


def _code(dtype: Any) -> str:
    """Return the name of a dtype in a document, or "" for one that cannot be written."""
    if dtype.name in _ML_DTYPES:
        return str(dtype.name)
    code: str = dtype.str
    if dtype.hasobject or dtype.names or dtype.subdtype or not dtype.itemsize or dtype.metadata:
        return ""
    return code if (_PLAIN.fullmatch(code) and _tensor_dtype(dtype)) or _RAW.fullmatch(code) else ""


def _tensor_dtype(dtype: Any) -> bool:
    return dtype.name in DTYPES and DTYPES[dtype.name].numpy == dtype.name


def _dtype(decoder: Decoder, code: Any) -> np.dtype[Any]:
    """Return the dtype of a name; numpy sees it only if it is of the form that is written."""
    import numpy as np

    code = decoder.text(code)
    if code in _ML_DTYPES:
        return numpy_dtype(DTYPES[code])
    if not _PLAIN.fullmatch(code) and not _RAW.fullmatch(code):
        raise MalformedError(f"the dtype {shown(code, 40)}", expected="a plain type of numpy")
    found: np.dtype[Any] = np.dtype(code)
    return found


def encode_dtype(encoder: Encoder, value: Any) -> Any:
    """`<f4`, or the name of a type of ml_dtypes."""
    code = _code(value) or (value.str if _RAW.fullmatch(value.str) else "")
    return {"$numpy_dtype": code} if code else encoder.refuse(f"is {shown(value, 60)}", "save its fields by name")


def decode_dtype(decoder: Decoder, node: Node) -> np.dtype[Any]:
    """The inverse of `encode_dtype`."""
    return _dtype(decoder, node["$numpy_dtype"])


def encode_number(encoder: Encoder, value: Any) -> Any:
    """A numpy scalar: its dtype and its bytes."""
    kind = type(value).__name__
    if kind in ("str_", "bytes_"):
        text = str.__str__(value) if kind == "str_" else bytes(value)
        return {"$number": encoder.value(text), "dtype": kind}
    code = _code(value.dtype)
    if not code:
        return encoder.refuse(f"is a numpy scalar of {value.dtype}", "save it as a Python value")
    return {"$number": value.tobytes().hex(), "dtype": code}


def decode_number(decoder: Decoder, node: Node) -> Any:
    """The inverse of `encode_number`."""
    import numpy as np

    if node.get("dtype") in ("str_", "bytes_"):
        text = decoder.value(node["$number"])
        if not isinstance(text, str if node["dtype"] == "str_" else bytes):
            raise MalformedError(f"{node['dtype']} of {shown(text, 40)}")
        return getattr(np, node["dtype"])(text)
    dtype = _dtype(decoder, node.get("dtype"))
    if dtype.kind in "US":
        raise MalformedError(f"a number of {dtype}", expected="str_ or bytes_")
    raw = scalars.hex_bytes(decoder.text(node["$number"]), dtype.itemsize)
    return np.frombuffer(raw, dtype)[0]


def encode_array(encoder: Encoder, value: Any) -> Any:
    """The name of the tensor that holds the elements, and what a tensor does not say: dtype, order, shape."""
    code = _code(value.dtype)
    if not code:
        if value.dtype.hasobject:
            return encoder.refuse("is an array of Python objects", "save it as a list")
        remedy = "save each field as an array" if value.dtype.names else "cast it to a type that torch has"
        return encoder.refuse(f"is an array of {value.dtype}", remedy)
    order = {"order": "F"} if value.flags.f_contiguous and not value.flags.c_contiguous else {}
    if _RAW.fullmatch(code):
        name = encoder.enter_bytes(value.tobytes())
        return {"$array": name, "dtype": code, "shape": list(value.shape), **order}
    entered = encoder.enter(value)
    return None if entered is None else {"$array": entered, "dtype": code, **order}


def encode_lazy_array(name: str, held: Tensor) -> Node:
    """A lazy tensor that was an array."""
    dtype = held.dtype
    code = dtype.numpy if dtype.numpy in _ML_DTYPES else numpy_dtype(dtype).str
    return {"$array": name, "dtype": code}


def decode_array(decoder: Decoder, node: Node) -> np.ndarray[Any, Any]:
    """The inverse of `encode_array`."""
    import numpy as np

    dtype = _dtype(decoder, node.get("dtype"))
    is_raw = dtype.kind in "USmM"
    order = node.get("order", "C")
    if order not in ("C", "F") or ("shape" in node) != is_raw:
        raise MalformedError(
            f"an array of {dtype} in the order {shown(order, 40)}", expected="C or F; a shape of bytes"
        )
    if is_raw:
        return np.asarray(_from_bytes(decoder, node, dtype), order=order)
    return np.asarray(_as_array(decoder.tensor(node["$array"], None), dtype), order=order)


def _from_bytes(decoder: Decoder, node: Node, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    shape = _shape(node["shape"])
    raw = bytearray(decoder.raw(node["$array"]))
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(raw) or not dtype.itemsize:
        raise MalformedError(f"an array {list(shape)} of {dtype} in {len(raw)} bytes")
    return np.ndarray(shape, dtype, raw)


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > DEFAULT_LIMITS.dimensions:
        raise MalformedError(f"the shape {shown(shape, 40)}", expected="a list of sizes")
    if any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape):
        raise MalformedError(f"the shape {shown(shape, 40)}", expected="sizes of 0 or more")
    return tuple(shape)


def _as_array(tensor: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the values of a lazy or torch tensor as an array of this dtype, of the same bits."""
    import numpy as np

    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        name = str(tensor.dtype).removeprefix("torch.")
        if name in _ML_DTYPES and name == dtype.name:  # torch hands numpy only what numpy itself has
            words = tensor.view(getattr(sys.modules["torch"], f"int{8 * dtype.itemsize}"))
            values: np.ndarray[Any, Any] = words.numpy().view(dtype)
            return values
    try:
        made = tensor.numpy()
    except (AttributeError, TypeError, WeightliftError):
        raise MalformedError(f"{shown(tensor, 60)} as an array", expected=f"a tensor of {dtype}") from None
    if made.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise MalformedError(f"a tensor of {made.dtype}", expected=f"one of {dtype}")
    return np.asarray(made).astype(dtype, copy=False)
