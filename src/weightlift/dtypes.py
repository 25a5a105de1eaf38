"""The one table of element types: torch name, width, safetensors code, numpy name, storage class.

Widths follow `torch.dtype.itemsize` (c10/core/ScalarType.h); codes follow the safetensors format
description; storage classes are the typed storages that torch.save still names in its pickles.
"""

from __future__ import annotations

from .errors import TensorError
from .values import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. `bits` is the width of one element; below 8 several share a byte.

    `numpy` names a numpy or ml_dtypes type ("" where neither has one). `quantized` types hold
    integers that mean nothing without a scale and a zero point.
    """

    name: str
    bits: int
    safetensors: str = ""
    numpy: str = ""
    storage_class: str = ""
    quantized: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of one element; for packed types, of the smallest addressable group."""
        return max(1, self.bits // 8)

    @property
    def is_complex(self) -> bool:
        """Whether an element is a pair of real and imaginary part."""
        return "complex" in self.name

    def nbytes(self, numel: int) -> int:
        """Bytes that `numel` elements take without gaps."""
        return (numel * self.bits + 7) // 8

    def __str__(self) -> str:
        return self.name


_TABLE = (
    # name, bits, safetensors, numpy, legacy storage class, quantized
    DType("bool", 8, "BOOL", "bool", "BoolStorage"),
    DType("uint8", 8, "U8", "uint8", "ByteStorage"),
    DType("int8", 8, "I8", "int8", "CharStorage"),
    DType("int16", 16, "I16", "int16", "ShortStorage"),
    DType("int32", 32, "I32", "int32", "IntStorage"),
    DType("int64", 64, "I64", "int64", "LongStorage"),
    DType("uint16", 16, "U16", "uint16"),
    DType("uint32", 32, "U32", "uint32"),
    DType("uint64", 64, "U64", "uint64"),
    DType("float16", 16, "F16", "float16", "HalfStorage"),
    DType("bfloat16", 16, "BF16", "bfloat16", "BFloat16Storage"),
    DType("float32", 32, "F32", "float32", "FloatStorage"),
    DType("float64", 64, "F64", "float64", "DoubleStorage"),
    DType("complex32", 32),
    DType("bcomplex32", 32),
    DType("complex64", 64, "C64", "complex64", "ComplexFloatStorage"),
    DType("complex128", 128, "", "complex128", "ComplexDoubleStorage"),
    DType("float8_e4m3fn", 8, "F8_E4M3", "float8_e4m3fn"),
    DType("float8_e5m2", 8, "F8_E5M2", "float8_e5m2"),
    DType("float8_e4m3fnuz", 8, "F8_E4M3FNUZ", "float8_e4m3fnuz"),
    DType("float8_e5m2fnuz", 8, "F8_E5M2FNUZ", "float8_e5m2fnuz"),
    DType("float8_e8m0fnu", 8, "F8_E8M0", "float8_e8m0fnu"),
    DType("float4_e2m1fn_x2", 8),
    DType("float4_e2m1fn", 4, "F4"),
    DType("float6_e2m3fn", 6, "F6_E2M3"),
    DType("float6_e3m2fn", 6, "F6_E3M2"),
    DType("qint8", 8, "", "int8", "QInt8Storage", quantized=True),
    DType("quint8", 8, "", "uint8", "QUInt8Storage", quantized=True),
    DType("qint32", 32, "", "int32", "QInt32Storage", quantized=True),
    DType("quint4x2", 4, "", "", "QUInt4x2Storage", quantized=True),
    DType("quint2x4", 2, "", "", "QUInt2x4Storage", quantized=True),
    DType("bits8", 8),
    DType("bits16", 16),
    DType("bits1x8", 8),
    DType("bits2x4", 8),
    DType("bits4x2", 8),
    *(DType(f"{sign}int{bits}", 8) for sign in ("", "u") for bits in range(1, 8)),
)

DTYPES = {dtype.name: dtype for dtype in _TABLE}
BY_SAFETENSORS = {dtype.safetensors: dtype for dtype in _TABLE if dtype.safetensors}
BY_STORAGE_CLASS = {dtype.storage_class: dtype for dtype in _TABLE if dtype.storage_class}

# Other spellings of torch's own (`torch.half` is `torch.float16`); a pickle may name either.
_ALIASES = {
    "double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32",
    "short": "int16", "cfloat": "complex64", "cdouble": "complex128", "chalf": "complex32",
}  # fmt: skip


def dtype_named(name: str) -> DType:
    """Return the type that torch calls `name` ("float32", or its other spelling "float")."""
    found = DTYPES.get(_ALIASES.get(name, name))
    if found is None:
        raise TensorError(f"unknown dtype {name!r}", expected="a dtype of torch")
    return found
