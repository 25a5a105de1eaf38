"""A checkpoint in several files: `*.index.json` maps each name to the file that holds it.

Written by Hugging Face transformers and accelerate, for safetensors and torch files alike.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ..checkpoint import Checkpoint
from ..errors import ContainerError, LimitError, MalformedError, SourceError, WeightliftError, shown
from ..findings import Finding
from ..pickles import Dict, Global
from ..sources import LocalFile, Source
from ..state_dict import StateDict
from ..tensors import Tensor
from ..typed import Any
from ..values import replace
from ..writers.shards import OUR_NAMES
from .base import Format, Opening, Probe

_WHITESPACE = b" \t\r\n\xef\xbb\xbf"


def _recognises(probe: Probe) -> bool:
    return probe.head.lstrip(_WHITESPACE)[:1] == b"{" and b'"weight_map"' in _whole(
        probe.source, probe.limits.header_bytes
    )


def _whole(source: Source, longest: int) -> bytes:
    if source.size > longest:
        raise LimitError(f"a JSON file of {source.size} bytes", expected=f"at most {longest}")
    return source.read_at(0, source.size)


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    from .registry import open_source

    weight_map, metadata = _index(_whole(probe.source, opening.limits.header_bytes))
    folder = os.path.dirname(os.path.abspath(getattr(probe.source, "path", "")))
    names = list(dict.fromkeys(weight_map.values()))
    _check_names(names, folder)
    shards: dict[str, StateDict] = {}
    members: dict[str, Checkpoint] = {}
    found: dict[Global, int] = {}
    findings: list[Finding] = []
    versions: dict[str, Any] = {}
    for name in names:
        try:
            source = LocalFile(os.path.join(folder, name))
            inner = opening.within()
            shard = open_source(source, replace(inner, limits=inner.limits.anew(source.size)))
            shards[name] = shard.state_dict()
            members[name] = shard
        except WeightliftError as error:
            error.at(f"shard {name!r}")
            raise
        found |= shard.globals
        versions |= shards[name].versions or {}
        findings += [replace(each, message=f"shard {name!r}: {each.message}") for each in shard.own_findings]
    entries: dict[str, Any] = {}
    missing = []
    for key, name in weight_map.items():
        if key in shards[name]:
            entries[key] = shards[name][key]
        elif not _is_part(key, shards[name]):
            missing.append(f"{key!r} in {name!r}")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ContainerError(
            f"the index lists {', '.join(missing[:3])}{more}, which is not there", expected="whole shards"
        )
    unlisted = []
    for held in shards.values():
        for key in [key for key in held if key not in entries]:
            if _is_recorded(key, held, weight_map):
                entries[key] = held[key]
            else:
                unlisted.append(key)
    entries, metadata = _in_order(entries, metadata)
    tree = Dict("dict", entries)
    if versions:
        tree.build({"_metadata": versions})
    if unlisted:
        message = f"{len(unlisted)} tensors of the shards are not in the index: {', '.join(map(repr, unlisted[:3]))}"
        findings.append(Finding("unlisted", "warning", "", message))
    made = Checkpoint(
        tree,
        format="sharded",
        source=probe.source,
        details={"shards": names, "metadata": metadata},
        globals=found,
        findings=tuple(findings),
        limits=opening.limits,
    )
    made.members = members
    return made


def _in_order(entries: dict[str, Any], metadata: Any) -> tuple[dict[str, Any], Any]:
    """The entries in the order that our own list of names gives, where there is one, and the metadata without it."""
    order = metadata.get(OUR_NAMES) if isinstance(metadata, dict) else None
    if not isinstance(order, list) or not all(isinstance(key, str) for key in order):
        return entries, metadata
    if len(order) != len(entries) or set(order) != set(entries):
        return entries, metadata
    return {key: entries[key] for key in order}, {key: value for key, value in metadata.items() if key != OUR_NAMES}


def _is_part(key: str, shard: StateDict) -> bool:
    """Whether a name is that of a part of something that the shard's own record puts together."""
    return any(key.startswith(f"{name}.") and not isinstance(value, Tensor) for name, value in shard.items())


def _is_recorded(key: str, shard: StateDict, listed: Mapping[str, str]) -> bool:
    """Whether a name comes from the shard's own record: tied to another, a view in it, or put together from parts."""
    value = shard[key]
    if not isinstance(value, Tensor):
        return True
    return any(
        other is value or (isinstance(other, Tensor) and other.storage is value.storage)
        for name, other in shard.items()
        if name != key and name in listed
    )


def _index(data: bytes) -> tuple[dict[str, str], Any]:
    try:
        index = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the index is not JSON ({error})") from None
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise MalformedError('"weight_map" of the index', expected="a file name for each tensor")
    return weight_map, index.get("metadata")


def _check_names(names: list[str], folder: str) -> None:
    """Shards lie beside the index and nowhere else; all that are missing are told at once."""
    for name in names:
        if os.path.basename(name) != name or name in ("", ".", "..") or "\\" in name or "\0" in name:
            raise ContainerError(f"shard {shown(name)}", expected="a file name in the folder of the index")
    missing = [name for name in names if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(names)} shards are missing: {', '.join(missing[:4])}",
            expected="all shards beside the index",
            remedy="fetch them",
        )


FORMAT = Format("sharded", _recognises, _open)
