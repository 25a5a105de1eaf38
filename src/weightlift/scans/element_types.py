"""Which element types of numpy, as a `.npy` header spells them, are plain bytes: numpy unpickles all others.

Follows `descr_to_dtype` in numpy/lib/format.py: a type string, (type, shape), or a list of fields.
"""

from __future__ import annotations

import re

from ..typed import Any

NOT_PLAIN = -1
_DEEPEST = 32
_CODE = re.compile(
    r"[<>|=]?(?:[?]|b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SUV][0-9]{1,10}|[Mm]8(?:\[[0-9a-zA-Z/]{1,20}\])?)",
    re.ASCII,
)
_NBYTES = re.compile(r"[0-9]+")


def element_nbytes(descr: Any, depth: int = 0) -> int:
    """Return the size of one element, `NOT_PLAIN` where it holds objects or nothing shows that it holds none."""
    if depth > _DEEPEST:
        return NOT_PLAIN
    if isinstance(descr, str):
        return _of_code(descr)
    if isinstance(descr, tuple):
        return _of_several(*descr, depth=depth) if len(descr) == 2 else NOT_PLAIN
    if not isinstance(descr, list) or not descr:
        return NOT_PLAIN
    total = 0
    for field in descr:
        if not isinstance(field, tuple) or len(field) not in (2, 3):
            return NOT_PLAIN
        several = len(field) == 3
        nbytes = _of_several(*field[1:], depth=depth) if several else element_nbytes(field[1], depth + 1)
        if nbytes == NOT_PLAIN:
            return NOT_PLAIN
        total += nbytes
    return total


def _of_code(code: str) -> int:
    if not _CODE.fullmatch(code):
        return NOT_PLAIN
    digits = _NBYTES.search(code)
    return (int(digits[0]) if digits else 1) * (4 if "U" in code else 1)


def _of_several(base: Any, shape: Any, *, depth: int) -> int:
    """The size of several elements of one type in one."""
    nbytes = element_nbytes(base, depth + 1)
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if nbytes == NOT_PLAIN or len(sizes) > 64:
        return NOT_PLAIN
    for size in sizes:
        if type(size) is not int or not 0 <= size < 1 << 31:
            return NOT_PLAIN
        nbytes *= size
    return nbytes
