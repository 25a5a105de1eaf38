"""The state of an optimizer as torch gives it, live or loaded, is taken like that of an opened checkpoint."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.errors import PlanError

RULES = wl.Plan.of("{t} -> new.{t}")


def stepped(model, **options):
    optimizer = torch.optim.AdamW(model.named_parameters(), **options)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return optimizer


@pytest.fixture
def old():
    model = nn.Linear(3, 2)
    return model, stepped(model)


@pytest.fixture
def new():
    model = nn.ModuleDict({"new": nn.Linear(3, 2)})
    return model, torch.optim.AdamW(model.named_parameters())


def assert_followed(old, new):
    for name in ("weight", "bias"):
        was, now = (opt.state[m.get_parameter(n)] for (m, opt), n in ((old, name), (new, f"new.{name}")))
        assert was.keys() == now.keys()
        assert all(torch.equal(was[field], now[field]) for field in was)
        assert all(was[field].data_ptr() != now[field].data_ptr() for field in was)


def test_the_state_of_a_live_optimizer(old, new):
    """optimizer.state_dict() beside model.state_dict() is taken as it is, and shares no memory afterwards."""
    model, optimizer = old
    report = RULES.apply_optimizer(new[1], optimizer.state_dict(), model=new[0], weights=model.state_dict())
    assert report.counts == {"followed": 2}
    assert_followed(old, new)


def test_what_torch_has_loaded(old, new, tmp_path):
    """A dict that torch.load gave is taken as it is."""
    model, optimizer = old
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    loaded = torch.load(tmp_path / "c.pt", weights_only=True)
    RULES.apply_optimizer(new[1], loaded["optimizer"], model=new[0], weights=loaded["model"])
    assert_followed(old, new)


def test_a_live_learning_rate_follows(new):
    """Options that are tensors are taken like those of a file."""
    model = nn.Linear(3, 2)
    optimizer = stepped(model, lr=torch.tensor(0.25))
    RULES.apply_optimizer(new[1], optimizer.state_dict(), model=new[0], weights=model.state_dict())
    assert float(new[1].param_groups[0]["lr"]) == 0.25


def test_weights_with_data_among_them(old, new):
    """Entries that are no tensor can be dropped here as well."""
    model, optimizer = old
    weights = {**model.state_dict(), "n": 3}
    plan = wl.Plan.of('{t} -> new.{t} except n\nn -> drop "why"')
    plan.apply_optimizer(new[1], optimizer.state_dict(), model=new[0], weights=weights)
    assert_followed(old, new)


def test_other_sources_are_refused_with_what_to_give(old, new, tmp_path):
    """A path, a whole checkpoint as a dict and a module as weights: each refusal names the right call."""
    model, optimizer = old
    whole = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    for source, weights, said in (
        (str(tmp_path / "c.pt"), None, "expected a checkpoint; give wl.open(path)"),
        (tmp_path / "c.pt", None, "expected a checkpoint; give wl.open(path)"),
        (whole, None, "give what it has under 'optimizer', and its weights as weights="),
        (optimizer.state_dict(), model, "weights that are a Linear; expected a state dict or a dict of tensors"),
        (optimizer.state_dict(), None, "without weights; expected weights="),
    ):
        with pytest.raises(PlanError, match=re.escape(said)):
            RULES.apply_optimizer(new[1], source, model=new[0], weights=weights)
