"""What a run consists of goes into one checkpoint and comes back, all of it or nothing."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import weightlift as wl
from weightlift.actions.runs import runs
from weightlift.errors import PlanError, SourceError, StoreError


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_any_safetensors_reader_reads_the_tensors(tmp_path):
    """The data files are plain safetensors, and the names in them are those of the model under the part's name."""
    model = nn.Linear(2, 3)
    wl.save(tmp_path / "c", model=model)
    assert sorted(each.name for each in (tmp_path / "c").iterdir()) == [
        "MANIFEST.json",
        "data-00001.safetensors",
        "state.json",
    ]
    read = load_file(tmp_path / "c" / "data-00001.safetensors")
    assert same({f"model/{key}": value for key, value in model.state_dict().items()}, read)


def test_the_directory_opens_like_any_checkpoint(tmp_path):
    """`wl.open` finds the state dict of each module in it."""
    model = nn.Linear(2, 3)
    wl.save(tmp_path / "c", model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    assert same(model.state_dict(), wl.open(tmp_path / "c").state_dict("model").to_torch())


def test_a_directory_of_checkpoints_is_no_damaged_one(tmp_path):
    """Where a checkpoint is asked for and a store is given, the error says which are in it; and the other way round."""
    for name in ("step-000001", "step-000002"):
        wl.save(tmp_path / "a" / name, epoch=1)
    with pytest.raises(
        SourceError, match=r"a: a directory of 2 checkpoints and none itself.*'step-000002' for instance"
    ):
        wl.resume(tmp_path / "a", epoch=0)
    with pytest.raises(SourceError, match=r"a: a directory of checkpoints; .*step-000002 for instance"):
        wl.open(tmp_path / "a")
    with pytest.raises(StoreError, match="step-000001: is one checkpoint; expected a directory of them"):
        runs(tmp_path / "a" / "step-000001")


def test_its_size_is_that_of_all_its_files(tmp_path):
    """`wl.inspect` adds up what is in the directory."""
    wl.save(tmp_path / "c", model=nn.Linear(20, 30))
    assert wl.inspect(tmp_path / "c").size == sum(each.stat().st_size for each in (tmp_path / "c").iterdir())


def test_plain_values_come_back_without_being_asked_for(tmp_path):
    """Counters and configuration are in what resume returns."""
    wl.save(tmp_path / "c", step=7, metrics={"loss": 0.5}, model=nn.Linear(1, 1), epoch=3, meta={"names": ("a", b"b")})
    resumed = wl.resume(tmp_path / "c", model=nn.Linear(1, 1))
    assert (resumed.step, resumed.metrics) == (7, {"loss": 0.5})
    assert (resumed["epoch"], resumed["meta"]) == (3, {"names": ("a", b"b")})
    assert wl.resume(tmp_path / "c").values == resumed.values


def test_steps_and_metrics_of_numpy_and_torch_are_numbers(tmp_path):
    """`wl.save` takes the numbers that a store takes, and refuses what is none before anything is written."""
    wl.save(tmp_path / "c", step=np.int64(7), metrics={"a": torch.tensor(0.5), "b": np.float32(2)}, epoch=1)
    resumed = wl.resume(tmp_path / "c", epoch=0)
    assert (resumed.step, resumed.metrics) == (7, {"a": 0.5, "b": 2.0})
    for wrong in ({"step": 1.5}, {"step": True}, {"metrics": {"a": "x"}}, {"metrics": [1]}):
        with pytest.raises(wl.WeightliftError, match="expected a"):
            wl.save(tmp_path / "d", epoch=1, **wrong)
    assert not (tmp_path / "d").exists()


def test_values_of_a_run_become_what_was_saved(tmp_path):
    """After a resume, `run.meta` is the saved one."""
    wl.save(tmp_path / "c", model=nn.Linear(1, 1), meta={"epoch": 3})
    run = wl.TrainState(model=nn.Linear(1, 1), meta={})
    wl.resume(tmp_path / "c", **run)
    assert run.meta == {}  # `**run` gave a copy of the parts
    from weightlift.formats.step import open_step
    from weightlift.training.resume import restore

    restore(open_step(tmp_path / "c"), run)
    assert run.meta == {"epoch": 3}


def test_random_generators(tmp_path):
    """The global generators and those that are objects go on where they were."""
    generators = {
        "torch_one": torch.Generator().manual_seed(1),
        "numpy_one": np.random.default_rng(2),
        "python_one": random.Random(3),
    }

    def draw():
        own = generators["torch_one"], generators["numpy_one"], generators["python_one"]
        return [
            random.random(), np.random.rand(), torch.rand(1).item(),
            torch.rand(1, generator=own[0]).item(), own[1].random(), own[2].gauss(0, 1),
        ]  # fmt: skip

    draw()
    wl.save(tmp_path / "c", rng=True, **generators)
    wanted = draw()
    draw()
    wl.resume(tmp_path / "c", rng=True, **generators)
    assert draw() == wanted


def test_several_modules_and_optimizers(tmp_path):
    """Lists and dicts of parts are parts, and parameters are named by the module that they are in."""
    models = {"gen": nn.Linear(2, 2), "disc": nn.Linear(2, 2)}
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in models.values()]
    for model, optimizer in zip(models.values(), optimizers, strict=True):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    wl.save(tmp_path / "c", model=models, optimizer=optimizers)
    others = {"gen": nn.Linear(2, 2), "disc": nn.Linear(2, 2)}
    fresh = [torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9) for model in others.values()]
    wl.resume(tmp_path / "c", model=others, optimizer=fresh)
    for name, model in models.items():
        assert same(model.state_dict(), others[name].state_dict())
    for old, new in zip(optimizers, fresh, strict=True):
        states = old.state_dict()["state"], new.state_dict()["state"]
        assert all(same(states[0][i], states[1][i]) for i in states[0])


def test_a_plan_for_one_of_several_modules_moves_its_moments_too(tmp_path):
    """The optimizer of a module in a dict follows that module's plan, as that of a module alone does."""

    def parts():
        nets = {"gen": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "disc": nn.Linear(2, 2)}
        optimizer = torch.optim.Adam(nets["gen"].parameters())
        nets["gen"](torch.randn(3, 2)).sum().backward()
        optimizer.step()
        return {"nets": nets, "optimizer": optimizer}

    saved, live = parts(), parts()
    wl.save(tmp_path / "c", **saved)
    wl.resume(tmp_path / "c", **live, plan={"nets/gen": wl.Plan.of("0.{t} -> 1.{t}\n1.{t} -> 0.{t}")})
    old, new = saved["nets"]["gen"][0].weight, live["nets"]["gen"][1].weight
    assert torch.equal(old, new)
    assert torch.equal(saved["optimizer"].state[old]["exp_avg"], live["optimizer"].state[new]["exp_avg"])


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_wrappers_are_left_out_of_names(wrap, tmp_path):
    """A run goes on with or without DataParallel and torch.compile."""
    model = nn.Linear(2, 2)
    wl.save(tmp_path / "c", model=wrap(model))
    other = nn.Linear(2, 2)
    wl.resume(tmp_path / "c", model=other)
    assert same(model.state_dict(), other.state_dict())
    again = nn.Linear(2, 2)
    wl.resume(tmp_path / "c", model=wrap(again))
    assert same(model.state_dict(), again.state_dict())


def test_extra_state_of_modules(tmp_path):
    """What a module puts into its state dict beside tensors comes back through the module."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = nn.Parameter(torch.zeros(2)), {"n": (0,)}

        def get_extra_state(self):
            return self.seen

        def set_extra_state(self, state):
            self.seen = state

    model = nn.Sequential(Counting(), nn.BatchNorm1d(2))
    model[0].seen = {"n": (1, 2), "t": torch.ones(2)}
    wl.save(tmp_path / "c", model=model)
    other = nn.Sequential(Counting(), nn.BatchNorm1d(2))
    wl.resume(tmp_path / "c", model=other)
    assert other[0].seen["n"] == (1, 2)
    assert torch.equal(other[0].seen["t"], torch.ones(2))


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("convert", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
def test_sparse_buffers(convert, tmp_path):
    """Buffers of any sparse layout come back."""
    modules = [nn.Linear(2, 2), nn.Linear(2, 2)]
    for i, module in enumerate(modules):
        module.register_buffer("mask", convert(torch.eye(2) * (i + 1)))
    wl.save(tmp_path / "c", model=modules[0])
    wl.resume(tmp_path / "c", model=modules[1])
    assert torch.equal(modules[1].mask.to_dense(), torch.eye(2))
    assert torch.equal(modules[1].weight, modules[0].weight)


def test_only_what_is_trainable(tmp_path):
    """`select="trainable"` saves parameters with gradients and buffers; a resume leaves the others and says so."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[0].requires_grad_(requires_grad=False)
    wl.save(tmp_path / "c", select="trainable", model=model)
    assert "model/0.weight" not in load_file(tmp_path / "c" / "data-00001.safetensors")
    other = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    kept = other[0].weight.clone()
    resumed = wl.resume(tmp_path / "c", model=other)
    assert torch.equal(other[0].weight, kept)
    assert torch.equal(other[2].weight, model[2].weight)
    assert resumed.notes == ("model: 2 entries were not saved and are left as they are",)


def test_selected_by_pattern_and_without_a_part(tmp_path):
    """Patterns choose entries of modules; `without` leaves parts out; both refuse what fits nothing."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    parts = {"model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
    written = wl.save(tmp_path / "c", select=["1.**"], without="optimizer", **parts)
    assert set(load_file(tmp_path / "c" / "data-00001.safetensors")) == {"model/1.weight", "model/1.bias"}
    assert written is not None
    with pytest.raises(wl.WeightliftError, match=r"'2\.\*\*' fits no name"):
        wl.save(tmp_path / "d", select=["2.**"], **parts)
    with pytest.raises(wl.WeightliftError, match="scaler"):
        wl.save(tmp_path / "d", without=["scaler"], **parts)
    assert not (tmp_path / "d").exists()


def test_everything_that_cannot_be_written_is_told_at_once(tmp_path):
    """Functions, generators and locks are refused by path before anything is written."""
    with pytest.raises(wl.WeightliftError) as caught:
        wl.save(tmp_path / "c", model=nn.Linear(1, 1), meta={"loss": lambda x: x, "deep": [1, (2, open)]}, it=iter([1]))
    told = str(caught.value)
    assert all(path in told for path in ("meta['loss']", "meta['deep'][1][1]", "it")), told
    assert not list(tmp_path.iterdir())


def test_values_that_hold_themselves_are_refused(tmp_path):
    """A cycle in plain data is refused by its path, and so is what is nested too deeply."""
    ring, deep = [], []
    ring.append(ring)
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(wl.WeightliftError, match=r"meta\['ring'\]\[0\] holds itself"):
        wl.save(tmp_path / "c", model=nn.Linear(1, 1), meta={"ring": ring})
    with pytest.raises(wl.WeightliftError, match=r"meta\['deep'\]"):
        wl.save(tmp_path / "c", model=nn.Linear(1, 1), meta={"deep": deep})
    assert not (tmp_path / "c").exists()


def test_a_loader_that_does_not_know_its_place_is_refused(tmp_path):
    """A plain DataLoader has no state; going on with it would be another run."""
    loader = torch.utils.data.DataLoader([1, 2, 3])
    with pytest.raises(wl.WeightliftError, match="data: a DataLoader, which does not know its position"):
        wl.save(tmp_path / "c", data=loader)


def test_records_become_objects_only_of_types_that_are_given(tmp_path):
    """A dataclass comes back as an inert record, or as what `types` says."""

    @dataclass
    class Config:
        width: int

    wl.save(tmp_path / "c", model=nn.Linear(1, 1), meta=Config(3))
    assert not isinstance(wl.resume(tmp_path / "c", model=nn.Linear(1, 1))["meta"], Config)
    assert wl.resume(tmp_path / "c", model=nn.Linear(1, 1), types=[Config])["meta"] == Config(3)


def _parts():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "data": Failing()}


class Failing:
    """A part whose `load_state_dict` can be made to fail once."""

    fails = False

    def __init__(self):
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        if Failing.fails:
            Failing.fails = False
            raise RuntimeError("no")
        self.at = state["at"]


def test_a_part_that_fails_leaves_every_part_as_it_was(tmp_path, monkeypatch):
    """An error in the last part takes back what was set in the others."""
    saved = _parts()
    saved["data"].at = 5
    wl.save(tmp_path / "c", rng=True, **saved)
    parts = _parts()
    before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    random.seed(4)
    drawn = random.getstate()
    monkeypatch.setattr(Failing, "fails", True)
    with pytest.raises(wl.WeightliftError, match="data: it does not take the state: no"):
        wl.resume(tmp_path / "c", rng=True, **parts)
    assert random.getstate() == drawn
    assert same(before["model"], parts["model"].state_dict())
    assert before["scheduler"] == parts["scheduler"].state_dict()
    after = parts["optimizer"].state_dict()
    assert all(same(before["optimizer"]["state"][i], after["state"][i]) for i in after["state"])
    assert before["optimizer"]["param_groups"] == after["param_groups"]
    wl.resume(tmp_path / "c", rng=True, **parts)
    assert parts["data"].at == 5


class Stubborn:
    """A part that takes no state at all, not even its own."""

    def state_dict(self):
        return {"at": 1}

    def load_state_dict(self, state):
        raise KeyError(state["at"])


def test_a_part_that_cannot_be_put_back_keeps_no_other_from_it(tmp_path):
    """What takes neither the new state nor its old one is told, and every other part is as it was."""
    wl.save(tmp_path / "c", rng=True, model=nn.Linear(2, 2), data=Stubborn())
    model = nn.Linear(2, 2)
    before = copy.deepcopy(model.state_dict())
    random.seed(5)
    drawn = random.getstate()
    with pytest.raises(wl.WeightliftError, match="data: it does not take the state") as caught:
        wl.resume(tmp_path / "c", rng=True, model=model, data=Stubborn())
    assert caught.value.__notes__ == ["and a part does not take its old state back: 1"]
    assert same(before, model.state_dict())
    assert random.getstate() == drawn


def test_a_model_that_changed_is_refused_and_a_plan_moves_it(tmp_path):
    """Without a plan names have to meet; with one, weights and moments move together."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 2)).sum().backward()
    optimizer.step()
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    other = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)})
    fresh = torch.optim.Adam(other.parameters())
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(wl.WeightliftError, match="does not fit the model"):
        wl.resume(tmp_path / "c", model=other, optimizer=fresh)
    assert same(before, other.state_dict())
    wl.resume(tmp_path / "c", model=other, optimizer=fresh, plan=wl.Plan.of("0.{t} -> two.{t}\n1.{t} -> one.{t}"))
    assert torch.equal(other["two"].weight, model[0].weight)
    assert torch.equal(fresh.state[other["two"].weight]["exp_avg"], optimizer.state[model[0].weight]["exp_avg"])


def test_a_model_of_another_element_type_is_noted(tmp_path):
    """What is cast on the way is told by number and type."""
    wl.save(tmp_path / "c", model=nn.BatchNorm1d(2))
    assert wl.resume(tmp_path / "c", model=nn.BatchNorm1d(2)).notes == ()
    resumed = wl.resume(tmp_path / "c", model=nn.BatchNorm1d(2).half())
    assert resumed.notes == ("model: 4 entries cast from float32 to float16",)


@pytest.mark.parametrize("part", ["model", "optimizer", "scheduler", "both"])
def test_a_live_part_of_another_kind_is_named(part, tmp_path):
    """Something else under a part's name is the caller's slip and no damage of the file."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    wl.save(tmp_path / "c", model=model, optimizer=optimizer, scheduler=scheduler, both=[model, model])
    with pytest.raises(PlanError, match=f"c: {part}: a int; expected a.* as was saved"):
        wl.resume(tmp_path / "c", **{part: 5})


def test_a_part_that_was_not_saved_is_named(tmp_path):
    """Asking for a scheduler of a checkpoint without one is an error that lists what there is."""
    parts = _parts()
    wl.save(tmp_path / "c", model=parts["model"])
    with pytest.raises(wl.WeightliftError, match=r"no 'optimizer'.*parts that were saved: model"):
        wl.resume(tmp_path / "c", model=parts["model"], optimizer=parts["optimizer"])


def test_there_is_one_table_of_kinds():
    """What opening a checkpoint and converting a bundle call a part is a kind that a resume can fill."""
    from typing import get_args

    from weightlift.formats import step_parts
    from weightlift.training.bundles import base
    from weightlift.training.parts.kinds import KINDS

    assert set(step_parts._KINDS) | set(get_args(base.Kind)) <= set(KINDS)


def test_values_beside_live_parts_are_values_too(tmp_path):
    """What is plain data in a dict of parts is in what resume returns."""
    wl.save(tmp_path / "c", nets={"one": nn.Linear(1, 1), "epoch": 3}, meta={"rng": torch.Generator(), "n": 2})
    parts = {"nets": {"one": nn.Linear(1, 1), "epoch": 0}, "meta": {"rng": torch.Generator(), "n": 0}}
    assert wl.resume(tmp_path / "c", **parts).values == {"nets": {"epoch": 3}, "meta": {"n": 2}}


def test_parameters_that_hooks_rename(tmp_path):
    """An optimizer's parameters are found by identity also where the state dict calls them otherwise."""
    model = nn.Sequential(nn.Linear(2, 2))
    model._register_state_dict_hook(lambda module, state, prefix, _: state.update({"w": state.pop("0.weight")}))
    model.register_load_state_dict_pre_hook(lambda module, state, *_: state.update({"0.weight": state.pop("w")}))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    wl.save(tmp_path / "c", model=model, optimizer=optimizer)
    fresh = torch.optim.Adam(model.parameters())
    wl.resume(tmp_path / "c", model=model, optimizer=fresh)
    assert same(optimizer.state_dict()["state"][0], fresh.state_dict()["state"][0])
