"""Strided live tensors as lazies, in a file and as torch tensors again: the same bits, shared where they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import weightlift
from weightlift.errors import LimitError
from weightlift.state_dict import StateDict
from weightlift.tensors import live_memory
from weightlift.tensors.from_live import LiveTensors
from weightlift.tensors.staging import Staging

from strategies import element_bytes, shared_views, storage_bytes, tensors

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("live")


def round_trips(original, folder):
    """Lazy tensors of live ones: at once, staged, and from a file."""
    held = StateDict.of(original)
    yield held
    yield StateDict.of(Staging().stage(dict(held.items())))
    held.save(folder / "x.safetensors")
    yield weightlift.open(folder / "x.safetensors").state_dict()


@settings(max_examples=300, deadline=None)
@given(original=tensors())
def test_any_live_view_has_the_same_bits(folder, original):
    """Type, shape and every bit are the live tensor's; strides too, where there was no file between."""
    wanted = element_bytes(original)
    for number, made in enumerate(round_trips({"x": original}, folder)):
        lazy = made["x"]
        again = lazy.torch()
        assert (again.dtype, again.shape) == (original.dtype, original.shape)
        assert lazy.tobytes() == wanted
        assert element_bytes(again) == wanted
        if number < 2:
            assert again.stride() == original.stride()


@settings(max_examples=100, deadline=None)
@given(original=shared_views())
def test_what_was_shared_is_shared(folder, original):
    """Views of one storage lie in one storage after staging, at the same distance, and so do their torch tensors."""
    for number, made in enumerate(round_trips(original, folder)):
        again = made.to_torch()
        for name, value in original.items():
            assert element_bytes(again[name]) == element_bytes(value)
            for other, beside in original.items():
                distance = value.data_ptr() - beside.data_ptr()
                overlap = value.numel() and beside.numel() and abs(distance) < value.element_size()
                if number < 2 and overlap:
                    assert again[name].data_ptr() - again[other].data_ptr() == distance


def permuted(draw_shape, seed):
    order = random.Random(seed).sample(range(len(draw_shape)), len(draw_shape))
    return torch.randn(draw_shape, generator=torch.Generator().manual_seed(seed)).permute(order)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.uint8, torch.complex128, torch.bfloat16, torch.complex64]),
    sizes=st.tuples(st.integers(2, 4096), st.integers(1, 9), st.integers(1, 9)),
)
def test_pieces_and_tiles_of_any_size_give_the_same_bytes(shape, seed, dtype, sizes):
    """However a permuted tensor is cut, its bytes are those of the contiguous one, in chunks of bounded size."""
    value = permuted(shape, seed).to(dtype)
    if dtype.is_complex:
        value = value.conj()
    piece = max(16, sizes[0] // 16 * 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_memory.TorchMemory, "piece_bytes", piece)
        patch.setattr(live_memory, "_TILE_ROWS", sizes[1])
        patch.setattr(live_memory, "_TILE_COLUMNS", sizes[2])
        chunks = [bytes(chunk) for chunk in LiveTensors().lazy("x", value).chunks()]
    assert b"".join(chunks) == element_bytes(value.contiguous())
    assert value.is_contiguous() or max(map(len, chunks)) <= piece


def test_a_big_permuted_tensor_is_packed_in_pieces():
    """What is held at once is bounded, and said."""
    value = torch.arange(3 << 20, dtype=torch.int64).reshape(1 << 10, -1).t()
    lazy = LiveTensors().lazy("x", value)
    chunks = list(lazy.chunks())
    assert len(chunks) == 3
    assert lazy.streamed_nbytes == 16 << 20
    assert b"".join(chunks) == value.contiguous().numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int8, torch.int32, torch.int64])
def test_negated_views_are_carried_out(dtype):
    """Every number comes out negated, and of a float nothing but its sign bit changes."""
    value = torch.tensor([0, 1, -2, 100], dtype=dtype)
    lazy = LiveTensors().lazy("x", torch._neg_view(value))
    assert lazy.tobytes() == (-value).numpy().tobytes()


def test_not_a_number_keeps_its_bits():
    """Conjugation and permutation leave the payload of a NaN alone."""
    bits = torch.tensor([[0x7FF8_0000_DEAD_BEEF, 0x7FF0_0000_0000_0001], [1, 2]])
    value = bits.view(torch.complex128)
    plain = LiveTensors().lazy("x", value.conj()).tobytes()
    assert np.frombuffer(plain, dtype=np.uint64).tolist() == [
        0x7FF8_0000_DEAD_BEEF, 0xFFF0_0000_0000_0001, 1, 0x8000_0000_0000_0002,
    ]  # fmt: skip


def test_storages_stay_shared_over_many_calls():
    """Views met in different calls, and torch tensors of one array's memory, are on one storage."""
    held = LiveTensors()
    base = torch.zeros(4, 4)
    array = np.zeros(8, dtype=np.float32)
    first, second = held.lazy("a", base[1]), held.lazy("b", base.t())
    assert first.storage is second.storage
    assert held.lazy("c", base[1].detach()).view == first.view
    assert held.lazy("d", torch.from_numpy(array)).storage is held.lazy("e", torch.from_numpy(array)).storage
    assert held.lazy("f", array).storage is held.lazy("g", array).storage


def test_a_storage_is_kept_while_the_table_lives():
    """A new tensor is never taken for one that has been freed and whose address it has."""
    held = LiveTensors()
    seen = [held.lazy(str(i), torch.full((1000,), float(i))) for i in range(50)]
    assert [made.numpy()[0] for made in seen] == list(range(50))
    assert len({id(made.storage) for made in seen}) == 50


def test_lazy_tensors_are_views_of_the_live_memory():
    """What is written to a live tensor later is read later; torch tensors of it are copies."""
    value = torch.zeros(3)
    lazy = LiveTensors().lazy("x", value)
    made = lazy.torch()
    value.fill_(5.0)
    assert lazy.numpy().tolist() == [5.0] * 3
    assert made.tolist() == [0.0] * 3


def test_a_default_device_changes_nothing():
    """Inside `torch.device("meta")` live tensors are still read from where they are."""
    value = torch.arange(6.0).reshape(2, 3).t()
    with torch.device("meta"):
        lazy = LiveTensors().lazy("x", value)
        staged = Staging().stage({"x": lazy})["x"]
        assert lazy.tobytes() == staged.tobytes() == value.contiguous().numpy().tobytes()


def test_an_expanded_tensor_of_small_storage(folder):
    """An expanded tensor is written out by its values, and refused where that would be far more than there is."""
    made = list(round_trips({"x": torch.tensor([2.0]).expand(3, 4)}, folder))
    assert [each["x"].numpy().tolist() for each in made] == [[[2.0] * 4] * 3] * 3
    with pytest.raises(LimitError, match=r"^'x': \d+ bytes would be written for a view of 4 bytes"):
        StateDict.of({"x": torch.tensor([2.0]).expand(1 << 40)}).save(folder / "y.safetensors")


def test_only_the_viewed_bytes_of_a_storage_are_staged():
    """A small view of a large storage costs what it views."""
    base = torch.zeros(1 << 20)
    staging = Staging()
    made = staging.stage(dict(StateDict.of({"a": base[100:104], "b": base[-4:]}).items()))
    assert staging.nbytes <= 2 * (16 + 16)
    assert storage_bytes(made["a"].torch()).nbytes <= 32
