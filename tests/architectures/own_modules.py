"""Modules of a user: classes that no reader of the file can import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.ao.quantization import DeQuantStub, QuantStub


class Containers(nn.Module):
    """ModuleDict, ModuleList, ParameterList, ParameterDict, plain parameters and buffers, out of order."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.register_buffer("mask", torch.ones(3, 3, dtype=torch.bool).tril())
        self.scale = nn.Parameter(torch.randn(()))
        self.blocks = nn.ModuleDict({"b": nn.Linear(3, 3), "a": nn.ModuleList([nn.Conv1d(2, 2, 1), nn.Identity()])})
        self.weights = nn.ParameterList([torch.randn(2), torch.randn(3, 1)])
        self.named = nn.ParameterDict({"y": torch.randn(1), "x": torch.randn(2, 2)})
        self.nothing = None
        self.register_parameter("absent", None)
        self.register_buffer("gone", None)
        self.register_module("hole", None)
        self.empty = nn.Parameter(torch.empty(0, 4))


class Buffers(nn.Module):
    """Persistent and other buffers, by `register_buffer` and by `nn.Buffer`."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.arange(5))
        self.register_buffer("dropped", torch.arange(7), persistent=False)
        self.also_kept = nn.Buffer(torch.randn(2, 3))
        self.also_dropped = nn.Buffer(torch.randn(4), persistent=False)
        self.inner = nn.BatchNorm1d(4, affine=False)


class Tied(nn.Module):
    """Tied weights, one module under two names, and views of one storage."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.encoder = nn.Linear(6, 6)
        self.decoder = self.encoder
        whole = torch.randn(4, 6)
        self.register_buffer("whole", whole)
        self.register_buffer("row", whole[1])
        self.register_buffer("turned", whole.t())
        self.register_buffer("wide", torch.randn(3, 1).expand(3, 5))


class Dtypes(nn.Module):
    """One buffer of every element type that torch can make and pickle."""

    NAMES = (
        "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128"
        " float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz"
    )

    def __init__(self):
        super().__init__()
        for name in self.NAMES.split():
            self.register_buffer(f"of_{name}", torch.randint(0, 2, (3, 2)).to(getattr(torch, name)))
        self.register_buffer("conj", torch.randn(3, dtype=torch.complex64).conj())
        self.register_buffer("channels_last", torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
        self.half = nn.Linear(3, 3).half()


class Small(nn.Module):
    """A convolution, a norm, an addition and a linear layer, as quantisation likes them."""

    def __init__(self):
        super().__init__()
        self.enter = QuantStub()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.side = nn.Conv2d(8, 8, 1, bias=False)
        self.add = torch.ao.nn.quantized.FloatFunctional()
        self.head = nn.Linear(8, 3)
        self.leave = DeQuantStub()

    def forward(self, x):
        """(n, 3, h, w) -> (n, 3)."""
        x = self.relu(self.norm(self.conv(self.enter(x))))
        return self.leave(self.head(self.add.add(x, self.side(x)).mean([2, 3])))


class Functional(nn.Module):
    """Layers whose weights are used by functions, which fx quantisation packs into attributes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.kernel = nn.Parameter(torch.randn(8, 8, 1, 1))
        self.weight = nn.Parameter(torch.randn(5, 8))
        self.bias = nn.Parameter(torch.randn(5))

    def forward(self, x):
        """(n, 3, h, w) -> (n, 5)."""
        x = self.norm(self.conv(x)).relu()
        x = nn.functional.conv2d(x, self.kernel, None, (1, 1), (0, 0), (1, 1), 1)
        return nn.functional.linear(x.mean([2, 3]), self.weight, self.bias)


class Traced(nn.Module):
    """What `torch.fx` can trace: a submodule, a parameter and both kinds of buffer."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.shift = nn.Parameter(torch.randn(4))
        self.register_buffer("kept", torch.randn(4))
        self.register_buffer("dropped", torch.randn(4), persistent=False)

    def forward(self, x):
        """(n, 4) -> (n, 4)."""
        return self.inner(x) + self.shift + self.kept + self.dropped


class ExtraState(nn.Linear):
    """A module with extra state, which only its code can tell."""

    def get_extra_state(self):
        """Return something that is no parameter."""
        return {"steps": 3}

    def set_extra_state(self, state):
        """Take it back."""


class Renaming(nn.Linear):
    """A module that overrides `state_dict`."""

    def state_dict(self, *args, **kwargs):
        """Return the state dict under other names."""
        return {f"renamed.{key}": value for key, value in super().state_dict(*args, **kwargs).items()}


def drop_bias(module, state_dict, prefix, metadata):
    """A hook of a user that takes an entry out."""
    state_dict.pop(f"{prefix}bias")


@dataclass
class Holder:
    """An object that merely holds a module."""

    policy: nn.Module
    settings: dict[str, Any] = field(default_factory=lambda: {"lr": 0.1, "names": ("a", "b")})


class Agent:
    """A plain class with two networks and an optimizer."""

    def __init__(self):
        self.actor = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.actor.parameters())
