"""What one conversion of a library is: the file that it reads, and the tensors that it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Conversion:
    """A file in the one form, and a module in the other form that the library's converter has filled from it."""

    source: str
    expected: Weights
    """The state dict of the module, after the library's conversion."""
    new: frozenset[str]
    """The names of it that the converter leaves to the initialisation."""
    target: nn.Module
    """An equal module with other weights, for the plan."""
    beyond: frozenset[str] = frozenset()
    """Names that the converter computes and that the plan leaves out, as it says itself."""


@dataclass(frozen=True)
class Row:
    """A plan and the library's own way."""

    plan: str
    library: str
    converter: str
    make: Callable[[str], Conversion]
    """Folder -> the conversion, whose file is in the folder."""


def filled(module: nn.Module, seed: int) -> nn.Module:
    """Return the module with every tensor of its state dict random, norms and counters too."""
    random = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=random))
        else:
            tensor.copy_(torch.randint(1, 1 << 30, tensor.shape, generator=random))
    return module


def into(make: Callable[[], nn.Module], load: Callable[[nn.Module], object]) -> tuple[Weights, frozenset[str]]:
    """Return what loading makes of a module, and which tensors it leaves as they were.

    Two modules with different weights are loaded into: what differs then did not come from the file.
    """
    one, two = filled(make(), 1), filled(make(), 2)
    load(one)
    load(two)
    first, second = one.state_dict(), two.state_dict()
    return first, frozenset(key for key, tensor in first.items() if not torch.equal(tensor, second[key]))
