"""A checkpoint directory as one run of bytes; its JSON and headers changed, most often with every hash put right."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import xxhash

from . import json_text, raw, safetensors_header

Files = dict[str, bytes]
_NAMES = ("kind", "module", "optimizer", "value", "several", "state", "items", "values", "order", "groups", "params", "options",
          "$tensor", "$tuple", "$dict", "$same", "$shared", "is", "file", "nbytes", "hash", "header", "shard", "of", "shape",
          "offsets", "sizes", "parts", "ties", "weightlift_state", "rank", "rest", "versions", "state.json")  # fmt: skip


def packed(files: Files) -> bytes:
    """The files as one run of bytes."""
    pieces = []
    for name, data in files.items():
        told = name.encode("utf-8", "surrogatepass")
        pieces += [struct.pack("<HI", len(told), len(data)), told, data]
    return b"".join(pieces)


def unpacked(data: bytes) -> Files:
    """The files again, as many as are whole."""
    files: Files = {}
    at = 0
    while at + 6 <= len(data):
        n_name, n_data = struct.unpack_from("<HI", data, at)
        at += 6 + n_name
        files[data[at - n_name : at].decode("utf-8", "replace")] = data[at : at + n_data]
        at += n_data
    return files


def changed(data: bytes, rng: random.Random) -> bytes:
    """One file of the directory changed; three times in four the manifest says so of it."""
    files = unpacked(data)
    if not files or rng.randrange(30) == 0:
        return raw.changed(data, rng)
    name = rng.choice(["state.json", "MANIFEST.json", *files])
    content = files.get(name, b"")
    if name == "MANIFEST.json":
        content = _without_own_hash(content)
    files[name] = (
        safetensors_header.changed(content, rng) if name.startswith("data") else json_text.changed(content, rng, _NAMES)
    )
    if rng.randrange(12) == 0:
        files[raw.text(rng, name)[:300]] = files.pop(name)
    if rng.randrange(4):
        files = rehashed(files, files_too=name != "MANIFEST.json" or rng.randrange(2) == 0)
    return packed(files)


def changed_manifest(data: bytes, rng: random.Random) -> bytes:
    """A manifest alone, most often with its own hash put right."""
    if rng.randrange(12) == 0:
        return raw.changed(data, rng)
    text = json_text.changed(_without_own_hash(data), rng, _NAMES)
    return rehashed({"MANIFEST.json": text}, files_too=False)["MANIFEST.json"]


def _without_own_hash(manifest: bytes) -> bytes:
    at = manifest.rfind(b',"manifest_hash":')
    return manifest[:at] + b"}" if at >= 0 else manifest


def rehashed(files: Files, *, files_too: bool) -> Files:
    """The directory with sizes and hashes in its manifest as they are, where it still is one."""
    try:
        doc: Any = json.loads(_without_own_hash(files["MANIFEST.json"]))
        if files_too:
            for name, about in doc["files"].items():
                _measure(about, files.get(name, b""), doc["tensors"], name)
        doc.pop("manifest_hash", None)
        text = json_text.dumped(doc)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return files
    own = xxhash.xxh3_128(text).hexdigest()
    return files | {"MANIFEST.json": text[:-1] + b',"manifest_hash":"' + own.encode() + b'"}'}


def _measure(about: Any, data: bytes, tensors: Any, file: str) -> None:
    about["nbytes"], about["hash"] = len(data), xxhash.xxh3_128(data).hexdigest()
    if "header" not in about:
        return
    length = 8 + int.from_bytes(data[:8], "little")
    about["header"] = xxhash.xxh3_128(data[:length]).hexdigest()
    for key, tensor in json.loads(data[8:length]).items():
        if key in tensors and tensors[key]["file"] == file:
            begin, end = tensor["data_offsets"]
            tensors[key]["nbytes"] = end - begin
            tensors[key]["hash"] = xxhash.xxh3_128(data[length + begin : length + end]).hexdigest()
