"""Numbers, text and bytes that JSON has no exact word for."""

from __future__ import annotations

import base64
import struct

from ..errors import MalformedError, shown
from ..typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

EXACT = (1 << 53) - 1
"""The largest integer that every JSON reader gives back as it is."""

_BLOB_NBYTES = 1 << 16  # from here on bytes become a tensor: JSON is no place for more

Node = dict[str, Any]


def encode_int(_: Encoder, value: int) -> Node:
    """Hexadecimal: takes linear time, and Python has no limit of digits for it."""
    return {"$int": hex(value)}


def decode_int(decoder: Decoder, node: Node) -> int:
    """The inverse of `encode_int`."""
    digits = decoder.text(node["$int"])
    if not digits.lstrip("-").startswith("0x") or "_" in digits:
        raise MalformedError(f"the integer {shown(digits, 40)}", expected="hexadecimal digits after 0x")
    return int(digits, 16)


def encode_float(_: Encoder, value: float) -> Node:
    """The 64 bits in hexadecimal, highest first: NaN with its payload, infinities, -0.0."""
    return {"$float": struct.pack(">d", value).hex()}


def decode_float(decoder: Decoder, node: Node) -> float:
    """The inverse of `encode_float`."""
    value: float = struct.unpack(">d", hex_bytes(decoder.text(node["$float"]), 8))[0]
    return value


def encode_text(_: Encoder, value: str) -> Node:
    """The bytes of UTF-8 with lone surrogates as if they were characters."""
    return {"$text": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")}


def decode_text(decoder: Decoder, node: Node) -> str:
    """The inverse of `encode_text`."""
    return _from_base64(decoder.text(node["$text"])).decode("utf-8", "surrogatepass")


def encode_complex(encoder: Encoder, value: complex) -> Node:
    """Both parts as floats."""
    return {"$complex": [encoder.value(value.real), encoder.value(value.imag)]}


def decode_complex(decoder: Decoder, node: Node) -> complex:
    """The inverse of `encode_complex`."""
    parts = decoder.items(node["$complex"])
    if [type(part) for part in parts] != [float, float]:
        raise MalformedError(f"a complex number of {shown(parts, 40)}", expected="two floats")
    return complex(*parts)


def encode_bytes(encoder: Encoder, value: bytes) -> Node:
    """Base64, or a tensor of bytes where there are many."""
    return {"$bytes": blob(encoder, value)}


def decode_bytes(decoder: Decoder, node: Node) -> bytes:
    """The inverse of `encode_bytes`."""
    return blob_bytes(decoder, next(iter(node.values())))


def encode_bytearray(encoder: Encoder, value: bytearray) -> Node:
    """As bytes."""
    return {"$bytearray": blob(encoder, bytes(value))}


def decode_bytearray(decoder: Decoder, node: Node) -> bytearray:
    """The inverse of `encode_bytearray`."""
    return bytearray(blob_bytes(decoder, node["$bytearray"]))


def blob(encoder: Encoder, raw: bytes) -> str | Node:
    """Return the form of a run of bytes: base64 text, or the name of the tensor that holds them."""
    if len(raw) < _BLOB_NBYTES:
        return base64.b64encode(raw).decode("ascii")
    return {"tensor": encoder.enter_bytes(raw)}


def blob_bytes(decoder: Decoder, content: Any) -> bytes:
    """Return the bytes of a `blob`."""
    if isinstance(content, dict) and list(content) == ["tensor"]:
        return decoder.raw(content["tensor"])
    return _from_base64(decoder.text(content))


def hex_bytes(text: str, nbytes: int) -> bytes:
    """Return `nbytes` bytes from hexadecimal text."""
    if len(text) != 2 * nbytes:
        raise MalformedError(f"the digits {shown(text, 40)}", expected=f"{2 * nbytes} of them")
    return bytes.fromhex(text)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
