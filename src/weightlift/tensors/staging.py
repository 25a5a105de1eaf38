"""Copies of live tensors, so that training may go on while they are written.

Memory: one byte for every byte of a live storage that any of the tensors views, and no more; from then on the
same buffers are filled again, so that only the first call waits for memory to be had. Buffers are on the CPU.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from ..typed import Any
from ..values import replace
from .computed import Computed, strided_parts
from .lazy import Composite, Storage, Tensor
from .live_memory import ArrayMemory, TorchMemory

_ALIGNED = 16  # every element type can be addressed from here


class Staging:
    """Buffers that live tensors are copied to. The result of one call is gone when the next begins."""

    def __init__(self) -> None:
        self._buffers: list[Any] = []

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that are held."""
        return sum(map(_size, self._buffers))

    def release(self) -> None:
        """Let go of all buffers; they are freed with the last tensor that `stage` gave."""
        self._buffers = []

    def stage(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same with every live tensor as a copy; ties and views stay, whatever is not live passes through.

        The live tensors may be changed as soon as this returns. What an earlier call returned holds other values
        from now on, or is incomplete if this one raises.
        """
        spans: dict[int, _Spans] = {}
        for value in tensors.values():
            for part in strided_parts(value):
                if part.numel and isinstance(part.storage.data, TorchMemory | ArrayMemory):
                    spans.setdefault(id(part.storage), _Spans(part.storage)).add(*part.extent)
        free: dict[tuple[type, int], list[Any]] = {}
        for buffer in self._buffers:
            free.setdefault((type(buffer), _size(buffer)), []).append(buffer)
        self._buffers = []
        for held in spans.values():
            self._buffers += held.copy(free)
        made: dict[int, Any] = {}  # of Computed values that are inputs of several
        return {name: _staged(value, spans, made) for name, value in tensors.items()}


class _Spans:
    """The bytes of one storage that are viewed, as runs that do not touch, and the copy of each."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._runs: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._copies: list[Storage] = []

    def add(self, start: int, end: int) -> None:
        self._runs.append((start - start % _ALIGNED, end))

    def copy(self, free: dict[tuple[type, int], list[Any]]) -> list[Any]:
        """Copy every run, into a free buffer of its size where there is one; return the buffers."""
        buffers = []
        source = self.storage.source()
        for start, end in _merged(self._runs):
            buffer, memory = _copied(source, start, end, free)
            self._starts.append(start)
            self._copies.append(Storage(self.storage.key, end - start, memory))
            buffers.append(buffer)
        return buffers

    def moved(self, tensor: Tensor) -> Tensor:
        """Return the tensor on the copy of its bytes."""
        place = bisect_right(self._starts, tensor.extent[0]) - 1
        before = self._starts[place] // tensor.dtype.itemsize
        return replace(tensor, storage=self._copies[place], offset=tensor.offset - before)


def _copied(source: Any, start: int, end: int, free: dict[tuple[type, int], list[Any]]) -> tuple[Any, Any]:
    """Return a buffer with these bytes, and the source that it is."""
    if isinstance(source, ArrayMemory):
        waiting = free.get((bytearray, end - start))
        held = waiting.pop() if waiting else bytearray(end - start)
        memoryview(held)[:] = source.view[start:end]
        return held, ArrayMemory(memoryview(held), source.name)
    import torch

    waiting = free.get((torch.Tensor, end - start))
    flat = waiting.pop() if waiting else torch.empty(end - start, dtype=torch.uint8, device="cpu")
    flat.copy_(source.flat[start:end])  # by several threads
    return flat, TorchMemory(flat, source.name)


def _staged(value: Any, spans: Mapping[int, _Spans], made: dict[int, Any]) -> Any:
    if isinstance(value, Tensor):
        held = spans.get(id(value.storage)) if value.numel else None
        return value if held is None else held.moved(value)
    if isinstance(value, Composite):
        return replace(value, parts={name: _staged(part, spans, made) for name, part in value.parts.items()})
    if isinstance(value, Computed):
        if id(value) not in made:
            made[id(value)] = replace(value, inputs=tuple(_staged(part, spans, made) for part in value.inputs))
        return made[id(value)]
    return value


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join runs that touch or overlap."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out


def _size(buffer: Any) -> int:
    return len(buffer)
