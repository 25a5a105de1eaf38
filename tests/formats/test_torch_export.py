"""torch.export programs, in today's layout and in the one of 2.1 to 2.7."""

# ruff: noqa: D102, RUF012 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import json
import zipfile

import pytest
import torch

import weightlift

from .conformance import Conformance
from strategies import element_bytes, name_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Net(torch.nn.Module):
    """A module that holds the given tensors in a container of buffers and parameters."""

    def __init__(self, tensors):
        super().__init__()
        for key, tensor in tensors.items():
            name = key.replace(".", "_")
            if tensor.dtype in (torch.float32, torch.float16):
                self.register_parameter(name, torch.nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    def forward(self, x):
        """Leave the weights alone."""
        return x + 1


class TestProgram(Conformance):
    """torch.export.save."""

    name = "torch-export"
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.uint8, torch.int64]
    dtypes += [torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.int16]

    def write(self, path, tensors):
        torch.export.save(torch.export.export(Net(tensors), (torch.ones(2),)), str(path))

    def truth(self, path):
        return torch.export.load(str(path)).state_dict

    @pytest.fixture
    def path(self, tmp_path, program):
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "model").write_bytes(program)
        return folder / "model"

    @pytest.fixture(scope="class")
    def program(self, tmp_path_factory):
        """The bytes of one export, which takes seconds to make."""
        path = tmp_path_factory.mktemp("export") / "model.pt2"
        self.write(path, self.tensors())
        return path.read_bytes()


class Trained(torch.nn.Module):
    """A module with a tie, a buffer that is not saved, and a constant."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = torch.nn.BatchNorm1d(5)
        self.register_buffer("hidden", torch.arange(5.0), persistent=False)
        self.constant = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])

    def forward(self, x):
        """Use all of it."""
        return self.norm(self.head(self.embed(x))) + self.hidden + self.constant


@pytest.fixture(scope="module")
def trained():
    return torch.export.export(Trained().eval(), (torch.tensor([1, 2]),))


def test_a_module_with_ties_and_constants(trained, tmp_path):
    """The state dict is the program's, ties and all; constants stand beside it and are told."""
    torch.export.save(trained, str(tmp_path / "x.pt2"))
    truth = torch.export.load(str(tmp_path / "x.pt2")).state_dict
    checkpoint = weightlift.open(tmp_path / "x.pt2")
    state_dict = checkpoint.state_dict("weights")
    assert list(state_dict) == list(truth)
    for key, wanted in truth.items():
        assert (state_dict[key].dtype.name, state_dict[key].tobytes()) == (name_of(wanted.dtype), element_bytes(wanted))
    assert [set(tie) for tie in state_dict.ties] == [{"embed.weight", "head.weight"}]
    assert {f.code for f in checkpoint.findings} >= {"constants"}
    assert {key: value.numpy().tolist() for key, value in checkpoint.state_dicts["constants"].items()} == {
        "hidden": [0, 1, 2, 3, 4],
        "constant": [1, 2, 3, 4, 5],
    }


@pytest.mark.parametrize("end", [".pt", ".json"])
def test_the_layout_before_2_8(end, tmp_path):
    """A zip of a program beside torch.save files (called .json in 2.1) gives the weights."""
    weights, path = {"w": torch.randn(3, 2).t(), "b": torch.arange(2)}, tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "5.1")
        archive.writestr("serialized_exported_program.json", json.dumps({"graph_module": {}}))
        for stem, value in (("state_dict", weights), ("constants", {})):
            inner = io.BytesIO()
            torch.save(value, inner)
            archive.writestr(f"serialized_{stem}{end}", inner.getvalue())
    checkpoint = weightlift.open(path)
    state_dict = checkpoint.state_dict()
    assert (checkpoint.format, list(state_dict)) == ("torch-export", ["w", "b"])
    assert all(element_bytes(state_dict[key].torch()) == element_bytes(weights[key]) for key in weights)
