"""Modules of torch whose own code writes their state dict: one entry of the table for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..pickles import Object

Entries = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Special:
    """How a kind of module fills its part of the state dict, and its `_version`."""

    own_entries: Callable[[Object], Entries]
    version: int


SPECIAL: dict[str, Special] = {}
"""Class name -> how its state dict is made."""
