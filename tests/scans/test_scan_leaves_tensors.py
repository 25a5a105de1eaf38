"""Scanning reads the structure of a file and its pickles; the bytes of tensors stay where they are."""

from __future__ import annotations

import pytest

from weightlift.scans import scan_source
from weightlift.sources import Memory

from builders import BENIGN, dict_of, pickled, safetensors, storage, tensor, torch_legacy, torch_zip

NUMEL = 200_000
ALLOWED = 66_000
MARK = bytes(range(1, 251)) * (4 * NUMEL // 250)
BIG = pickled(dict_of(("weight", tensor((NUMEL,), where=storage(numel=NUMEL)))))


class Guarded(Memory):
    """A file whose tensor bytes must not be read.

    What a read that goes past a pickle, or looks for the end of a zip, takes of what lies beside it is let through.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "guarded")
        self.begin = data.index(MARK)
        self.end = self.begin + len(MARK)
        self.seen = 0

    def _read(self, offset: int, nbytes: int) -> bytes:
        self.seen += max(0, min(offset + nbytes, self.end) - max(offset, self.begin))
        assert self.seen <= ALLOWED, f"{self.seen} bytes of a tensor are read"
        return super()._read(offset, nbytes)

    _view = _read


@pytest.mark.parametrize(
    "data",
    [
        torch_zip(BIG, {"data/0": MARK}),
        torch_legacy(BIG, MARK, NUMEL),
        safetensors(b'{"w":{"dtype":"F32","shape":[200000],"data_offsets":[0,800000]}}', MARK),
    ],
    ids=["zip", "legacy", "safetensors"],
)
def test_no_tensor_is_read(data):
    """A scan that is not deep reads no tensor."""
    assert scan_source(Guarded(data)).verdict == "clean"


def test_the_guard_works():
    """A read of the tensor fails the test above."""
    source = Guarded(torch_zip(BENIGN, {"data/0": MARK}))
    with pytest.raises(AssertionError, match="bytes of a tensor"):
        source.read_at(source.begin, len(MARK))
