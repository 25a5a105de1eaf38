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


class Fused(nn.Module):
    """Attention of one fused projection; `layout` says what its rows mean."""

    def __init__(self, layout: str = "qkv h d") -> None:
        super().__init__()
        self.layout = layout
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)

    def forward(self, x):
        """Run."""
        rows = self.qkv(x)
        parts = rows.view(-1, 3, 2, 4) if self.layout == "qkv h d" else rows.view(-1, 2, 3, 4).transpose(1, 2)
        q, k, v = (part.transpose(0, 1) for part in parts.unbind(1))
        mixed = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        return self.proj(mixed.transpose(0, 1).reshape(-1, 8))


class Split(nn.Module):
    """The same with three projections."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("q", "k", "v", "o"):
            self.add_module(name, nn.Linear(8, 8))

    def forward(self, x):
        """Run."""
        q, k, v = (layer(x).view(-1, 2, 4).transpose(0, 1) for layer in (self.q, self.k, self.v))
        mixed = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        return self.o(mixed.transpose(0, 1).reshape(-1, 8))


# ---- what is proven ----
