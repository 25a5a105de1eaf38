"""State dicts in several files with an index: the same comes back, other readers find it, and nothing is left over."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors import safe_open

import weightlift as wl
from weightlift.errors import StateDictError, WeightliftError, WriteError
from weightlift.state_dict import StateDict
from weightlift.writers import safetensors


def several() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    whole = torch.arange(64.0).reshape(8, 8)
    sparse = torch.eye(6).to_sparse()
    return {
        "tied.weight": whole,
        "a.weight": torch.rand(4, 4),
        "sparse": sparse,
        "b.weight": torch.arange(7),
        "view": whole[2:4].t(),
        "head.weight": whole,
        "empty": torch.empty(0, 3),
        "c.weight": torch.rand(5).to(torch.bfloat16),
    }


@pytest.fixture
def saved(tmp_path_factory):
    """The same from a file, which may hold composites."""
    path = tmp_path_factory.mktemp("source") / "m.pt"
    torch.save(several(), path)
    return wl.open(path).state_dict()


@pytest.mark.parametrize("limit", [1, 100, 300])
def test_the_same_comes_back(tmp_path, saved, limit):
    """Names, order, values, ties, views and composites are those that were saved."""
    values = several()
    written = saved.save(tmp_path / "m.safetensors", limit)
    assert written.path == str(tmp_path / "m.safetensors.index.json")
    checkpoint = wl.open(written.path)
    back = checkpoint.state_dict()
    assert list(back) == list(values)
    assert back.ties == [("tied.weight", "head.weight")]
    assert [finding.code for finding in checkpoint.findings] == []
    loaded = back.to_torch()
    for key, value in values.items():
        assert torch.equal(loaded[key].to_dense() if key == "sparse" else loaded[key],
                           value.to_dense() if key == "sparse" else value), key  # fmt: skip
    assert loaded["view"].untyped_storage().data_ptr() == loaded["tied.weight"].untyped_storage().data_ptr()


def test_other_readers_find_every_plain_name(tmp_path, saved):
    """Every name of the index is in the file that the index names, and the files are numbered."""
    saved.save(tmp_path / "m.safetensors", 100)
    index = json.loads((tmp_path / "m.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    count = len(files)
    assert files == [f"m-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    for key, name in index["weight_map"].items():
        with safe_open(tmp_path / name, "pt") as file:
            assert key in file.keys()  # noqa: SIM118 - a method of another library
    assert {"a.weight", "b.weight", "c.weight", "tied.weight", "empty"} <= set(index["weight_map"])
    assert index["metadata"]["total_size"] > 0


def test_versions_of_modules_come_back(tmp_path):
    """What torch hangs on a state dict as `_metadata` is there again."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    written = StateDict.from_module(model).save(tmp_path / "m.safetensors", 70)
    assert wl.open(written.path).state_dict().to_torch()._metadata == model.state_dict()._metadata


def test_what_fits_is_one_plain_file(tmp_path, saved):
    """Below the limit there is neither a number nor an index."""
    assert saved.save(tmp_path / "m.safetensors", 10**6).path.endswith("m.safetensors")
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("limit", [0, -1, 2.5, "5GB"])
def test_a_limit_that_is_none(tmp_path, saved, limit):
    with pytest.raises(StateDictError, match="max_shard_bytes"):
        saved.save(tmp_path / "m.safetensors", limit)
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_after_an_error(tmp_path, saved, monkeypatch):
    """A shard that fails takes the complete ones with it; an older set stays as it was."""
    saved.save(tmp_path / "old.safetensors", 100)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    append, left = safetensors.append_tensor, [4]

    def fails(fd, tensor):
        left[0] -= 1
        if not left[0]:
            raise WeightliftError("no more")
        append(fd, tensor)

    for name in ("old", "new"):
        left[0] = 4
        monkeypatch.setattr(safetensors, "append_tensor", fails)
        with pytest.raises(WeightliftError, match="no more"):
            saved.save(tmp_path / f"{name}.safetensors", 100)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_no_shard_that_is_read_from_is_replaced(tmp_path):
    """A set of shards is never written over itself."""
    tensors = {f"w{i}": torch.full((4,), float(i)) for i in range(3)}
    wl.StateDict.of(tensors).save(tmp_path / "w.safetensors", 16)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(WriteError, match="is a file that is read from"):
        wl.open(tmp_path / "w.safetensors.index.json").state_dict().save(tmp_path / "w.safetensors", 16)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("at", range(4))
def test_an_interrupted_second_run_never_speaks_of_old_and_new(tmp_path, saved, monkeypatch, at):
    """Where giving a new set its names fails halfway, no index of the old set is left to lead to a mixture."""
    path = tmp_path / "m.safetensors"
    saved.save(path, 100)
    again = saved.add_prefix("new.")
    moves = []

    def fails_once(source, target, replace=os.replace):
        moves.append(target)
        if len(moves) == at + 1:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_once)
    with pytest.raises(WriteError):
        again.save(path, 100)
    monkeypatch.undo()
    assert not (tmp_path / "m.safetensors.index.json").exists()
    again.save(path, 100)
    assert list(wl.open(f"{path}.index.json").state_dict()) == list(again)
