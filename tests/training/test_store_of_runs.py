"""The store with live runs: modules, optimizers, generators and values."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch

import weightlift as wl
from weightlift.training import store as store_module

from stored_runs import names


def live_run(seed=0):
    """A model that has made two steps, with everything around it."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    model[2].weight.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    run = wl.TrainState(
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        rng=True,
        meta={"epoch": 1, "seen": [1, 2], "table": np.arange(4)},
        tensors={"mean": torch.ones(3)},
    )
    for _ in range(2):
        train(run)
    return run


def train(run):
    loss = run.model(torch.randn(5, 3)).square().mean()
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    run.scheduler.step()


def snapshot(run):
    return copy.deepcopy(
        (run.model.state_dict(), run.optimizer.state_dict()["state"], run.scheduler.state_dict(), dict(run.meta))
    )


def assert_same(left, right):
    """Equal to the last bit, through every container."""
    assert type(left) is type(right) or {type(left), type(right)} <= {dict, type(torch.nn.Linear(1, 1).state_dict())}
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, np.ndarray):
        assert np.array_equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@pytest.mark.parametrize("wait", [True, False])
def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path, wait):
    """A run that is resumed in another process's place takes the same steps, saved in the background or not."""
    with wl.CheckpointStore(tmp_path / "a", keep=2, best="loss:min") as store:
        run = live_run()
        store.save(run, step=2, metrics={"loss": torch.tensor(0.5)}, wait=wait)
        train(run)
        expected = snapshot(run)
    other = live_run(seed=9)
    assert wl.CheckpointStore(tmp_path / "a").resume(other, default=0) == 2
    train(other)
    assert_same(snapshot(other), expected)


def test_what_is_saved_in_the_background_is_what_was_when_save_returned(tmp_path, monkeypatch):
    """Everything that changes after save returned is not in the checkpoint: tensors, arrays, values, generators."""
    go = threading.Event()
    write_step = store_module._write_step
    monkeypatch.setattr(store_module, "_write_step", lambda *a, **k: (go.wait(20), write_step(*a, **k)))
    store = wl.CheckpointStore(tmp_path)
    run = live_run()
    expected = snapshot(run)
    drawn = torch.get_rng_state()
    store.save(run, step=1, wait=False)
    train(run)
    with torch.no_grad():
        for value in (*run.model.parameters(), *run.model.buffers()):
            value.zero_()
    run.meta["epoch"] = 7
    run.meta["seen"].append(3)
    run.meta["table"][:] = -1
    run.tensors["mean"].zero_()
    go.set()
    store.close()
    other = live_run(seed=9)
    store.resume(other)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert_same(snapshot(other), expected)
    assert torch.equal(other.tensors["mean"], torch.ones(3))


def test_buffers_are_used_again_for_the_next_save(tmp_path):
    """Each of many saves in the background holds its own values, though they share their buffers."""
    run = live_run()
    expected = {}
    with wl.CheckpointStore(tmp_path) as store:
        for step in range(5):
            train(run)
            expected[step] = snapshot(run)
            store.save(run, step=step, wait=False)
        for step, state in expected.items():
            other = live_run(seed=9)
            store.load(step, into=other)
            assert_same(snapshot(other), state)


def test_only_what_is_trained(tmp_path):
    """A checkpoint of the trainable entries is resumed from, what it leaves is as it was, and that is said."""
    with wl.CheckpointStore(tmp_path) as store:
        store.save(live_run(), step=1, select="trainable", without="rng")
    assert store.list()[0].partial == ("rng", "model")
    other = live_run(seed=9)
    frozen = other.model[2].weight.clone()
    other.parts.pop("rng")
    assert store.resume(other) == 1
    assert torch.equal(other.model[2].weight, frozen)
    assert "step 1: model: " in store.notes[0]


def test_a_run_that_does_not_fit_is_untouched(tmp_path):
    """A changed model is an error of the newest checkpoint, not a reason to take an older one."""
    with wl.CheckpointStore(tmp_path) as store:
        for step in (1, 2):
            store.save(live_run(), step=step)
        model = torch.nn.Linear(2, 2)
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(wl.WeightliftError, match="step-000002"):
            store.resume(wl.TrainState(model=model), default=0)
    assert_same(model.state_dict(), before)
    assert names(tmp_path) == ["step-000001", "step-000002"]


def test_what_cannot_be_saved_leaves_no_trace(tmp_path):
    """A part that needs pickle is refused before anything is made, in the background too."""
    store = wl.CheckpointStore(tmp_path / "a")
    for wait in (True, False):
        with pytest.raises(wl.WeightliftError, match="meta"):
            store.save(wl.TrainState(model=torch.nn.Linear(1, 1), meta={"f": len}), step=1, wait=wait)
    assert not (tmp_path / "a").exists()


def test_loading_the_best(tmp_path):
    """The best by the metrics on disk fills the model alone, and gives the values beside it."""
    run = live_run()
    states = {}
    with wl.CheckpointStore(tmp_path, keep=wl.Keep(last=1, best=1, metric="loss", mode="min")) as store:
        for step, loss in ((1, 0.5), (2, 0.25), (3, 0.75)):
            states[step] = copy.deepcopy(run.model.state_dict())
            store.save(run, step=step, metrics={"loss": loss})
            train(run)
        model = live_run(seed=9).model
        loaded = store.load("best", into=wl.TrainState(model=model))
    assert (loaded.step, loaded.metrics, loaded["meta"]["epoch"]) == (2, {"loss": 0.25}, 1)
    assert_same(model.state_dict(), states[2])
    assert names(tmp_path) == ["step-000002", "step-000003"]
