"""Memory that nobody else uses becomes torch tensors without a copy."""

from __future__ import annotations

import mmap

import pytest
import torch

from weightlift.dtypes import DTYPES
from weightlift.sources import Memory, OwnMemory
from weightlift.state_dict import StateDict
from weightlift.tensors.lazy import Storage, Tensor, contiguous
from weightlift.tensors.values_as_torch import values_to_torch

FLOAT = DTYPES["float32"]


def aligned(nbytes):
    """Memory that begins where torch's own would, so that sums over it have the same last bit."""
    whole = bytearray(nbytes + 64)
    skip = -torch.frombuffer(whole, dtype=torch.uint8).data_ptr() % 64
    return memoryview(whole)[skip : skip + nbytes]


BUFFERS = {"mapping": lambda n: mmap.mmap(-1, n), "view": aligned}


@pytest.mark.parametrize("kind", BUFFERS)
def test_a_tensor_is_the_memory_itself(kind):
    """What is written to the torch tensor is in the memory, and the lazy tensor reads it."""
    memory = OwnMemory(BUFFERS[kind](64))
    lazy = contiguous(FLOAT, (16,), Storage("x", 64, memory))
    made = lazy.torch()
    made[3] = 7.0
    assert lazy.numpy()[3] == 7.0
    assert lazy.torch().data_ptr() == made.data_ptr()


def test_windows_and_views_share_the_memory():
    """Views of a part of the memory lie where they lie in it, in one call and over several."""
    memory = OwnMemory(aligned(256))
    storage = Storage("x", 128, memory.window(64, 128))
    whole = contiguous(FLOAT, (4, 8), storage)
    part = Tensor(FLOAT, (8, 2), (1, 8), 16, storage)
    made = values_to_torch({"whole": whole, "part": part, "again": whole})
    assert made["part"].data_ptr() - made["whole"].data_ptr() == 64
    assert made["again"] is made["whole"]
    assert made["part"].stride() == (1, 8)
    assert made["whole"].data_ptr() == whole.torch().data_ptr()


def test_memory_of_others_is_copied():
    """Bytes that somebody else may use are never given away."""
    data = bytes(range(64))
    made = contiguous(FLOAT, (16,), Storage("x", 64, Memory(data))).torch()
    made.zero_()
    assert data == bytes(range(64))
    live = torch.arange(4.0)
    StateDict.of({"x": live})["x"].torch().zero_()
    assert live.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("at", [1, 4, 8, 16, 32])
def test_memory_that_torch_would_not_have_given_is_copied(at):
    """Elements that begin elsewhere than at 64 bytes are copied to where they do."""
    memory = OwnMemory(aligned(128))
    made = contiguous(FLOAT, (4,), Storage("x", 16, memory.window(at, 16))).torch()
    assert made.data_ptr() % 64 == 0
    made.fill_(1.0)
    assert memory.read_at(0, 128) == bytes(128)


def test_big_endian_memory_is_copied():
    """Bytes in the other order are swapped in a copy."""
    memory = OwnMemory(bytearray(b"\x3f\x80\x00\x00" * 4))
    made = contiguous(FLOAT, (4,), Storage("x", 16, memory, little_endian=False)).torch()
    assert made.tolist() == [1.0] * 4
    assert memory.read_at(0, 4) == b"\x3f\x80\x00\x00"


def test_memory_that_cannot_be_written_to_is_refused():
    """Read-only memory is not one's own."""
    with pytest.raises(ValueError, match="cannot be written"):
        OwnMemory(memoryview(b"abc"))


def test_flags_and_values_without_elements():
    """Conjugated views and empty tensors of one's own memory are what they are of any."""
    memory = OwnMemory(bytearray(torch.tensor([1 + 2j]).numpy().tobytes()))
    storage = Storage("x", 8, memory)
    lazy = Tensor(DTYPES["complex64"], (1,), (1,), 0, storage, conj=True)
    assert lazy.torch().resolve_conj().tolist() == [1 - 2j]
    assert contiguous(FLOAT, (0, 2), storage).torch().shape == (0, 2)
