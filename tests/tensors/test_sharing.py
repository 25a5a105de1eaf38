"""Tied weights and views of one storage: shared again in torch, and written once."""

from __future__ import annotations

import io
import json

import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings

import weightlift
from weightlift.formats import open_source
from weightlift.sources import Memory

from strategies import element_bytes, shared_views

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sharing")


def opened(obj):
    file = io.BytesIO()
    torch.save(obj, file)
    return open_source(Memory(file.getvalue())).state_dict()


def geometry(tensor):
    """What makes two views of a storage the same view."""
    steps = tuple(step if size > 1 else 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), steps)


def span(tensor):
    start = tensor.data_ptr()
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def is_inside_a_contiguous_one(tensor, others):
    return any(
        other.is_contiguous() and span(other)[0] <= span(tensor)[0] and span(tensor)[1] <= span(other)[1]
        for other in others
        if other.dtype is tensor.dtype and other.numel()
    )


@settings(max_examples=200, deadline=None)
@given(original=shared_views())
def test_what_was_shared_is_shared_again_and_written_once(folder, original):
    """Views of one storage share it in torch; one view under two names is one tensor after extraction too."""
    state_dict = opened(original)
    loaded = state_dict.to_torch()
    assert list(loaded) == list(original)
    written = state_dict.save(folder / "out.safetensors")
    restored = weightlift.open(folder / "out.safetensors").state_dict().to_torch()
    assert list(restored) == list(original)
    for a in original:
        for made in (loaded, restored):
            assert element_bytes(made[a]) == element_bytes(original[a])
        for b in original:
            if not original[a].numel() or not original[b].numel():
                continue
            offset = original[a].data_ptr() - original[b].data_ptr()
            if a[:2] == b[:2]:
                assert loaded[a].data_ptr() - loaded[b].data_ptr() == offset
            if geometry(original[a]) == geometry(original[b]):
                assert restored[a].data_ptr() == restored[b].data_ptr()
    data = (folder / "out.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    names = [name for name in header if name != "__metadata__"]
    assert len(names) == written.tensors
    for name in names:
        others = [original[other] for other in names if other != name and original[other].numel()]
        assert not original[name].numel() or not is_inside_a_contiguous_one(original[name], others)
    plain = safetensors.numpy.load(data) if "F8_E4M3" not in str(header) else {}
    assert all(plain[name].tobytes() == element_bytes(original[name]) for name in plain)


def test_a_transposed_twin_is_a_view_of_the_contiguous_one(folder):
    """A weight and its transpose are written once, whichever comes first, and share memory again."""
    weight = torch.randn(4, 3)
    for names in ({"w": weight, "t": weight.t()}, {"t": weight.t(), "w": weight}):
        written = opened(names).save(folder / "twin.safetensors")
        assert written.nbytes == weight.nbytes
        restored = weightlift.open(folder / "twin.safetensors").state_dict().to_torch()
        assert restored["w"].data_ptr() == restored["t"].data_ptr()
        assert torch.equal(restored["t"], weight.t())


def test_a_module_saved_under_two_names_is_tied_throughout(folder):
    """A submodule that a model registers twice has its weights under both names, shared."""
    layer = torch.nn.Linear(3, 2)
    model = torch.nn.Module()
    model.encoder, model.decoder = layer, layer
    state_dict = opened(model)
    assert list(state_dict) == list(model.state_dict())
    state_dict.save(folder / "tied.safetensors")
    for made in (state_dict.to_torch(), weightlift.open(folder / "tied.safetensors").state_dict().to_torch()):
        assert made["encoder.weight"].data_ptr() == made["decoder.weight"].data_ptr()
        assert torch.equal(made["decoder.bias"], layer.bias)


def test_quantised_views_of_one_storage_share_it_again():
    """Two names for one quantised tensor are one torch tensor's memory."""
    quantised = torch.quantize_per_tensor(torch.randn(4, 4), 0.1, 0, torch.qint8)
    made = opened({"a": quantised, "b": quantised}).to_torch()
    assert made["a"].data_ptr() == made["b"].data_ptr()
