"""A plan without rules: found from names, shapes and types, with what could not be found said in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...blocks import compress
from ...patterns import as_pattern
from ..plan import Plan
from ..resolve import Schema
from ..suggest import dropped, tied
from .find import find
from .lines import lines_of

_HEAD = """# Found from names and shapes. At the end of each line stands what it rests on: the same name (exact), the
# only one of its shapes (forced), what the names say (named), the place in a row of blocks (ordinal), the parts
# of a fused tensor (group). Lines that are !unsure have to be settled before the plan can be carried out."""


def inferred_plan(
    source: Schema,
    target: Schema,
    *,
    source_ties: Iterable[Sequence[str]] = (),
    target_ties: Iterable[Sequence[str]] = (),
    extra: Collection[str] = (),
) -> Plan:
    """Return the plan that was found. Reads names, shapes and types only.

    Every line says on what evidence it rests. What is not sure is marked `!unsure`, also what would be left out
    or stay as it is: such a plan is not carried out before somebody, or a proof, has settled it. `extra` are
    names of the source that are no plain tensors.
    """
    places = {key: place for place, key in enumerate(source)}
    matches = sorted(find(source, target), key=lambda match: places[match.sources[0]])
    lines = [str(line) for line in lines_of(matches, source)]
    used = {key for match in matches for key in match.sources}
    made = {key for match in matches for key in match.targets}
    alone = {match.targets[0]: match.sources[0] for match in matches if len(match.sources) == len(match.targets) == 1}
    for group in target_ties:
        first = next((key for key in group if key in alone), None)
        again = [key for key in group if first is not None and key not in made]
        lines += [f"{tied(alone[first], key)}  # one tensor in the target" for key in again if first is not None]
        made.update(again)
    same = {key: kept for group in source_ties for kept in group if kept in used for key in group if key not in used}
    lines += [line for key, kept in same.items() for line in dropped([key], f"one tensor with {as_pattern(kept)}")]
    left = _patterns([key for key in source if key not in used and key not in same], source)
    lines += [f'{row} -> drop "nothing in the target is made of it"  !unsure' for row in left]
    lines += [f"{line}  !unsure" for line in dropped(extra, "no plain tensor")]
    new = _patterns([key for key in target if key not in made], target)
    lines += [f'init -> {row} "nothing in the source makes it"  !unsure' for row in new]
    return Plan.of("\n".join([_HEAD, *lines]))


def _patterns(keys: Sequence[str], every: Iterable[str]) -> list[str]:
    """Names as few patterns: a module of which all is meant as one, and blocks that repeat as one."""
    wanted = set(keys)
    partly = {prefix for key in every if key not in wanted for prefix in _above(key)}
    whole = (next((f"{prefix}**" for prefix in _above(key) if prefix not in partly), as_pattern(key)) for key in keys)
    return [row.template for row in compress((pattern, None) for pattern in dict.fromkeys(whole))]


def _above(key: str) -> list[str]:
    """The modules that a name is in, as prefixes of patterns, outermost first."""
    parts = as_pattern(key).split(".")
    return [".".join(parts[:depth]) + "." for depth in range(1, len(parts))]
