"""Pickles without a container: `pickle.dump` of tensors and modules, their storages nested blobs."""

# ruff: noqa: D102, RUF012 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import pickle

import pytest
import torch

import weightlift

from .conformance import Conformance, module_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

READABLE = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]


class TestDumped(Conformance):
    """pickle.dump of a dict of tensors; each tensor has a blob of its own, so nothing is shared."""

    name = "pickle"
    dtypes = READABLE
    protocol = 2
    most_read = 1 << 24  # protocol 2 spells bytes as text, whose end is found by reading it

    def write(self, path, tensors):
        path.write_bytes(pickle.dumps(tensors, self.protocol))

    def truth(self, path):
        return pickle.loads(path.read_bytes())


class TestDumpedInProtocol3(TestDumped):
    """The same in protocol 3."""

    protocol = 3
    most_read = 1 << 20


class TestDumpedInProtocol4(TestDumped):
    """The same in protocol 4."""

    protocol = 4
    most_read = 1 << 20


class TestDumpedInProtocol5(TestDumped):
    """The same in protocol 5."""

    protocol = 5
    most_read = 1 << 20


class TestDumpedModule(TestDumped):
    """pickle.dump of a whole module."""

    dtypes = [torch.float32, torch.int64, torch.bool]

    def write(self, path, tensors):
        path.write_bytes(pickle.dumps(module_of(tensors), 4))

    def truth(self, path):
        return super().truth(path).state_dict()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol, tmp_path):
    """Protocols 0 to 5 give the same tensors."""
    weight = torch.randn(40, 50)
    (tmp_path / "x").write_bytes(pickle.dumps({"w": weight, "b": weight[0]}, protocol))
    checkpoint = weightlift.open(tmp_path / "x")
    assert checkpoint.format == "pickle"
    assert torch.equal(checkpoint.state_dict()["w"].torch(), weight)
    assert torch.equal(checkpoint.state_dict()["b"].torch(), weight[0])
