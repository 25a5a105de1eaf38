"""Values set down in live modules, taken back again, and spent instead of copied."""

from __future__ import annotations

import signal

import pytest
import torch
from torch import nn

from weightlift.errors import PlanError
from weightlift.tensors import setting_down
from weightlift.tensors.setting_down import set_down
from weightlift.tensors.torch_modules import ModuleTarget

from live_models import Net, both_ways, filled, snapshot


class GoneError(Exception):
    """What fails in these tests."""


def values_of(module):
    """Values that nobody else uses: no memory twice, whatever is tied."""
    return {key: value.clone() for key, value in module.state_dict().items()}


def assert_same(module, wanted):
    assert all(torch.equal(value, wanted[key]) for key, value in module.state_dict().items())


@both_ways
@pytest.mark.parametrize("spend", [False, True])
def test_several_modules_are_set_all_or_none(assign, spend):
    """When the second module cannot be set, undoing the first makes it exactly what it was."""
    model, ema = filled(Net()), filled(Net())
    before = snapshot(model), snapshot(ema)

    def stop(key):
        if key == "norm.bias":
            raise GoneError

    done = set_down(ModuleTarget(model), values_of(filled(Net(), seed=3)), assign=assign, spend=spend)
    assert snapshot(model) != before[0]
    values = values_of(filled(Net(), seed=4))
    with pytest.raises(GoneError):
        set_down(ModuleTarget(ema), values, assign=assign, spend=spend, step=stop)
    done.undo()
    assert (snapshot(model), snapshot(ema)) == before
    done.undo()
    assert snapshot(model) == before[0]


@both_ways
def test_what_is_kept_cannot_be_undone(assign):
    """After `keep` nothing of the old values is held, and undoing does nothing."""
    model, source = filled(Net()), filled(Net(), seed=3)
    done = set_down(ModuleTarget(model), values_of(source), assign=assign)
    done.keep()
    done.undo()
    assert_same(model, source.state_dict())


MODULES = {
    "tied": Net,
    "channels last": lambda: nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last),
    "several pieces": lambda: nn.Linear(40, 50),
    "no dimensions": lambda: nn.BatchNorm1d(2),
}


@pytest.fixture(params=MODULES)
def module(request, monkeypatch):
    """A module, and pieces so small that its tensors have several."""
    monkeypatch.setattr(setting_down, "_EXCHANGED", 250)
    return filled(MODULES[request.param]())


def others(module):
    """A value for every name that is not what the module has, in the same order in memory."""
    return {key: value.detach() + 1 for key, value in module.state_dict().items()}


def test_a_spent_value_holds_the_old_one(module):
    """Old and new values change places, so that no memory is needed to undo it."""
    key, old = next(iter(module.state_dict())), values_of(module)
    value = others(module)[key]
    done = set_down(ModuleTarget(module), {key: value}, assign=False, spend=True)
    assert torch.equal(value, old[key])
    assert torch.equal(module.state_dict()[key], old[key] + 1)
    done.undo()
    assert_same(module, old)


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
@pytest.mark.parametrize("error", [GoneError, KeyboardInterrupt])
def test_a_failure_of_any_exchange_changes_nothing(module, when, error, monkeypatch):
    """Whichever copy of an exchange fails, before, halfway or after it, the module is as it was."""
    before, real = snapshot(module), torch.Tensor.copy_
    for k in range(1000):
        calls = iter(range(10**9))

        def copy(self, value, calls=calls, k=k):
            if next(calls) != k:
                return real(self, value)
            if when == "halfway" and self.dim():
                real(self[: len(self) // 2], value[: len(self) // 2])
            elif when == "after":
                real(self, value)
            raise error

        values = others(module)
        monkeypatch.setattr(torch.Tensor, "copy_", copy)
        try:
            set_down(ModuleTarget(module), values, assign=False, spend=True)
            break
        except (GoneError, KeyboardInterrupt):
            assert snapshot(module) == before, k
        finally:
            monkeypatch.setattr(torch.Tensor, "copy_", real)
    assert 2 <= k < 999


def test_a_value_for_several_names_is_not_spent():
    """One value under two names, or views of one memory, are copied, since they are needed again."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    value = torch.arange(4.0).reshape(2, 2)
    set_down(ModuleTarget(model), {"0.weight": value, "1.weight": value}, assign=False, spend=True)
    assert [layer.weight.tolist() for layer in model] == [value.tolist()] * 2
    both = torch.arange(8.0).reshape(2, 2, 2)
    set_down(ModuleTarget(model), {"0.weight": both[0], "1.weight": both[1]}, assign=False, spend=True)
    assert both.flatten().tolist() == list(range(8))


@pytest.mark.parametrize(
    "value",
    [torch.ones(3, 2).t(), torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 4)[:, :3], torch.ones(3).expand(2, 3)],
    ids=["transposed", "of another type", "with gaps", "expanded"],
)
def test_a_value_that_lies_otherwise_is_copied(value):
    """A value of another type or order is not touched, and the module has its values."""
    model = nn.Linear(3, 2, bias=False)
    old, wanted = model.weight.detach().clone(), value.tolist()
    done = set_down(ModuleTarget(model), {"weight": value}, assign=False, spend=True)
    assert model.weight.tolist() == value.tolist() == wanted
    done.undo()
    assert torch.equal(model.weight, old)


def test_a_value_in_the_memory_of_its_target():
    """A module's own tensor as the value changes nothing."""
    model = filled(nn.Linear(3, 2))
    before = snapshot(model)
    set_down(ModuleTarget(model), dict(model.state_dict()), assign=False, spend=True)
    assert snapshot(model) == before


@pytest.mark.parametrize("spend", [False, True])
def test_an_expanded_target_is_refused(spend):
    """Elements that share memory cannot be written one by one."""
    model = nn.Module()
    model.register_buffer("x", torch.zeros(1).expand(3))
    with pytest.raises(PlanError, match=r"^'x': an expanded tensor: its elements share memory; load with assign=True$"):
        set_down(ModuleTarget(model), {"x": torch.ones(3)}, assign=False, spend=spend)


def test_an_interruption_waits_until_all_is_undone():
    """Ctrl-C while old values are put back is heard when all of them are."""
    model = filled(nn.Linear(3, 2))
    before = snapshot(model)
    done = set_down(ModuleTarget(model), values_of(filled(nn.Linear(3, 2), seed=3)), assign=False)
    done._back.append(lambda: signal.raise_signal(signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        done.undo()
    assert snapshot(model) == before
    assert signal.getsignal(signal.SIGINT) is handler
