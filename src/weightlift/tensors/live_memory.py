"""The memory that live tensors and arrays are in, as a source: what is written there later is read later.

torch is at hand where a torch tensor is, so it also packs the views that are not one run, in bounded pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..limits import MIB
from ..sources import Source
from ..typed import Any
from .lazy import Tensor
from .pack import PackingSource, unit_blocks

_LINE_BYTES = 64  # read from memory at once, whatever is wanted of it
_TILE_ROWS, _TILE_COLUMNS = 256, 32  # so few that torch copies them without waking other threads


class ArrayMemory(Source):
    """Bytes of a live array."""

    __slots__ = ("view",)

    def __init__(self, view: memoryview, name: str) -> None:
        self.view = view
        self.name = name
        self.size = view.nbytes

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self.view[offset : offset + nbytes])

    def _view(self, offset: int, nbytes: int) -> memoryview:
        return self.view[offset : offset + nbytes].toreadonly()


class TorchMemory(PackingSource):
    """Bytes of a live torch storage on any device; `flat` is all of them as a tensor of uint8."""

    __slots__ = ("flat",)

    piece_bytes = 8 * MIB

    def __init__(self, flat: Any, name: str) -> None:
        self.flat = flat
        self.name = name
        self.size = flat.numel()

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self._view(offset, nbytes))

    def _view(self, offset: int, nbytes: int) -> memoryview:
        return _bytes_of(self.flat[offset : offset + nbytes])

    def packed(self, tensor: Tensor) -> Iterator[memoryview]:
        """Yield the elements, rows first, with conj and neg bits carried out."""
        import torch

        pair = 2 if tensor.dtype.is_complex else 1
        unit = tensor.dtype.itemsize // pair
        integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[unit]  # moves any bits unchanged
        units = self.flat[: self.size // unit * unit].view(integer)
        for shape, steps, offset in unit_blocks(tensor, pair, self.piece_bytes // unit):
            piece = torch.empty(shape, dtype=integer, device=self.flat.device)
            source = units.as_strided(shape, steps, offset)
            for tile in _tiles(shape, steps, unit):
                piece[tile].copy_(source[tile])
            yield _bytes_of(_resolved(piece.view(-1), tensor, unit).view(torch.uint8))


def _bytes_of(flat: Any) -> memoryview:
    return memoryview(flat.cpu().numpy()) if flat.numel() else memoryview(b"")


def _tiles(shape: tuple[int, ...], steps: tuple[int, ...], unit: int) -> Iterator[tuple[slice, ...]]:
    """Cut a block where elements of the last dimension lie far apart and those of another close (a transposed weight).

    A tile's lines of the source and rows of the result stay in the cache while it is gone through.
    """
    whole = (slice(None),) * len(shape)
    near = min(range(len(shape)), key=lambda d: steps[d] if shape[d] > 1 else steps[-1])
    if steps[-1] * unit < _LINE_BYTES or steps[near] == steps[-1]:
        yield whole
        return
    for row in range(0, shape[near], _TILE_ROWS):
        rows = (*whole[:near], slice(row, row + _TILE_ROWS), *whole[near + 1 : -1])
        for column in range(0, shape[-1], _TILE_COLUMNS):
            yield *rows, slice(column, column + _TILE_COLUMNS)


def _resolved(piece: Any, tensor: Tensor, unit: int) -> Any:
    """Carry out the conj and neg bits on the values; of numbers with a sign bit only that bit is touched."""
    sign = 1 << 7 if unit == 1 else -(1 << (8 * unit - 1))
    if tensor.neg and "int" in tensor.dtype.name:
        piece.neg_()
    elif tensor.neg:
        piece.bitwise_xor_(sign)
    if tensor.conj and tensor.dtype.is_complex:
        piece[1::2].bitwise_xor_(sign)
    return piece
