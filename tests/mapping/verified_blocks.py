"""Two models of one architecture under other names, and plans between them, right and wrong."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A block with two norms of one shape, under the names that are given."""

    def __init__(self, first: str, second: str, size: int = 8) -> None:
        super().__init__()
        self.names = first, second
        for name in self.names:
            self.add_module(name, nn.LayerNorm(size))
        self.mix = nn.Linear(size, size, bias=False)
        self.out = nn.Linear(size, size)

    def forward(self, x):
        """Run."""
        first, second = (getattr(self, name) for name in self.names)
        x = x + self.mix(first(x))
        return x + torch.relu(self.out(second(x)))


def old_blocks(count: int = 2) -> nn.Module:
    return nn.Sequential(*(Block("norm1", "norm2") for _ in range(count)))


def new_blocks(count: int = 2) -> nn.Module:
    return nn.Sequential(*(Block("ln_a", "ln_b") for _ in range(count)))


REST = "{i}.mix.weight -> {i}.mix.weight\n{i}.out.{t} -> {i}.out.{t}"
RIGHT = f"{{i}}.norm1.{{t}} -> {{i}}.ln_a.{{t}}\n{{i}}.norm2.{{t}} -> {{i}}.ln_b.{{t}}\n{REST}"
SWAPPED = f"{{i}}.norm1.{{t}} -> {{i}}.ln_b.{{t}}\n{{i}}.norm2.{{t}} -> {{i}}.ln_a.{{t}}\n{REST}"


def unsure(rules: str, *lines: int) -> str:
    return "\n".join(f"{rule} !unsure" if i in lines else rule for i, rule in enumerate(rules.split("\n")))
