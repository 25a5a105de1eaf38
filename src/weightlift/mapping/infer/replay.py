"""A match carried out as a plan, and held against the values that it should give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import WeightliftError
from ...tensors.computed import Lazy
from ...typed import Any
from ..ops import PARTING
from ..plan import Plan
from .match import Match

_JOINS = ("cat", "stack")


def replays(match: Match, source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Whether a plan with these operations gives the values of every target of the match, exactly."""
    tensors = [source[name] for name in match.sources], [target[name] for name in match.targets]
    if not all(isinstance(tensor, Lazy) for side in tensors for tensor in side):
        return False
    try:
        rule, names = rule_of(match, *tensors)
        resolution = Plan.of(rule).check(
            dict(zip(names[0], tensors[0], strict=True)),
            {name: (tuple(item.shape), item.dtype) for name, item in zip(names[1], tensors[1], strict=True)},
        )
        if resolution.problems:
            return False
        return all(
            resolution.made[name].value.tobytes() == item.tobytes()
            for name, item in zip(names[1], tensors[1], strict=True)
        )
    except WeightliftError:
        return False


def rule_of(match: Match, sources: Sequence[Lazy], targets: Sequence[Lazy]) -> tuple[str, tuple[list[str], list[str]]]:
    """Return a rule for a match and the names that it uses: plain ones, whatever the tensors are called.

    The sources of two joins are a grid: for `cat(0) | stack(0)`, all parts of the first row, then of the second.
    So are the targets of `unstack(0) | split(0)`.
    """
    words = [word.strip() for word in match.ops.split(" | ")] if match.ops else []
    kinds = [word.partition("(")[0] for word in words]
    before = [f"s.p{i}" for i in range(len(match.sources))]
    left = ", ".join(before)
    if sum(kind in _JOINS for kind in kinds) > 1:
        at = next(i for i in reversed(range(len(kinds))) if kinds[i] in _JOINS)
        many = targets[0].shape[int(words[at].partition("(")[2].rstrip(")"))]
        few = max(1, len(before) // many)
        before = [f"s.p{i}.q{j}" for i in range(many) for j in range(few)]
        left = f"s.{_choices('p', many)}.{_choices('q', few)}"
        if len(before) != len(match.sources):
            raise WeightliftError(f"{len(match.sources)} sources for {many} rows")
    after = [f"t.p{i}" for i in range(len(match.targets))]
    right = after[0] if len(after) == 1 else f"t.{_choices('p', len(after))}"
    if sum(kind in PARTING for kind in kinds) > 1:
        many = sources[0].shape[0]
        few = max(1, len(after) // many)
        after = [f"t.p{i}.q{j}" for i in range(many) for j in range(few)]
        right = f"t.{_choices('p', many)}.{_choices('q', few)}"
    if len(after) > 1 and not any(kind in PARTING for kind in kinds):
        words.append("copy")
    flags = " !lossy" if any(kind in ("slice", "rows", "cast") for kind in kinds) else ""
    ops = f" : {' | '.join(words)}" if words else ""
    return f"{left} -> {right}{ops}{flags}", (before, after)


def _choices(letter: str, count: int) -> str:
    return f"{{{','.join(f'{letter}{i}' for i in range(count))}}}"
