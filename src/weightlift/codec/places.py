"""Where a value is in what is saved: the path that messages give, and the name that a tensor gets.

A step is an int (a position), a 1-tuple (a dict key or an item of a set) or a str (an attribute).
"""

from __future__ import annotations

from ..errors import printable, shown
from ..typed import Any

DEEPEST = 100
"""Steps from the root. JSON readers follow nesting by recursion, three levels for some steps."""

_LONGEST = 100  # of one step in a tensor's name

Step = Any


def place(root: str, steps: list[Step]) -> str:
    """Return the path as Python would spell it: `meta['groups'][0].rate`."""
    spelled = [root]
    for step in steps:
        if isinstance(step, int):
            spelled.append(f"[{step}]")
        else:
            spelled.append(f"[{shown(step[0], 60)}]" if isinstance(step, tuple) else f".{step}")
    return "".join(spelled)


def tensor_name(root: str, steps: list[Step]) -> str:
    """Return the path as a tensor's name: `meta/groups/0/rate`."""
    return "/".join([root, *map(_segment, steps)])


def _segment(step: Step) -> str:
    if isinstance(step, tuple):
        step = step[0]
    return printable(step if isinstance(step, str) else shown(step, _LONGEST))[:_LONGEST]
