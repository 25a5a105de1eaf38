"""Tensors that lie in several blocks."""

from __future__ import annotations

import numpy as np
import pytest

from weightlift.errors import TensorError
from weightlift.tensors.from_live import lazy_values
from weightlift.tensors.joining import join

WHOLE = np.arange(35, dtype=np.float32).reshape(7, 5)


def blocks(*places):
    """Blocks of the whole by (rows, columns), as lazy tensors."""
    live = lazy_values({str(i): WHOLE[place].copy() for i, place in enumerate(places)})
    return [((rows.start or 0, columns.start or 0), live[str(i)]) for i, (rows, columns) in enumerate(places)]


ALL = slice(None)
ROWS = [(slice(4, 7), ALL), (slice(0, 4), ALL)]
GRID = [(slice(r, r + 4), slice(c, c + 3)) for c in (0, 3) for r in (0, 4)]
UNEVEN = [(slice(0, 7), slice(0, 2)), (slice(0, 3), slice(2, 5)), (slice(3, 7), slice(2, 5))]


@pytest.mark.parametrize("places", [ROWS, GRID, UNEVEN, [(ALL, ALL)]])
def test_joining(places):
    """Blocks in any order are the whole, as values and as bytes; rows are streamed, nothing else."""
    made = join((7, 5), blocks(*places))
    assert np.array_equal(made.numpy(), WHOLE)
    assert made.tobytes() == WHOLE.tobytes()
    assert made.streams == (places in (ROWS, [(ALL, ALL)]))


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([(slice(0, 4), ALL)], "overlap or leave something out"),
        ([(slice(0, 4), ALL), (slice(3, 7), ALL)], "overlap or leave something out"),
        ([(slice(0, 4), ALL), (slice(3, 6), ALL)], "two of its blocks overlap"),
    ],
)
def test_blocks_that_are_no_whole(places, told):
    """A gap, or an element that is in two blocks, is an error."""
    with pytest.raises(TensorError, match=told):
        join((7, 5), blocks(*places))
