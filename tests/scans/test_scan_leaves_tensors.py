"""Scanning reads the structure of a file and its pickles; the bytes of tensors stay where they are."""

from __future__ import annotations

import pytest

from weightlift.scans import scan_source
from weightlift.sources import Memory

from builders import BENIGN, dict_of, pickled, safetensors, storage, tensor, torch_legacy, torch_zip

NUMEL = 1_000_000


def mark(numel: int) -> bytes:
    """The bytes of a float32 tensor of so many elements, which are nowhere else in a file."""
    return bytes(range(1, 251)) * (4 * numel // 250)


def big(numel: int) -> bytes:
    """A pickle of one tensor of so many elements."""
    return pickled(dict_of(("weight", tensor((numel,), where=storage(numel=numel)))))


class Counted(Memory):
    """A file that counts what is read of its tensor's bytes."""

    def __init__(self, data: bytes, numel: int) -> None:
        super().__init__(data, "counted")
        self.begin = data.index(mark(numel))
        self.end = self.begin + 4 * numel
        self.seen = 0

    def _read(self, offset: int, nbytes: int) -> bytes:
        self.seen += max(0, min(offset + nbytes, self.end) - max(offset, self.begin))
        return super()._read(offset, nbytes)

    _view = _read


FILES = {
    "zip": lambda numel: torch_zip(big(numel), {"data/0": mark(numel)}),
    "legacy": lambda numel: torch_legacy(big(numel), mark(numel), numel),
    "safetensors": lambda numel: safetensors(
        b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (numel, 4 * numel), mark(numel)
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_read_does_not_grow_with_tensors(kind):
    """A scan that is not deep reads as much of a tensor four times as large: what reading ahead of a pickle takes."""
    seen = []
    for numel in (NUMEL, 4 * NUMEL):
        source = Counted(FILES[kind](numel), numel)
        assert scan_source(source).verdict == "clean"
        seen.append(source.seen)
    assert abs(seen[0] - seen[1]) < 1_000  # the header says more digits
    assert seen[0] < NUMEL


def test_the_counting_works():
    """What is read of the tensor is counted."""
    source = Counted(torch_zip(BENIGN, {"data/0": mark(NUMEL)}), NUMEL)
    source.read_at(source.begin - 1, 11)
    assert source.seen == 10
