"""Whatever fails on the way, the model and the files are what they were."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.errors import WriteError
from weightlift.mapping.apply import apply_to_module
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems
from weightlift.sources import Source
from weightlift.state_dict import StateDict
from weightlift.tensors.lazy import Storage, contiguous
from weightlift.tensors.torch_modules import ModuleTarget

from live_models import Net, both_ways, filled, snapshot


class GoneError(Exception):
    """What fails in these tests."""


class FailingSource(Source):
    """Bytes that can be had until the count is used up."""

    left = 10**9

    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.name = data, len(data), "failing"

    def _read(self, offset: int, nbytes: int) -> bytes:
        FailingSource.left -= 1
        if FailingSource.left < 0:
            raise GoneError
        return self.data[offset : offset + nbytes]


def failing(module: nn.Module) -> dict:
    out, made = {}, {}
    for key, value in StateDict.from_module(module).items():
        data = FailingSource(value.tobytes())
        fresh = contiguous(value.dtype, value.shape, Storage(key, data.size, data))
        out[key] = made.setdefault(value.view if value.numel else key, fresh)
    return out


def until_it_works(attempt, check) -> int:
    """Fail at the first step, the second ... until nothing fails; return how many steps there were."""
    for k in range(1000):
        try:
            attempt(k)
        except (GoneError, KeyboardInterrupt):
            check(k)
        else:
            return k
    raise AssertionError("it never works")


TARGETS = {
    "tied": Net,
    "channels last": lambda: nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last),
    "half": lambda: Net().half(),
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    "lazy": lambda: nn.LazyLinear(4),
    "meta": lambda: Net().to("meta"),
}


def source_of(kind: str) -> nn.Module:
    return filled(nn.Linear(3, 4) if kind == "lazy" else Net() if kind == "meta" else TARGETS[kind](), seed=2)


@pytest.fixture(params=TARGETS)
def kind(request):
    FailingSource.left = 10**9
    yield request.param
    FailingSource.left = 10**9


@both_ways
def test_a_failure_of_any_read_changes_nothing(kind, assign):
    """Whichever read fails, the model has the bytes, the objects and the flags that it had."""
    model, source = TARGETS[kind](), failing(source_of(kind))
    before = snapshot(model)

    def attempt(k):
        FailingSource.left = k
        load(model, source, assign=assign)

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= 2


@both_ways
@pytest.mark.parametrize("error", [GoneError, KeyboardInterrupt])
def test_a_failure_between_tensors_changes_nothing(kind, assign, error):
    """Whichever tensor the work stops before, the model is as it was."""
    model, source = TARGETS[kind](), StateDict.from_module(source_of(kind))
    before = snapshot(model)

    def attempt(k):
        left = iter(range(k))

        def step(key):
            if next(left, None) is None:
                raise error

        target = ModuleTarget(model)
        found = Plan.of("** -> **").check(source, target.schema, target.ties)
        apply_to_module(found, target, source, assign=assign, step=step)

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= 2


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_a_failure_of_any_copy_changes_nothing(kind, when, monkeypatch):
    """Whichever copy fails, before, halfway or after it, the model is as it was."""
    model, source = TARGETS[kind](), StateDict.from_module(source_of(kind))
    before = snapshot(model)
    real = torch.Tensor.copy_

    def attempt(k):
        calls = iter(range(10**9))

        def copy(self, value):
            if next(calls) != k:
                return real(self, value)
            if when == "halfway" and self.dim():
                real(self[: len(self) // 2], value[: len(self) // 2])
            elif when == "after":
                real(self, value)
            raise GoneError

        monkeypatch.setattr(torch.Tensor, "copy_", copy)
        try:
            load(model, source)
        finally:
            monkeypatch.undo()

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= (0 if kind in ("lazy", "meta") else 2)


@pytest.mark.parametrize("there", [False, True], ids=["new", "over an older one"])
def test_a_failure_of_any_read_leaves_no_file(tmp_path, there):
    """Whichever read fails, no file is left, and an older one is what it was."""
    source = failing(filled(Net(tie=False)))
    out = tmp_path / "out.safetensors"
    if there:
        out.write_bytes(b"older")

    def attempt(k):
        FailingSource.left = k
        Plan.of("** -> **").apply(out, source)

    def check(k):
        assert os.listdir(tmp_path) == (["out.safetensors"] if there else []), k
        assert not there or out.read_bytes() == b"older"

    try:
        assert until_it_works(attempt, check) >= 2
    finally:
        FailingSource.left = 10**9
    assert out.stat().st_size > 5


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "close"])
def test_a_failure_of_any_system_call_leaves_no_file(tmp_path, monkeypatch, call):
    """Whichever system call fails in writing, no file is left under any name."""
    source = StateDict.from_module(filled(Net(tie=False)))
    out = tmp_path / "out.safetensors"
    real = getattr(os, call)

    def attempt(k):
        calls = iter(range(10**9))

        def fails(*args, **named):
            if next(calls) == k:
                if call == "close":
                    real(*args)
                raise OSError(28, "No space left on device")
            return real(*args, **named)

        monkeypatch.setattr(os, call, fails)
        try:
            Plan.of("** -> **").apply(out, source)
        except WriteError as error:
            raise GoneError(str(error)) from None
        finally:
            monkeypatch.undo()

    def check(k):
        assert os.listdir(tmp_path) == [], k

    assert until_it_works(attempt, check) >= 1


def test_a_plan_with_problems_changes_nothing():
    """Problems are told before a byte is read or set."""
    model = filled(Net())
    before = snapshot(model)
    source = failing(filled(Net(), seed=3))
    FailingSource.left = 0
    try:
        with pytest.raises(PlanProblems, match=r"no 'nowhere.weight'"):
            Plan.of("embed.weight -> nowhere.weight").apply(model, source)
    finally:
        FailingSource.left = 10**9
    assert snapshot(model) == before


def test_a_file_needs_every_value(tmp_path):
    """A plan that initialises or makes a part only cannot be written to a file."""
    out = tmp_path / "out.safetensors"
    with pytest.raises(PlanProblems, match="whole or in part"):
        Plan.of("a -> b[0:2] : rest=init !partial").apply(out, StateDict.of({"a": torch.rand(2)}))
    assert not out.exists()
