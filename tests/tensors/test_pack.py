"""Packing strided views into bytes, against numpy's own striding."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weightlift.dtypes import DTYPES
from weightlift.sources import Memory
from weightlift.tensors import Storage, Tensor, pack

from strategies import geometries, reach

KINDS = {"uint8": "u1", "int16": "i2", "float32": "f4", "int64": "i8", "complex64": "c8", "complex128": "c16"}


class Watched(Memory):
    """A source that remembers the longest read."""

    longest = 0

    def _read(self, offset, nbytes):
        self.longest = max(self.longest, nbytes)
        return super()._read(offset, nbytes)


@settings(max_examples=600, deadline=None)
@given(
    geometry=geometries(longest=7, widest_step=200),
    kind=st.sampled_from(sorted(KINDS)),
    little_endian=st.booleans(),
    budgets=st.tuples(
        st.sampled_from([16, 32, 80, 4096]), st.sampled_from([16, 48, 256, 4096]), st.sampled_from([0, 16, 512])
    ),
)
def test_any_view_is_packed_as_numpy_packs_it(geometry, kind, little_endian, budgets):
    """Whatever the budgets, the chunks joined are numpy's bytes, and no chunk or read exceeds its budget."""
    shape, stride, offset = geometry
    chunk, read, small = budgets
    dtype = np.dtype(KINDS[kind]).newbyteorder("<" if little_endian else ">")
    data = np.random.default_rng(1).bytes(reach(*geometry) * dtype.itemsize)
    flat = np.frombuffer(data, dtype=dtype)
    expected = np.lib.stride_tricks.as_strided(flat[offset:], shape, [step * dtype.itemsize for step in stride])
    source = Watched(data)
    storage = Storage("s", len(data), source, little_endian=little_endian)
    with patch.multiple(pack, _CHUNK_BYTES=chunk, _READ_BYTES=read, _SMALL_BYTES=small):
        chunks = list(Tensor(DTYPES[kind], shape, stride, offset, storage).chunks())
    wanted = expected.astype(dtype.newbyteorder("<")).tobytes() if expected.size else b""
    assert b"".join(chunks) == wanted
    assert max(map(len, chunks), default=0) <= max(chunk, read)
    assert source.longest <= max(read, small)


def test_a_large_view_is_read_and_written_in_pieces():
    """A transposed matrix larger than every budget comes out whole, in several chunks."""
    matrix = np.arange(3000 * 1000, dtype=np.int32).reshape(3000, 1000)
    source = Watched(matrix.tobytes())
    storage = Storage("s", source.size, source)
    chunks = list(Tensor(DTYPES["int32"], (1000, 3000), (1, 1000), 0, storage).chunks())
    assert b"".join(chunks) == matrix.T.tobytes()
    assert len(chunks) > 1
    assert source.longest < source.size


def test_one_column_of_a_wide_matrix_reads_little():
    """A sparse view reads far fewer bytes than it spans."""
    read = []

    class Counted(Memory):
        def _read(self, offset, nbytes):
            read.append(nbytes)
            return super()._read(offset, nbytes)

    matrix = np.arange(64 * 100_000, dtype=np.int32).reshape(64, 100_000)
    storage = Storage("s", matrix.nbytes, Counted(matrix.tobytes()))
    column = Tensor(DTYPES["int32"], (64,), (100_000,), 17, storage)
    assert column.tobytes() == matrix[:, 17].tobytes()
    assert sum(read) < matrix.nbytes // 50


def test_an_expanded_element_is_repeated():
    """A scalar expanded to a million elements is that element a million times."""
    storage = Storage("s", 16, Memory(np.array([1.5, 2.5]).tobytes()))
    expanded = Tensor(DTYPES["float64"], (1000, 1000), (0, 0), 1, storage)
    assert expanded.tobytes() == np.array([2.5]).tobytes() * 1_000_000
