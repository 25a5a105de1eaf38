"""Arrays that joblib writes into the middle of a pickle: where one ends, and the pickle goes on.

Follows joblib/numpy_pickle.py: after the BUILD of a `NumpyArrayWrapper` come, since 1.2, one byte of
padding length and the padding, then the elements; an array of objects is a pickle of its own.
"""

from __future__ import annotations

from ..errors import PickleError, TruncatedError, shown
from ..sources import Source
from ..typed import Any
from .nodes import Global, Object

WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE = Global("numpy", "dtype")


def holds_objects(state: Any) -> bool:
    """Whether the array after a wrapper of this state is a pickle of its own."""
    return _code(state)[:1] == "O"


def end_of_array(source: Source, at: int, state: Any) -> int:
    """Return where the elements end that begin, padding first, at `at`. Reads one byte.

    Raises:
        PickleError: the state describes no array. TruncatedError: it reaches past the end.
    """
    shape = state.get("shape")
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise PickleError(f"an array of shape {shown(shape, 60)}", expected="a tuple of sizes")
    nbytes = _itemsize(_code(state))
    for size in shape[:64]:
        nbytes *= size
    if state.get("numpy_array_alignment_bytes") is not None:
        at += 1 + source.read_at(at, 1)[0]
    if nbytes > source.size - at:
        raise TruncatedError(f"an array of {nbytes} bytes reaches past the end", expected="a complete file")
    return at + nbytes


def _code(state: Any) -> str:
    """The kind and size of the elements: "f8", "O8", "U10"."""
    dtype = state.get("dtype") if isinstance(state, dict) else None
    if not isinstance(dtype, Object) or dtype.fn != _DTYPE or not dtype.args or not isinstance(dtype.args[0], str):
        raise PickleError(f"an array of {shown(dtype, 60)}", expected="a numpy dtype")
    return dtype.args[0]


def _itemsize(code: str) -> int:
    kind, digits = code[:1], code[1:]
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise PickleError(f"elements of type {shown(code, 40)}", expected="a kind and a size")
    return int(digits) * (4 if kind == "U" else 1)
