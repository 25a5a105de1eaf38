"""Real checkpoints that other people's programs wrote.

Taken from the folder that WEIGHTLIFT_CORPUS names, or from .corpus (`make corpus`). What is expected of
each stands in a manifest.json beside the folder, or in tools/checkpoints.toml.
"""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import weightlift as wl
from weightlift.paths import path_name
from weightlift.tensors.arrays import Array

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("WEIGHTLIFT_CORPUS", ROOT / ".corpus"))

# File -> (tensors that we count beyond the manifest's number, why). Empty: every count agrees.
DIFFERENCES: dict[str, tuple[int, str]] = {}


def expected() -> dict[str, dict[str, Any]]:
    """What is known of each file, by name."""
    records = {r["name"]: r for r in tomllib.loads((ROOT / "tools/checkpoints.toml").read_text())["checkpoint"]}
    for manifest in (FOLDER / "manifest.json", FOLDER.parent / "manifest.json"):
        if manifest.exists():
            for record in json.loads(manifest.read_text())["files"]:
                records[record["name"]] = {
                    "tensors": record.get("tensors"),
                    "weights_only": record.get("weights_only") == "ok",
                }
    return records


EXPECTED = expected()
FILES = sorted(p for p in FOLDER.glob("*") if p.name in EXPECTED) if FOLDER.is_dir() else []
needs_files = pytest.mark.skipif(not FILES, reason="no real checkpoints here: make corpus")
every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)


@needs_files
@every_file
def test_every_tensor_is_found(path):
    """The file opens and holds as many tensors as the manifest says."""
    found = [v for _, v in wl.open(path).walk() if isinstance(v, wl.Tensor | wl.Composite)]
    count = EXPECTED[path.name]["tensors"]
    if count is not None:
        assert len(found) == count + DIFFERENCES.get(path.name, (0, ""))[0]
    for tensor in found:
        tensor.check()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and scalars of what torch loaded, by the path that we would give them."""
    if isinstance(value, dict):
        for key, item in value.items():
            at = (
                f"{path}.{key}"
                if path and isinstance(key, str)
                else key
                if isinstance(key, str)
                else f"{path}[{key!r}]"
            )
            yield from leaves(item, at)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


READABLE = [path for path in FILES if EXPECTED[path.name]["weights_only"]]


@pytest.mark.skipif(not READABLE, reason="no real checkpoints here: make corpus")
@pytest.mark.parametrize("path", READABLE, ids=lambda p: p.name)
def test_agrees_with_torch(path):
    """Where torch's safe loader reads the file: the same keys, shapes, dtypes, strides and bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dict(leaves(torch.load(path, map_location="cpu", weights_only=True)))
    ours = dict(leaves(wl.open(path).tree))
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        mine = ours[key]
        if isinstance(value, torch.Tensor):
            assert mine.dtype.name == str(value.dtype).removeprefix("torch."), key
            assert mine.shape == tuple(value.shape), key
            assert mine.stride == value.stride(), key
            assert mine.tobytes() == value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), key
        elif isinstance(value, int | float | str | bool):
            assert mine == value or value != value, key  # noqa: PLR0124 - NaN


@needs_files
@every_file
def test_every_state_dict_is_extracted(path, tmp_path):
    """Each state dict of the file is written, and reads back with the same names, order, shapes and bytes."""
    checkpoint = wl.open(path)
    for i, (name, state_dict) in enumerate(checkpoint.state_dicts.items()):
        out = tmp_path / f"{i}.safetensors"
        wl.extract(path, out, name=name)
        again = wl.open(out).state_dict()
        assert list(again) == list(state_dict)
        assert again.ties == state_dict.ties
        for key, tensor in state_dict.tensors.items():
            if isinstance(tensor, wl.Tensor):
                assert (again[key].dtype, again[key].shape) == (tensor.dtype, tensor.shape), key
                assert again[key].tobytes() == tensor.tobytes(), key


@needs_files
@every_file
def test_paths_name_every_value(path):
    """Every place in the tree has a name that can be shown."""
    for where, value in wl.open(path).walk():
        assert isinstance(path_name(where), str)
        if isinstance(value, Array) and value.is_tensor:
            assert value.tensor().numel >= 0
