"""Files that hold more than a module: bundles, and objects that merely hold one."""

from __future__ import annotations

import copy

import own_modules as own
import torch
from table import Row
from torch import nn


def _net():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def _trained():
    net = _net()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    return net, optimizer


def _with_optimizer():
    net, optimizer = _trained()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    return {"epoch": 3, "model": net, **state, "rng": torch.get_rng_state()}


def _with_ema():
    net, optimizer = _trained()
    return {"model": net, "ema": copy.deepcopy(net), "optimizer": optimizer}


def _shared():
    body = nn.Linear(4, 4)
    return {"a": nn.Sequential(body, nn.Linear(4, 2)), "b": nn.Sequential(body, nn.Linear(4, 3))}


def _named(*names):
    return lambda saved: {name: saved[name] if isinstance(saved, dict) else getattr(saved, name) for name in names}


ROWS = [
    Row("bundle: model, optimizer, scheduler", _with_optimizer, _named("model")),
    Row("bundle: model, ema, optimizer object", _with_ema, _named("model", "ema")),
    Row("bundle: two models that share a layer", _shared, _named("a", "b")),
    Row("bundle: list of modules", lambda: [_net(), _net()], lambda saved: {"[0]": saved[0], "[1]": saved[1]}),
    Row("bundle: (module, optimizer)", _trained, lambda saved: {"[0]": saved[0]}),
    Row("object that holds a module", lambda: own.Holder(_net()), _named("policy")),
    Row("object with two networks", own.Agent, _named("actor", "critic")),
    Row(
        "bundle: module beside a quantised one",
        lambda: {"float": _net(), "int8": torch.ao.quantization.quantize_dynamic(_net(), {nn.Linear})},
        _named("float", "int8"),
    ),
]
