"""A tensor that lies in several blocks, as one: what many ranks wrote, read by anybody."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import TensorError
from ..typed import TYPE_CHECKING, Any
from .computed import Computed
from .lazy import Tensor, product

if TYPE_CHECKING:
    import numpy as np

Block = tuple[tuple[int, ...], Tensor]
"""Where a block begins in the whole, in elements, and the block."""


def join(shape: tuple[int, ...], blocks: Sequence[Block]) -> Computed:
    """Return the whole of blocks that lie side by side. Reads nothing; blocks of rows are streamed.

    Raises:
        TensorError: blocks of several element types, that overlap, or that leave something out.
    """
    ordered = sorted(blocks, key=lambda block: block[0])
    dtype = ordered[0][1].dtype
    if any(block.dtype.name != dtype.name for _, block in ordered):
        raise TensorError("its blocks have several element types", expected="one")
    _check_cover(shape, [(at, block.shape) for at, block in ordered])
    places = [tuple(slice(i, i + n) for i, n in zip(at, block.shape, strict=True)) for at, block in ordered]

    def assemble(values: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        import numpy as np

        made = np.empty(shape, values[0].dtype)
        for place, value in zip(places, values, strict=True):
            made[place] = value
        return made

    rows = all(block.shape[1:] == shape[1:] for _, block in ordered) and dtype.bits % 8 == 0
    inputs = tuple(block for _, block in ordered)
    return Computed(dtype, shape, inputs, assemble, streams=rows, same=tuple(block.view for block in inputs))


def _check_cover(shape: tuple[int, ...], boxes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """Every element is in exactly one of the boxes, which are ordered by where they begin."""
    if sum(product(sizes) for _, sizes in boxes) != product(shape):
        raise TensorError("its blocks overlap or leave something out", expected=f"all of {list(shape)} once")
    axis = max(range(len(shape)), key=lambda i: len({at[i] for at, _ in boxes}), default=0)
    going: list[tuple[tuple[int, ...], tuple[int, ...]]] = []  # those that reach beyond where the present one begins
    for box in sorted(boxes, key=lambda box: box[0][axis : axis + 1]):
        going = [each for each in going if each[0][axis] + each[1][axis] > box[0][axis]] if shape else going
        if any(_overlap(each, box) for each in going):
            raise TensorError("two of its blocks overlap", expected=f"all of {list(shape)} once")
        going.append(box)


def _overlap(one: tuple[tuple[int, ...], ...], other: tuple[tuple[int, ...], ...]) -> bool:
    return all(at < begin + size and begin < at + length for at, length, begin, size in zip(*one, *other, strict=True))
