"""The optimizer follows: a plan that moved the weights moves their moments, by parameter name, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..checkpoint import Checkpoint
from ..errors import PlanError, WeightliftError
from ..tensors.computed import Lazy
from ..tensors.torch_modules import ModuleTarget
from ..tensors.torch_optimizers import fresh_state, is_optimizer, kind_of, load_optimizer, placed
from ..tensors.values_as_torch import values_to_torch
from ..typed import Any, Literal
from ..values import dataclass
from .moments import known_kinds, missing_fields
from .optimizer_fields import Fields, Followed, listed
from .optimizer_groups import group_options
from .optimizer_names import find_optimizer, names_of, saved_optimizer
from .optimizer_report import OptimizerReport, ParameterState
from .resolve import Made, PlanProblems, Problem, Resolution, resolve
from .rules import Rule
from .schema import entries_of

Options = Literal["saved", "live"]
Groups = list[dict[str, Any]]


def apply_optimizer(
    rules: Sequence[Rule],
    optimizer: Any,
    source: Checkpoint | Mapping[str, Any],
    *,
    model: Any,
    weights: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    name: str | None = None,
    options: Options = "saved",
) -> OptimizerReport:
    """Load a saved optimizer's moments into a live one through the rules that made the model's weights.

    Args:
        rules: those of the plan.
        optimizer: the live optimizer of `model`; all its state is replaced.
        source: an opened checkpoint with the optimizer's state dict in it, or that state dict: as it was read, or
            as torch gives it.
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
    elif isinstance(source, str | os.PathLike):
        raise PlanError(f"the path {os.fspath(source)!r}", expected="a checkpoint", remedy="give wl.open(path)")
    saved = saved_optimizer(source)
    if weights is None:
        raise PlanError(
            "an optimizer's state without weights", expected="weights=, the state dict that the plan is for"
        )
    weights = entries_of(weights)
    tensors = {key: value for key, value in weights.items() if isinstance(value, Lazy)}
    target = ModuleTarget(model)
    resolution = resolve(rules, weights, target.schema, target.ties)
    resolution.raise_problems()
    names_found = names_of(saved, tensors, names)
    run = _Run(optimizer, target, resolution, Fields(rules, tensors, saved, names_found))
    run.notes.append(names_found.note)
    run.decide()
    groups = run.groups(options)
    run.check_fields(groups)
    if run.problems:
        raise PlanProblems(run.problems)
    unused = [names_found.by_id[i] for i in saved.state if i not in run.used]
    if unused:
        more = " ..." if len(unused) > 6 else ""
        run.notes.append(f"the state of {len(unused)} saved parameters is not used: {', '.join(unused[:6])}{more}")
    load_optimizer(optimizer, run.staged(groups), groups)
    return OptimizerReport(tuple(run.states), names_found.way, tuple(run.notes))


@dataclass(slots=True)
class _Live:
    """A parameter of the live model: every name it has, and its place in the optimizer (-1 where it has none)."""

    names: list[str]
    tensor: Any
    group: int = -1
    place: int = -1


class _Run:
    def __init__(self, optimizer: Any, target: ModuleTarget, resolution: Resolution, fields: Fields) -> None:
        self.optimizer = optimizer
        self.target = target
        self.resolution = resolution
        self.fields = fields
        self.kind = kind_of(optimizer, known_kinds())
        self.followers: list[tuple[_Live, Followed]] = []
        self.states: list[ParameterState] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    @property
    def used(self) -> set[int]:
        """The saved parameters whose state goes somewhere."""
        return {i for _, followed in self.followers for i in followed.ids}

    # ---- what becomes of each parameter ----

    def decide(self) -> None:
        """Enter for every parameter of the model whether its state follows, and how."""
        for live in self._parameters():
            found = self._candidates(live)
            try:
                self.states.append(self._decided(live, found))
            except WeightliftError as error:
                rule = found[0].rule
                message = f"{live.names[0]!r}: {error} ({rule})"
                self.problems.append(Problem("moments", rule.line, message, tuple(live.names)))

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

    def _decided(self, live: _Live, found: list[Made]) -> ParameterState:
        name = live.names[0]
        if not live.tensor.requires_grad or live.group < 0:
            why = "frozen" if not live.tensor.requires_grad else "not in the optimizer"
            return ParameterState(name, "skipped", note=why)
        if not found:
            rule = next(self.resolution.initialised[key] for key in live.names if key in self.resolution.initialised)
            return ParameterState(name, "fresh", rule_line=rule.line, note=rule.reason)
        made = found[0]
        for other in found[1:]:
            self._agree(made, other)
        followed = self.fields.follow(made, self.target.schema)
        if followed is None:
            why = "it has no state in the saved optimizer"
            return ParameterState(name, "fresh", made.sources, rule_line=made.rule.line, note=why)
        if made.tied and len(live.names) == 1:
            followed.notes.append(f"tied to {made.sources[0]!r} in the plan, a parameter of its own here")
        self.followers.append((live, followed))
        note = "; ".join(followed.notes)
        sources = tuple(dict.fromkeys(key for piece in made.pieces for key in piece.sources))
        return ParameterState(name, "followed", sources, tuple(followed.fields), made.rule.line, note)

    def _agree(self, made: Made, other: Made) -> None:
        """Names that are one parameter here have to be one in the saved optimizer: two moments make none together."""
        ids = [[self.fields.id_of.get(key) for key in each.sources] for each in (made, other)]
        if ids[0] != ids[1]:
            raise PlanError(
                f"it is also {other.key!r}, which has the state of {', '.join(map(repr, other.sources))}",
                expected=f"that of {', '.join(map(repr, made.sources))}, since they are one parameter",
            )

    # ---- groups, and the whole ----

    def groups(self, options: Options) -> Groups:
        """Return the groups to load, with parameters as integers counted through all of them."""
        out: Groups = []
        count = 0
        for g, live in enumerate(self.optimizer.param_groups):
            own = {key: value for key, value in live.items() if key not in ("params", "param_names")}
            if options == "saved":
                group_of = self.fields.group_of
                origins = {p.names[0]: {group_of[i] for i in f.ids} for p, f in self.followers if p.group == g}
                try:
                    own, notes = group_options(live, f"group {g}", self.fields.saved, origins)
                    self.notes += notes
                except WeightliftError as error:
                    self.problems.append(Problem("options", 0, str(error), tuple(origins)))
            out.append({**own, "params": list(range(count, count + len(live["params"])))})
            count += len(live["params"])
        return out

    def check_fields(self, groups: Groups) -> None:
        """Hold the fields against those that an optimizer of torch keeps: it would fail only at its next step."""
        for live, followed in self.followers:
            rank = len(live.tensor.shape)
            missing, foreign = missing_fields(self.kind, groups[live.group], rank, followed.fields)
            told = [f"without {listed(sorted(missing))}"] if missing else []
            told += [f"with {listed(sorted(foreign))}"] if foreign else []
            if told:
                message = f"{live.names[0]!r}: the saved state is {' and '.join(told)}: not what {self.kind} keeps"
                self.problems.append(Problem("kind", followed.made.rule.line, message, tuple(live.names)))

    def staged(self, groups: Groups) -> dict[int, dict[str, Any]]:
        """Read everything: integer -> field -> torch tensor or number."""
        state: dict[int, dict[str, Any]] = {}
        for group, live_group in zip(groups, self.optimizer.param_groups, strict=True):
            for i, parameter in zip(group["params"], live_group["params"], strict=True):
                state[i] = fresh_state(self.kind, parameter, group)
        for live, followed in self.followers:
            try:
                if live.tensor.device.type == "meta":
                    raise PlanError("the parameter has no values yet", remedy="load the weights first")
                made = {name: _read(name, live, followed) for name in followed.fields}
            except WeightliftError as error:
                raise error.at(repr(live.names[0])) from None
            state[groups[live.group]["params"][live.place]] = made
        return {i: entry for i, entry in state.items() if entry}


def _read(name: str, live: _Live, followed: Followed) -> Any:
    value = followed.fields[name]
    try:
        if name in followed.elements:
            return placed(value, live.tensor)
        return values_to_torch({name: value})[name]
    except WeightliftError as error:
        raise error.at(name) from None
