"""safetensors files of the safetensors package itself."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.torch
import torch

import weightlift

from .conformance import Conformance
from strategies import element_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class TestSafetensors(Conformance):
    """safetensors.torch.save_file."""

    name = "safetensors"
    keeps_views = False
    dtypes = sorted(set(safetensors.torch._TYPES.values()), key=str)

    def write(self, path, tensors):
        safetensors.torch.save_file({key: tensor.clone() for key, tensor in tensors.items()}, path)

    def truth(self, path):
        """What the package reads, in the order of the header."""
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        read = safetensors.torch.load(data)
        return {key: read[key] for key in header if key != "__metadata__"}


def test_tied_weights_of_save_model_come_back(tmp_path):
    """What save_model left out because it is shared is there again, and shared."""
    model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    safetensors.torch.save_model(model, str(tmp_path / "x"))
    checkpoint = weightlift.open(tmp_path / "x")
    assert [f.code for f in checkpoint.findings] == ["recorded-ties"]
    made = checkpoint.state_dict().to_torch()
    assert set(made) == {"0.weight", "1.weight"}
    assert made["0.weight"].data_ptr() == made["1.weight"].data_ptr()
    model.load_state_dict(made)


def test_metadata_that_happens_to_name_a_tensor_makes_no_tensor(tmp_path):
    """A tensor called 'pt' is not taken for what `format: pt` is tied to."""
    safetensors.torch.save_file({"pt": torch.zeros(2)}, tmp_path / "x", metadata={"format": "pt"})
    assert list(weightlift.open(tmp_path / "x").state_dict()) == ["pt"]


def test_a_remark_that_happens_to_name_a_tensor_makes_no_tensor(tmp_path):
    """Metadata is free text: `base = weight` is no parameter called base."""
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "x", metadata={"base": "weight"})
    checkpoint = weightlift.open(tmp_path / "x")
    assert list(checkpoint.state_dict()) == ["weight"]
    assert checkpoint.details["metadata"]["base"] == "weight"


def test_only_recorded_ties_come_back_from_our_own_files(tmp_path):
    """In a file of ours the record says what is tied; a remark beside it stays one."""
    both = torch.zeros(2)
    torch.save({"a.w": both, "b.w": both}, tmp_path / "x.pt")
    weightlift.extract(tmp_path / "x.pt", tmp_path / "x")
    read = weightlift.open(tmp_path / "x")
    assert list(read.state_dict()) == ["a.w", "b.w"]
    assert not read.findings


def test_a_written_file_loads_into_the_model_by_the_package(tmp_path):
    """load_model of the safetensors package takes an extracted file of a model with tied weights."""
    model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    torch.save(model, tmp_path / "x.pt")
    weightlift.extract(tmp_path / "x.pt", tmp_path / "x.safetensors")
    other = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
    other[1].weight = other[0].weight
    assert safetensors.torch.load_model(other, tmp_path / "x.safetensors") == (set(), [])
    assert torch.equal(other[1].weight, model[0].weight)


def test_every_tensor_begins_at_a_multiple_of_its_element_size(tmp_path):
    """Whatever the order of the names, numpy can map what was written without copying."""
    odd = {"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(2, dtype=torch.float64), "c": torch.ones(1).half()}
    torch.save(odd, tmp_path / "x.pt")
    weightlift.extract(tmp_path / "x.pt", tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    base = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:base])
    assert base % 8 == 0
    for key, tensor in odd.items():
        begin, end = header[key]["data_offsets"]
        assert (base + begin) % tensor.element_size() == 0
        assert np.frombuffer(data[base + begin : base + end], np.uint8).tobytes() == element_bytes(tensor)
