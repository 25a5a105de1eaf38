"""The memory that a plan is said to take, held against what is measured while it is written."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.faces.cli import main

ROWS, COLUMNS = 1000, 1024
PLANS = {
    "names": "e.{i}.w -> f.{i}.w",
    "cat and cast": "e.{i}.w -> w : cat(0,i) | cast(float64)",
    "cat of columns": "e.{i}.w -> w : cat(1,i)",
    "stacked experts": "e.{i}.w -> w : stack(0,i)",
    "a chain": "e.{i}.w -> f.{i}.w : t | cast(float64) | scale(2)",
    "streamed casts": "e.{i}.w -> w : cast(float64) | cat(0,i)",
    "narrowed": "e.{i}.w -> f.{i}.w : cast(bfloat16) !lossy",
    "cut off": "e.{i}.w -> f.{i}.w : cast(int64) !lossy",
    "a part of a cast": "e.{i}.w -> f.{i}.w : cast(float64) | slice(0, 0, 10) !lossy",
    "parts of a cast": "e.{i}.w -> f.{i}.w, g.{i}.w : cast(float64) | split(0)",
    "transposed": "e.{i}.w -> f.{i}.w : t",
    "rearranged": 'e.{i}.w -> f.{i}.w : rearrange("(a b) c -> (b a) c", a=10)',
    "rows": "e.{i}.w -> f.{i}.w : rows([5, 3, 5]) !lossy",
    "padded": "e.{i}.w -> f.{i}.w : pad(1, 3, 4) | add(1)",
    "resized up": "e.{i}.w -> f.{i}.w : slice(0, 0, 100) | resize(grid, to=[31, 33]) !lossy",
    "resized down": "e.{i}.w -> f.{i}.w : slice(0, 0, 961) | resize(grid, to=[5, 40]) !lossy",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "experts.safetensors"
    values = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS) % 97
    wl.StateDict.of({f"e.{i}.w": values.copy() for i in range(3)}).save(path)
    return path


@pytest.mark.parametrize("rules", PLANS.values(), ids=PLANS)
def test_no_more_memory_than_said(path, tmp_path, rules):
    """Writing takes no more than the report says before anything is read."""
    plan, weights = wl.Plan.of(rules), wl.open(path).state_dict()
    said = plan.check(weights).peak_nbytes
    tracemalloc.start()
    try:
        report = plan.apply(tmp_path / "out.safetensors", weights)
        measured = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert measured <= said == report.peak_nbytes == report.to_json()["peak_nbytes"]


def test_a_model_takes_all_values_at_once(path):
    """Into a model, what is made is staged whole, and in place a copy of the old values is kept beside it."""
    weights = wl.open(path).state_dict()
    model = nn.ModuleDict({"e": nn.ModuleList(nn.Module() for _ in range(3))})
    for child in model["e"]:
        child.w = nn.Parameter(torch.zeros(COLUMNS, ROWS))
    plan = wl.Plan.of("** -> ** : t | scale(2)")
    assigned, in_place = (plan.apply(model, weights, assign=assign).peak_nbytes for assign in (True, False))
    assert assigned > weights.nbytes
    assert in_place == assigned + weights.nbytes


def test_the_memory_is_always_told(path, tmp_path, capsys):
    """`plan` and `apply` tell it on the page and in JSON, however little it is."""
    wl.Plan.of("** -> **").save(tmp_path / "p.toml")
    for call in (["plan", str(path), str(path)], ["apply", str(path), str(tmp_path / "p.toml"), str(tmp_path / "out")]):
        assert main(call) == 0
        assert "held at once" in capsys.readouterr().out
        assert main([*call, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["report"]["peak_nbytes"] > 0
