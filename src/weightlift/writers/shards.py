"""Named tensors into several safetensors files with an index, as transformers writes and reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from ..errors import StateDictError
from ..tensors import Composite, Tensor
from ..tree import tensors_in
from ..typed import Any
from .atomic import atomic_file
from .copying import write_all
from .layout import Layout, plan_layout
from .safetensors import Progress, Written, refuse_own_sources, write_layout, write_safetensors

OUR_NAMES = "weightlift_names"
INDEX = ".safetensors.index.json"


def write_shards(
    path: str | os.PathLike[str],
    entries: Mapping[str, Any],
    most: int,
    *,
    versions: Any = None,
    progress: Progress | None = None,
) -> Written:
    """Write `NAME-00001-of-0000N.safetensors` ... and `NAME.safetensors.index.json`; one plain file where all fits.

    All files are complete before the first gets its name, and the index is the last; after an error no new
    file is left. An older set of the same names has no index from the first new name to the last, so that an
    interrupted run never leaves one that speaks of old and new files.

    Raises:
        StateDictError: a limit below 1. TensorError, UnsupportedError: an entry that cannot be written.
        WriteError: the output cannot be written.
    """
    if type(most) is not int or most < 1:
        raise StateDictError(f"max_shard_bytes={most!r:.40}", expected="1 or more")
    shards = shard_entries(entries, most)
    if len(shards) < 2:
        return write_safetensors(path, entries, versions=versions, progress=progress)
    base = os.fspath(path).removesuffix(INDEX).removesuffix(".safetensors")
    count = len(shards)
    layouts = {
        f"{base}-{i + 1:05d}-of-{count:05d}.safetensors": plan_layout(shard, versions if i == 0 else None)
        for i, shard in enumerate(shards)
    }
    total = sum(layout.nbytes for layout in layouts.values())
    index = _index(entries, layouts, total)
    for name in (base + INDEX, *layouts):
        refuse_own_sources(name, [tensor for layout in layouts.values() for _, tensor in layout.tensors])
    existing = {name for name in layouts if os.path.exists(name)}
    try:
        with ExitStack() as files:  # left backwards: the index, which comes first here, gets its name last
            fd = files.enter_context(atomic_file(base + INDEX))
            write_all(fd, index)
            done = 0
            for name, layout in layouts.items():
                fd = files.enter_context(atomic_file(name))
                write_layout(fd, layout, _within(progress, done, total))
                os.fsync(fd)
                done += layout.nbytes
            files.callback(_remove, os.path.realpath(base + INDEX))  # an older one would speak of old and new files
    except BaseException:
        for name in set(layouts) - existing:
            with suppress(OSError):
                os.unlink(name)
        raise
    ties = {key: kept for layout in layouts.values() for key, kept in layout.ties.items()}
    unshared = tuple(key for layout in layouts.values() for key in layout.unshared)
    return Written(base + INDEX, sum(len(layout.tensors) for layout in layouts.values()), total, ties, unshared)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _within(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return what hears of one file's bytes and tells of all files' bytes."""
    return (lambda done, _: progress(before + done, total)) if progress else None


def _index(entries: Mapping[str, Any], layouts: Mapping[str, Layout], total: int) -> bytes:
    """Return the index: the file of each name that has bytes, and our own list of all names where that is not all."""
    home = {key: os.path.basename(name) for name, layout in layouts.items() for key, _ in layout.tensors}
    plain = [key for key in entries if key in home]
    weight_map = {key: home[key] for key in (*plain, *(key for key in home if key not in entries))}
    metadata: dict[str, Any] = {"total_size": total}
    if list(weight_map) != list(entries):
        metadata[OUR_NAMES] = list(entries)
    text = json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=1, ensure_ascii=False)
    return text.encode("utf-8")


def shard_entries(entries: Mapping[str, Any], most: int, *, header_bytes: int = 1 << 62) -> list[dict[str, Any]]:
    """Return the entries of each shard, in order.

    An entry stays whole, and those that share a storage stay together, so that ties and views can be
    restored; only such a group may be larger than `most` bytes, and is then a shard of its own. So it is with
    `header_bytes`, what the header of one shard may take, by a generous estimate.
    """
    groups = _groups(entries)
    shards: list[list[str]] = []
    room = room_for_names = 0
    for keys in groups:
        nbytes = _nbytes([entries[key] for key in keys])
        names = sum([_header_nbytes(key, entries[key]) for key in keys])
        if not shards or nbytes > room or names > room_for_names:
            shards.append([])
            room, room_for_names = most, header_bytes
        shards[-1] += keys
        room -= nbytes
        room_for_names -= names
    places = {key: i for i, key in enumerate(entries)}
    return [{key: entries[key] for key in sorted(keys, key=places.__getitem__)} for keys in shards]


def _header_nbytes(key: str, value: Any) -> int:
    """What an entry takes of a header, at most: a line for each of its tensors, with the name thrice."""
    count = 1 if isinstance(value, Tensor) else 1 + sum(1 for _ in tensors_in(value))
    if isinstance(value, Composite):
        count += len(value.parts)
    return count * (256 + 3 * len(key.encode("utf-8", "surrogatepass")))


def _groups(entries: Mapping[str, Any]) -> list[list[str]]:
    """Names that share memory, each group where its first one stands."""
    home: dict[object, int] = {}
    groups: dict[int, list[str]] = {}
    for i, (key, value) in enumerate(entries.items()):
        marks = _marks(value)
        known = sorted({home[mark] for mark in marks if mark in home})
        here = known[0] if known else i
        groups.setdefault(here, [])
        for other in known[1:]:
            groups[here] += groups.pop(other)
            home.update({mark: here for mark, at in home.items() if at == other})
        groups[here].append(key)
        home.update(dict.fromkeys(marks, here))
    return list(groups.values())


def _marks(value: Any) -> list[object]:
    """What is equal for values that may share memory."""
    marks: list[object] = []
    for tensor in tensors_in(value):
        parts = tensor.parts.values() if isinstance(tensor, Composite) else [tensor]
        marks += [id(part.storage) if isinstance(part, Tensor) else part.view for part in parts]
    return marks


def _nbytes(values: list[Any]) -> int:
    """Bytes of values, each view counted once."""
    found: dict[object, int] = {}
    for value in values:
        for tensor in tensors_in(value):
            found[id(tensor) if isinstance(tensor, Composite) else tensor.view] = tensor.nbytes
    return sum(found.values())
