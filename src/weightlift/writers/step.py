"""One checkpoint as a directory: tensors in safetensors files, the rest in JSON, a manifest with every hash.

Everything is decided and checked before the first byte is written; what is written is on the disk when
`write_step` returns, and nothing of it is left after an error. The format: docs/format.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from ..errors import LimitError, MalformedError, UnsupportedError, WeightliftError, WriteError
from ..limits import DEFAULT_LIMITS
from ..tensors.computed import Computed, Lazy
from ..tensors.pack import is_verbatim, packed_chunks
from ..typed import Any
from ..values import dataclass
from .directory import durable_directory
from .hashed_file import HashedFile
from .hashing import DEFAULT_HASH, hash_digits, hash_of, hasher
from .layout import Layout, plan_layout
from .manifest import MANIFEST, STATE, FileRecord, Manifest, TensorRecord, data_name
from .safetensors import Progress
from .shards import shard_entries
from .target import refuse_in_the_way, target_of

MAX_FILE_BYTES = 4 << 30
"""Bytes of tensors in one data file, unless one tensor alone is larger."""

STATE_VERSION = 1

_CHUNK = 1 << 20  # hashed and written while it is in the cache
_BESIDE = 1 << 16  # bytes that the file system itself may need for a directory and its entries


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """What was written and is on the disk now."""

    path: str
    manifest: Manifest
    nbytes: int
    """Bytes of all files."""
    ties: Mapping[str, str]
    """Name -> the name under which the same tensor was written."""
    unshared: tuple[str, ...]
    """Names that overlapped another tensor in part and were written as their own copy."""


def write_step(  # noqa: PLR0913 - each is a field of the manifest
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    state: Mapping[str, Any],
    *,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    parts: Mapping[str, str] | None = None,
    partial: Sequence[str] = (),
    hash: str = DEFAULT_HASH,  # noqa: A002 - the word of the manifest
    max_file_bytes: int = MAX_FILE_BYTES,
    progress: Progress | None = None,
) -> WrittenStep:
    """Write a checkpoint directory and return when it is on the disk under its name.

    `tensors` are lazy ones by name, `state` is plain JSON, `parts` the kind of each part. A checkpoint that has
    the name already is replaced; it stays whole until the new one is durable. `progress` hears of (bytes
    written, bytes in all).

    Raises:
        TensorError, UnsupportedError, LimitError: something that cannot be written, by its name; nothing was begun.
        MissingDependencyError: the hash needs a package.
        WriteError: the directory cannot be written; nothing of it was left behind.
    """
    if type(max_file_bytes) is not int or max_file_bytes < 1:
        raise UnsupportedError(f"max_file_bytes={max_file_bytes!r:.40}", expected="1 or more")
    hasher(hash)  # a missing package is told before anything is planned
    layouts = _plan(tensors, max_file_bytes)
    document = state_text(state)
    manifest = Manifest(
        hash,
        step,
        dict(metrics or {}),
        dict(parts or {}),
        tuple(partial),
        written_by(),
        *_expected(layouts, document, "0" * hash_digits(hash)),
    )
    room = len(_checked(manifest))
    total = sum(layout.nbytes for layout in layouts.values())
    needed = room + len(document) + total + sum(len(layout.header) for layout in layouts.values())
    target = target_of(path)
    refuse_in_the_way(target)
    refuse_full_disk(target, needed)
    with durable_directory(path) as folder:
        files: dict[str, FileRecord] = {}
        records: dict[str, TensorRecord] = {}
        done = 0
        for name, layout in layouts.items():
            heard = (lambda now, before=done: progress(before + now, total)) if progress else None
            files[name] = write_data_file(os.path.join(folder, name), layout, hash, records, heard)
            done += layout.nbytes
        with HashedFile(os.path.join(folder, STATE), hash) as out:
            out.write(document)
        files[STATE] = FileRecord(len(document), out.digest)
        manifest = Manifest(
            hash, step, manifest.metrics, manifest.parts, manifest.partial, manifest.written, files, records
        )
        text = manifest.to_bytes()
        with HashedFile(os.path.join(folder, MANIFEST), hash) as out:
            out.write(text)
    return WrittenStep(
        os.fspath(path),
        manifest,
        manifest.nbytes + len(text),
        {name: kept for layout in layouts.values() for name, kept in layout.ties.items()},
        tuple(name for layout in layouts.values() for name in layout.unshared),
    )


def _plan(tensors: Mapping[str, Any], most: int) -> dict[str, Layout]:
    """Return the layout of every data file by its name."""
    layouts: dict[str, Layout] = {}
    home: dict[str, str] = {}
    for i, shard in enumerate(shard_entries(tensors, most, header_bytes=DEFAULT_LIMITS.header_bytes // 2)):
        name = data_name(i + 1)
        layouts[name] = plan_layout(shard)
        for key, _ in layouts[name].tensors:
            if home.setdefault(key, name) != name:
                raise UnsupportedError(f"two tensors would be called {key!r}", remedy="rename one of them")
    return layouts


def _expected(
    layouts: Mapping[str, Layout], document: bytes, digest: str
) -> tuple[dict[str, FileRecord], dict[str, TensorRecord]]:
    """Return the records as they will be but for their hashes."""
    files = {name: FileRecord(len(each.header) + each.nbytes, digest, digest) for name, each in layouts.items()}
    tensors = {
        key: TensorRecord(name, tensor.nbytes, digest)
        for name, layout in layouts.items()
        for key, tensor in layout.tensors
    }
    return files | {STATE: FileRecord(len(document), digest)}, tensors


def _checked(manifest: Manifest) -> bytes:
    """Return the text of a manifest that a reader takes.

    Raises:
        UnsupportedError: a step, metric or text that has no place in one.
    """
    try:
        text = manifest.to_bytes()
        Manifest.from_bytes(text)
    except (MalformedError, TypeError, ValueError) as error:
        raise UnsupportedError(f"what describes the checkpoint cannot be written ({error})") from None
    return text


def refuse_full_disk(target: str, needed: int) -> None:
    """Refuse what the disk has no room for. Quotas, and what others write meanwhile, show only in writing."""
    folder = os.path.dirname(target)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        found = os.statvfs(folder)
    except OSError:
        return
    free = (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize
    if found.f_blocks and free < needed + _BESIDE:
        raise WriteError(
            f"{needed} bytes are to be written and {free} are free on the disk",
            expected=f"{needed + _BESIDE} free",
            remedy="remove something, or write elsewhere",
            where=target,
        )


def write_data_file(
    path: str, layout: Layout, name: str, records: dict[str, TensorRecord], progress: Progress | None
) -> FileRecord:
    """Write one data file, flushed, and enter its tensors into `records`."""
    make = hasher(name)
    done = 0
    with HashedFile(path, name) as out:
        out.write(layout.header)
        for key, tensor in layout.tensors:
            own = make()
            try:
                nbytes = 0
                for chunk in tensor_chunks(tensor):
                    own.update(chunk)
                    out.write(chunk)
                    nbytes += len(chunk)
                if nbytes != tensor.nbytes:
                    raise MalformedError(f"{nbytes} bytes came", expected=f"{tensor.nbytes}")
            except WeightliftError as error:
                raise error.at(repr(key)) from None
            records[key] = TensorRecord(os.path.basename(path), tensor.nbytes, own.hexdigest())
            done += nbytes
            if progress:
                progress(done, layout.nbytes)
    return FileRecord(len(layout.header) + done, out.digest, hash_of(name, layout.header))


def tensor_chunks(tensor: Lazy) -> Iterator[bytes | bytearray | memoryview]:
    """Yield a tensor's elements, rows first, little-endian; without a copy where they lie in memory like that."""
    if not tensor.numel:
        return
    if isinstance(tensor, Computed):
        if tensor.streams:
            for part in tensor.inputs:
                yield from tensor_chunks(part)
        else:
            for chunk in tensor.chunks():
                yield from _pieces(chunk)
    elif is_verbatim(tensor):
        start, end = tensor.extent
        source = tensor.storage.source()
        for at in range(start, end, _CHUNK):
            yield source.view_at(at, min(_CHUNK, end - at))
    else:
        for chunk in packed_chunks(tensor):
            yield from _pieces(chunk)


def _pieces(chunk: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    """Cut what is too large for the cache."""
    view = memoryview(chunk)
    for at in range(0, len(view), _CHUNK):
        yield view[at : at + _CHUNK]


def state_document(parts: Mapping[str, Any], **about: Any) -> dict[str, Any]:
    """Return what state.json holds: the document of each part, and what else is said about all of them."""
    return {"weightlift_state": STATE_VERSION, **about, "parts": dict(parts)}


def state_text(state: Mapping[str, Any]) -> bytes:
    """Return the text of state.json.

    Raises:
        UnsupportedError: it is no JSON. LimitError: more than a reader takes.
    """
    try:
        text = json.dumps(state, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedError(f"the state is no JSON ({error})", expected="what the codec makes") from None
    if len(text) > DEFAULT_LIMITS.text_bytes:
        raise LimitError(
            f"a state of {len(text)} bytes", expected=f"at most {DEFAULT_LIMITS.text_bytes}",
            remedy="keep large data in tensors or arrays", where=STATE,
        )  # fmt: skip
    return text


def written_by() -> dict[str, str]:
    """Who writes, and when. torch is not imported for it."""
    from time import gmtime, strftime

    versions = {"weightlift": sys.modules[__name__.partition(".")[0]].__version__}
    if torch := sys.modules.get("torch"):
        versions["torch"] = str(torch.__version__)
    return versions | {"time": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())}
