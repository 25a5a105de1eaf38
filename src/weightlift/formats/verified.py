"""One data file of a checkpoint held against its manifest: header first, then every byte, read once and in order."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from ..errors import MalformedError, TruncatedError, WeightliftError
from ..limits import Limits
from ..sources import LocalFile, OwnMemory
from ..tensors import Storage
from ..writers.hashing import hash_of, hasher
from ..writers.manifest import DAMAGED, FileRecord, TensorRecord
from .base import Opening
from .safetensors import read_plain

_CHUNK = 2 << 20  # read and hashed at once: stays in the cache
_BATCH = 8 << 20  # bytes that a thread reads before it asks for more
_THREADS = min(4, os.cpu_count() or 1)
_MAPPED = 1 << 20  # bytes: from here on a tensor gets pages of its own
_ALIGNED = 64  # bytes: torch then takes the memory as it is
_PRIVATE: dict[str, int] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
"""Left alone, Python maps memory that a forked child shares: what that writes to its weights, all would have."""

Span = tuple[Storage, int, int]
"""A tensor's storage with its first and last-plus-one byte in the file."""


def check_hash(name: str, data: bytes, wanted: str, nbytes: int, where: str) -> None:
    """Hold a file that is in memory against its record.

    Raises:
        MalformedError: another size or other bytes.
    """
    if len(data) != nbytes:
        raise MalformedError(f"{len(data)} bytes", expected=f"{nbytes}", remedy=DAMAGED, where=where)
    if (found := hash_of(name, data)) != wanted:
        raise MalformedError(f"its {name} is {found}", expected=wanted, remedy=DAMAGED, where=where)


class DataFile:
    """An open data file: its size, header and tensors are those of the manifest, its tensors' bytes unread."""

    def __init__(
        self,
        name: str,
        file: LocalFile,
        record: FileRecord,
        tensors: Mapping[str, TensorRecord],
        hash_name: str,
        limits: Limits,
    ) -> None:
        self.name = name
        self.file = file
        self.record = record
        self.tensors = tensors
        if file.size != record.nbytes:
            raise TruncatedError(f"{file.size} bytes", expected=f"{record.nbytes}", remedy=DAMAGED, where=name)
        try:
            length = 8 + int.from_bytes(file.read_at(0, 8), "little")
            if length > min(file.size, limits.header_bytes + 8):
                raise MalformedError(f"a header of {length - 8} bytes", remedy=DAMAGED)
            header = file.read_at(0, length)
            check_hash(hash_name, header, record.header, length, "header")
            self.plain, self.metadata = read_plain(file, Opening(limits))
        except WeightliftError as error:
            raise error.at(name) from None
        self.header = header
        self._check_tensors()

    def _check_tensors(self) -> None:
        sizes = {key: tensor.storage.nbytes for key, tensor in self.plain.items()}
        listed = {key: record.nbytes for key, record in self.tensors.items()}
        for key in sizes | listed:
            if sizes.get(key) != listed.get(key):
                found, wanted = (f"{each[key]} bytes" if key in each else "nothing" for each in (sizes, listed))
                raise MalformedError(found, expected=f"{wanted} by the manifest", where=self.name).at(repr(key))

    def read(self, hash_name: str, needed: set[int] | None) -> list[WeightliftError]:
        """Read all tensors, or those whose storage is among `needed`, into memory that they then are in.

        Several threads do: most of the time goes into pages that the system has to find first. Header and tensors
        are the whole file, so that its own hash has nothing to add. Returns what is not as the manifest says.
        """
        spans = [span for span in self._spans() if needed is None or id(span[0]) in needed]
        memories = _memories([end - begin for _, begin, end in spans])

        def fill(batch: range) -> list[WeightliftError]:
            return [each for i in batch for each in self._filled(hash_name, spans[i], memories[i])]

        batches = list(_batches([len(memory) for memory in memories]))
        if len(batches) < 2:
            problems = [each for batch in batches for each in fill(batch)]
        else:
            problems = _on_threads(fill, batches)
        for (storage, _, _), memory in zip(spans, memories, strict=True):
            storage.data = OwnMemory(memory, storage.key)
        return problems

    def _filled(self, hash_name: str, span: Span, memory: memoryview) -> list[WeightliftError]:
        storage, begin, _ = span
        own = hasher(hash_name)()
        for at in range(0, len(memory), _CHUNK):
            chunk = memory[at : at + _CHUNK]
            _fill(self.file, chunk, begin + at)
            own.update(chunk)
        return self._compare(storage.key, own.hexdigest())

    def _spans(self) -> list[Span]:
        """Each tensor's storage with its first and last-plus-one byte in the file, in the order of the bytes."""
        spans = []
        for tensor in self.plain.values():
            located = tensor.storage.source().file_range(0, tensor.storage.nbytes)
            begin = located[1] if located else 0
            spans.append((tensor.storage, begin, begin + tensor.storage.nbytes))
        return sorted(spans, key=lambda span: span[1:])

    def check(self, hash_name: str) -> list[WeightliftError]:
        """Read everything once and in order, keep nothing; return what is not as the manifest says."""
        make = hasher(hash_name)
        whole = make()
        whole.update(self.header)
        problems: list[WeightliftError] = []
        buffer = memoryview(bytearray(_CHUNK))
        for storage, begin, end in self._spans():  # which follow each other without a gap
            own = make()
            for at in range(begin, end, _CHUNK):
                chunk = buffer[: min(_CHUNK, end - at)]
                _fill(self.file, chunk, at)
                whole.update(chunk)
                own.update(chunk)
            problems += self._compare(storage.key, own.hexdigest())
        if not problems and whole.hexdigest() != self.record.hash:
            found = f"its {hash_name} is {whole.hexdigest()}"
            problems.append(MalformedError(found, expected=self.record.hash, remedy=DAMAGED, where=self.name))
        return problems

    def _compare(self, key: str, found: str) -> list[WeightliftError]:
        wanted = self.tensors[key].hash
        if found == wanted:
            return []
        error = MalformedError(f"its bytes have the hash {found}", expected=wanted, remedy=DAMAGED, where=self.name)
        return [error.at(repr(key))]


def _on_threads(fill: Callable[[range], list[WeightliftError]], batches: list[range]) -> list[WeightliftError]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as threads:
        return [each for batch in threads.map(fill, batches) for each in batch]


def _batches(sizes: list[int]) -> Iterator[range]:
    """Cut a row of tensors where enough bytes have come together to be a thread's next piece of work."""
    first = nbytes = 0
    for i, size in enumerate(sizes):
        nbytes += size
        if nbytes >= _BATCH or i + 1 == len(sizes):
            yield range(first, i + 1)
            first, nbytes = i + 1, 0


def _memories(sizes: list[int]) -> list[memoryview]:
    """Return fresh memory for each tensor, aligned as tensor libraries do.

    Large tensors have pages of their own, which are freed with them; small ones share some.
    """
    places, at = [], 0
    for nbytes in sizes:
        places.append(at)
        at += 0 if nbytes >= _MAPPED else -(-nbytes // _ALIGNED) * _ALIGNED
    shared = _pages(at)
    return [
        _pages(nbytes) if nbytes >= _MAPPED else shared[place : place + nbytes]
        for nbytes, place in zip(sizes, places, strict=True)
    ]


def _pages(nbytes: int) -> memoryview:
    """Return fresh memory that begins with a page, in large pages where it can: small ones cost much time."""
    pages = mmap.mmap(-1, max(nbytes, 1), **_PRIVATE)
    if nbytes >= _MAPPED and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)[:nbytes]


def _fill(file: LocalFile, memory: memoryview, offset: int) -> None:
    """Read exactly as many bytes as the memory has."""
    done = 0
    while done < len(memory):
        done += file.read_into(memory[done:], offset + done)
