"""A plan without rules: found from names and shapes or from values, with what could not be found said in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ...blocks import compress
from ...patterns import as_pattern
from ...typed import Any
from ..plan import Plan
from ..resolve import Schema
from ..schema import headers
from ..suggest import dropped, tied
from .by_values import by_values
from .find import find
from .lines import lines_of
from .match import Match

_UNSURE = "# Lines that are !unsure have to be settled before the plan can be carried out."
_BY_NAMES = f"""# Found from names and shapes. At the end of each line stands what it rests on: the same name (exact),
# the only one of its shapes (forced), what the names say (named), the place in a row of blocks (ordinal), the
# parts of a fused tensor (group).
{_UNSURE}"""
_BY_VALUES = f"""# Found from values: each line gives every value of its targets. Where values say nothing, as zeros do,
# it rests on names: exact, forced, named, ordinal or group.
{_UNSURE}"""

Ties = Iterable[Sequence[str]]


def inferred_plan(
    source: Schema, target: Schema, *, source_ties: Ties = (), target_ties: Ties = (), extra: Collection[str] = ()
) -> Plan:
    """Return the plan that was found. Reads names, shapes and types only.

    Every line says on what evidence it rests. What is not sure is marked `!unsure`, also what would be left out
    or stay as it is: such a plan is not carried out before somebody, or a proof, has settled it. `extra` are
    names of the source that are no plain tensors.
    """
    return _plan(_BY_NAMES, find(source, target), source, target, source_ties, target_ties, extra)


def plan_by_values(
    source: Mapping[str, Any], target: Mapping[str, Any], *, source_ties: Ties = (), target_ties: Ties = ()
) -> Plan:
    """Return the plan that makes a state dict of another, as one that was converted already shows it. Reads all.

    Each line gives every value of its targets exactly. Both are mappings of lazy tensors.
    """
    before, after = headers(source), headers(target)
    extra = [key for key in source if key not in before]
    return _plan(_BY_VALUES, by_values(source, target), before, after, source_ties, target_ties, extra)


def _plan(
    head: str,
    found: Iterable[Match],
    source: Schema,
    target: Schema,
    source_ties: Ties,
    target_ties: Ties,
    extra: Collection[str],
) -> Plan:
    places = {key: place for place, key in enumerate(source)}
    matches = sorted(found, key=lambda match: places[match.sources[0]])
    again = _used_again(matches)
    lines = [str(line) for line in lines_of((match for match in matches if match not in again), source)]
    lines += [f"{tied(match.sources[0], match.targets[0])}  # {match.evidence}" for match in again]
    used = {key for match in matches for key in match.sources}
    made = {key for match in matches for key in match.targets}
    alone = {match.targets[0]: match.sources[0] for match in matches if len(match.sources) == len(match.targets) == 1}
    for group in target_ties:
        first = next((key for key in group if key in alone), None)
        new = [key for key in group if first is not None and key not in made]
        lines += [f"{tied(alone[first], key)}  # one tensor in the target" for key in new if first is not None]
        made.update(new)
    same = {key: kept for group in source_ties for kept in group if kept in used for key in group if key not in used}
    lines += [line for key, kept in same.items() for line in dropped([key], f"one tensor with {as_pattern(kept)}")]
    left = _patterns([key for key in source if key not in used and key not in same], source)
    lines += [f'{row} -> drop "nothing in the target is made of it"  !unsure' for row in left]
    lines += [f"{line}  !unsure" for line in dropped(extra, "no plain tensor")]
    untouched = _patterns([key for key in target if key not in made], target)
    lines += [f'init -> {row} "nothing in the source makes it"  !unsure' for row in untouched]
    return Plan.of("\n".join([head, *lines]))


def _used_again(matches: Iterable[Match]) -> list[Match]:
    """Matches that only repeat a source that another one takes as it is: one tensor under several names."""
    taken: set[str] = set()
    again = []
    for match in matches:
        if not match.ops and not match.doubt and len(match.sources) == len(match.targets) == 1:
            if match.sources[0] in taken:
                again.append(match)
            taken.add(match.sources[0])
    return again


def _patterns(keys: Sequence[str], every: Iterable[str]) -> list[str]:
    """Names as few patterns: a module of which all is meant as one, and blocks that repeat as one."""
    wanted = set(keys)
    partly = {prefix for key in every if key not in wanted for prefix in (*_above(key), f"{as_pattern(key)}.")}
    whole = (next((f"{prefix}**" for prefix in _above(key) if prefix not in partly), as_pattern(key)) for key in keys)
    found = dict.fromkeys(whole)
    found = {pattern: None for pattern in found if f"{pattern}.**" not in found}  # that one fits the module itself too
    return [row.template for row in compress(found.items())]


def _above(key: str) -> list[str]:
    """The modules that a name is in, as prefixes of patterns, outermost first."""
    parts = as_pattern(key).split(".")
    return [".".join(parts[:depth]) + "." for depth in range(1, len(parts))]
