"""Two plans, one after the other, as one pass of rules that is held against what the two make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..blocks import compress
from ..patterns import as_pattern
from ..values import dataclass, replace
from .ops import PARTING, Call
from .resolve import Made, PlanProblems, Problem, Resolution
from .rules import Rule

Resolved = tuple[tuple[Rule, ...], Resolution]


@dataclass(frozen=True, slots=True)
class _Part:
    """Which part of what one rule takes apart. `spans` says the same as a part of the source, "" where it cannot."""

    rule_line: int
    place: int
    count: int
    spans: str


@dataclass(frozen=True, slots=True)
class _Way:
    """How a target comes about in one pass. Targets that come about in one way share a line."""

    sources: tuple[str, ...]
    spans: str
    ops: tuple[Call, ...]
    flags: frozenset[str]
    tied: bool
    part: _Part | None

    @property
    def family(self) -> tuple[object, ...]:
        """What the parts of one tensor share."""
        return (self.part and self.part.rule_line, self.sources)

    @property
    def left(self) -> str:
        """What stands before the arrow."""
        return ", ".join(f"{as_pattern(name)}{self.spans}" for name in self.sources)

    @property
    def tail(self) -> str:
        """What follows the targets: operations, and what any of the rules is marked with."""
        ops = f" : {' | '.join(map(str, self.ops))}" if self.ops else ""
        return "".join([ops, *(f" !{flag}" for flag in sorted(self.flags))])


class _NotSaidError(Exception):
    """Why one rule cannot say how a target comes about."""


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
    ways: dict[str, _Way] = {}
    families: dict[tuple[object, ...], list[_Way]] = {}
    for key, made in two.made.items():
        try:
            ways[key] = _way(made, one, two)
            families.setdefault(ways[key].family, []).append(ways[key])
        except _NotSaidError as error:
            blocked.append(Problem("no-composition", made.rule.line, f"{key!r}: {error}"))
    for key, way in ways.items():
        try:
            ways[key] = _settled(way, families[way.family])
        except _NotSaidError as error:
            blocked.append(Problem("no-composition", two.made[key].rule.line, f"{key!r}: {error}"))
    used = {name for way in ways.values() for name in way.sources}
    dropped = {key: rule.reason for key, rule in one.dropped.items()}
    for key, rule in two.dropped.items():
        dropped |= {name: rule.reason for name in one.made[key].sources if name not in used}
    if blocked:
        raise PlanProblems(blocked)
    drops = compress((as_pattern(name), reason) for name, reason in dropped.items())
    return "\n".join(
        [
            *_lines(ways),
            *(f'{row.template} -> drop "{row.value}"' for row in drops),
            *(_initialised(rule) for rule in rules_after if rule.kind == "init"),
        ]
    )


def check_composed(whole: Resolution, one: Resolution, two: Resolution) -> None:
    """Hold what a composed plan makes against what the two plans make.

    Raises:
        PlanProblems: other targets, made of other sources, or of another shape or type.
    """
    wrong = [f"one pass of rules cannot say it: {problem.message}" for problem in whole.problems]
    for key in {**two.made, **whole.made}:
        if key not in whole.made or key not in two.made:
            wrong.append(f"{key!r} is made by {'one pass' if key in whole.made else 'two passes'} only")
        elif _header(whole.made[key]) != _header(two.made[key]):
            wrong.append(f"{key!r} has another shape or type in one pass")
        elif set(whole.made[key].sources) != set(_first_sources(two.made[key], one)):
            wrong.append(f"{key!r} is made of other sources in one pass")
    if wrong:
        raise PlanProblems([Problem("no-composition", 0, message) for message in wrong])


def _header(made: Made) -> tuple[object, ...]:
    return tuple(made.value.shape), made.value.dtype


def _first_sources(made: Made, one: Resolution) -> tuple[str, ...]:
    """The first plan's sources of what the second makes."""
    return tuple(name for middle in made.sources for name in one.made[middle].sources)


def _initialised(rule: Rule) -> str:
    """An init rule with the prefix of its block."""
    targets = ", ".join(map(str, rule.targets))
    return f'init -> {targets}{" optional" if rule.optional else ""} "{rule.reason}"'


def _way(made: Made, one: Resolution, two: Resolution) -> _Way:
    """Return how a target of the second plan comes about from the sources of the first."""
    before = [one.made[name] for name in made.sources]
    if any(item.spans for item in (made, *before)):
        raise _NotSaidError("it is made in parts")
    steps = (*before, made)
    spans = {_source_spans(item) for item in before}
    ops_before = _ops(before[0]) if len(before) == 1 else ()
    if len(before) > 1 and (any(item.rule.ops for item in before) or len(spans) > 1):
        raise _NotSaidError(f"several tensors, changed before they meet in {made.rule}")
    cut_later = _source_spans(made)
    if cut_later and (ops_before or spans != {""}):
        raise _NotSaidError(f"a part of what {before[0].rule} makes")
    ops = (*ops_before, *_ops(made))
    if sum(call.name in ("cat", "stack") for call in ops) > 1:
        raise _NotSaidError("sources are joined along several axes")
    if sum(call.name in PARTING for call in ops) > 1:
        raise _NotSaidError("it is taken apart twice")
    sources, cut = _first_sources(made, one), cut_later or spans.pop()
    part = (_part(before[0], one.made) if len(before) == 1 else None) or _part(made, two.made)
    if part is not None and (len(sources) > 1 or ops[0].name != "split" or cut):
        part = replace(part, spans="")
    return _Way(
        sources,
        cut,
        ops,
        frozenset[str]().union(*(item.rule.flags for item in steps)),
        any(item.tied for item in steps),
        part,
    )


def _source_spans(made: Made) -> str:
    """The part of its sources that a rule takes, as it is written."""
    found = {str(term)[len(term.pattern.text) :] for term in made.rule.sources}
    if len(found) > 1:
        raise _NotSaidError(f"other parts of each source in {made.rule}")
    return found.pop()


def _ops(made: Made) -> tuple[Call, ...]:
    """Operations for a plain list of sources: what is joined needs no name there, and lines say `copy` themselves."""
    return tuple(
        replace(call, args=call.args[:1]) if call.name in ("cat", "stack", "unstack") else call
        for call in made.rule.ops
        if call.name != "copy"
    )


def _part(made: Made, siblings: Mapping[str, Made]) -> _Part | None:
    call = next((call for call in _ops(made) if call.name in PARTING), None)
    if call is None:
        return None
    family = [other for other in siblings.values() if other.rule is made.rule and other.sources == made.sources]
    place = family.index(made)
    spans = ""
    if made.rule.ops == (call,) and call.name == "split":
        dim = call.args[0] % len(made.value.shape)
        starts = [sum(other.value.shape[dim] for other in family[:i]) for i in (place, place + 1)]
        spans = f"[{':, ' * dim}{starts[0]}:{starts[1]}]"
    return _Part(made.rule.line, place, len(family), spans)


def _settled(way: _Way, family: list[_Way]) -> _Way:
    """Leave a part whose siblings all go the same way, as targets of one line; others become parts of the source."""
    if way.part is None:
        return way
    beside = [other.part.place for other in family if other.part and other.tail == way.tail]
    if sorted(beside) == list(range(way.part.count)):
        return way
    if not way.part.spans:
        raise _NotSaidError("a rule takes a tensor apart, and not all parts go the same way")
    all_used = len({other.part.place for other in family if other.part}) == way.part.count
    flags = way.flags if all_used else way.flags | {"lossy"}
    return replace(way, spans=way.part.spans, ops=way.ops[1:], flags=flags, part=None)


def _lines(ways: Mapping[str, _Way]) -> Iterable[str]:
    """Spell the rules: one for all targets that come about in one way."""
    alike: dict[tuple[str, str], list[str]] = {}
    for key, way in ways.items():
        alike.setdefault((way.left, way.tail), []).append(key)
    for (left, tail), keys in alike.items():
        way = ways[keys[0]]
        owners = [key for key in keys if not ways[key].tied] or keys[:1]
        if way.part is not None:
            places = {ways[key].part.place: key for key in keys}  # type: ignore[union-attr]
            yield f"{left} -> {', '.join(as_pattern(places[i]) for i in sorted(places))}{tail}"
            continue
        if way.ops or way.spans or len(way.sources) > 1:
            owners = keys  # only a whole source can be tied to
        copied = replace(way, ops=(*way.ops, Call("copy", (), {}))) if len(owners) > 1 else way
        yield f"{left} -> {', '.join(map(as_pattern, owners))}{copied.tail}"
        yield from (f"{left} => {as_pattern(key)} : tie" for key in keys if key not in owners)
