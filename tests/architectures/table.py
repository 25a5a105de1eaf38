"""The list of architectures: one row each, built with random weights by the library's own code."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GROUPS = {
    # room of the rows -> the library that has to be there
    "from_torch": "torch",
    "from_quantized": "torch",
    "from_wrappers": "torch",
    "from_bundles": "torch",
    "from_torchvision": "torchvision",
    "from_timm": "timm",
    "from_transformers": "transformers",
    "from_pytorchcv": "pytorchcv",
    "from_peft": "peft",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One architecture.

    `build` returns what is saved. `modules` names the modules in it by the state dict's name in the
    file; without it the saved object is the module itself. `needs_class` says why its state dict
    cannot be known without its class, `refused` why torch does not pickle it at all.
    """

    name: str
    build: Callable[[], Any]
    modules: Callable[[Any], dict[str, Any]] | None = None
    needs_class: str = ""
    refused: str = ""


def rows(group: str) -> list[Row]:
    """Return the rows of one group; imports its library."""
    found: list[Row] = importlib.import_module(group).ROWS
    return found
