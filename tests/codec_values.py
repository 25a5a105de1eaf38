"""Hypothesis strategies for Python state, and the comparison of what comes back: by type and by bits."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import struct
import types
import uuid
import zoneinfo
from argparse import Namespace
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from weightlift.codec import Encoder, decode

from strategies import element_bytes


class Colour(enum.Enum):
    """An enum of these tests."""

    RED = 1
    BLUE = "b"


class Bits(enum.Flag):
    """A flag of these tests."""

    A = 1
    B = 2


class Point(NamedTuple):
    """A namedtuple of these tests."""

    x: Any
    y: Any = 0


@dataclasses.dataclass
class Config:
    """A dataclass of these tests."""

    rate: Any
    layers: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A dataclass without __dict__."""

    a: Any


TYPES = [Colour, Bits, Point, Config, Frozen, Namespace, types.SimpleNamespace]


def _short(strategy, name):
    """The same strategy, whose repr in messages is a name: that of these would be thousands of lines."""

    def drawn(draw):
        return draw(strategy)

    drawn.__name__ = drawn.__qualname__ = name
    return st.composite(drawn)()


FLOAT_BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])
TEXTS = st.one_of(st.text(st.characters(exclude_categories=()), max_size=8), st.sampled_from(["$int", "\ud83d\ude00"]))
ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from(["Europe/Berlin", "UTC"]).map(zoneinfo.ZoneInfo),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))),
    st.builds(dt.timezone, st.just(dt.timedelta(hours=2)), st.just("two")),
)
NUMPY_CODES = ["?", "<i1", "<u2", ">i4", "<i8", ">u8", "<f2", ">f4", "<f8", "<c8", ">c16", "<M8[ns]", "<m8[25s]"]


@st.composite
def numpy_arrays(draw):
    """Arrays of random bytes, of tensors' types and others, in both orders."""
    code = draw(st.sampled_from([*NUMPY_CODES, "<U3", "S2", "bfloat16", "float8_e4m3fn"]))
    dtype = np.dtype(code) if code[:5] not in ("bfloa", "float") else _ml_dtype(code)
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    size = int(np.prod(shape, dtype=int))
    if code == "<U3":
        return np.array(draw(st.lists(st.text("ab", max_size=3), min_size=size, max_size=size)), code).reshape(shape)
    raw = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    if code == "?":
        raw = bytes(byte & 1 for byte in raw)
    made = np.frombuffer(raw, dtype).reshape(shape)
    return np.asfortranarray(made) if draw(st.booleans()) else made.copy()


def _ml_dtype(name):
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


TORCH_VALUES = [
    *(torch.float32, torch.bfloat16, torch.strided, torch.sparse_coo, torch.channels_last, torch.per_tensor_affine),
    *(torch.device("cpu"), torch.device("cuda:1"), torch.Size([]), torch.Size([2, 3])),
]

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.binary(max_size=60).map(lambda raw: int.from_bytes(raw, "little", signed=True)),
    FLOAT_BITS,
    st.sampled_from([-0.0, float("inf"), 2**53, -(2**53) + 1, ...]),
    st.integers(4000, 9000).map(lambda power: 10**power),
    st.builds(complex, FLOAT_BITS, FLOAT_BITS),
    TEXTS,
    st.binary(max_size=80),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.decimals().filter(lambda number: not number.is_snan()),  # which has no hash
    st.fractions(),
    st.uuids(),
    st.builds(uuid.uuid1),
    TEXTS.filter(lambda text: "\0" not in text).map(pathlib.PurePosixPath),
    st.text("ab/.", max_size=8).map(pathlib.PosixPath),
    st.text("ab\\:", max_size=8).map(pathlib.PureWindowsPath),
    st.dates(),
    st.datetimes(timezones=ZONES),
    st.times(timezones=st.just(dt.UTC)),
    st.builds(lambda when: when.replace(fold=1), st.datetimes()),
    st.timedeltas(),
    ZONES,
    st.sampled_from(TORCH_VALUES),
    st.sampled_from(NUMPY_CODES[:-2]).map(np.dtype),
    st.sampled_from(NUMPY_CODES).flatmap(
        lambda code: st.binary(min_size=16, max_size=16).map(
            lambda raw: np.frombuffer(raw, code)[0] if code != "?" else np.True_
        )
    ),
    st.sampled_from([np.str_("a\0"), np.bytes_(b"b\0"), _ml_dtype("bfloat16").type(1.5)]),
    st.sampled_from([*Colour, *Bits, Bits.A | Bits.B]),
)
_HASHABLE = st.recursive(
    _short(ATOMS, "atoms"),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Frozen, inner),
    ),
    max_leaves=5,
)
HASHABLE = _short(_HASHABLE, "hashables")
_LEAVES = st.one_of(
    HASHABLE,
    st.decimals(),
    st.builds(bytearray, st.binary(max_size=80)),
    st.sets(HASHABLE, max_size=4),
    numpy_arrays(),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=64, max_size=70),
    st.lists(st.integers(0, 200), min_size=64, max_size=70).map(tuple),
    st.lists(FLOAT_BITS, min_size=64, max_size=66),
    st.sampled_from([torch.arange(6.0).reshape(2, 3), torch.nn.Parameter(torch.ones(2)), torch.zeros(0)]),
    st.sampled_from([torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), torch.arange(4).t()]),
)
LEAVES = _short(_LEAVES, "leaves")
FACTORIES = [None, int, float, list, dict, set, str, collections.OrderedDict]


def _containers(inner):
    inner = _short(inner, "inner")
    dicts = st.dictionaries(HASHABLE, inner, max_size=4)
    named = st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        dicts,
        st.dictionaries(TEXTS, inner, max_size=3),
        st.builds(collections.OrderedDict, dicts),
        st.builds(collections.defaultdict, st.sampled_from(FACTORIES), dicts),
        st.builds(collections.Counter, st.dictionaries(HASHABLE, st.integers(), max_size=3)),
        st.builds(collections.deque, st.lists(inner, max_size=3), st.sampled_from([None, 3, 9])),
        st.builds(slice, inner, inner, inner),
        st.builds(Config, inner, inner),
        st.builds(Point, inner, inner),
        named.map(lambda fields: Namespace(**fields)),
        named.map(lambda fields: types.SimpleNamespace(**fields)),
        inner.map(lambda value: [value, {"again": value}]),
    )


VALUES = _short(st.recursive(LEAVES, _containers, max_leaves=8), "values")


def lazily(encoder):
    """What gives the decoder the encoder's own lazy tensors."""
    return lambda name, _: encoder.tensors[name]


def as_torch(encoder):
    """What gives the decoder torch tensors of them."""
    return lambda name, _: encoder.tensors[name].torch()


def there_and_back(value, **how):
    """The value after it was encoded, written as JSON text, read and decoded with lazy tensors."""
    encoder = Encoder()
    doc = encoder.encode(value, "meta")
    encoder.check()
    text = json.dumps(doc, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")  # what a file holds
    return decode(json.loads(text), lazily(encoder), **how)


def same(a, b):  # noqa: C901, PLR0912 - a case a kind
    """Whether two values are the same: types, order, bits."""
    if hasattr(b, "storage") and isinstance(a, torch.Tensor):
        parameter = isinstance(a, torch.nn.Parameter)
        return (
            a.shape == b.shape
            and element_bytes(a) == b.tobytes()
            and (b.role == "parameter") == parameter
            and b.requires_grad == a.requires_grad
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) and type(a) is type(b)
    if type(a) is complex:
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, np.ndarray):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
            and (a.flags.f_contiguous == b.flags.f_contiguous)
        )
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, decimal.Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, enum.Enum):
        return a is b
    if isinstance(a, dt.datetime | dt.time):
        return (a.replace(tzinfo=None), a.fold) == (b.replace(tzinfo=None), b.fold) and same(a.tzinfo, b.tzinfo)
    if isinstance(a, dt.timezone):
        return a.utcoffset(None) == b.utcoffset(None) and a.tzname(None) == b.tzname(None)
    if isinstance(a, uuid.UUID):
        return a == b and a.is_safe is b.is_safe
    if isinstance(a, slice):
        return all(same(getattr(a, name), getattr(b, name)) for name in ("start", "stop", "step"))
    if isinstance(a, dict):
        more = getattr(a, "default_factory", None) is getattr(b, "default_factory", None)
        pairs = zip(a.items(), b.items(), strict=True)
        return more and len(a) == len(b) and all(same(k, q) and same(v, w) for (k, v), (q, w) in pairs)
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, list | tuple | collections.deque):
        kept = getattr(a, "maxlen", None) == getattr(b, "maxlen", None)
        return kept and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, Namespace | types.SimpleNamespace):
        return same(vars(a), vars(b))
    return bool(a == b) and repr(a) == repr(b) if not isinstance(a, int) else a == b
