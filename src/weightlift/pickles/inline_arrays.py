"""Arrays that joblib writes into the middle of a pickle: where one ends, and the pickle goes on.

Follows joblib/numpy_pickle.py: after the BUILD of a `NumpyArrayWrapper` come, since 1.2, one byte of
padding length and the padding, then the elements; an array of objects is a pickle of its own. What is
not as joblib writes it is refused: where such an array ends depends on what a load would make of it.
"""

from __future__ import annotations

from ..errors import PickleError, TruncatedError, shown
from ..sources import Source
from ..typed import Any
from .inline_types import holds_objects, itemsize
from .nodes import NOT_BUILT, Global, Object

__all__ = ["ARRAY", "WRAPPER", "end_of_array", "holds_objects", "is_wrapper", "refuse_wrapper_in", "state_of"]

WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_ATTRIBUTES = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_MAKERS = (Global("copyreg", "_reconstructor"), Global("copy_reg", "_reconstructor"))  # protocols 0 and 1
_BASES = (Global("builtins", "object"), Global("__builtin__", "object"))
ARRAY = Global("numpy", "ndarray")


def is_wrapper(target: Object) -> bool:
    """Whether an object is one that joblib's unpickler has read an array for."""
    return target.fn == WRAPPER or (target.fn in _MAKERS and target.args[:1] == (WRAPPER,))


def refuse_wrapper_in(fn: Any, args: tuple[Any, ...], left: int) -> int:
    """Refuse a call that could hand a wrapper on; return how many of `left` arguments may still be looked at.

    Raises:
        PickleError: one is among the arguments, or they are too many to tell.
    """
    if fn in _MAKERS and args[:1] == (WRAPPER,):
        return left
    waiting = [args]
    while waiting:
        values = waiting.pop()
        left -= len(values) + 1
        if left < 0:
            raise PickleError("too many arguments to tell whether an array of joblib is among them")
        for value in values:
            if value == WRAPPER or (isinstance(value, Object) and is_wrapper(value)):
                raise PickleError(f"an array of joblib handed to {shown(fn, 60)}", expected="it where joblib writes it")
            if isinstance(value, tuple):
                waiting.append(value)
    return left


def state_of(wrapper: Object, earlier: object) -> dict[Any, Any]:
    """Return the attributes of a wrapper that has just been built; `earlier` is its state before that.

    Raises:
        PickleError: it was not made, or not built, as joblib does it.
    """
    plain = not wrapper.is_call and not wrapper.args and not wrapper.kwargs
    rebuilt = wrapper.fn in _MAKERS and len(wrapper.args) == 3 and wrapper.args[1] in _BASES and wrapper.args[2] is None
    if not plain and not rebuilt:
        raise PickleError("an array wrapper made with arguments", expected="one as joblib makes it")
    state = wrapper.state
    if earlier is not NOT_BUILT or not isinstance(state, dict) or not state.keys() <= _ATTRIBUTES:
        raise PickleError(f"an array wrapper with the state {shown(state, 60)}", expected="what joblib keeps of one")
    return state


def end_of_array(source: Source, at: int, state: dict[Any, Any], *, aligned: bool = True) -> int:
    """Return where the elements end that begin, padding first, at `at`. Reads one byte.

    Raises:
        PickleError: the state describes no array. TruncatedError: it reaches past the end.
    """
    shape = state.get("shape")
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise PickleError(f"an array of shape {shown(shape, 60)}", expected="a tuple of sizes")
    nbytes = itemsize(state.get("dtype"))
    for size in shape[:64]:
        nbytes *= size
    alignment = state.get("numpy_array_alignment_bytes")
    if alignment is not None and type(alignment) is not int:
        raise PickleError(f"an array aligned to {shown(alignment, 60)}", expected="a number of bytes")
    if alignment is not None and aligned:
        at += 1 + source.read_at(at, 1)[0]
    if nbytes > source.size - at:
        raise TruncatedError(f"an array of {nbytes} bytes reaches past the end", expected="a complete file")
    return at + nbytes
