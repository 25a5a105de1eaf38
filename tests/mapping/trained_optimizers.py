"""Small models trained by every optimizer of torch, and checkpoints of them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

import weightlift as wl

ALL = "** -> **"
KINDS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


class Weights(nn.Module):
    """Parameters by name (dots as submodules), and nothing to compute."""

    def __init__(self, **shapes):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator)))


def gradients(model, step):
    """Gradients that depend on the name and the step only; a test lays those of another model out by itself."""
    out = {}
    for i, (name, parameter) in enumerate(model.named_parameters()):
        generator = torch.Generator().manual_seed(100 * step + i)
        out[name] = torch.randn(parameter.shape, generator=generator)
    return out


def take_step(model, optimizer, grads):
    for name, parameter in model.named_parameters():
        parameter.grad = grads[name].clone()
    optimizer.step()


def trained(kind, steps=3, **shapes):
    model = Weights(**shapes)
    optimizer = KINDS[kind](model.named_parameters())
    for step in range(steps):
        take_step(model, optimizer, gradients(model, step))
    return model, optimizer


def saved(tmp_path, model, optimizer, **more):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), **more}, path)
    return wl.open(path)


def without_names(optimizer):
    """The optimizer's state dict as torch before 2.6 wrote it."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group.pop("param_names", None)
    return state


def values_of(optimizer):
    """Everything an optimizer holds, to be compared."""
    return deepcopy(optimizer.state_dict())


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
