"""What recognising a bundle gives: its parts as they were read, each with its name and where it was found."""

from __future__ import annotations

from collections.abc import Callable

from ...checkpoint import Checkpoint
from ...paths import Path, path_name
from ...typed import Any, Literal
from ...values import dataclass, field

Kind = Literal["module", "optimizer", "stateful", "rng", "value", "several"]


@dataclass(slots=True)
class Item:
    """One part to be: what kind it is, the inert value, and where that stands in the source."""

    kind: Kind
    value: Any
    """Of `several` the items by name; of `rng` the states by generator; of all others what the file holds."""
    path: Path
    name: str = ""
    home: Any = None
    """The checkpoint that the value is in, where a bundle has several files."""

    @property
    def origin(self) -> str:
        """Where it was found: `optimizer_states[0]`."""
        return path_name(self.path) or "the whole file"


@dataclass(slots=True)
class Bundle:
    """A recognised bundle. `maker` is who writes such: "lightning", "fairseq", "transformers", or "plain"."""

    maker: str
    items: list[Item]
    checkpoint: Checkpoint
    step: int | None = None
    notes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What cannot be carried over, a sentence each."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who writes such a bundle: how to tell one by its tree, and its parts."""

    name: str
    recognises: Callable[[Any], bool]
    read: Callable[[Checkpoint], Bundle]


def step_of(value: Any) -> int | None:
    """Return a count of steps as the manifest takes it, or None where it is none."""
    return value if type(value) is int and value >= 0 else None
