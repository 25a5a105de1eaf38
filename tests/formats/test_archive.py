"""A zip of several torch files."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import zipfile

import pytest
import torch

import weightlift

from .conformance import Conformance

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class TestZipOfOneModel(Conformance):
    """A zip that holds a torch file beside a text file."""

    name = "archive"
    method = zipfile.ZIP_STORED

    def write(self, path, tensors):
        inner = io.BytesIO()
        torch.save(tensors, inner)
        with zipfile.ZipFile(path, "w", self.method) as archive:
            archive.writestr("README.md", "what this is")
            archive.writestr("policy.pth", inner.getvalue())

    def truth(self, path):
        with zipfile.ZipFile(path) as archive:
            return torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=False)


class TestCompressedZipOfOneModel(TestZipOfOneModel):
    """The same, compressed: the storages inside are inflated as they are read."""

    method = zipfile.ZIP_DEFLATED

    def test_opening_reads_no_tensor(self, path):
        """Only what is stored can be opened without reading it: the directory lies at its end."""
        self.write(path, self.large())
        assert weightlift.open(path).state_dict()["w"].tobytes() == self.large()["w"].numpy().tobytes()


def test_two_models_are_told_apart(tmp_path):
    """Of a zip of two models each state dict is there under its member's name."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, value in (("generator.pt", 1.0), ("critic.pt", 2.0)):
            inner = io.BytesIO()
            torch.save({"w": torch.full((3,), value)}, inner, _use_new_zipfile_serialization=name[0] == "g")
            archive.writestr(name, inner.getvalue())
    checkpoint = weightlift.open(tmp_path / "x.zip")
    assert list(checkpoint.state_dicts) == ["generator.pt", "critic.pt"]
    assert checkpoint.state_dict("critic.pt")["w"].numpy().tolist() == [2.0] * 3
    with pytest.raises(weightlift.WeightliftError, match="2 state dicts and none is plainly the weights"):
        checkpoint.state_dict()


def test_scripted_modules_keep_their_own_code_and_constants(tmp_path):
    """In a zip of two TorchScript files each module is read by what stands in its own file."""
    truth = {}
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name, made in (("a", torch.nn.Linear(2, 3)), ("b", torch.nn.Conv1d(3, 4, 2))):
            inner = io.BytesIO()
            torch.jit.save(torch.jit.script(made), inner)
            archive.writestr(f"{name}.pt", inner.getvalue())
            truth[f"{name}.pt"] = made.state_dict()
    found = weightlift.open(tmp_path / "two.zip").state_dicts
    read = {name.removeprefix("['").removesuffix("']"): held.to_torch() for name, held in found.items()}
    assert read.keys() == truth.keys()
    for name, held in truth.items():
        assert read[name].keys() == held.keys()
        assert all(torch.equal(read[name][key], value) for key, value in held.items())
