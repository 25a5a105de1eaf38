"""Elements in order: any strided view as packed little-endian bytes, in chunks of bounded size.

Only the standard library, so that converting needs no numpy and memory stays small: strided runs are
copied by slices of memoryviews, which move at the speed of C.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import product as indices

from ..errors import UnsupportedError
from ..limits import MIB
from ..sources import Source
from ..typed import Literal
from .lazy import Tensor, product, rows_first

_CHUNK_BYTES = 8 * MIB  # of output held at once
_READ_BYTES = 4 * MIB  # of storage read at once
_SMALL_BYTES = 64 * 1024  # below this one read beats many, however little of it is used
_UNIT: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FLIP_SIGN = bytes(byte ^ 0x80 for byte in range(256))


class PackingSource(Source):
    """Memory that packs strided views of itself, faster than slices of memoryviews do."""

    __slots__ = ()

    piece_bytes: int
    """Bytes that one chunk has, at most."""

    @abstractmethod
    def packed(self, tensor: Tensor) -> Iterator[memoryview]:
        """Yield the elements of a checked tensor on this memory as `packed_chunks` does."""


def packed_chunks(tensor: Tensor) -> Iterator[bytes | bytearray | memoryview]:
    """Yield the tensor's elements, rows first, little-endian, with conj and neg bits carried out."""
    tensor.check()
    tensor.check_expansion()
    if tensor.numel == 0:
        return
    source = tensor.storage.source()
    if isinstance(source, PackingSource) and not is_verbatim(tensor):
        yield from source.packed(tensor)
        return
    if tensor.is_contiguous:
        start, end = tensor.extent
        if tensor.offset * tensor.dtype.bits % 8:
            raise UnsupportedError(f"a {tensor.dtype} view that begins inside a byte")
        chunks = _runs(source, start, end)
    elif tensor.dtype.bits < 8:
        raise UnsupportedError(f"a strided view of packed {tensor.dtype} elements", remedy="make it contiguous")
    else:
        chunks = _strided(tensor, source)
    if tensor.storage.little_endian and not tensor.conj and not tensor.neg:
        yield from chunks
    else:
        yield from (_resolved(tensor, chunk) for chunk in chunks)


def held_nbytes(tensor: Tensor) -> int:
    """Return how many bytes are held at once, at most, while `packed_chunks` is gone through."""
    start, end = tensor.extent
    if isinstance(tensor.storage.data, PackingSource) and not is_verbatim(tensor):
        return 2 * min(tensor.nbytes, tensor.storage.data.piece_bytes)
    chunk = min(tensor.nbytes, _READ_BYTES if tensor.is_contiguous else _CHUNK_BYTES)
    held = 2 * chunk  # one is still in the caller's hands while the next is made
    if not tensor.is_contiguous:
        held += chunk + min(end - start, _READ_BYTES)
    plain = tensor.storage.little_endian and not tensor.conj and not tensor.neg
    return held if plain else held + 3 * chunk


def is_verbatim(tensor: Tensor) -> bool:
    """Whether the packed bytes are one byte range of the storage, unchanged."""
    plain = tensor.storage.little_endian and not tensor.conj and not tensor.neg
    return plain and tensor.is_contiguous and tensor.offset * tensor.dtype.bits % 8 == 0


def _runs(source: Source, start: int, end: int) -> Iterator[bytes | bytearray | memoryview]:
    for at in range(start, end, _READ_BYTES):
        yield source.view_at(at, min(_READ_BYTES, end - at))


def _resolved(tensor: Tensor, chunk: bytes | bytearray | memoryview) -> bytes:
    """Return the chunk little-endian and with its conj and neg bits carried out on the values."""
    data = bytearray(chunk)
    is_complex = tensor.dtype.is_complex
    width = tensor.dtype.itemsize // 2 if is_complex else tensor.dtype.itemsize
    if not tensor.storage.little_endian:
        for i in range(width // 2):
            data[i::width], data[width - 1 - i :: width] = data[width - 1 - i :: width], data[i::width]
    if tensor.neg and "int" in tensor.dtype.name:
        for at in range(0, len(data), width):
            negated = -int.from_bytes(data[at : at + width], "little") % (1 << 8 * width)
            data[at : at + width] = negated.to_bytes(width, "little")
    elif tensor.neg:
        data[width - 1 :: width] = data[width - 1 :: width].translate(_FLIP_SIGN)
    if tensor.conj and is_complex:
        data[2 * width - 1 :: 2 * width] = data[2 * width - 1 :: 2 * width].translate(_FLIP_SIGN)
    return bytes(data)


def _strided(tensor: Tensor, source: Source) -> Iterator[bytes | bytearray | memoryview]:
    """Yield packed chunks of a view that is not one run."""
    unit = min(tensor.dtype.itemsize, 8)
    factor = tensor.dtype.itemsize // unit  # a complex128 element is two units of 8 bytes
    for block, steps, offset in unit_blocks(tensor, factor, _CHUNK_BYTES // unit):
        out = bytearray(product(block) * unit)
        _gather(source, unit, memoryview(out).cast(_UNIT[unit]), 0, rows_first(block), offset, steps, block)
        yield out


def unit_blocks(tensor: Tensor, factor: int, budget: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Cut a view into consecutive blocks of at most `budget` units, of which an element is `factor`.

    Yields (shape, steps, offset) of each in units, with neighbouring dimensions joined that are one run together.
    """
    shape = [n for n in tensor.shape if n != 1]
    steps = [s * factor for n, s in zip(tensor.shape, tensor.stride, strict=True) if n != 1]
    if factor > 1:
        shape.append(factor)
        steps.append(1)
    shape, steps = _merged(shape, steps) if shape else ([1], [1])
    for block, offset in _blocks(shape, steps, tensor.offset * factor, budget):
        yield block, tuple(steps), offset


def _merged(shape: list[int], steps: list[int]) -> tuple[list[int], list[int]]:
    """Join neighbouring dimensions that are one run together."""
    out_shape, out_steps = shape[:1], steps[:1]
    for n, step in zip(shape[1:], steps[1:], strict=True):
        if out_steps[-1] == n * step:
            out_shape[-1] *= n
            out_steps[-1] = step
        else:
            out_shape.append(n)
            out_steps.append(step)
    return out_shape, out_steps


def _blocks(shape: list[int], steps: list[int], offset: int, budget: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Cut the view into consecutive blocks of at most `budget` units; yield (block shape, offset)."""
    axis, inner = 0, product(tuple(shape[1:]))
    while inner > budget:
        axis += 1
        inner = product(tuple(shape[axis + 1 :]))
    rows = max(1, budget // inner)
    lead = [1] * axis
    for index in indices(*(range(n) for n in shape[:axis])):
        base = offset + sum(i * s for i, s in zip(index, steps, strict=False))
        for row in range(0, shape[axis], rows):
            yield (*lead, min(rows, shape[axis] - row), *shape[axis + 1 :]), base + row * steps[axis]


def _gather(
    source: Source,
    unit: int,
    out: memoryview,
    out_offset: int,
    out_steps: tuple[int, ...],
    offset: int,
    steps: tuple[int, ...],
    shape: tuple[int, ...],
) -> None:
    """Fill a strided region of `out` from a strided region of the source, with bounded reads."""
    extent = 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    used = product(shape)
    if extent * unit <= _SMALL_BYTES or (extent * unit <= _READ_BYTES and extent <= 8 * used):
        data = memoryview(source.view_at(offset * unit, extent * unit)).cast(_UNIT[unit])
        _copy(out, out_offset, out_steps, data, steps, shape)
        return
    axis = max(range(len(shape)), key=lambda d: steps[d] * (shape[d] > 1))
    n = shape[axis]
    dense = extent <= 8 * used
    piece = max(1, n * _READ_BYTES // (extent * unit) // 2) if dense else 1
    for i in range(0, n, piece):
        part = (*shape[:axis], min(piece, n - i), *shape[axis + 1 :])
        _gather(source, unit, out, out_offset + i * out_steps[axis], out_steps, offset + i * steps[axis], steps, part)


def _copy(
    out: memoryview,
    out_offset: int,
    out_steps: tuple[int, ...],
    data: memoryview,
    steps: tuple[int, ...],
    shape: tuple[int, ...],
) -> None:
    """Copy between two strided regions in memory; the longest dimension is the inner loop."""
    inner = max(range(len(shape)), key=lambda d: shape[d])
    outer = [d for d in range(len(shape)) if d != inner]
    n, out_step, step = shape[inner], out_steps[inner], steps[inner]
    for index in indices(*(range(shape[d]) for d in outer)):
        to = out_offset + sum(i * out_steps[d] for i, d in zip(index, outer, strict=True))
        at = sum(i * steps[d] for i, d in zip(index, outer, strict=True))
        run = data[at : at + (n - 1) * step + 1 : step] if step else _repeated(data, at, n)
        out[to : to + (n - 1) * out_step + 1 : out_step] = run


def _repeated(data: memoryview, at: int, count: int) -> memoryview:
    """One element, `count` times."""
    return memoryview(data[at : at + 1].tobytes() * count).cast(_UNIT[data.itemsize])
