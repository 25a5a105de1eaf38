"""The optimizer follows: a plan that moved the weights moves their moments, by parameter name, all or nothing.

The rules are carried out once more for each field, on a source that has moments in the place of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..checkpoint import Checkpoint
from ..errors import PlanError, WeightliftError
from ..tensors import Tensor
from ..tensors.computed import Lazy
from ..tensors.lazy import Storage, rows_first
from ..tensors.torch_modules import ModuleTarget
from ..tensors.torch_optimizers import fresh_state, is_optimizer, kind_of, load_optimizer, placed
from ..tensors.values_as_torch import values_to_torch
from .moments import UNKNOWN, field_named, known_kinds, missing_fields, moved_rule, moving_op, obstacle, role_of
from .ops import cast
from .optimizer_groups import group_options
from .optimizer_names import Names, Saved, find_optimizer, names_of, saved_optimizer
from .optimizer_report import OptimizerReport, ParameterState
from .resolve import Made, PlanProblems, Problem, Resolution, resolve
from .rules import Rule

Options = Literal["saved", "live"]
_NO_MOMENT = "no moment"


def apply_optimizer(
    rules: Sequence[Rule],
    optimizer: Any,
    source: Checkpoint | Mapping[str, Any],
    *,
    model: Any,
    weights: Mapping[str, Lazy] | None = None,
    names: Sequence[str] | None = None,
    name: str | None = None,
    options: Options = "saved",
) -> OptimizerReport:
    """Load a saved optimizer's moments into a live one through the rules that made the model's weights.

    Arguments:
        rules: those of the plan.
        optimizer: the live optimizer of `model`; all its state is replaced.
        source: a checkpoint with the optimizer's state dict in it, or that state dict, as it was read.
        model: the live model, whose names the rules make.
        weights: the state dict that the rules speak of; a checkpoint's own where it is left out.
        names: of the saved parameters in the order of the saved groups, where the file does not have them.
        name: path of the optimizer's state in a checkpoint that has several.
        options: where learning rates and the like come from: the saved groups, or the live optimizer's own.

    Raises:
        PlanProblems: the plan does not fit the weights, or moments cannot follow it; every problem at once.
        PlanError: names of the saved parameters that are missing, ambiguous or contradicted by a shape.
    """
    if options not in ("saved", "live"):
        raise PlanError(f"options={options!r}", expected='"saved" or "live"')
    if not is_optimizer(optimizer):
        raise PlanError(f"a {type(optimizer).__name__}", expected="a live torch optimizer")
    if isinstance(source, Checkpoint):
        weights = source.state_dict() if weights is None else weights
        source = find_optimizer(source, name)
    if weights is None:
        raise PlanError("an optimizer's state dict without weights", expected="weights=, the state dict that the plan is for")
    saved = saved_optimizer(source)
    target = ModuleTarget(model)
    resolution = resolve(rules, weights, target.schema)
    resolution.raise_problems()
    run = _Run(rules, optimizer, weights, saved, names_of(saved, weights, names), target, resolution)
    return run.carry_out(options)


@dataclass(slots=True)
class _Live:
    """A parameter of the live model: every name it has, and its place in the optimizer, if any."""

    names: list[str]
    tensor: Any
    group: int = -1
    place: int = -1


@dataclass(slots=True)
class _Follower:
    """A parameter whose state follows: field -> a lazy tensor, or a plain value."""

    live: _Live
    made: Made
    ids: list[int]
    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Run:
    def __init__(
        self,
        rules: Sequence[Rule],
        optimizer: Any,
        weights: Mapping[str, Lazy],
        saved: Saved,
        names: Names,
        target: ModuleTarget,
        resolution: Resolution,
    ) -> None:
        self.rules = rules
        self.optimizer = optimizer
        self.weights = weights
        self.saved = saved
        self.names = names
        self.target = target
        self.resolution = resolution
        self.kind = kind_of(optimizer, known_kinds())
        self.id_of = _with_aliases({name: i for i, name in names.by_id.items()}, weights)
        self.group_of = {i: g for g, group in enumerate(saved.groups) for i in group.ids}
        self.moved: dict[str, Resolution] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = [names.note]

    def carry_out(self, options: Options) -> OptimizerReport:
        """Decide for every parameter, then read, then load."""
        states: list[ParameterState] = []
        followers: list[_Follower] = []
        for live in self._parameters():
            try:
                found = self._decide(live)
            except WeightliftError as error:
                made = self._candidates(live)
                rule = made[0].rule if made else None
                told = f" ({rule})" if rule else ""
                self.problems.append(
                    Problem("moments", rule.line if rule else 0, f"{live.names[0]!r}: {error}{told}", tuple(live.names))
                )
                continue
            if isinstance(found, _Follower):
                followers.append(found)
                made = found.made
                states.append(
                    ParameterState(
                        live.names[0], "followed", made.sources, tuple(found.fields), made.rule.line, "; ".join(found.notes)
                    )
                )
            else:
                states.append(found)
        groups = self._groups(followers, options)
        self._check_fields(followers, groups)
        if self.problems:
            raise PlanProblems(self.problems)
        self._note_unused(followers)
        load_optimizer(self.optimizer, self._staged(followers, groups), groups)
        return OptimizerReport(tuple(states), self.names.way, tuple(self.notes))

    # ---- which parameters there are ----

    def _parameters(self) -> list[_Live]:
        by_id: dict[int, _Live] = {}
        for name, slot in self.target.slots.items():
            if slot.is_parameter:
                by_id.setdefault(id(slot.tensor), _Live([], slot.tensor)).names.append(name)
        for g, group in enumerate(self.optimizer.param_groups):
            for i, parameter in enumerate(group["params"]):
                live = by_id.get(id(parameter))
                if live is None:
                    raise PlanError(
                        f"the optimizer has a parameter of {list(parameter.shape)} in group {g} that the model has not",
                        expected="the optimizer of this model",
                    )
                live.group, live.place = g, i
        return list(by_id.values())

    def _candidates(self, live: _Live) -> list[Made]:
        """What the plan makes of a parameter's names; what is tied to something else last."""
        found = [self.resolution.made[name] for name in live.names if name in self.resolution.made]
        return sorted(found, key=lambda made: made.tied)

    # ---- what becomes of one ----

    def _decide(self, live: _Live) -> ParameterState | _Follower:
        name = live.names[0]
        if live.group < 0:
            why = "frozen, and not in the optimizer" if not live.tensor.requires_grad else "not in the optimizer"
            return ParameterState(name, "skipped", note=why)
        if not live.tensor.requires_grad:
            return ParameterState(name, "skipped", note="frozen")
        candidates = self._candidates(live)
        if not candidates:
            rule = next(self.resolution.initialised[key] for key in live.names if key in self.resolution.initialised)
            return ParameterState(name, "fresh", rule_line=rule.line, note=rule.reason)
        made = candidates[0]
        self._agree(candidates)
        entries = {key: self._entry(key) for key in made.sources}
        without = [key for key, entry in entries.items() if not entry]
        if len(without) == len(entries):
            why = "has no state in the saved optimizer"
            return ParameterState(name, "fresh", made.sources, rule_line=made.rule.line, note=why)
        if without:
            other = next(key for key in entries if key not in without)
            raise PlanError(f"the saved optimizer has state for {other!r} and none for {', '.join(map(repr, without))}")
        return self._follow(_Follower(live, made, [self.id_of[key] for key in made.sources]), entries)

    def _entry(self, key: str) -> Mapping[str, Any]:
        return self.saved.state.get(self.id_of.get(key, -1), {}) if key in self.id_of else {}

    def _agree(self, candidates: list[Made]) -> None:
        """Names that are one parameter here have to be one in the saved optimizer: two moments do not add up to one."""
        first = candidates[0]
        for made in candidates[1:]:
            theirs = [self.id_of.get(key) for key in made.sources]
            if theirs != [self.id_of.get(key) for key in first.sources]:
                raise PlanError(
                    f"it is also {made.key!r}, which has the state of {', '.join(map(repr, made.sources))}",
                    expected=f"that of {', '.join(map(repr, first.sources))}, since they are one parameter",
                )

    def _follow(self, out: _Follower, entries: Mapping[str, Mapping[str, Any]]) -> _Follower:
        first = next(iter(entries))
        for key, entry in entries.items():
            if set(entry) != set(entries[first]):
                raise PlanError(f"{key!r} has {_listed(entry)}; {first!r} has {_listed(entries[first])}", expected="the same fields")
        for name in entries[first]:
            values = {key: entry[name] for key, entry in entries.items()}
            roles = {role_of(name, value, tuple(self.weights[key].shape)) for key, value in values.items()}
            if len(roles) > 1:
                raise PlanError(f"{name} is of different kinds: {', '.join(map(_told, values.items()))}")
            role = roles.pop()
            if role == "scalar":
                out.fields[name] = _one_number(name, values)
            elif role == "element":
                out.fields[name] = self._element(name, out)
            else:
                out.fields[name] = _unmoved(name, values, out.made)
        if out.made.tied and len(out.live.names) == 1:
            out.notes.append(f"tied in the plan to {out.made.sources[0]!r}, a parameter of its own here")
        if out.made.spans or any(call.name == "pad" for call in out.made.rule.ops):
            out.notes.append("new elements have zero moments, and the step of the others")
        return out

    def _element(self, name: str, out: _Follower) -> Lazy:
        """Carry the rules out on a field of every source, and return what they make of it for one parameter."""
        kind = field_named(name, self.saved.fields)
        options = self.saved.groups[self.group_of[out.ids[0]]].options
        zero = kind.from_zero and not (name == "sum" and options.get("initial_accumulator_value"))
        if why := obstacle(out.made.rule, name, kind, zero=zero):
            raise PlanError(why)
        if kind is UNKNOWN:
            out.notes.append(f"{name} is not known; it has the parameter's shape and moves with it")
        if name not in self.moved:
            self.moved[name] = resolve([moved_rule(rule, kind) for rule in self.rules], self._moments(name), None)
        moved = self.moved[name].made.get(out.made.key)
        if moved is None:
            told = [p.message for p in self.moved[name].problems if set(p.keys) & set(out.made.sources)]
            raise PlanError(f"{name} cannot follow: {'; '.join(told) or 'the rules do not make it'}")
        value, dtype = moved.value, self.target.slots[out.made.key].dtype
        if value.dtype is not dtype:
            # what load_state_dict would do as well, but it would let a value become infinite
            out.notes.append(f"{name} {value.dtype.name} -> {dtype.name}")
        return cast(value, dtype)

    def _moments(self, name: str) -> dict[str, Lazy]:
        """The source with a field's values in the place of the weights, and tensors without data where there are none."""
        found: dict[str, Tensor] = {}
        for key, weight in self.weights.items():
            value = self._entry(key).get(name)
            if isinstance(value, Tensor) and value.shape == tuple(weight.shape):
                found[key] = value
        dtype = next(iter(found.values())).dtype
        nothing = Storage(_NO_MOMENT, 0, absent=_NO_MOMENT)
        return {
            key: found.get(key) or Tensor(dtype, tuple(w.shape), rows_first(tuple(w.shape)), 0, nothing)
            for key, w in self.weights.items()
        }

    # ---- groups, and the whole ----

    def _groups(self, followers: Iterable[_Follower], options: Options) -> list[dict[str, Any]]:
        """Return the groups to load, with parameters as integers counted through all of them."""
        out: list[dict[str, Any]] = []
        count = 0
        followers = list(followers)
        for g, live in enumerate(self.optimizer.param_groups):
            own = {key: value for key, value in live.items() if key not in ("params", "param_names")}
            origins = {f.live.names[0]: {self.group_of[i] for i in f.ids} for f in followers if f.live.group == g}
            if options == "saved":
                try:
                    own, notes = group_options(live, f"group {g}", self.saved, origins)
                    self.notes += notes
                except WeightliftError as error:
                    self.problems.append(Problem("options", 0, str(error), tuple(origins)))
            out.append({**own, "params": list(range(count, count + len(live["params"])))})
            count += len(live["params"])
        return out

    def _check_fields(self, followers: list[_Follower], groups: list[dict[str, Any]]) -> None:
        """Hold the fields against those that an optimizer of torch keeps: it would fail only at its next step."""
        for follower in followers:
            options = groups[follower.live.group]
            rank = len(follower.live.tensor.shape)
            missing, foreign = missing_fields(self.kind, options, rank, follower.fields)
            if missing or foreign:
                told = [f"without {_listed(sorted(missing))}"] * bool(missing) + [f"with {_listed(sorted(foreign))}"] * bool(foreign)
                name, rule = follower.live.names[0], follower.made.rule
                message = f"{name!r}: the saved state is {' and '.join(told)}, which is not what {self.kind} keeps"
                self.problems.append(Problem("kind", rule.line, message, (name,)))

    def _note_unused(self, followers: list[_Follower]) -> None:
        used = {i for follower in followers for i in follower.ids}
        left = [self.names.by_id[i] for i in self.saved.state if i not in used]
        if left:
            more = " ..." if len(left) > 6 else ""
            self.notes.append(f"the state of {len(left)} saved parameters is not used: {', '.join(left[:6])}{more}")

    def _staged(self, followers: list[_Follower], groups: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Read everything: integer -> field -> torch tensor or number."""
        state: dict[int, dict[str, Any]] = {}
        following = {id(follower.live.tensor) for follower in followers}
        for group, live in zip(groups, self.optimizer.param_groups, strict=True):
            for i, parameter in zip(group["params"], live["params"], strict=True):
                fresh = {} if id(parameter) in following else fresh_state(self.kind, parameter, group)
                if fresh:
                    state[i] = fresh
        for follower in followers:
            live = follower.live
            try:
                if live.tensor.device.type == "meta":
                    raise PlanError("the parameter has no values yet", remedy="load the weights first")
                made = {name: self._read(name, value, follower) for name, value in follower.fields.items()}
            except WeightliftError as error:
                raise error.at(repr(live.names[0])) from None
            state[groups[live.group]["params"][live.place]] = made
        return state

    def _read(self, name: str, value: Any, follower: _Follower) -> Any:
        made = follower.made
        try:
            is_element = isinstance(value, Tensor) and role_of(name, value, tuple(follower.live.tensor.shape)) == "element"
            if not isinstance(value, Tensor) and hasattr(value, "compute") or is_element or made.spans and hasattr(value, "shape") and value.shape:
                return placed(value, follower.live.tensor, made.spans)
            return values_to_torch({name: value})[name]
        except WeightliftError as error:
            raise error.at(name) from None
