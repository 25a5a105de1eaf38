"""Sharded checkpoints: an index beside its shards, safetensors or torch files."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import json
import os

import pytest
import safetensors.torch
import torch

import weightlift
from weightlift.errors import ContainerError, SourceError

from .conformance import Conformance, Counted, open_source

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class TestShardsOfTorchFiles(Conformance):
    """pytorch_model.bin.index.json."""

    name = "sharded"
    keeps_views = False

    def save(self, shard, path):
        torch.save(shard, path)

    def load(self, path):
        return torch.load(path, weights_only=False)

    def write(self, path, tensors):
        names = list(tensors)
        shards = {"one.bin": names[::2], "two.bin": names[1::2]}
        weight_map = {name: file for file, held in shards.items() for name in held}
        for file, held in shards.items():
            if held:
                self.save({name: tensors[name].clone() for name in held}, path.parent / file)
        index = {"metadata": {"total_size": 1}, "weight_map": {name: weight_map[name] for name in names}}
        path.write_text(json.dumps(index))

    def truth(self, path):
        weight_map = json.loads(path.read_text())["weight_map"]
        shards = {file: self.load(path.parent / file) for file in set(weight_map.values())}
        return {name: shards[file][name] for name, file in weight_map.items()}

    def test_a_shard_that_is_cut_off_is_named(self, path, tmp_path):
        """A truncated shard is an error that names it, and nothing is written."""
        shard = path.parent / "two.bin"
        data = shard.read_bytes()
        for part in (0.0, 0.5, 0.99):
            shard.write_bytes(data[: int(len(data) * part)])
            with pytest.raises(weightlift.WeightliftError, match=r"two\.bin"):
                weightlift.extract(path, tmp_path / "out.safetensors")
            assert os.listdir(tmp_path) == ["in"]

    def test_a_missing_shard_is_named(self, path):
        """A shard that is not there is told by name."""
        (path.parent / "one.bin").unlink()
        with pytest.raises(SourceError, match=r"1 of 2 shards are missing: one\.bin"):
            weightlift.open(path)


class TestShardsOfSafetensors(TestShardsOfTorchFiles):
    """model.safetensors.index.json."""

    dtypes = sorted(set(safetensors.torch._TYPES.values()), key=str)

    def save(self, shard, path):
        safetensors.torch.save_file(shard, path)

    def load(self, path):
        return safetensors.torch.load_file(path)


def test_the_index_reads_no_shard_but_its_header(tmp_path):
    """Opening an index reads little of the index itself and does not follow names out of the folder."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "../secret.safetensors"}}))
    source = Counted(index)
    with pytest.raises(ContainerError, match=r"shard '\.\./secret\.safetensors'"):
        open_source(source)
