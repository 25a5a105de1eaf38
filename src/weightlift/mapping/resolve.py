"""A plan against a source and a target, from headers alone: what every target is made of, and every problem.

One simultaneous pass: rules do not chain and their order does not matter. Nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from ..dtypes import DType
from ..errors import PlanError, WeightliftError, printable
from ..limits import MIB
from ..patterns import Binding, Names, Pattern, Value, as_pattern
from ..tensors.casting import cast, cuts_off, holds_all
from ..tensors.computed import Lazy
from ..typed import Any
from ..values import dataclass, field, replace
from .arguments import check_arguments
from .axes import TARGET, TERM, Axes
from .bundle import Bundle, Place
from .ops import OPS, PARTING, Call
from .rules import Rule, Span, Term
from .spans import box, covers, cut, overlap, span_shape

Schema = Mapping[str, tuple[tuple[int, ...] | None, DType]]
"""Name -> (shape, dtype); a shape of None (a lazy module's parameter) takes any."""

_MOST = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a plan from being carried out. `line` is 0 where no rule is to blame."""

    code: str
    line: int
    message: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class PlanProblems(PlanError):  # noqa: N818 - it holds several
    """Every problem of a plan, told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(problems)
        super().__init__(f"the plan has {count} problem{'' if count == 1 else 's'}")

    def __str__(self) -> str:
        lines = [f"  {printable(str(problem))}" for problem in self.problems]
        return "\n".join([super().__str__(), *lines])


@dataclass(frozen=True, slots=True)
class Made:
    """How one target comes about: from which sources, by which rule, and as which lazy tensor.

    `spans` is the part of the target that is made (all of it where empty), `others` are the makers of
    its other parts. `cast_from` is the dtype before it was brought to the target's, "" where they are
    the same. `steps` are the operations with the sizes that followed from the shapes.
    """

    key: str
    value: Lazy
    sources: tuple[str, ...]
    rule: Rule
    tied: bool = False
    spans: tuple[Span, ...] = ()
    cast_from: str = ""
    narrows: bool = False
    others: tuple[Made, ...] = ()
    steps: str = ""

    @property
    def pieces(self) -> tuple[Made, ...]:
        """This one and the makers of the other parts."""
        return (self, *self.others)


Trace = list[tuple[Call, Bundle, Bundle]]


@dataclass(slots=True)
class Resolution:
    """A plan carried to the end on paper."""

    made: dict[str, Made] = field(default_factory=dict)
    initialised: dict[str, Rule] = field(default_factory=dict)
    dropped: dict[str, Rule] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    traces: dict[int, list[Trace]] = field(default_factory=dict)
    """Line of a rule -> for each group of its tensors, what every operation was given and gave."""

    def raise_problems(self) -> None:
        """Raise PlanProblems where there are any."""
        if self.problems:
            raise PlanProblems(self.problems)

    @property
    def values(self) -> list[Lazy]:
        """Every tensor that is made, parts too, equal ones once."""
        pieces = (piece.value for made in self.made.values() for piece in made.pieces)
        return list({value.view: value for value in pieces}.values())

    @property
    def peak_nbytes(self) -> int:
        """Bytes held at once, at most, while all is written to a file: one tensor after the other."""
        return MIB + max((value.streamed_nbytes for value in self.values), default=0)

    @property
    def staged_nbytes(self) -> int:
        """Bytes held at once, at most, while all is made before the first is set down in a model."""
        return MIB + sum(value.nbytes for value in self.values) + max((v.peak_nbytes for v in self.values), default=0)


def resolve(
    rules: Iterable[Rule],
    source: Mapping[str, Any],
    target: Schema | None,
    ties: Iterable[Sequence[str]] = (),
) -> Resolution:
    """Return what the rules make of a source; with a target's schema, also whether it is all of it.

    `ties` are groups of target names that are one and the same tensor. What is no plain tensor in the source
    is for `drop` rules only.
    """
    run = _Run(source, target, [tuple(group) for group in ties])
    rules = tuple(rules)
    unsure = [rule for rule in rules if "unsure" in rule.flags]
    if len(unsure) == 1:
        run.problem("unsure", unsure[0], f"{unsure[0]} is not settled (take !unsure away once it is)")
    elif unsure:
        lines = ", ".join(str(rule.line) for rule in unsure)
        run.problem("unsure", None, f"{len(unsure)} lines are not settled (take !unsure away once they are): {lines}")
    for rule in rules:
        run.carry_out(rule)
    run.check_totality()
    return run.out


class _Run:
    def __init__(self, source: Mapping[str, Any], target: Schema | None, ties: list[tuple[str, ...]]) -> None:
        self.source = source
        self.data = {key for key, value in source.items() if not isinstance(value, Lazy)}
        self.target = target
        self.names = Names(source)
        self.target_names = Names(target or ())
        self.ties = ties
        self.out = Resolution()
        self.claimed: dict[str, tuple[Rule, bool]] = {}  # source -> (rule, whether only a part)
        self.tied_from: dict[str, Rule] = {}
        self.parts: dict[str, list[tuple[Rule, tuple[Span, ...]]]] = {}

    def problem(self, code: str, rule: Rule | None, message: str, *keys: str) -> None:
        self.out.problems.append(Problem(code, rule.line if rule else 0, message, keys))

    def carry_out(self, rule: Rule) -> None:
        """Enter what one rule does."""
        if rule.kind == "init":
            self._init(rule)
            return
        fitting = [self._fitting(term, rule) for term in rule.sources]
        if not rule.optional:
            dead = [term.pattern for term, found in zip(rule.sources, fitting, strict=True) if not found]
            dead += [p for p in rule.excepts if all(p.match(key) is None for key in self.source)]
            for wanted in dead:
                self._dead(rule, wanted, self.source)
        matches = [(key, binding, place) for place, found in enumerate(fitting) for key, binding in found]
        if rule.kind == "drop":
            for key, _, _ in matches:
                if self._claim(key, rule, part=False):
                    self.out.dropped[key] = rule
        elif tensors := [match for match in matches if match[0] not in self.data]:
            self._map(rule, tensors)

    def _fitting(self, term: Term, rule: Rule) -> list[tuple[str, Binding]]:
        found = self.names.matching(term.pattern)
        if rule.excepts:
            found = [(key, b) for key, b in found if not any(p.match(key) is not None for p in rule.excepts)]
        return found

    def _claim(self, key: str, rule: Rule, *, part: bool) -> bool:
        if rule.kind == "tie":
            self.tied_from[key] = rule
            return True
        other = self.claimed.get(key)
        if other is not None and other[0] is not rule and not (part and other[1]):
            self.problem(
                "claimed-twice", rule, f"{key!r} is also used by line {other[0].line}; rules may not overlap", key
            )
            return False
        self.claimed[key] = (rule, part)
        return True

    def _dead(self, rule: Rule, wanted: Pattern, names: Iterable[str]) -> None:
        near = get_close_matches(wanted.text, list(names)[:5000], n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        self.problem("dead-rule", rule, f"{wanted.text!r} fits no name{hint} (say `optional` if that is all right)")

    # ---- init ----

    def _init(self, rule: Rule) -> None:
        for term in rule.targets:
            fitting = [key for key, _ in self.target_names.matching(term.pattern)]
            for key in fitting:
                if key in self.out.initialised:
                    self.problem(
                        "made-twice", rule, f"{key!r} is also initialised by line {self.out.initialised[key].line}", key
                    )
                self.out.initialised.setdefault(key, rule)
            if self.target is not None and not fitting and not rule.optional:
                self._dead(rule, term.pattern, self.target)

    # ---- map and tie ----

    def _map(self, rule: Rule, matches: list[tuple[str, Binding, int]]) -> None:
        try:
            axes = Axes(rule)
        except PlanError as error:
            self.problem("axes", rule, str(error))
            return
        groups: dict[tuple[tuple[str, Value], ...], list[tuple[Place, str, int]]] = {}
        for key, binding, place in matches:
            if not self._claim(key, rule, part=bool(rule.sources[place].spans)):
                continue
            if rule.sources[place].spans:
                self.parts.setdefault(key, []).append((rule, rule.sources[place].spans))
            values = {**axes.renamed(binding), TERM: place}
            shared = tuple((name, values[name]) for name in axes.shared)
            at = tuple(int(values[name]) for name in axes.consumed)
            groups.setdefault(shared, []).append((at, key, place))
        for shared, members in groups.items():
            try:
                self._group(rule, axes, dict(shared), members)
            except WeightliftError as error:
                first = members[0][1]
                more = f" and {len(members) - 1} more" if len(members) > 1 else ""
                self.problem("ops", rule, f"{first!r}{more}: {error}", *(key for _, key, _ in members))

    def _group(self, rule: Rule, axes: Axes, shared: Binding, members: list[tuple[Place, str, int]]) -> None:
        bundle = self._bundle(rule, axes, members)
        waiting = list(axes.produced)
        trace: Trace = []
        self.out.traces.setdefault(rule.line, []).append(trace)
        if rule.kind == "tie" and rule.ops:
            raise PlanError("a tie with operations", expected="the same tensor under another name")
        for call in rule.ops:
            check_arguments(call)
            operation, before = OPS[call.name], bundle
            if operation.loses(call, before) and "lossy" not in rule.flags:
                raise PlanError(f"{call} loses values", expected="!lossy on the rule, to say that this is meant")
            try:
                if call.name in PARTING:
                    bundle = operation.apply(bundle, call, waiting.pop(0) if waiting else None)
                else:
                    bundle = operation.apply(bundle, call)
            except PlanError as error:
                shapes = sorted({tuple(item.shape) for item in bundle.items.values()})
                error.at(f"{call} of {', '.join(str(list(shape)) for shape in shapes[:3])}")
                raise
            trace.append((call, before, bundle))
        while rule.kind == "tie" and waiting and waiting[0][1]:  # an index has no size, and ties nothing
            bundle = OPS["copy"].apply(bundle, Call("copy", (), {}), waiting.pop(0))
        if waiting:
            raise PlanError("one source and several targets", expected="split, unstack or copy to say how")
        if len(bundle.axes) != len(axes.produced):
            left = ", ".join(name for name, _ in bundle.axes)
            raise PlanError(f"several sources ({left}) and one target", expected="cat or stack to say how")
        sources = tuple(key for _, key, _ in sorted(members))
        steps = " | ".join(_told(call, before) for call, before, _ in trace)
        for place, value in bundle.items.items():
            values: Binding = {**shared, **{name: i for (name, _), i in zip(axes.produced, place, strict=True)}}
            self._make(rule, values, value, sources, steps)

    def _bundle(self, rule: Rule, axes: Axes, members: list[tuple[Place, str, int]]) -> Bundle:
        sizes = []
        for d, name in enumerate(axes.consumed):
            found = sorted({place[d] for place, _, _ in members})
            if found != list(range(len(found))):
                gap = next(i for i in range(len(found) + 1) if i not in found)
                raise PlanError(f"{{{name}}} is {_some(found)}", expected=f"every number from 0; {gap} is missing")
            sizes.append((name, len(found)))
        grid: dict[Place, Lazy] = {}
        for place, key, term in members:
            grid[place] = cut(self.source[key], rule.sources[term].spans)
        full = 1
        for _, size in sizes:
            full *= size
        if len(grid) != full or len(grid) != len(members):
            raise PlanError(
                f"{len(members)} sources for a grid of {' x '.join(str(n) for _, n in sizes)}", expected="all of it"
            )
        return Bundle(tuple(sizes), grid)

    def _make(self, rule: Rule, values: Binding, value: Lazy, sources: tuple[str, ...], steps: str) -> None:
        term = rule.targets[int(values.get(TARGET, 0))]
        key = term.pattern.spell(values)
        known = self.out.made.get(key)
        if known is not None and not (known.spans and term.spans):
            who = f"{', '.join(map(repr, known.sources[:2]))} (line {known.rule.line})"
            self.problem(
                "made-twice", rule, f"{key!r} is made of {', '.join(map(repr, sources[:2]))} and already of {who}", key
            )
            return
        made = Made(key, value, sources, rule, tied=rule.kind == "tie", spans=term.spans, steps=steps)
        made = self._fitted(made, self.target) if self.target is not None else made
        self.out.made[key] = made if known is None else replace(known, others=(*known.others, made))

    def _fitted(self, made: Made, target: Schema) -> Made:
        """Hold a value against the target's header, and bring it to the target's dtype."""
        found = target.get(made.key)
        if found is None:
            near = get_close_matches(made.key, list(target)[:5000], n=2, cutoff=0.6)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            self.problem("no-such-target", made.rule, f"the target has no {made.key!r}{hint}", made.key)
            return made
        shape, dtype = found
        wanted = tuple(made.value.shape) if shape is None else span_shape(shape, made.spans)
        if made.spans and "partial" not in made.rule.flags:
            self.problem("unmarked-partial", made.rule, f"{made.key!r} is made in part", made.key)
        if tuple(made.value.shape) != wanted:
            told = f"{made.key!r} would be {list(made.value.shape)}; the target's is {list(wanted)}"
            self.problem("shape", made.rule, f"{told} (made of {', '.join(map(repr, made.sources[:_MOST]))})", made.key)
            return made
        if made.value.dtype is dtype:
            return made
        if cuts_off(dtype, made.value.dtype) and "lossy" not in made.rule.flags:
            told = f"{made.key!r} would be {made.value.dtype} values cut off to {dtype}; say !lossy if that is meant"
            self.problem("cut-off", made.rule, told, made.key)
        narrows = not holds_all(dtype, made.value.dtype)
        return replace(
            made,
            value=cast(made.value, dtype, overflow="overflow" in made.rule.flags),
            cast_from=made.value.dtype.name,
            narrows=narrows,
        )

    # ---- totality ----

    def check_totality(self) -> None:
        """Every source is used, or dropped with a reason; every target is made, tied or initialised, once."""
        self._check_source_parts()
        for key in self.source:
            if key in self.data and key not in self.out.dropped:
                told = f'{key!r} is no plain tensor, and cannot be set down (drop it: {as_pattern(key)} -> drop "why")'
                self.problem("no-tensor", None, told, key)
        spoken_of = {*self.claimed, *self.tied_from, *self.data}
        unused = [key for key in self.source if key not in spoken_of]
        if unused:
            self.problem("unused", None, f"{_count(unused, 'source')} not used: {_named(unused)}", *unused)
        for key, rule in self.out.initialised.items():
            made = self.out.made.get(key)
            if made is not None and not (made.spans and made.rule.rest):
                self.problem("made-twice", rule, f"{key!r} is initialised and also made by line {made.rule.line}", key)
        if self.target is None:
            return
        missing = [key for key in self.target if key not in self.out.made and key not in self.out.initialised]
        if missing:
            self.problem("missing", None, f"{_count(missing, 'target')} not made: {_named(missing)}", *missing)
        for group in self.ties:
            self._check_tie(group)
        for key, made in self.out.made.items():
            if made.spans and key in self.target:
                self._check_parts(made, self.target[key][0])

    def _check_parts(self, made: Made, shape: tuple[int, ...] | None) -> None:
        """Parts of a target may not overlap, and have to be all of it or say what becomes of the rest."""
        if shape is None:
            self.problem("partial", made.rule, f"{made.key!r} has no shape yet, so no part can be made", made.key)
            return
        boxes = [box(shape, piece.spans) for piece in made.pieces]
        if overlap(boxes):
            lines = ", ".join(str(piece.rule.line) for piece in made.pieces)
            self.problem("made-twice", made.rule, f"parts of {made.key!r} are made twice (lines {lines})", made.key)
        elif not covers(shape, boxes) and not any(piece.rule.rest == "init" for piece in made.pieces):
            self.problem(
                "partial", made.rule, f"{made.key!r} is made in part; the rest is not said (rest=init)", made.key
            )

    def _check_source_parts(self) -> None:
        """What is taken in parts has to be taken whole, unless a rule is marked !partial; a tie needs its other end."""
        for key, (rule, part) in self.claimed.items():
            if not part:
                continue
            users = self.parts[key]
            shape = tuple(self.source[key].shape)
            boxes = [box(shape, spans) for _, spans in users]
            marked = any(user.flags & {"lossy", "partial"} for user, _ in users)
            if not marked and (overlap(boxes) or not covers(shape, boxes)):
                told = f"{key!r} is not used whole, or twice in part; mark the rule !lossy if that is meant"
                self.problem("partly-used", rule, told, key)
        made_of = {made.sources for made in self.out.made.values() if not made.tied}
        for key, rule in self.tied_from.items():
            if (key,) not in made_of:
                self.problem("loose-tie", rule, f"{key!r} makes no target of its own that could be tied to", key)

    def _check_tie(self, group: tuple[str, ...]) -> None:
        """Names that are one tensor in the target have to be made of one and the same."""
        made = [self.out.made[key] for key in group if key in self.out.made]
        other = next((item for item in made if _identity(item) != _identity(made[0])), None)
        if other is not None:
            first = made[0]
            told = f"{first.key!r} and {other.key!r} are one tensor in the target and are made of different ones"
            self.problem(
                "tied-apart",
                other.rule,
                f"{told} ({', '.join(first.sources[:2])}; {', '.join(other.sources[:2])})",
                *group,
            )
        for key in group:
            if made and key in self.out.initialised and key not in self.out.made:
                del self.out.initialised[key]
                self.out.made[key] = replace(made[0], key=key, tied=True)  # it cannot keep the values that it has


def _identity(made: Made) -> set[object]:
    """Equal for targets that get the same values in the same places."""
    return {(piece.spans, piece.value.view) for piece in made.pieces}


def _told(call: Call, before: Bundle) -> str:
    sizes = OPS[call.name].follows(call, before)
    return f"{call} ({sizes})" if sizes else str(call)


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (" ..." if len(numbers) > 6 else "")


def _count(keys: list[str], noun: str) -> str:
    return f"{len(keys)} {noun}{' is' if len(keys) == 1 else 's are'}"


def _named(keys: list[str]) -> str:
    return ", ".join(map(repr, keys[:_MOST])) + (f" and {len(keys) - _MOST} more" if len(keys) > _MOST else "")


__all__ = ["Made", "PlanProblems", "Problem", "Resolution", "Schema", "resolve"]
