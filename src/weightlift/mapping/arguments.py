"""What arguments each operation takes: one example for the error, one line of rules."""

from __future__ import annotations

import math

from ..errors import PlanError
from .ops import Call

_EXAMPLES = {
    "t": "t, alone",
    "permute": "whole numbers, or names that dims gives: permute(1, 0)",
    "reshape": "whole numbers, or names that dims gives: reshape(4, -1)",
    "rearrange": 'rearrange("(q h) c -> (h q) c", q=3)',
    "cat": "cat(0), or cat(0, i) for an index",
    "split": "split(0), or split(0, [2, 2])",
    "stack": "stack(0), or stack(0, i) for an index",
    "unstack": "unstack(0), or unstack(0, i) for an index",
    "copy": "copy, alone",
    "rows": "rows([2, 0, 1]), the rows to take",
    "slice": "slice(dimension, start, stop)",
    "pad": "pad(dimension, before, after)",
    "scale": "one number: scale(2.5)",
    "add": "one number: add(1)",
    "cast": "a dtype of torch: cast(float16)",
    "resize": "resize(grid, to=[rows, columns], prefix=1), sizes of 0 or more",
}
_NAMED: dict[str, tuple[str, ...]] = {"split": ("along",), "resize": ("to", "prefix")}


def check_arguments(call: Call) -> None:
    """Hold a call to the arguments that its operation takes, before it looks at a tensor.

    Raises:
        PlanError: too few, too many, or of another kind.
    """
    if not _fits(call):
        raise PlanError(f"{call}", expected=_EXAMPLES[call.name])


def _fits(call: Call) -> bool:
    """Whether a call has the arguments that its operation takes, no fewer and no more."""
    args, count = call.args, len(call.args)
    if call.name != "rearrange" and not set(call.named) <= set(_NAMED.get(call.name, ())):
        return False
    numbers = args[0] if count == 1 and isinstance(args[0], list) else args
    whole = all(type(n) is int for n in numbers)
    if call.name in ("t", "copy"):
        return not count
    if call.name in ("permute", "reshape", "rows"):
        return whole and bool(count) and (bool(numbers) or call.name != "permute")
    if call.name in ("slice", "pad"):
        return whole and len(numbers) == 3
    if call.name in ("cat", "stack", "unstack"):
        return count in (1, 2) and type(args[0]) is int and isinstance(args[-1], int | str)
    if call.name == "split":
        return count in (1, 2) and type(args[0]) is int and (count == 1 or isinstance(args[1], list))
    if call.name in ("scale", "add"):
        return count == 1 and type(args[0]) in (int, float) and math.isfinite(args[0])
    if call.name == "resize":
        prefix = call.named.get("prefix", 0)
        return args == ("grid",) and type(prefix) is int and prefix >= 0
    return count == 1 and isinstance(args[0], str)
