"""A small training run whose parts others would pickle, and how two such runs differ."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """Two layers and a normalisation: parameters of several shapes, and buffers."""

    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, 2, bias=False)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


def new_run(optimizer=adam, *, width=4, seed=0):
    """A model, its optimizer and a schedule."""
    torch.manual_seed(seed)
    model = Net(width)
    made = optimizer(model)
    return model, made, torch.optim.lr_scheduler.StepLR(made, 2, gamma=0.5)


def train(run, *, steps=3, seed=9):
    """The run after some steps on the same data."""
    model, optimizer, scheduler = run
    draws = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(8, 3, generator=draws)

        def closure(x=x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        scheduler.step()
    return run


def differences(ours, theirs):
    """The paths of all values of state dicts that are not the same, bit for bit."""
    found = []
    for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        compare(one.state_dict(), other.state_dict(), str(i), found)
    return found


def compare(one, other, path, found):
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if key == "param_names":
                continue
            compare(one.get(key, "missing"), other.get(key, "missing"), f"{path}.{key}", found)
        return
    elif isinstance(one, list | tuple) and type(one) is type(other) and len(one) == len(other):
        for at, (a, b) in enumerate(zip(one, other, strict=True)):
            compare(a, b, f"{path}[{at}]", found)
        return
    else:
        same = type(one) is type(other) and one == other
    if not same:
        found.append(path)
