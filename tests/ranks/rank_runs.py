"""Small training runs on several local processes over gloo, and what each of them has to tell."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
import traceback
from datetime import timedelta

import numpy as np
import torch
from torch import nn

PATIENCE = 90  # seconds until a rank that should have ended counts as hanging
TIMEOUT = 600  # of the process group: far more, so that whoever ends in time did not wait for it
PRELOADED = ["torch", "torch.distributed", "torch.distributed.checkpoint", "torch.distributed.fsdp", "numpy"]


class Net(nn.Module):
    """Sizes that no number of ranks divides, one dimension less than four ranks, statistics, dropout, a tied weight."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.first = nn.Linear(6, 7)
        self.norm = nn.BatchNorm1d(7)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(7, 3)
        self.scale = nn.Parameter(torch.ones(1))
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):  # noqa: D102
        mean = self.embed(tokens).mean(1)
        return self.last(self.drop(self.norm(self.first(mean)))).sum(1) * self.scale + self.head(mean).sum(1)


class Position:
    """Where one rank is in its own part of the data."""

    def __init__(self, rank):
        self.rank, self.at = rank, 0

    def state_dict(self):  # noqa: D102
        return {"rank": self.rank, "at": self.at}

    def load_state_dict(self, state):  # noqa: D102
        self.rank, self.at = state["rank"], state["at"]


def build(kind, rank, seed=0, dtype=None):
    """Return the parts of a run: "fsdp" in shards, "ddp" replicated, "alone" neither."""
    torch.manual_seed(seed)
    model = Net()
    if dtype:
        model.to(dtype)
    if kind == "fsdp":
        from torch.distributed.fsdp import fully_shard

        fully_shard(model.first)
        fully_shard(model)
    elif kind == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "data": Position(rank)}


def start(rank):
    """Give this rank random states of its own."""
    random.seed(50 + rank)
    np.random.seed(60 + rank)  # noqa: NPY002 - the global generator is what is saved
    torch.manual_seed(70 + rank)


def train(parts, steps=1):
    for _ in range(steps):
        tokens = torch.randint(0, 9, (4, 3)) + random.randrange(2) + np.random.randint(2)  # noqa: NPY002
        parts["data"].at += len(tokens)
        parts["model"](tokens).square().mean().backward()
        parts["optimizer"].step()
        parts["optimizer"].zero_grad()
        parts["scheduler"].step()


def digest(parts):
    """Return everything that a run has as plain bytes by name, shards put together."""
    whole = lambda value: value.full_tensor() if hasattr(value, "full_tensor") else value  # noqa: E731
    model = getattr(parts["model"], "module", parts["model"])
    found = {key: whole(value.detach()) for key, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for field, value in parts["optimizer"].state.get(parameter, {}).items():
            found[f"{name}/{field}"] = whole(value)
    return {name: value.numpy().tobytes() for name, value in found.items()}


def on_ranks(count, job, *args):
    """Run `job(rank, count, *args)` on so many processes; return what each returned, or how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(count)]
        ranks = [
            context.Process(target=_rank, args=(job, rank, count, f"{folder}/meeting", pipes[rank][1], args))
            for rank in range(count)
        ]
        for rank in ranks:
            rank.start()
        for _, sender in pipes:
            sender.close()
        until = time.monotonic() + PATIENCE
        return [_outcome(pipe, rank, until) for (pipe, _), rank in zip(pipes, ranks, strict=True)]


def _outcome(pipe, process, until):
    found = "hangs"
    with contextlib.suppress(EOFError):
        if pipe.poll(max(0.0, until - time.monotonic())):
            found = pipe.recv()
            process.join(20)
    if process.is_alive() and found == "hangs":
        process.kill()
    process.join()
    return found if process.exitcode == 0 or found != "hangs" else f"exit {process.exitcode}"


def _rank(job, rank, count, meeting, pipe, args):
    os.environ.update(GLOO_SOCKET_IFNAME="lo", TORCH_CPP_LOG_LEVEL="ERROR")
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{meeting}",
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=TIMEOUT),
        )
        pipe.send(job(rank, count, *args))
    except BaseException as error:  # noqa: BLE001 - told to the test
        pipe.send(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    pipe.close()
    os._exit(0)  # other ranks may be dead, and torch would wait for them


def attempt(call, *args, **options):
    """Return "done", or the class and text of the error."""
    try:
        call(*args, **options)
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        return f"{type(error).__name__}: {error}"
    return "done"


def kill_at(phase, rank):
    """Let this process be killed, without a chance to do anything about it, when its next save gets so far."""
    from weightlift.training.ranks.writer import Writer
    from weightlift.writers.hashed_file import HashedFile

    def before(owner, name, after=False, at=1):
        original, calls = getattr(owner, name), []

        def killed(*args, **options):
            calls.append(name)
            if len(calls) == at and not after:
                _die()
            made = original(*args, **options)
            if len(calls) == at:
                _die()
            return made

        setattr(owner, name, killed)

    if phase == "before writing":
        before(Writer, "write_data")
    elif phase == "while writing":
        before(HashedFile, "write", at=2)
    elif phase == "after writing":
        before(Writer, "write_data", after=True)
    elif rank:  # while rank 0 makes the manifest
        original = Writer.write_data
        Writer.write_data = lambda *args: (threading.Timer(0.5, _die).start(), original(*args))[1]
    elif phase == "before the commit":
        before(os, "rename")
    elif phase == "between the renames":
        before(os, "rename", after=True)
    elif phase == "after the renames":
        before(os, "rename", after=True, at=2)


def slow_commit():
    """Let the last step of rank 0 take a second, so that another rank can die in it."""
    from weightlift.training.ranks.writer import Writer

    original = Writer.finish
    Writer.finish = lambda *args, **options: (time.sleep(1.0), original(*args, **options))[1]


def _die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(PATIENCE)
