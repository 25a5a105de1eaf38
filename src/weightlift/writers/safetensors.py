"""Named tensors into a safetensors file, streamed: memory stays small however big the file is.

Format: https://github.com/huggingface/safetensors#format (8 bytes header length, JSON, bytes).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from ..errors import MalformedError, WeightliftError, WriteError
from ..tensors.computed import Computed, Lazy, strided_parts
from ..tensors.pack import is_verbatim, packed_chunks
from ..typed import Any
from ..values import dataclass
from .atomic import atomic_file
from .copying import append_chunks, append_range, write_all
from .layout import Layout, plan_layout

Progress = Callable[[int, int], None]
"""Called with (bytes written, bytes in all)."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: names that have bytes, ties (name -> kept name), names copied out of a share."""

    path: str
    tensors: int
    nbytes: int
    ties: Mapping[str, str]
    unshared: tuple[str, ...]


def write_safetensors(
    path: str | os.PathLike[str],
    entries: Mapping[str, Any],
    *,
    versions: Any = None,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write tensors by name; everything is checked before the first byte, and all of it is there or none.

    Raises:
        TensorError, UnsupportedError: an entry that cannot be written, by its name.
        WriteError: the output cannot be written.
    """
    layout = plan_layout(entries, versions, metadata)
    refuse_own_sources(path, [tensor for _, tensor in layout.tensors])
    with atomic_file(path) as fd:
        write_layout(fd, layout, progress)
    return Written(os.fspath(path), len(layout.tensors), layout.nbytes, layout.ties, tuple(layout.unshared))


def write_layout(fd: int, layout: Layout, progress: Progress | None = None) -> None:
    """Write the header and every tensor to an open file; `progress` hears of this file's bytes."""
    write_all(fd, layout.header)
    done = 0
    for key, tensor in layout.tensors:
        try:
            append_tensor(fd, tensor)
        except WeightliftError as error:
            error.at(repr(key))
            raise
        done += tensor.nbytes
        if progress:
            progress(done, layout.nbytes)


def refuse_own_sources(path: str | os.PathLike[str], tensors: Iterable[Lazy]) -> None:
    """Refuse to put the output in the place of a file that its tensors are read from.

    Raises:
        WriteError: it is one of them.
    """
    if not os.path.exists(path):
        return
    there = os.stat(path)
    seen = set()
    for part in chain.from_iterable(map(strided_parts, tensors)):
        located = part.storage.source().file_range(0, 0) if part.numel else None
        if located and located[0] not in seen:
            seen.add(located[0])
            if os.path.samestat(there, os.fstat(located[0])):
                raise WriteError("is a file that is read from", expected="another name", where=os.fspath(path))


def append_tensor(fd: int, tensor: Lazy) -> None:
    """Append a tensor's elements at the descriptor's position."""
    if not tensor.numel:
        return
    if isinstance(tensor, Computed):
        if tensor.streams:
            for part in tensor.inputs:
                append_tensor(fd, part)
        elif (written := append_chunks(fd, tensor.chunks())) != tensor.nbytes:
            raise MalformedError(f"{written} bytes came", expected=f"{tensor.nbytes}")
        return
    if is_verbatim(tensor):
        start, end = tensor.extent
        append_range(fd, tensor.storage.source(), start, end - start)
    elif (written := append_chunks(fd, packed_chunks(tensor))) != tensor.nbytes:
        raise MalformedError(f"{written} bytes came", expected=f"{tensor.nbytes}")
