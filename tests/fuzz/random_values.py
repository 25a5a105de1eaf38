"""Values that pickles hold, made at random with shared parts and cycles; and what pickles them, in every way."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from typing import Any

import numpy as np
from hypothesis import strategies as st

_TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
_INTS = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**63, -(2**63), 2**64]),
    st.binary(max_size=300).map(lambda raw: int.from_bytes(raw, "little", signed=True)),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), _INTS, st.floats(), st.complex_numbers(), _TEXTS, st.binary(max_size=20),
    st.sampled_from(["a" * 256, "é" * 300, b"b" * 256, b"c" * 66_000, range(3)]),
)  # fmt: skip
_DTYPES = ["<f4", "<f8", "<i8", ">i4", ">f8", "|b1", "|u1", "<c8", "<f2", "<u2", "<c16"]


@st.composite
def numpy_values(draw) -> Any:
    """A numpy scalar, or an array of any order and up to three dimensions, empty ones too."""
    dtype = np.dtype(draw(st.sampled_from(_DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    count = int(np.prod(shape, dtype=int))
    raw = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    if dtype.kind == "b":
        raw = bytes(byte & 1 for byte in raw)
    made = np.frombuffer(raw, dtype).reshape(shape).copy(order=draw(st.sampled_from("CF")))
    if not shape and draw(st.booleans()):
        return made[()]
    return made.T if draw(st.booleans()) else made


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@st.composite
def graphs(draw, leaves: st.SearchStrategy[Any] = SCALARS, kinds: tuple[str, ...] = ()) -> Any:
    """A value of containers whose parts are earlier values, so that much is shared; lists and dicts may hold themselves."""
    made: list[Any] = draw(st.lists(leaves, min_size=1, max_size=6))
    chosen = st.sampled_from(
        kinds or ("list", "tuple", "dict", "dict", "set", "frozenset", "ordered", "default", "counter", "bytearray")
    )
    for _ in range(draw(st.integers(1, 8))):
        parts = [made[draw(st.integers(0, len(made) - 1))] for _ in range(draw(st.integers(0, 5)))]
        made.append(_container(draw(chosen), parts, draw))
    for value in made:
        if isinstance(value, list | collections.OrderedDict) and draw(st.integers(0, 15)) == 0 and not kinds:
            inner = made[draw(st.integers(0, len(made) - 1))]
            if isinstance(value, list):
                value.append(inner)
            else:
                value["more"] = inner
    return made[-1] if draw(st.booleans()) else made


def _container(kind: str, parts: list[Any], draw: Any) -> Any:
    keys = [part for part in parts if _hashable(part)]
    if kind == "list":
        return list(parts)
    if kind == "tuple":
        return tuple(parts)
    if kind == "set":
        return set(keys)
    if kind == "frozenset":
        return frozenset(keys)
    if kind == "bytearray":
        return bytearray(draw(st.binary(max_size=10)))
    if kind == "counter":
        return collections.Counter([key for key in keys if isinstance(key, str)])
    pairs = list(zip([*keys, *("abcde")], parts, strict=False))
    if kind == "ordered":
        return collections.OrderedDict(pairs)
    return collections.defaultdict(list, pairs) if kind == "default" else dict(pairs)


WAYS = st.fixed_dictionaries({
    "protocol": st.integers(0, 5), "in_python": st.booleans(), "fix_imports": st.booleans(),
    "without_memo": st.integers(0, 7).map(lambda n: n == 0), "optimized": st.booleans(),
})  # fmt: skip


def pickled(value: Any, way: dict[str, Any]) -> bytes | None:
    """The pickle of a value, or None where that way cannot write it (a cycle without a memo)."""
    out = io.BytesIO()
    kind = pickle._Pickler if way["in_python"] else pickle.Pickler
    pickler = kind(out, way["protocol"], fix_imports=way["fix_imports"])
    if way["without_memo"]:
        pickler.fast = True
    try:
        pickler.dump(value)
    except (ValueError, RecursionError, AssertionError):
        return None
    data = out.getvalue()
    return pickletools.optimize(data) if way["optimized"] else data
