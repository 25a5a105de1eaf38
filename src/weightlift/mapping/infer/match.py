"""The values that inference works with: what corresponds, on what evidence, and what speaks against it."""

from __future__ import annotations

from ...values import dataclass
from .trees import Node

EVIDENCE = ("group", "ordinal", "named", "forced", "exact", "value")
"""Kinds of evidence, weakest first: parts of a fused tensor, the place among equals, the names, the only one of its
shapes, the same name in the same place, and the same values."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where targets come from, and by which operations of the plan language.

    `evidence` is one of `EVIDENCE`; `doubt` says why the match is not sure, or "".
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    ops: str
    evidence: str
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two modules or tensors that correspond."""

    source: Node
    target: Node
    evidence: str
    doubt: str = ""


def weaker(one: str, two: str) -> str:
    """Return the weaker of two kinds of evidence: a chain is as firm as that."""
    return min(one, two, key=EVIDENCE.index)
