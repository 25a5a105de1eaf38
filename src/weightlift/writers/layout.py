"""Where each tensor goes in a safetensors file, before a byte is read: ties, views, order, header.

safetensors cannot alias. A tensor that two names share is written once; the other name is recorded
as safetensors' own `save_model` does it (`__metadata__`: removed name -> kept name), and under our own
key, with a view inside another tensor and everything else that the format has no word for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..dtypes import DTYPES, DType
from ..errors import LimitError, TensorError, UnsupportedError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS
from ..tensors import Tensor
from ..tensors.computed import Computed, Lazy
from ..tensors.lazy import check_together
from ..typed import Any
from ..values import dataclass, field
from .values import describe

OUR_KEY = "weightlift"
VERSION = 1
RESERVED = (OUR_KEY, "format")

# Types without a code of their own are written as another of the same bits; the record says which.
_WRITTEN_AS = {
    "complex128": ("float64", 2), "complex32": ("float16", 2), "bcomplex32": ("bfloat16", 2),
    "bits8": ("uint8", 1), "bits16": ("uint16", 1), "bits1x8": ("uint8", 1), "bits2x4": ("uint8", 1),
    "bits4x2": ("uint8", 1), "qint8": ("int8", 1), "quint8": ("uint8", 1), "qint32": ("int32", 1),
}  # fmt: skip


@dataclass(slots=True)
class Record:
    """What goes under our key of `__metadata__`: what is needed to give back exactly what came in."""

    places: dict[str, int] = field(default_factory=dict)
    """Names that have no entry of their own -> their place among all names."""
    ties: dict[str, str] = field(default_factory=dict)
    """Name -> the name of the tensor that it is."""
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> {of, offset, shape, stride, dtype}: a view inside another tensor, in elements."""
    values: dict[str, Any] = field(default_factory=dict)
    """Name -> skeleton of what is not a plain tensor."""
    dtypes: dict[str, Any] = field(default_factory=dict)
    """Name -> {dtype, shape}, where safetensors has no code for the element type."""
    versions: Any = None
    """The `_metadata` of the state dict: module path -> {"version": n}."""

    def to_json(self) -> str:
        """Return the JSON text, or "" when there is nothing to record."""
        filled = {name: value for name in self.__slots__ if (value := getattr(self, name))}
        return json.dumps({"version": VERSION, **filled}, separators=(",", ":")) if filled else ""


@dataclass(slots=True)
class Layout:
    """The plan of one output: tensors in the order of their bytes, header bytes, what was tied."""

    tensors: list[tuple[str, Lazy]]
    header: bytes
    nbytes: int
    ties: dict[str, str]
    unshared: list[str]
    """Names that overlapped another tensor in part and are written as their own copy."""


def plan_layout(entries: Mapping[str, Any], versions: Any = None, metadata: Mapping[str, str] | None = None) -> Layout:
    """Return where everything goes. Reads nothing.

    Raises:
        TensorError: a tensor without data, or that does not fit its storage.
        UnsupportedError: a value that cannot be written.
    """
    check_versions(versions)
    record = Record(versions=versions)
    plain: dict[str, Lazy] = {}
    for place, (key, value) in enumerate(entries.items()):
        if isinstance(value, Tensor | Computed):
            if plain.setdefault(key, value) is not value:
                raise UnsupportedError(f"two tensors would be called {key!r}", remedy="rename one of them")
        else:
            record.values[key] = describe(key, value, plain)
            record.places[key] = place
    for key, tensor in plain.items():
        _check_writable(key, tensor)
    owned, record.ties, unshared = _without_aliases(plain, record)
    check_together(tensor for tensor in owned.values() if isinstance(tensor, Tensor))
    places = {key: i for i, key in enumerate(entries)}
    record.places |= {key: places[key] for key in (*record.ties, *record.views) if key in places}
    header, ordered, nbytes = _header(owned, record, metadata or {})
    return Layout(ordered, header, nbytes, record.ties, unshared)


_MOST_VERSIONS = 1_000_000  # values in them
_LONGEST_INTEGER = 1 << 10  # bits
_DEEPEST = 50


def check_versions(versions: Any) -> None:
    """Refuse versions of modules that JSON cannot say, or would spell without end: a file can hang anything there.

    Raises:
        UnsupportedError: anything but texts, numbers and truth values in objects and arrays.
    """
    waiting, count = [(versions, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        held = isinstance(value, dict | list | tuple)
        plain = value is None or isinstance(value, str | bool | float)
        short = isinstance(value, int) and value.bit_length() <= _LONGEST_INTEGER
        named = not isinstance(value, dict) or all(isinstance(key, str) for key in value)
        if not (held or plain or short) or not named or depth > _DEEPEST or count > _MOST_VERSIONS:
            raise UnsupportedError(
                f"_metadata with {shown(value, 60)} in it", expected='{"version": number} for each module',
                remedy="leave it out: StateDict(dict(state_dict))",
            )  # fmt: skip
        if held:
            waiting += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]


def _check_writable(key: str, tensor: Lazy) -> None:
    try:
        tensor.check()
        if tensor.absent:
            raise TensorError(f"has no data ({tensor.absent})", remedy="leave it out with --drop")
        if isinstance(tensor, Tensor):
            tensor.check_expansion()
    except WeightliftError as error:
        error.at(repr(key))
        raise


def _without_aliases(plain: dict[str, Lazy], record: Record) -> tuple[dict[str, Lazy], dict[str, str], list[str]]:
    """Return what is written, what is tied to it, and what had to be copied out of a shared storage."""
    first: dict[tuple[object, ...], str] = {}
    owned: dict[str, Lazy] = {}
    ties: dict[str, str] = {}
    by_storage: dict[int, dict[str, Tensor]] = {}
    for key, tensor in plain.items():
        kept = first.setdefault(tensor.view, key) if tensor.numel else key
        if kept != key and key not in RESERVED:
            ties[key] = kept
        else:
            owned[key] = tensor
            if tensor.numel and isinstance(tensor, Tensor):
                by_storage.setdefault(id(tensor.storage), {})[key] = tensor
    unshared: list[str] = []
    for group in by_storage.values():
        if len(group) > 1:
            for key in _settle_overlaps(group, record, unshared):
                del owned[key]
    return owned, ties, unshared


def _settle_overlaps(group: dict[str, Tensor], record: Record, unshared: list[str]) -> list[str]:
    """Among tensors of one storage, record those that lie inside a contiguous other one as views of it; name them."""
    # the widest first, and of two that cover the same bytes the contiguous one, so that the other is its view
    by_start = sorted(group, key=lambda k: (group[k].extent[0], -group[k].extent[1], not group[k].is_contiguous))
    inside = []
    furthest: dict[tuple[object, ...], str] = {}  # kind of element -> the contiguous tensor that ends last so far
    end = -1
    for key in by_start:
        tensor = group[key]
        start, stop = tensor.extent
        kind = (tensor.dtype.name, tensor.conj, tensor.neg)
        owner = furthest.get(kind)
        whole = group[owner] if owner is not None else None
        if whole is not None and stop <= whole.extent[1] and tensor.dtype.bits >= 8:
            record.views[key] = {
                "of": owner,
                "offset": tensor.offset - whole.offset,
                "shape": list(tensor.shape),
                "stride": list(tensor.stride),
            }
            inside.append(key)
            continue
        if start < end:
            unshared.append(key)
        if tensor.is_contiguous and (whole is None or stop > whole.extent[1]):
            furthest[kind] = key
        end = max(end, stop)
    return inside


def _header(
    owned: dict[str, Lazy], record: Record, metadata: Mapping[str, str]
) -> tuple[bytes, list[tuple[str, Lazy]], int]:
    """Return the header with its length, and the tensors in the order of their bytes."""
    forms = {key: _written_form(key, tensor, record) for key, tensor in owned.items()}
    order = list(owned)
    if not _is_aligned([(owned[key].nbytes, forms[key][0].itemsize) for key in order]):
        order.sort(key=lambda key: -forms[key][0].itemsize)
    begins, at = {}, 0
    for key in order:
        begins[key] = at
        at += owned[key].nbytes
    about = {**metadata, **record.ties, "format": "pt"}
    if text := record.to_json():
        about[OUR_KEY] = text
    tree: dict[str, Any] = {"__metadata__": about}
    for key, tensor in owned.items():
        dtype, shape = forms[key]
        begin = begins[key]
        tree[key] = {"dtype": dtype.safetensors, "shape": shape, "data_offsets": [begin, begin + tensor.nbytes]}
    try:
        text_bytes = json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UnsupportedError("a name holds a lone surrogate, which UTF-8 has no bytes for") from None
    text_bytes += b" " * (-len(text_bytes) % 8)
    if len(text_bytes) > DEFAULT_LIMITS.header_bytes:
        raise LimitError(f"a header of {len(text_bytes)} bytes", expected="at most 100 MiB, the limit of safetensors")
    return len(text_bytes).to_bytes(8, "little") + text_bytes, [(key, owned[key]) for key in order], at


def _written_form(key: str, tensor: Lazy, record: Record) -> tuple[DType, list[int]]:
    """Return the element type and shape that the header names for a tensor."""
    if key == "__metadata__":
        raise UnsupportedError("a tensor is called '__metadata__', which safetensors keeps for itself")
    dtype, shape = tensor.dtype, list(tensor.shape)
    if dtype.safetensors:
        return dtype, shape
    if dtype.name == "float4_e2m1fn_x2" and shape:  # safetensors counts the halves
        return DTYPES["float4_e2m1fn"], [*shape[:-1], 2 * shape[-1]]
    record.dtypes[key] = {"dtype": dtype.name, "shape": shape}
    name, per_element = _WRITTEN_AS.get(dtype.name, ("", 0))
    if not name:  # packed elements and types nobody else reads: their bytes
        return DTYPES["uint8"], [tensor.nbytes]
    return DTYPES[name], [*shape, per_element] if per_element > 1 else shape


def _is_aligned(sizes: list[tuple[int, int]]) -> bool:
    """Whether every tensor begins at a multiple of its element size when written in this order."""
    at = 0
    for nbytes, itemsize in sizes:
        if at % itemsize:
            return False
        at += nbytes
    return True
