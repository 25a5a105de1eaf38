"""NumPy arrays, scalars and dtypes inside a pickle, as data.

Follows numpy's `ndarray.__reduce__` (version, shape, dtype, is_fortran, raw data) and the `.npy`
format description for type strings.
"""

from __future__ import annotations

from math import isnan
from struct import Struct

from ..dtypes import DTYPES, DType
from ..errors import PickleError, TensorError, shown
from ..pickles import Blob, Global, Object
from ..pickles.state import Rebuild
from ..sources import Memory, Source
from ..typed import Any
from ..values import replace
from .lazy import Storage, Tensor, rows_first

_BY_CODE = {
    "b1": "bool", "?": "bool", "u1": "uint8", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u2": "uint16", "u4": "uint32", "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64",
    "c8": "complex64", "c16": "complex128",
}  # fmt: skip
_SCALAR = {
    "bool": "?", "uint8": "B", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint16": "H",
    "uint32": "I", "uint64": "Q", "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip


class NumpyDType:
    """A pickled `numpy.dtype`: its code ("f4"), and after BUILD its byte order."""

    __slots__ = ("code", "little_endian")

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str | bytes):
            raise PickleError(f"numpy.dtype of {shown(code, 40)}", expected="a type string")
        text = code if isinstance(code, str) else code.decode("latin-1")
        self.little_endian = not text.startswith(">")
        self.code = text.lstrip("<>|=")

    def build(self, state: object) -> None:
        """Take the byte order from the state that `numpy.dtype.__reduce__` gives."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", b">"):
            self.little_endian = False

    @property
    def dtype(self) -> DType | None:
        """The element type, or None for strings, objects and records."""
        name = _BY_CODE.get(self.code)
        return DTYPES[name] if name else None

    def __repr__(self) -> str:
        return f"numpy.dtype({shown(self.code, 40)})"


class Array:
    """A pickled `numpy.ndarray`. Of a plain element type it is a tensor; else only its shape is told."""

    __slots__ = ("axes", "data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.dtype: NumpyDType | None = None
        self.fortran = False
        self.axes: tuple[int, ...] = ()
        self.data: Source | list[Any] = Memory(b"")

    def build(self, state: object) -> None:
        """Take (version, shape, dtype, is_fortran, data); version is missing in the oldest files."""
        fields = state[-4:] if isinstance(state, tuple) and len(state) in (4, 5) else None
        if fields is None:
            return  # a subclass with a state of its own: what it adds is not an array's
        shape, dtype, fortran, data = fields
        if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
            raise TensorError(f"numpy array of shape {shown(shape)}", expected="a tuple of sizes")
        self.shape = shape
        self.dtype = dtype if isinstance(dtype, NumpyDType) else None
        self.fortran = bool(fortran)
        if isinstance(data, list):
            self.data = data
        elif isinstance(data, Blob):
            self.data = data.source
        elif isinstance(data, bytes | bytearray | str):
            self.data = Memory(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data))
        else:
            raise TensorError(f"numpy array with data of type {type(data).__name__}", expected="bytes")

    @property
    def is_tensor(self) -> bool:
        """Whether the elements are plain numbers or booleans."""
        return self.dtype is not None and self.dtype.dtype is not None and isinstance(self.data, Source)

    def tensor(self) -> Tensor:
        """Return the array as a lazy tensor.

        Raises:
            TensorError: the elements are objects, strings or records.
        """
        if self.dtype is None or self.dtype.dtype is None or not isinstance(self.data, Source):
            raise TensorError(f"a numpy array of {self.dtype!r}", expected="numbers or booleans")
        storage = Storage("array", self.data.size, self.data, little_endian=self.dtype.little_endian)
        made = array_tensor(self.dtype.dtype, self.shape, storage, fortran=self.fortran)
        if not self.axes:
            return made
        return replace(
            made, shape=tuple(made.shape[i] for i in self.axes), stride=tuple(made.stride[i] for i in self.axes)
        )

    def __repr__(self) -> str:
        return f"<numpy array {list(self.shape)} {self.dtype!r}>"


def array_tensor(dtype: DType, shape: tuple[int, ...], storage: Storage, *, fortran: bool) -> Tensor:
    """Return the tensor of an array in C order, or in Fortran order (columns first)."""
    stride = tuple(reversed(rows_first(tuple(reversed(shape))))) if fortran else rows_first(shape)
    return Tensor(dtype, shape, stride, 0, storage, role="array")


def _array(cls: Any, shape: Any, typecode: Any) -> Array | Object:
    if isinstance(cls, Global) and cls.module.partition(".")[0] == "numpy":
        return Array()
    return Object(Global("numpy.core.multiarray", "_reconstruct"), (cls, shape, typecode), is_call=True, offset=0)


def _array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any = "C", axes: Any = None, *_: Any) -> Array:
    """`numpy._core.numeric._frombuffer`; order "K" gives the shape before its axes are permuted by `axes`."""
    made = Array()
    made.build((shape, dtype, order == "F", bytes(buffer) if isinstance(buffer, bytearray) else buffer))
    if order == "K" and axes is not None:
        if not isinstance(axes, tuple | list) or sorted(axes) != list(range(len(made.shape))):
            raise TensorError(f"axes {shown(axes)} of a numpy array", expected="each of its axes once")
        made.axes = tuple(axes)
    return made


def _numpy_scalar(dtype: Any, data: Any = b"") -> Any:
    """A numpy number as the Python number of the same value; other kinds stay a call."""
    kind = dtype.dtype if isinstance(dtype, NumpyDType) else None
    raw = data.encode("latin-1", "replace") if isinstance(data, str) else data
    if kind is None or not isinstance(raw, bytes) or kind.name not in (*_SCALAR, "complex64", "complex128"):
        return Object(Global("numpy.core.multiarray", "scalar"), (dtype, data), is_call=True, offset=0)
    if len(raw) != kind.itemsize:
        raise PickleError(f"a numpy {kind} of {len(raw)} bytes", expected=f"{kind.itemsize}")
    order = "<" if dtype.little_endian else ">"
    if kind.is_complex:
        return complex(*Struct(order + ("2f" if kind.name == "complex64" else "2d")).unpack(raw))
    value = Struct(order + _SCALAR[kind.name]).unpack(raw)[0]
    if kind.name == "float16" and isnan(value):
        return _nan_of_half(int.from_bytes(raw, "little" if dtype.little_endian else "big"))
    return value


def _nan_of_half(bits: int) -> float:
    """The NaN with the sign and payload of a half-precision one, which `struct` does not keep."""
    wide = (bits >> 15) << 63 | 0x7FF << 52 | (bits & 0x3FF) << 42
    nan: float = Struct(">d").unpack(wide.to_bytes(8, "big"))[0]
    return nan


ARRAY_VALUES: dict[str, Rebuild] = {
    "array": _array,
    "array_from_buffer": _array_from_buffer,
    "numpy_scalar": _numpy_scalar,
    "numpy_dtype": NumpyDType,
}
"""Rebuild name -> function. `known_globals` says which global each serves."""
