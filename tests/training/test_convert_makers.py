"""Bundles as Lightning, fairseq and Hugging Face's Trainer write them; each recorded from their sources."""

from __future__ import annotations

import argparse
import json
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import weightlift as wl
from weightlift.formats.step import verify_step

from pickled_bundles import Net, adam, differences, new_run, train


def resumed(path, *, optimizer=adam, **more):
    """A new run brought to a converted checkpoint, and what the resume says."""
    run = new_run(optimizer, seed=7)
    given = dict(zip(("model", "optimizer", "scheduler"), run, strict=True))
    return run, wl.resume(path, **given, **more)


def lightning(run, **more):
    """What `Trainer.save_checkpoint` writes (lightning 2)."""
    model, optimizer, scheduler = run
    return {
        "epoch": 4,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": model.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.5), "kth": {}}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "head": Net(), "args": argparse.Namespace(a=1)},
        **more,
    }


def test_a_lightning_checkpoint_goes_on(tmp_path):
    """Model, optimizer and scheduler, and the scaler under its plugin's name; loops and callbacks as values."""
    run = train(new_run())
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    torch.save(lightning(run, MixedPrecision=scaler.state_dict()), tmp_path / "last.ckpt")
    done = wl.convert(tmp_path / "last.ckpt", tmp_path / "new")
    assert (done.maker, done.written.manifest.step, done.left) == ("lightning", 120, ())
    live = torch.amp.GradScaler("cpu")
    again, told = resumed(tmp_path / "new", scaler=live)
    assert differences(again, run) == []
    assert live.state_dict() == scaler.state_dict()
    assert told["loops"]["fit_loop"]["epoch_progress"] == {"total": {"ready": 5}}
    assert told["callbacks"]["ModelCheckpoint{'monitor': 'val'}"]["best_model_score"].item() == 0.5
    assert told["hyper_parameters"]["args"].a == 1


def test_several_optimizers_of_lightning_are_a_list(tmp_path):
    """`optimizer_states` of two goes into a list of two, each by the names of its own parameters."""
    run = train(new_run())
    model = run[0]
    names = [name for name, _ in model.named_parameters()]
    parts = [names[:2], names[2:]]
    held = dict(model.named_parameters())
    optimizers = [torch.optim.SGD([held[n] for n in part], lr=0.1, momentum=0.5) for part in parts]
    for each in optimizers:
        each.step()
    states = [each.state_dict() for each in optimizers]
    torch.save(lightning(run, optimizer_states=states, lr_schedulers=[]), tmp_path / "last.ckpt")
    with pytest.raises(wl.WeightliftError, match=r"--names optimizer/0=FILE --names optimizer/1=FILE"):
        wl.convert(tmp_path / "last.ckpt", tmp_path / "new")
    given = {f"optimizer/{i}": part for i, part in enumerate(parts)}
    wl.convert(tmp_path / "last.ckpt", tmp_path / "new", names=given)
    live = Net()
    held = dict(live.named_parameters())
    after = [torch.optim.SGD([held[n] for n in part], lr=0.9) for part in parts]
    wl.resume(tmp_path / "new", model=live, optimizer=after)
    assert differences(after, optimizers) == []


def test_a_fairseq_checkpoint_goes_on(tmp_path):
    """The optimizer's last state and the scheduler's of the last record; the history stays a value."""
    run = train(new_run())
    history = [
        {"criterion_name": "CE", "optimizer_name": "FairseqAdam", "lr_scheduler_state": {"best": 1.5}, "num_updates": n}
        for n in (10, 20)
    ]
    bundle = {
        "args": argparse.Namespace(arch="transformer", lr=[0.1]),
        "cfg": None,
        "model": run[0].state_dict(),
        "criterion": OrderedDict(),
        "optimizer_history": history,
        "task_state": {},
        "extra_state": {"epoch": 2, "train_iterator": {"epoch": 2, "iterations_in_epoch": 5}, "val_loss": 1.5},
        "last_optimizer_state": run[1].state_dict(),
    }
    torch.save(bundle, tmp_path / "checkpoint_last.pt")
    done = wl.convert(tmp_path / "checkpoint_last.pt", tmp_path / "new")
    assert (done.maker, done.written.manifest.step) == ("fairseq", 20)
    again = new_run(seed=5)
    told = wl.resume(tmp_path / "new", model=again[0], optimizer=again[1])
    assert differences(again[:2], run[:2]) == []
    assert told["extra_state"]["train_iterator"]["iterations_in_epoch"] == 5
    assert told["args"].arch == "transformer"
    assert told["optimizer_history"] == history
    assert {part.name: part.kind for part in done.parts}["scheduler"] == "stateful"


def trainer_folder(folder, run, *, weights="bin"):
    """What `Trainer._save_checkpoint` writes."""
    folder.mkdir()
    model, optimizer, scheduler = run
    if weights == "bin":
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    torch.save(states, folder / "rng_state.pth")
    torch.save(argparse.Namespace(learning_rate=0.1), folder / "training_args.bin")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 500, "log_history": [{"loss": 1.5}]}))
    (folder / "config.json").write_text('{"hidden": 4}')
    return folder


def test_a_folder_of_the_trainer_goes_on(tmp_path):
    """Weights, optimizer, scheduler and random states from their files; JSON files are values."""
    run = train(new_run())
    folder = trainer_folder(tmp_path / "checkpoint-500", run)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    done = wl.convert(folder, tmp_path / "new")
    assert (done.maker, done.written.manifest.step, done.left) == ("transformers", 500, ())
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    again, told = resumed(tmp_path / "new", rng=True)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert differences(again, run) == []
    assert told["trainer_state"]["log_history"] == [{"loss": 1.5}]
    assert told["config"] == {"hidden": 4}
    assert told["training_args"].learning_rate == 0.1
    assert verify_step(tmp_path / "new") == []


def test_weights_whose_file_sorts_them_name_no_parameters(tmp_path):
    """safetensors lose the order of the model, which optimizers count by: names are asked for, not guessed."""
    run = train(new_run())
    folder = trainer_folder(tmp_path / "checkpoint-500", run, weights="safetensors")
    with pytest.raises(wl.WeightliftError, match=r"the file of 'model' has lost their order.*--names FILE"):
        wl.convert(folder, tmp_path / "new")
    wl.convert(folder, tmp_path / "new", names=[name for name, _ in run[0].named_parameters()])
    again, _ = resumed(tmp_path / "new")
    assert differences(again, run) == []


def test_files_that_are_not_pickled_are_told(tmp_path):
    """A tokenizer is no part of a checkpoint: it is named as left."""
    folder = trainer_folder(tmp_path / "checkpoint-500", new_run())
    (folder / "tokenizer.json").write_text("{}")
    assert wl.convert(folder, tmp_path / "new").left == ("'tokenizer.json' (2 bytes), which is not pickled: copy it",)


def test_a_folder_of_anything_else_is_refused(tmp_path):
    """It says what a bundle's folder has."""
    with pytest.raises(wl.WeightliftError, match=r"a folder without a training bundle.*optimizer.pt"):
        wl.convert(tmp_path, tmp_path / "new")
