"""Element types of arrays that joblib writes: their size, and whether they hold objects.

Follows `arraydescr_setstate` of numpy: the state of a type can change its size, give it fields and say that
it holds objects. One that contradicts itself is refused: numpy would go by one part of it and we by another.
"""

from __future__ import annotations

from ..errors import PickleError, shown
from ..typed import Any
from .nodes import NOT_BUILT, Global, Object

_DTYPE = Global("numpy", "dtype")
_SIZES = {  # of one element, in bytes, by the letter of its kind
    "b": ("1",), "i": ("1", "2", "4", "8"), "u": ("1", "2", "4", "8"), "f": ("2", "4", "8", "12", "16"),
    "c": ("8", "16", "24", "32"), "m": ("8",), "M": ("8",), "O": ("", "4", "8"),
}  # fmt: skip
_SIZED = ("S", "U", "V")  # of any size
_HAS_OBJECTS = 1  # of the flags, numpy's NPY_ITEM_REFCOUNT
_VERSIONS = (3, 4)
_DEEPEST = 16
_MOST_FIELDS = 10_000


def holds_objects(dtype: Any) -> bool:
    """Whether an array of this type is written as a pickle of its own.

    Raises:
        PickleError: it is no type as numpy pickles it.
    """
    return _Type().holds(dtype, 0)


def itemsize(dtype: Any) -> int:
    """Return the bytes of one element of a type that holds no objects."""
    if holds_objects(dtype):
        raise PickleError("an array of objects", expected="one of plain elements")
    code = dtype.args[0]
    return int(code[1:]) * (4 if code[0] == "U" else 1)


class _Type:
    """Looks through a type and its fields, so many at most."""

    def __init__(self) -> None:
        self.left = _MOST_FIELDS

    def holds(self, dtype: Any, depth: int) -> bool:
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise PickleError("a type of more fields than are looked at")
        code = dtype.args[0] if isinstance(dtype, Object) and dtype.fn == _DTYPE and dtype.args else None
        if type(code) is not str or not _is_code(code) or not dtype.is_call or not _are_flags(dtype.args[1:]):
            raise PickleError(f"an array of {shown(code or dtype, 60)}", expected="a numpy dtype")
        is_object = code[0] == "O"
        if dtype.state is NOT_BUILT:
            return is_object
        state = dtype.state
        if not isinstance(state, tuple) or len(state) not in (8, 9) or state[0] not in _VERSIONS:
            raise _contradicts(code, state)
        _, order, base, names, fields, size, _, flags = state[:8]
        if order not in ("<", ">", "=", "|") or type(flags) is not int or type(size) is not int:
            raise _contradicts(code, state)
        if code[0] in _SIZED and size != int(code[1:]) * (4 if code[0] == "U" else 1):
            raise _contradicts(code, state)
        inner = self.within(base, names, fields, depth) if code[0] == "V" else [base, names, fields] != [None] * 3
        if code[0] != "V" and inner:
            raise _contradicts(code, state)
        if bool(flags & _HAS_OBJECTS) != (is_object or inner):
            raise _contradicts(code, state)
        return is_object or inner

    def within(self, base: Any, names: Any, fields: Any, depth: int) -> bool:
        """Whether an element, or one of the fields, holds objects."""
        if base is not None:
            if not isinstance(base, tuple) or len(base) != 2 or names is not None or fields is not None:
                raise PickleError(f"a type of several {shown(base, 60)}", expected="a numpy dtype and a shape")
            return self.holds(base[0], depth + 1)
        if fields is None and names is None:
            return False
        if not isinstance(fields, dict) or not isinstance(names, tuple):
            raise PickleError(f"a type with the fields {shown(fields, 60)}", expected="a dict of them")
        held = False
        for name, field in fields.items():
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise PickleError(f"a field {shown(name, 60)} of {shown(field, 60)}", expected="a type and an offset")
            held |= self.holds(field[0], depth + 1)
        return held


def _is_code(code: str) -> bool:
    kind, digits = code[:1], code[1:]
    if kind in _SIZED:
        return digits.isascii() and digits.isdigit() and len(digits) <= 10
    return digits in _SIZES.get(kind, ())


def _are_flags(args: tuple[Any, ...]) -> bool:
    """Whether these are the `align` and `copy` that numpy gives to its types."""
    return len(args) <= 2 and all(each in (0, 1) and type(each) in (bool, int) for each in args)


def _contradicts(code: str, state: Any) -> PickleError:
    return PickleError(
        f"a numpy dtype {shown(code, 40)} with the state {shown(state, 100)}", expected="one as numpy has"
    )
