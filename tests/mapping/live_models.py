"""Models with everything that is hard to set down in, and how to compare what they hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

both_ways = pytest.mark.parametrize("assign", [False, True], ids=["in place", "assign"])


def seeded(make, seed: int = 0):
    torch.manual_seed(seed)
    return make()


def filled(module: nn.Module, seed: int = 1) -> nn.Module:
    """Every value of a module random: default initial values hide what is left out."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        elif value.numel():
            value.fill_(seed)
    return module


def snapshot(module: nn.Module) -> dict[str, tuple]:
    """Identity, bytes, strides, device, gradient flag and class of everything that a module holds."""
    out = {}
    for path, child in module.named_modules():
        for table in (child._parameters, child._buffers):
            for name, value in table.items():
                held = None
                if value is not None and not nn.parameter.is_lazy(value) and value.device.type != "meta":
                    flat = value.detach().clone().contiguous().view(-1).view(torch.uint8)
                    held = (flat.numpy().tobytes(), value.stride())
                out[f"{path}.{name}"] = (id(value), type(value), getattr(value, "requires_grad", None), held)
    return out


def assert_equal(model: nn.Module, source: nn.Module) -> None:
    wanted = source.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, wanted[key]), key


class Net(nn.Module):
    """A tie, a frozen-able norm with counters, a buffer that is not saved, and one without elements."""

    def __init__(self, tie: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.register_buffer("scratch", torch.arange(4.0), persistent=False)
        self.register_buffer("empty", torch.empty(0))
        if tie:
            self.head.weight = self.embed.weight
