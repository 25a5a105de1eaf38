"""Two plans, one after the other, as one pass of rules."""

from __future__ import annotations

from collections.abc import Mapping

from ..blocks import compress
from ..values import replace
from .ops import PARTING
from .resolve import Made, PlanProblems, Problem, Resolution
from .rules import Rule

Resolved = tuple[tuple[Rule, ...], Resolution]


def composed(first: Resolved, second: Resolved) -> str:
    """Return rule lines that make in one pass what two plans make one after the other.

    What the first plan leaves to be initialised cannot be followed: without a target nobody knows its names.

    Raises:
        PlanProblems: a target is made in a way that one rule cannot say.
    """
    (rules_before, one), (rules_after, two) = first, second
    blocked = [
        Problem("no-composition", rule.line, f"{rule}: the second plan cannot say what becomes of it")
        for rule in rules_before
        if rule.kind == "init"
    ]
    lines: dict[str, tuple[str, str]] = {}  # targets -> (sources, operations and flags)
    parted: dict[tuple[str, ...], dict[int, str]] = {}  # sources of a parting rule -> place -> target
    for key, made in two.made.items():
        before = [one.made[name] for name in made.sources]
        if made.spans:
            blocked.append(Problem("no-composition", made.rule.line, f"{key!r} is made in parts"))
        elif any(_joins(item) > 1 for item in (made, *before)):
            blocked.append(Problem("no-composition", made.rule.line, f"{key!r}: sources are joined along several axes"))
        elif all(_is_plain(item) for item in before):
            sources = [name for item in before for name in item.sources]
            _enter(key, made, sources, _tail(_ops(made), made, *before), lines, parted, two.made)
        elif len(before) == 1 and _is_plain(made):
            tail = _tail(_ops(before[0]), made, *before)
            _enter(key, before[0], list(before[0].sources), tail, lines, parted, one.made)
        elif len(before) == 1 and not _parts(before[0]) and not _parts(made):
            tail = _tail([*_ops(before[0]), *_ops(made)], made, *before)
            lines[key] = (", ".join(before[0].sources), tail)
        else:
            told = f"{key!r}: {before[0].rule} and then {made.rule}"
            blocked.append(Problem("no-composition", made.rule.line, told))
    for names, places in parted.items():
        tail, _, sources_of_all = names[0].partition("\0")
        lines[", ".join(places[i] for i in sorted(places))] = (sources_of_all, tail)
    used = {name for sources, _ in lines.values() for name in sources.split(", ")}
    dropped = {key: rule.reason for key, rule in one.dropped.items()}
    for key, rule in two.dropped.items():
        dropped |= {name: rule.reason for name in one.made[key].sources if name not in used}
    if blocked:
        raise PlanProblems(blocked)
    return "\n".join(
        [
            *_spelled(lines),
            *(f'{row.template} -> drop "{row.value}"' for row in compress(dropped.items())),
            *(_initialised(rule) for rule in rules_after if rule.kind == "init"),
        ]
    )


def _initialised(rule: Rule) -> str:
    """An init rule with the prefix of its block."""
    targets = ", ".join(map(str, rule.targets))
    return f'init -> {targets}{" optional" if rule.optional else ""} "{rule.reason}"'


def _is_plain(made: Made) -> bool:
    return not made.rule.ops and not made.spans and not any(term.spans for term in made.rule.sources) and not made.tied


def _joins(made: Made) -> int:
    return sum(call.name in ("cat", "stack") for call in made.rule.ops)


def _ops(made: Made) -> list[str]:
    """The operations as they are written for a plain list of sources: along what is joined needs no name there."""
    return [str(replace(c, args=c.args[:1]) if c.name in ("cat", "stack") else c) for c in made.rule.ops]


def _tail(ops: list[str], *rules: Made) -> str:
    """What follows the targets: operations, and what any of the rules is marked with."""
    flags = sorted(frozenset[str]().union(*(made.rule.flags for made in rules)))
    return "".join([f" : {' | '.join(ops)}" if ops else "", *(f" !{flag}" for flag in flags)])


def _parts(made: Made) -> bool:
    return any(call.name in PARTING for call in made.rule.ops) or bool(made.spans)


def _enter(
    key: str,
    made: Made,
    sources: list[str],
    tail: str,
    lines: dict[str, tuple[str, str]],
    parted: dict[tuple[str, ...], dict[int, str]],
    siblings: Mapping[str, Made],
) -> None:
    if not _parts(made):
        lines[key] = (", ".join(sources), tail)
        return
    family = [name for name, other in siblings.items() if other.rule is made.rule and other.sources == made.sources]
    parted.setdefault((f"{tail}\0{', '.join(sources)}",), {})[family.index(made.key)] = key


def _spelled(lines: Mapping[str, tuple[str, str]]) -> list[str]:
    return [f"{sources} -> {targets}{tail}" for targets, (sources, tail) in lines.items()]
