"""Optimizer state goes where its parameter went, or an error names the parameter."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import weightlift as wl


class Net(nn.Module):
    """Two layers of one shape: what is handed on by position goes to the wrong one without a word."""

    def __init__(self, order=("a", "b")):
        super().__init__()
        for name in order:
            setattr(self, name, nn.Linear(3, 3))

    def forward(self, x):
        return self.b(self.a(x))


def trained(model, make=torch.optim.Adam, **options):
    optimizer = make(model.parameters(), lr=0.1, **options)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return optimizer


def moments(model, optimizer, field="exp_avg"):
    return {name: optimizer.state[p].get(field) for name, p in model.named_parameters() if p in optimizer.state}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


def test_fields_in_another_order(tmp_path):
    """A module whose fields are defined in another order gets each parameter's own moments."""
    model = Net()
    optimizer = trained(model)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = Net(("b", "a"))
    resumed = torch.optim.Adam(other.parameters())
    wl.resume(tmp_path / "c", model=other, optimizer=resumed)
    assert_same(moments(model, optimizer), moments(other, resumed))
    assert resumed.param_groups[0]["lr"] == 0.1


def test_groups_in_another_order_take_their_own_options(tmp_path):
    """Options follow the parameters of a group, not its place."""
    model = Net()
    groups = [{"params": model.a.parameters(), "lr": 0.1}, {"params": model.b.parameters(), "lr": 0.2}]
    wl.save(tmp_path / "c", model=model, optimizer=torch.optim.AdamW(groups))
    other = torch.optim.AdamW([{"params": model.b.parameters()}, {"params": model.a.parameters()}])
    wl.resume(tmp_path / "c", model=model, optimizer=other)
    assert [group["lr"] for group in other.param_groups] == [0.2, 0.1]


def test_one_group_of_two_with_other_options_is_an_error(tmp_path):
    """Parameters whose groups had different options cannot share one."""
    model = Net()
    groups = [{"params": model.a.parameters(), "lr": 0.1}, {"params": model.b.parameters(), "lr": 0.2}]
    wl.save(tmp_path / "c", model=model, optimizer=torch.optim.AdamW(groups))
    with pytest.raises(wl.WeightliftError, match=r"'model/a\.weight' of saved group 0 and 'model/b\.weight' of"):
        wl.resume(tmp_path / "c", model=model, optimizer=torch.optim.AdamW(model.parameters()))


def test_two_groups_with_equal_options_become_one(tmp_path):
    """Groups that say the same may be joined, and each parameter keeps its state."""
    model = Net()
    groups = [{"params": list(model.a.parameters())}, {"params": list(model.b.parameters())}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    wl.resume(tmp_path / "c", model=model, optimizer=other)
    assert_same(moments(model, optimizer, "momentum_buffer"), moments(model, other, "momentum_buffer"))
    assert other.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("frozen", ["a.weight", "b.bias"])
def test_a_parameter_that_left_the_optimizer_is_named(frozen, tmp_path):
    """A parameter that was trained and is not any more is an error that names it, and nothing changes."""
    model = Net()
    wl.save(tmp_path / "c", model=model, optimizer=trained(model))
    other = Net()
    before = copy.deepcopy(other.state_dict())
    resumed = torch.optim.Adam([p for name, p in other.named_parameters() if name != frozen])
    with pytest.raises(wl.WeightliftError, match=rf"'model/{frozen}' was trained and is no longer in the optimizer"):
        wl.resume(tmp_path / "c", model=other, optimizer=resumed)
    assert not resumed.state
    assert_same(before, other.state_dict())


def test_a_parameter_that_was_not_trained_is_named(tmp_path):
    """A parameter that the optimizer did not have when it was saved is an error that names it."""
    model = Net()
    wl.save(tmp_path / "c", model=model, optimizer=torch.optim.Adam(model.a.parameters()))
    with pytest.raises(wl.WeightliftError, match=r"'model/b\.bias', 'model/b\.weight' is in the optimizer and was not"):
        wl.resume(tmp_path / "c", model=model, optimizer=torch.optim.Adam(model.parameters()))


def test_frozen_parameters_in_the_optimizer_have_no_state_and_come_back_so(tmp_path):
    """A parameter without gradients is in its group and has no moments, before and after."""
    model = Net()
    model.a.requires_grad_(requires_grad=False)
    optimizer = trained(model)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = Net()
    resumed = torch.optim.Adam(other.parameters())
    wl.resume(tmp_path / "c", model=other, optimizer=resumed)
    assert set(moments(other, resumed)) == {"b.weight", "b.bias"}


def test_an_optimizer_of_another_kind_is_refused(tmp_path):
    """Adam's moments do not go into SGD."""
    model = Net()
    wl.save(tmp_path / "c", model=model, optimizer=trained(model))
    with pytest.raises(wl.WeightliftError, match=r"saved from a torch\.optim\.adam\.Adam, which keeps"):
        wl.resume(tmp_path / "c", model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_class_that_keeps_the_same_may_take_over(tmp_path):
    """AdamW goes on from Adam, which keeps the same fields, and that is told."""
    model = Net()
    optimizer = trained(model)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = torch.optim.AdamW(model.parameters())
    notes = wl.resume(tmp_path / "c", model=model, optimizer=other).notes
    assert_same(moments(model, optimizer), moments(model, other))
    assert notes == ("optimizer: saved from a torch.optim.adam.Adam, and goes into a torch.optim.adamw.AdamW",)


def test_vectors_over_all_parameters_need_their_order(tmp_path):
    """LBFGS keeps vectors over all parameters: another order is refused, by the first name that differs."""
    model = Net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    with pytest.raises(wl.WeightliftError, match=r"'model/b\.weight' stands at another place"):
        wl.resume(
            tmp_path / "c", model=model, optimizer=torch.optim.LBFGS([*model.b.parameters(), *model.a.parameters()])
        )


def test_moments_wider_than_their_parameter_keep_their_type(tmp_path):
    """float32 moments of bfloat16 parameters come back as they were, which load_state_dict alone would narrow."""
    model = Net().to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for p in model.parameters():
        optimizer.state[p]["momentum_buffer"] = torch.randn(p.shape)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    resumed = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wl.resume(tmp_path / "c", model=model, optimizer=resumed)
    found = moments(model, resumed, "momentum_buffer")
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert_same(moments(model, optimizer, "momentum_buffer"), found)


def test_texts_in_the_state_stay_texts(tmp_path):
    """A text that an optimizer keeps for a parameter comes back; load_state_dict alone would take it apart."""
    model = Net()
    optimizer = trained(model)
    optimizer.state[model.a.weight]["kind"] = "warm"
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    resumed = torch.optim.Adam(model.parameters())
    wl.resume(tmp_path / "c", model=model, optimizer=resumed)
    assert resumed.state[model.a.weight]["kind"] == "warm"


def test_saving_does_not_touch_the_optimizer(tmp_path):
    """An optimizer that has not stepped has no state after it was saved, either."""
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    assert not optimizer.state
    assert all(p.grad is None for p in model.parameters())


def test_an_optimizer_without_its_model_is_refused(tmp_path):
    """Names come from the module: without it there are none."""
    with pytest.raises(wl.WeightliftError, match=r"shape \[3, 3\] that is in no module of the run"):
        wl.save(tmp_path / "c", optimizer=torch.optim.SGD(nn.Linear(3, 3).parameters(), lr=0.1))
    assert not (tmp_path / "c").exists()


def test_tied_parameters_have_one_state(tmp_path):
    """A tied parameter is one parameter, whatever its names."""
    model = Net()
    model.b.weight = model.a.weight
    optimizer = trained(model)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = Net()
    other.b.weight = other.a.weight
    resumed = torch.optim.Adam(other.parameters())
    wl.resume(tmp_path / "c", model=other, optimizer=resumed)
    assert other.b.weight is other.a.weight
    assert_same(moments(model, optimizer), moments(other, resumed))


def test_wrappers_by_protocol(tmp_path):
    """What speaks like an optimizer is one: its own state beside state and groups comes back too."""

    class Averaging:
        """In the manner of schedule-free wrappers."""

        def __init__(self, base):
            self.base, self.weight_sum = base, 0.0

        @property
        def param_groups(self):
            return self.base.param_groups

        def state_dict(self):
            return {**self.base.state_dict(), "weight_sum": self.weight_sum}

        def load_state_dict(self, state):
            self.weight_sum = state["weight_sum"]
            self.base.load_state_dict({key: state[key] for key in ("state", "param_groups")})

    model = Net()
    wrapper = Averaging(trained(model))
    wrapper.weight_sum = 2.5
    wl.save(tmp_path / "c", model=model, optimizer=wrapper)
    again = Averaging(torch.optim.Adam(model.parameters()))
    wl.resume(tmp_path / "c", model=model, optimizer=again)
    assert again.weight_sum == 2.5
    assert_same(moments(model, wrapper.base), moments(model, again.base))


def test_a_parameter_of_no_module_goes_into_a_list_of_parameters(tmp_path):
    """A parameter alone, as the temperature of an actor, is refused with what to do, and that saves it."""
    saved, live = (nn.Parameter(torch.tensor(value)) for value in (2.0, 0.0))
    optimizers = [torch.optim.Adam([each]) for each in (saved, live)]
    saved.grad = torch.tensor(1.0)
    optimizers[0].step()
    with pytest.raises(wl.WeightliftError, match=r"of a parameter that is in none, nn\.ParameterList\(\[it\]\)"):
        wl.save(tmp_path / "c", log_alpha=saved, optimizer=optimizers[0])
    wl.save(tmp_path / "c", log_alpha=nn.ParameterList([saved]), optimizer=optimizers[0])
    wl.resume(tmp_path / "c", log_alpha=nn.ParameterList([live]), optimizer=optimizers[1])
    assert torch.equal(live, saved)
    assert torch.equal(optimizers[1].state[live]["exp_avg"], optimizers[0].state[saved]["exp_avg"])
