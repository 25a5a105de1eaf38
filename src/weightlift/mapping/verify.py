"""Proof of a plan by a forward pass: the same random weights, the same inputs, the same outputs.

Every tensor of the old model is made random first: freshly made models have norms that are all ones and zeros,
and hide which of them went where.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..errors import PlanError
from ..state_dict import StateDict
from ..tensors.torch_forward import (
    CannotRunError,
    Forward,
    difference,
    disturb,
    epsilon,
    forward,
    lent,
    randomise,
    says_something,
)
from ..tensors.torch_modules import ModuleTarget, is_module
from ..typed import Any
from ..values import dataclass, replace
from .apply import apply_to_module
from .divergence import first_diverging, holder, is_inside
from .exchanges import Lefts, exchanges
from .plan import Plan
from .resolve import PlanProblems, Resolution, resolve
from .rules import Rule
from .settle import reworded, settled
from .verification import Verification

MAX_TRIES = 5040
"""How many other meanings of `!unsure` rules are tried, unless told: the orders of seven."""


@dataclass(frozen=True, slots=True)
class Side:
    """A model, and what it is given."""

    model: Any
    inputs: Any
    seed: int
    wide: bool
    name: str

    def run(self, *, watch: bool = False) -> Forward:
        """Return the outputs of the lent model."""
        try:
            return forward(self.model, self.inputs, wide=self.wide, seed=self.seed, watch=watch)
        except CannotRunError as error:
            error.at(self.name)
            raise


def verify(
    plan: Plan,
    old_model: Any,
    new_model: Any,
    inputs: Any,
    *,
    new_inputs: Any = None,
    seed: int = 0,
    max_tries: int = MAX_TRIES,
) -> Verification:
    """See `Plan.verify`."""
    for name, model in (("old_model", old_model), ("new_model", new_model)):
        if not is_module(model):
            raise PlanError(f"{name} is a {type(model).__name__}", expected="a torch module")
    checked = plan.check(StateDict.from_module(old_model), new_model)
    if problems := [problem for problem in checked.problems if problem.code != "unsure"]:
        raise PlanProblems(problems)
    # What the new model makes for itself is compared with what the old one made, such as masks and frequencies.
    keep = {name for name, _ in old_model.named_buffers() if name in checked.dropped}
    first: CannotRunError | None = None
    for wide in (True, False):
        old = Side(old_model, inputs, seed, wide, "old_model")
        new = Side(new_model, inputs if new_inputs is None else new_inputs, seed, wide, "new_model")
        try:
            return _verified(plan, old, new, keep, max_tries)
        except CannotRunError as error:
            if first is not None:
                error.remedy = f"nor in float64 ({first.found})" if first.found != error.found else error.remedy
                raise
            first = error
    raise AssertionError  # the second turn returns or raises


def _verified(plan: Plan, old: Side, new: Side, keep: Collection[str], max_tries: int) -> Verification:
    with lent(old.model, wide=old.wide):
        randomise(old.model, old.seed, keep=keep)
        weights = StateDict.from_module(old.model)
        expected = old.run()
    if not any(map(says_something, expected.outputs.values())):
        raise PlanError("the old model's outputs have no finite floating value", expected="one to compare")
    with lent(new.model, wide=new.wide):
        trial = _Trial(plan, new, weights, expected)
        apart = trial.apart(plan.rules)
        out = Verification(trial.proves(apart), apart, trial.tolerance, trial.dtype)
        if out.ok:
            return _settle(out, trial, {}, plan.rules)
        out = _located(out, trial, old, keep)
        return _searched(out, trial, max_tries)


class _Trial:
    """A lent new model that is filled by one meaning of the rules after the other."""

    def __init__(self, plan: Plan, side: Side, weights: StateDict, expected: Forward) -> None:
        self.plan = plan
        self.side = side
        self.weights = weights
        self.expected = expected
        self.target = ModuleTarget(side.model)
        self.filled: dict[str, tuple[tuple[object, ...], ...]] = {}
        self.eps, self.dtype = expected.eps, expected.dtype

    @property
    def tolerance(self) -> float:
        """Half the digits of the coarsest type: orders of summation differ by far less, wrong weights by far more."""
        return float(self.eps**0.5)

    def proves(self, apart: float) -> bool:
        return apart <= self.tolerance

    def resolved(self, rules: Iterable[Rule]) -> Resolution:
        """What the rules make, `!unsure` ones as if they were settled."""
        bold = [replace(rule, flags=rule.flags - {"unsure"}) for rule in rules]
        return resolve(bold, self.weights, self.target.schema, self.target.ties)

    def fill(self, resolution: Resolution) -> None:
        """Set down what differs from what is there."""
        resolution.raise_problems()
        now = {key: tuple(piece.value.view for piece in made.pieces) for key, made in resolution.made.items()}
        changed = {key: made for key, made in resolution.made.items() if self.filled.get(key) != now[key]}
        for made in resolution.made.values():
            self._coarsen(made.cast_from)
        apply_to_module(replace(resolution, made=changed), self.target, self.weights)
        self.filled = now

    def _coarsen(self, dtype: str, eps: float = 0.0) -> None:
        eps = eps or (epsilon(dtype) if dtype else 0.0)
        if eps > self.eps:
            self.eps, self.dtype = eps, dtype

    def apart(self, rules: Iterable[Rule]) -> float:
        """How far the outputs are apart under these rules."""
        self.fill(self.resolved(rules))
        return self.run()

    def run(self) -> float:
        found = self.side.run()
        self._coarsen(found.dtype, found.eps)
        return _apart(self.expected.outputs, found.outputs)

    def open_targets(self, resolution: Resolution) -> dict[str, set[int]]:
        """Floating targets of `!unsure` rules, with the lines of these."""
        unsure = {rule.line for rule in self.plan.rules if "unsure" in rule.flags}
        out = {}
        for key, made in resolution.made.items():
            lines = unsure & {piece.rule.line for piece in made.pieces}
            if lines and epsilon(self.target.slots[key].dtype.name):
                out[key] = lines
        return out

    def sees(self, key: str, resolution: Resolution) -> bool:
        """Whether the outputs depend on a target: other values there give other outputs."""
        slots = self.target.slots
        disturb(slots[key].tensor, self.side.seed + 1)
        apart = self.run()
        for other, slot in slots.items():
            if slot.view == slots[key].view:
                self.filled.pop(other, None)
        self.fill(resolution)
        return not self.proves(apart)


def _apart(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """The largest difference: by the places in the outputs where both have the same, else in their order."""
    if len(expected) != len(found):
        told = f"{len(expected)} tensors in the old model's output, {len(found)} in the new one's"
        raise PlanError(told, remedy="give inputs as callables that take the model and return what to compare")
    same = expected.keys() == found.keys()
    others = [found[path] for path in expected] if same else found.values()
    return max(difference(one, other) for one, other in zip(expected.values(), others, strict=True))


def _located(out: Verification, trial: _Trial, old: Side, keep: Collection[str]) -> Verification:
    """Add the first diverging module, and the rules that fill it and what was done before it."""
    new_steps = trial.side.run(watch=True).steps
    with lent(old.model, wide=old.wide):
        randomise(old.model, old.seed, keep=keep)
        old_steps = old.run(watch=True).steps
    module = first_diverging(old_steps, new_steps, trial.tolerance)
    if module is None:
        return out
    done = [step.module for step in new_steps]
    before = set(done[: done.index(module)])
    rules = {rule.line: rule for rule in trial.plan.rules}
    held: dict[str, set[int]] = {}
    for key, made in trial.resolved(trial.plan.rules).made.items():
        held.setdefault(holder(key, done), set()).update(piece.rule.line for piece in made.pieces)
    inside = held.get(module) or set().union(*(lines for at, lines in held.items() if is_inside(at, module)))
    upstream = set().union(*(lines for at, lines in held.items() if at in before)) - inside
    lines, more = (tuple(rules[line] for line in sorted(found)) for found in (inside, upstream))
    return replace(out, module=module, lines=lines, upstream=more)


def _searched(out: Verification, trial: _Trial, max_tries: int) -> Verification:
    """Try the other meanings of the `!unsure` rules; the plan is settled where exactly one proves equal."""
    others = exchanges(trial.plan.rules, trial.resolved(trial.plan.rules), trial.weights)
    out = replace(out, possible=others.count)
    if others.count > max_tries:
        return out
    proving = []
    for lefts in others:
        rules = _with(trial.plan, lefts)
        resolution = trial.resolved(rules)
        if not resolution.problems:
            trial.fill(resolution)
            if trial.proves(trial.run()):
                proving.append((lefts, rules))
    out = replace(out, tried=others.count, proving=len(proving))
    if len(proving) != 1:
        return out
    lefts, rules = proving[0]
    trial.apart(rules)
    return _settle(out, trial, lefts, rules)


def _with(plan: Plan, lefts: Lefts) -> tuple[Rule, ...]:
    return tuple(reworded(rule, lefts[rule.line], plan.dims) if rule.line in lefts else rule for rule in plan.rules)


def _settle(out: Verification, trial: _Trial, lefts: Lefts, rules: tuple[Rule, ...]) -> Verification:
    """Add the settled plan: of the `!unsure` lines, those whose every target the outputs depend on."""
    resolution = trial.resolved(rules)
    waiting = trial.open_targets(resolution)
    unseen = [key for key in waiting if not trial.sees(key, resolution)]
    lines = set().union(*waiting.values()) - set().union(*(waiting[key] for key in unseen))
    plan = Plan.parse(settled(trial.plan.text, trial.plan.rules, lefts, lines))
    return replace(out, settled=plan, exchanged=tuple(sorted(lefts)), unseen=tuple(unseen))
