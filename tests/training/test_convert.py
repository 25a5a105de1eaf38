"""Pickled training bundles become checkpoint directories, and go on from there exactly as torch would."""

from __future__ import annotations

import argparse
import random
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.formats.step import verify_step

from pickled_bundles import Net, differences, new_run, train

OPTIMIZERS = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
    "momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.01),
    "amsgrad": lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, amsgrad=True),
    "tensor_lr": lambda m: torch.optim.AdamW(m.parameters(), lr=torch.tensor(0.01), foreach=False),
    "rmsprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=0.01, centered=True, momentum=0.5),
    "adafactor": lambda m: torch.optim.Adafactor(m.parameters(), lr=0.05),
    "lbfgs": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=3, history_size=4),
    "decay": lambda m: torch.optim.AdamW(
        [
            {"params": [p for p in m.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in m.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=0.01,
    ),
    "named": lambda m: torch.optim.Adam(list(m.named_parameters())[::-1], lr=0.01),
}
schedules = torch.optim.lr_scheduler
SCHEDULERS = {
    "multi_step": lambda o: schedules.MultiStepLR(o, [1, 3, 3]),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, 6),
    "one_cycle": lambda o: schedules.OneCycleLR(o, 0.05, total_steps=9),
    "cyclic": lambda o: schedules.CyclicLR(o, 0.001, 0.05, 2, cycle_momentum=False),
    "lambda": lambda o: schedules.LambdaLR(o, lambda epoch: 0.9**epoch),
    "sequential": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, 0.1, total_iters=2), schedules.ExponentialLR(o, 0.8)], [2]
    ),
    "chained": lambda o: schedules.ChainedScheduler([schedules.ConstantLR(o, 0.5, 3), schedules.ExponentialLR(o, 0.9)]),
}
KEYS = [
    ("model", "optimizer", "scheduler"),
    ("state_dict", "optimizer_state", "lr_scheduler"),
    ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"),
    ("net", "opt", "sched"),
]


def bundle_of(run, keys=KEYS[0], **more):
    """What a training loop saves."""
    return dict(zip(keys, (part.state_dict() for part in run), strict=True)) | more


def convert(tmp_path, bundle, **options):
    """The conversion of what torch.save wrote."""
    torch.save(bundle, tmp_path / "old.pt")
    return wl.convert(tmp_path / "old.pt", tmp_path / "new", **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_is_what_torch_makes_of_the_bundle(tmp_path, optimizer):
    """Weights, moments, groups and the schedule are bitwise those of `load_state_dict`, and so is the next step."""
    run = train(new_run(OPTIMIZERS[optimizer], seed=1))
    done = convert(tmp_path, bundle_of(run, epoch=3))
    assert done.left == ()
    assert verify_step(tmp_path / "new") == []
    theirs, ours = (new_run(OPTIMIZERS[optimizer], seed=seed) for seed in (2, 3))
    old = torch.load(tmp_path / "old.pt", weights_only=True)
    for part, key in zip(theirs, KEYS[0], strict=True):
        part.load_state_dict(old[key])
    model, opt, scheduler = ours
    resumed = wl.resume(tmp_path / "new", model=model, optimizer=opt, scheduler=scheduler)
    assert resumed["epoch"] == 3
    assert differences(ours, theirs) == []
    assert differences(train(ours, seed=5), train(theirs, seed=5)) == []


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_of_torch_goes_on(tmp_path, scheduler):
    """Its state is what its own `load_state_dict` makes of the bundle."""
    runs = []
    for seed in range(3):
        model, opt, _ = new_run(seed=seed)
        runs.append((model, opt, SCHEDULERS[scheduler](opt)))
    train(runs[0], steps=4)
    convert(tmp_path, bundle_of(runs[0]))
    old = torch.load(tmp_path / "old.pt", weights_only=False)
    for part, key in zip(runs[1], KEYS[0], strict=True):
        part.load_state_dict(old[key])
    wl.resume(tmp_path / "new", **dict(zip(KEYS[0], runs[2], strict=True)))
    assert differences(runs[2], runs[1]) == []


@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: keys[0])
def test_parts_get_the_names_that_resume_takes(tmp_path, keys):
    """However a loop called them: model, optimizer, scheduler."""
    done = convert(tmp_path, bundle_of(train(new_run()), keys, best_acc=0.5, args=argparse.Namespace(lr=0.1)))
    kinds = {part.name: part.kind for part in done.parts}
    live = {"model": "module", "optimizer": "optimizer", "scheduler": "stateful"}
    assert kinds == live | {"best_acc": "value", "args": "value"}
    assert {part.name: part.origin for part in done.parts}["model"] == keys[0]
    assert done.next_call.endswith(", model=model, optimizer=optimizer, scheduler=scheduler)")


def test_plain_values_come_back_as_they_were(tmp_path):
    """Numbers, texts, arrays and tensors are values of the resumed run; classes stay names."""
    values = {"history": [1.5, float("inf")], "lr": torch.tensor([0.1]), "mean": np.arange(3.0), "args": {"a": (1, 2)}}
    convert(tmp_path, {"model": Net().state_dict(), **values, "config": argparse.Namespace(lr=0.1, loss=nn.MSELoss)})
    got = wl.resume(tmp_path / "new", model=Net()).values
    assert got["history"] == values["history"]
    assert got["args"] == values["args"]
    assert torch.equal(got["lr"], values["lr"])
    assert np.array_equal(got["mean"], values["mean"])
    assert got["config"].lr == 0.1
    assert str(got["config"].loss) == "torch.nn.modules.loss.MSELoss"


def test_wrapped_weights_get_the_names_of_the_model(tmp_path):
    """What DataParallel put before every name is left out, in the optimizer's names as well, with a note."""
    model, opt, scheduler = train(new_run())
    bundle = bundle_of((nn.DataParallel(model), opt, scheduler))
    done = convert(tmp_path, bundle)
    assert any("'module.'" in note for note in done.notes)
    again = new_run(seed=4)
    wl.resume(tmp_path / "new", model=again[0], optimizer=again[1])
    assert differences(again[:2], (model, opt)) == []


def test_a_whole_pickled_module_gives_its_weights_and_its_attributes(tmp_path):
    """Its state dict is the part `model`; what else its modules hold is plain data beside it."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.labels = ["cat", "dog"]
    done = convert(tmp_path, {"epoch": 1, "model": model, "ema": None})
    again = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    resumed = wl.resume(tmp_path / "new", model=again)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    assert resumed["model.attributes"][""]["labels"] == ["cat", "dog"]
    assert resumed["model.attributes"]["1"]["eps"] == model[1].eps
    assert "ema is None, and no part" in done.notes


def test_a_scaler_an_average_and_random_states_are_parts(tmp_path):
    """Each is told by its content or name, and goes into the live one."""
    model, opt, scheduler = train(new_run())
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    states = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    average = {key: value * 2 for key, value in model.state_dict().items()}
    convert(tmp_path, bundle_of((model, opt, scheduler), amp=scaler.state_dict(), model_ema=average, rng_states=states))
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    new, ema, live = Net(), Net(), torch.amp.GradScaler("cpu")
    wl.resume(tmp_path / "new", model=new, ema=ema, scaler=live, rng=True)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert live.state_dict() == scaler.state_dict()
    assert all(torch.equal(value, average[key]) for key, value in ema.state_dict().items())


def test_several_models_and_optimizers_keep_their_own_names(tmp_path):
    """An optimizer belongs to the one model that its parameters fit."""
    runs = {"G": train(new_run(seed=1)), "D": train(new_run(width=5, seed=2))}
    bundle = {f"net{k}_state_dict": run[0].state_dict() for k, run in runs.items()}
    bundle |= {f"optimizer{k}": run[1].state_dict() for k, run in runs.items()}
    convert(tmp_path, bundle)
    again = {"G": new_run(seed=3), "D": new_run(width=5, seed=4)}
    parts = {f"net{k}": run[0] for k, run in again.items()} | {f"optimizer{k}": run[1] for k, run in again.items()}
    wl.resume(tmp_path / "new", **parts)
    for k, run in runs.items():
        assert differences(again[k][:2], run[:2]) == []


def test_an_optimizer_that_fits_two_models_is_no_guess(tmp_path):
    """It is refused, with what to give; names settle it."""
    one, two = train(new_run(seed=1)), train(new_run(seed=2))
    bundle = {"encoder": one[0].state_dict(), "decoder": two[0].state_dict(), "optimizer": two[1].state_dict()}
    with pytest.raises(wl.WeightliftError, match=r"that of encoder or of decoder: both fit.*--names FILE"):
        convert(tmp_path, bundle)
    assert not (tmp_path / "new").exists()
    convert(tmp_path, bundle, names=[f"decoder/{name}" for name, _ in two[0].named_parameters()])
    again = new_run(seed=3)
    wl.resume(tmp_path / "new", decoder=again[0], optimizer=again[1])
    assert differences(again[:2], two[:2]) == []


def test_parameters_in_another_order_are_refused_until_they_are_named(tmp_path):
    """Frozen parameters leave no single way; the names in the order of the groups do."""
    model = Net()
    opt = torch.optim.Adam([p for n, p in model.named_parameters() if n != "first.bias"], lr=0.01)
    run = train((model, opt, torch.optim.lr_scheduler.StepLR(opt, 2)))
    with pytest.raises(wl.WeightliftError, match=r"4 parameters without names; the source has 5.*--without optimizer"):
        convert(tmp_path, bundle_of(run))
    names = [n for n, _ in model.named_parameters() if n != "first.bias"]
    with pytest.raises(wl.WeightliftError, match=r"first.biass' is no weight"):
        convert(tmp_path, bundle_of(run), names=[*names[:3], "first.biass"])
    with pytest.raises(wl.WeightliftError, match=r"3 names for 4 saved parameters"):
        convert(tmp_path, bundle_of(run), names=names[:3])
    convert(tmp_path, bundle_of(run), names=names)
    live = Net()
    after = torch.optim.Adam([p for n, p in live.named_parameters() if n != "first.bias"], lr=0.5)
    wl.resume(tmp_path / "new", model=live, optimizer=after)
    assert differences((live, after), run[:2]) == []


def test_state_keyed_by_names_needs_no_order(tmp_path):
    """`torch.distributed.checkpoint.state_dict` keys optimizers so."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    model, opt, _ = train(new_run())
    convert(tmp_path, {"model": model.state_dict(), "optimizer": get_optimizer_state_dict(model, opt)})
    again = new_run(seed=3)
    wl.resume(tmp_path / "new", model=again[0], optimizer=again[1])
    assert differences(again[:2], (model, opt)) == []


def test_weights_under_hyperparameters_are_no_model(tmp_path):
    """A module that was handed in as an argument is data of the run, and confuses nothing."""
    run = train(new_run())
    done = convert(tmp_path, bundle_of(run, hyper_parameters={"net": Net(), "loss": {"weight": torch.ones(2)}}))
    assert {part.name: part.kind for part in done.parts}["hyper_parameters"] == "value"
    again = new_run(seed=5)
    wl.resume(tmp_path / "new", model=again[0], optimizer=again[1])
    assert differences(again[:2], run[:2]) == []


def test_tied_weights_are_one_parameter_of_the_optimizer(tmp_path):
    """As `parameters()` counts them."""

    def tied():
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model, torch.optim.Adam(model.parameters())

    run, again = tied(), tied()
    run[0](torch.ones(1, 3)).sum().backward()
    run[1].step()
    convert(tmp_path, {"model": run[0].state_dict(), "optimizer": run[1].state_dict()})
    wl.resume(tmp_path / "new", model=again[0], optimizer=again[1])
    assert differences(again, run) == []


def test_pickled_modules_in_a_list_keep_their_attributes(tmp_path):
    """Each beside its weights."""
    models = [nn.Sequential(nn.Linear(2, 2)) for _ in range(2)]
    models[1].labels = ["cat"]
    convert(tmp_path, {"models": models})
    again = [nn.Sequential(nn.Linear(2, 2)) for _ in range(2)]
    resumed = wl.resume(tmp_path / "new", models=again)
    assert differences(again, models) == []
    assert resumed["models.1.attributes"][""]["labels"] == ["cat"]


def test_configurations_of_omegaconf_are_plain_data(tmp_path):
    """Their nodes hold their parents; what they say stays, by key and place."""

    def node(name, value, parent=None):
        made = type(name, (), {"__module__": "omegaconf.dictconfig", "__qualname__": name})()
        made.__dict__.update(_parent=parent, _val=value) if name == "AnyNode" else None
        return made

    module = types.ModuleType("omegaconf.dictconfig")
    config, leaf, inner = node("DictConfig", None), node("AnyNode", 0.1), node("ListConfig", None)
    inner.__dict__.update(_parent=config, _content=[node("AnyNode", 1, inner), node("AnyNode", "${lr}", inner)])
    leaf._parent = config
    config.__dict__.update(_parent=None, _metadata={"flags": None}, _content={"lr": leaf, "sizes": inner})
    classes = {type(each).__name__: type(each) for each in (config, leaf, inner)}
    for each in inner._content:
        each.__class__ = classes["AnyNode"]
    module.__dict__.update(classes)
    sys.modules["omegaconf"], sys.modules["omegaconf.dictconfig"] = types.ModuleType("omegaconf"), module
    try:
        done = convert(tmp_path, {"model": Net().state_dict(), "cfg": {"run": config}})
    finally:
        del sys.modules["omegaconf"], sys.modules["omegaconf.dictconfig"]
    assert wl.resume(tmp_path / "new", model=Net())["cfg"] == {"run": {"lr": 0.1, "sizes": [1, "${lr}"]}}
    assert any("omegaconf" in note for note in done.notes)


def test_nothing_but_nones_is_no_checkpoint(tmp_path):
    """It says that there is no part."""
    with pytest.raises(wl.WeightliftError, match="no part to write"):
        convert(tmp_path, {"model": None})


def test_a_dict_that_is_met_again_and_again_is_gone_into_once(tmp_path):
    """However many places hold it, the work is bounded."""
    inner = {"model": Net().state_dict()}
    for _ in range(5):
        inner = {f"k{i}": inner for i in range(12)}
    done = convert(tmp_path, inner)
    assert sum(part.kind == "module" for part in done.parts) == 1


def test_left_out_parts_are_named_as_such(tmp_path):
    """`without` leaves a part out, and only one that is there."""
    done = convert(tmp_path, bundle_of(train(new_run())), without=["optimizer", "scheduler"])
    assert [part.name for part in done.parts] == ["model"]
    assert done.written.manifest.partial == ("optimizer", "scheduler")
    with pytest.raises(wl.WeightliftError, match=r"no part 'optimiser'.*model, optimizer, scheduler"):
        convert(tmp_path, bundle_of(new_run()), without=["optimiser"])


def test_what_cannot_be_written_is_an_error_that_names_its_part(tmp_path):
    """A cycle is nothing that JSON holds; the rest converts without that part."""
    cycle: list = []
    cycle.append(cycle)
    bundle = {"model": Net().state_dict(), "notes": cycle}
    with pytest.raises(wl.WeightliftError, match=r"notes\[0\] holds itself.*--without notes"):
        convert(tmp_path, bundle)
    assert not (tmp_path / "new").exists()
    assert [part.name for part in convert(tmp_path, bundle, without=["notes"]).parts] == ["model"]


def test_no_code_of_the_bundle_runs(tmp_path):
    """A call that a plain load would make stays the name of it."""

    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    convert(tmp_path, {"model": Net().state_dict(), "trap": Trap()})
    resumed = wl.resume(tmp_path / "new", model=Net())
    assert "exec" in repr(resumed["trap"])
    assert not (tmp_path / "ran").exists()


def test_shared_memory_stays_shared(tmp_path):
    """A tied weight is written once, whichever parts its names are in."""
    model = Net()
    tied = OrderedDict(model.state_dict()) | {"again.weight": model.first.weight.detach()}
    done = convert(tmp_path, {"model": tied, "kept": {"weight": model.first.weight.detach()}})
    assert {"model/again.weight", "kept/weight"} <= set(done.written.ties) | set(done.written.ties.values())


def test_a_name_that_a_live_part_takes_leaves_plain_data_another(tmp_path):
    """`model` is the weights; the text of that key is beside it."""
    done = convert(tmp_path, {"model": "resnet50", "state_dict": Net().state_dict()})
    assert [(part.name, part.kind) for part in done.parts] == [("model_value", "value"), ("model", "module")]


def test_the_source_is_never_written_over(tmp_path):
    """Neither the bundle itself nor the folder that it lies in."""
    torch.save({"model": Net().state_dict()}, tmp_path / "old.pt")
    for out in (tmp_path / "old.pt", tmp_path):
        with pytest.raises(wl.WeightliftError, match="source"):
            wl.convert(tmp_path / "old.pt", out)
