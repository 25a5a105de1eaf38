"""safetensors: 8 bytes of header length, a JSON header, the bytes. Nothing may overlap or be left over.

Follows https://github.com/huggingface/safetensors#format. Ties and values that we (or safetensors'
own `save_model`) recorded in `__metadata__` come back as what they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..checkpoint import Checkpoint
from ..dtypes import BY_SAFETENSORS, DTYPES, DType, dtype_named
from ..errors import ContainerError, LimitError, MalformedError, TensorError, TruncatedError, plural, shown
from ..findings import Finding
from ..limits import DEFAULT_LIMITS
from ..pickles import Dict
from ..sources import Source
from ..tensors import Storage, Tensor
from ..tensors.lazy import contiguous, product
from ..typed import Any
from ..writers.layout import OUR_KEY, RESERVED, VERSION
from ..writers.values import restore, whole_numbers
from .base import Format, Opening, Probe


def _recognises(probe: Probe) -> bool:
    head = probe.head
    if len(head) < 10 or head[8:9] != b"{":
        return False
    # small header, or anything that cannot be the beginning of a pickle
    return int.from_bytes(head[:8], "little") < 1 << 32 or head[9:10] in (b'"', b"}")


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    source = probe.source
    entries, metadata = read_entries(source, opening)
    tree = Dict("dict", entries)
    ours = metadata.pop(OUR_KEY, None)
    ours = ours if isinstance(ours, dict) else {}  # a record that is no text is somebody else's
    versions = ours.get("versions")
    if isinstance(versions, dict):
        tree.build({"_metadata": versions})
    # a name with the very tensor that the metadata says it shares
    tied = [
        key for key, kept in metadata.items() if isinstance(kept, str) and entries.get(key) is entries.get(kept, key)
    ]
    message = f"{plural(len(tied), 'name')} of the metadata taken for tied parameters: {', '.join(tied[:4])}"
    return Checkpoint(
        tree,
        format="safetensors",
        source=source,
        details={"metadata": metadata},
        findings=(Finding("recorded-ties", "note", "", message),) if tied and not ours else (),
        limits=opening.limits,
    )


def read_entries(source: Source, opening: Opening) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (name -> tensor or value, in the order they had; the metadata). Reads the header only.

    Raises:
        ContainerError, TensorError, TruncatedError, LimitError: the header breaks the format's rules.
    """
    plain, metadata = read_plain(source, opening)
    record = _our_record(metadata)
    return _with_recorded(dict(plain), metadata, record), metadata | ({OUR_KEY: record} if record else {})


def read_plain(source: Source, opening: Opening) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors that have bytes of their own, in the order of the header, and the metadata as it stands.

    Raises:
        ContainerError, TensorError, TruncatedError, LimitError: the header breaks the format's rules.
    """
    header, base = _header(source, opening.limits.header_bytes)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise ContainerError("__metadata__ is no object", expected="strings by name")
    data = source.window(base, source.size - base, "data")
    spans: list[tuple[int, int, str]] = []
    plain = {key: _tensor(key, about, data, spans) for key, about in header.items()}
    _check_cover(sorted(spans), data.size)
    return plain, metadata


def entries_of(plain: Mapping[str, Tensor], metadata: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a file holds, with types, views, ties and values as the metadata records them.

    Raises:
        MalformedError: the metadata does not fit the tensors.
    """
    return _with_recorded(dict(plain), metadata, _our_record(metadata))


def _header(source: Source, longest: int) -> tuple[dict[str, Any], int]:
    nbytes = int.from_bytes(source.read_at(0, 8), "little")
    if nbytes > longest:
        raise LimitError(f"a header of {nbytes} bytes", expected=f"at most {longest}")
    if 8 + nbytes > source.size:
        raise TruncatedError(
            f"a header of {nbytes} bytes in a file of {source.size}",
            expected="a complete file",
            remedy="fetch it again",
        )
    try:
        header = json.loads(source.read_at(8, nbytes).decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise ContainerError("the header is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"the header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise ContainerError("the header is no JSON object")
    return header, 8 + nbytes


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ContainerError(f"{twice!r} stands twice in the header", expected="each name once")
    return made


def _tensor(key: str, about: Any, data: Source, spans: list[tuple[int, int, str]]) -> Tensor:
    try:
        code, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ContainerError("is not described", expected="dtype, shape and data_offsets").at(repr(key)) from None
    dtype = BY_SAFETENSORS.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise TensorError(f"dtype {shown(code, 40)}", expected=f"one of {', '.join(BY_SAFETENSORS)}").at(repr(key))
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise TensorError(f"shape {shown(shape)}", expected="sizes of 0 or more").at(repr(key))
    if len(shape) > DEFAULT_LIMITS.dimensions:
        raise LimitError(f"{len(shape)} dimensions", expected=f"at most {DEFAULT_LIMITS.dimensions}").at(repr(key))
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end < 1 << 63:
        raise TensorError(f"data_offsets {shown([begin, end])}", expected="begin <= end").at(repr(key))
    if end > data.size:
        raise TruncatedError(f"ends at byte {end} of {data.size}", expected="a complete file").at(repr(key))
    if product(tuple(shape)) * dtype.bits != (end - begin) * 8:
        raise TensorError(
            f"shape {shape} of {code} and {end - begin} bytes", expected=f"{dtype.nbytes(product(tuple(shape)))} bytes"
        ).at(repr(key))
    spans.append((begin, end, key))
    if dtype.name == "float4_e2m1fn" and shape and shape[-1] % 2 == 0:
        dtype, shape = DTYPES["float4_e2m1fn_x2"], [*shape[:-1], shape[-1] // 2]
    return contiguous(dtype, tuple(shape), Storage(key, end - begin, data.window(begin, end - begin, key)))


def _check_cover(spans: list[tuple[int, int, str]], nbytes: int) -> None:
    """Every byte belongs to exactly one tensor; anything else hides data or reads it twice."""
    at = 0
    for begin, end, key in spans:
        if begin != at:
            raise ContainerError(f"{key!r} begins at byte {begin} of the data", expected=f"byte {at}")
        at = end
    if at != nbytes:
        raise ContainerError(f"{nbytes - at} bytes belong to no tensor", expected="none left over")


def _our_record(metadata: dict[str, Any]) -> dict[str, Any]:
    text = metadata.get(OUR_KEY)
    if not isinstance(text, str):
        return {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError(f"metadata {OUR_KEY!r} is not JSON") from None
    if not isinstance(record, dict) or record.get("version") != VERSION:
        raise MalformedError(f"metadata {OUR_KEY!r} of another version", expected=f"version {VERSION}")
    if not isinstance(record.get("versions"), dict | None):
        raise MalformedError(f"versions in metadata {OUR_KEY!r}", expected="an object")
    return record


def _with_recorded(entries: dict[str, Any], metadata: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """Put back types, views, ties and values, in the order that the names had."""
    try:
        for key, about in record.get("dtypes", {}).items():
            entries[key] = _retyped(entries[key], dtype_named(about["dtype"]), whole_numbers(about["shape"]))
        for key, view in record.get("views", {}).items():
            if key in entries:
                raise ValueError
            entries[key] = _view(entries[view["of"]], view)
        for key, kept in (record.get("ties", {}) if record else _foreign_ties(entries, metadata)).items():
            if key in entries:
                raise ValueError
            entries[key] = entries[kept]
        values = record.get("values", {})
        parts: set[str] = set()
        if any(key in entries for key in values):
            raise ValueError

        def part(key: str) -> Tensor:
            parts.add(key)
            return entries[key]  # type: ignore[no-any-return]

        made = {key: restore(skeleton, part) for key, skeleton in values.items()}
        for key in parts - set(made):
            entries.pop(key, None)
        entries |= made
        places = record.get("places", {})
        entries = {name: entries[name] for name in _in_order(entries, places)}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise MalformedError(
            f"metadata {OUR_KEY!r} does not fit the tensors", expected="what weightlift writes"
        ) from None
    return entries


def _foreign_ties(entries: dict[str, Any], metadata: dict[str, Any]) -> dict[str, str]:
    """Return name -> kept name, as `save_model` records them: of an entry, and for the same parameter of a module.

    Metadata is free text, so that `base = weight` may be somebody's note: it makes no tensor.
    """
    return {
        key: kept
        for key, kept in metadata.items()
        if key not in entries
        and key not in RESERVED
        and isinstance(kept, str)
        and kept in entries
        and key.rpartition(".")[2] == kept.rpartition(".")[2]
    }


def _in_order(entries: dict[str, Any], places: dict[str, int]) -> list[str]:
    """Return the names with those in `places` at their places, and the others in order around them."""
    if not all(type(place) is int and place >= 0 for place in places.values()):
        raise ValueError
    others = [name for name in entries if name not in places]
    made: list[str] = []
    at = 0
    for key in sorted(places, key=places.__getitem__):
        before = max(0, places[key] - len(made))
        made += others[at : at + before]
        at += before
        made.append(key)
    return made + others[at:]


def _retyped(tensor: Tensor, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """Return the bytes of a tensor under the element type and shape that were recorded for them."""
    made = contiguous(dtype, shape, tensor.storage)
    made.check()
    if made.nbytes != tensor.storage.nbytes:
        raise ValueError
    return made


def _view(whole: Tensor, view: dict[str, Any]) -> Tensor:
    shape, stride = whole_numbers(view["shape"]), whole_numbers(view["stride"])
    made = Tensor(whole.dtype, shape, stride, whole.offset + whole_numbers([view["offset"]])[0], whole.storage)
    made.check()
    return made


FORMAT = Format("safetensors", _recognises, _open)
