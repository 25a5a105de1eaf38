"""The fields of one parameter's state, carried through the rule that made its weight.

For each field the rules are carried out once more, on a source that has moments in the place of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..dtypes import DType
from ..errors import PlanError
from ..tensors import Tensor
from ..tensors.casting import cast
from ..tensors.computed import Lazy
from ..tensors.lazy import Storage, rows_first
from ..typed import Any
from ..values import dataclass, field
from .moments import UNKNOWN, field_named, moved_rule, moving_op, obstacle, role_of
from .optimizer_names import Names, Saved
from .resolve import Made, Resolution, Schema, resolve
from .rules import Rule, Span
from .spans import box, covers

Part = tuple[Lazy, tuple[Span, ...]]
_NO_MOMENT = "no moment"


@dataclass(slots=True)
class Followed:
    """Field -> a plain value or a tensor as it is; of `elements`, which have a value for each element, the parts.

    `has_rest` says whether the parts leave elements of the parameter out.
    """

    made: Made
    ids: list[int]
    has_rest: bool
    fields: dict[str, Any] = field(default_factory=dict)
    elements: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Fields:
    """A saved optimizer beside the weights that it trained, to be asked by the weights' names."""

    def __init__(self, rules: Sequence[Rule], weights: Mapping[str, Lazy], saved: Saved, names: Names) -> None:
        self.rules = rules
        self.weights = weights
        self.saved = saved
        self.id_of = _with_aliases({name: i for i, name in names.by_id.items()}, weights)
        self.group_of = {i: g for g, group in enumerate(saved.groups) for i in group.ids}
        self._moved: dict[str, Resolution] = {}

    def entry(self, key: str) -> Mapping[str, Any]:
        """Return the state of the parameter that a name of the source stands for; empty where there is none."""
        return self.saved.state.get(self.id_of[key], {}) if key in self.id_of else {}

    def follow(self, made: Made, schema: Schema) -> Followed | None:
        """Return the state of what a rule made, or None where its sources have none. Reads steps, and no moments.

        Raises:
            PlanError: sources that contradict each other, or a field that cannot follow the rule.
        """
        entries = {key: self.entry(key) for piece in made.pieces for key in piece.sources}
        without = [key for key, entry in entries.items() if not entry]
        if len(without) == len(entries):
            return None
        first = next(key for key in entries if key not in without)
        if without:
            raise PlanError(f"the saved optimizer has state for {first!r} and none for {', '.join(map(repr, without))}")
        for key, entry in entries.items():
            if set(entry) != set(entries[first]):
                told = f"{key!r} has {listed(entry)}; {first!r} has {listed(entries[first])}"
                raise PlanError(told, expected="the same fields")
        shape = schema[made.key][0]
        has_rest = shape is not None and not covers(shape, [box(shape, piece.spans) for piece in made.pieces])
        out = Followed(made, [self.id_of[key] for key in entries], has_rest)
        for name in entries[first]:
            self._field(name, {key: entry[name] for key, entry in entries.items()}, out, schema)
        is_padded = any(call.name == "pad" for piece in made.pieces for call in piece.rule.ops)
        if out.elements and (has_rest or is_padded):
            out.notes.append("new elements have zero moments, and the step of the others")
        return out

    def _field(self, name: str, values: Mapping[str, Any], out: Followed, schema: Schema) -> None:
        roles = {role_of(name, value, tuple(self.weights[key].shape)) for key, value in values.items()}
        if len(roles) > 1:
            raise PlanError(f"{name} is of different kinds: {', '.join(map(_told, values.items()))}")
        role = roles.pop()
        if role == "scalar":
            out.fields[name] = _one_number(name, values)
        elif role == "element":
            out.fields[name] = self._parts(name, out, schema[out.made.key][1])
            out.elements.add(name)
        else:
            out.fields[name] = _unmoved(name, values, out.made)

    def _parts(self, name: str, out: Followed, dtype: DType) -> list[Part]:
        kind = field_named(name, self.saved.fields)
        options = self.saved.groups[self.group_of[out.ids[0]]].options
        zero = kind.from_zero and not (name == "sum" and options.get("initial_accumulator_value"))
        for piece in out.made.pieces:
            if why := obstacle(piece.rule, name, kind, zero=zero):
                raise PlanError(why, where="" if piece is out.made else f"line {piece.rule.line}")
        if out.has_rest and not zero:
            raise PlanError(f"{name} cannot be made in part: new elements do not start at zero")
        if kind is UNKNOWN:
            out.notes.append(f"{name} is not known; it has the parameter's shape and moves with it")
        if name not in self._moved:
            self._moved[name] = resolve([moved_rule(rule, kind) for rule in self.rules], self._moments(name), None)
        moved = self._moved[name].made.get(out.made.key)
        if moved is None or len(moved.pieces) != len(out.made.pieces):
            ours = {key for piece in out.made.pieces for key in piece.sources}
            told = [problem.message for problem in self._moved[name].problems if set(problem.keys) & ours]
            raise PlanError(f"{name} cannot follow: {'; '.join(told)}")
        if moved.value.dtype is not dtype:
            # load_state_dict brings moments to the parameter's dtype as well, but lets values become infinite
            out.notes.append(f"{name} {moved.value.dtype.name} -> {dtype.name}")
        return [(cast(piece.value, dtype), piece.spans) for piece in moved.pieces]

    def _moments(self, name: str) -> dict[str, Lazy]:
        """The source with a field in the place of the weights, and tensors without data where there is none."""
        found: dict[str, Tensor] = {}
        for key, weight in self.weights.items():
            value = self.entry(key).get(name)
            if isinstance(value, Tensor) and value.shape == tuple(weight.shape):
                found[key] = value
        dtype = next(iter(found.values())).dtype
        nothing = Storage(_NO_MOMENT, 0, absent=_NO_MOMENT)
        return {
            key: found[key] if key in found else Tensor(dtype, tuple(w.shape), rows_first(tuple(w.shape)), 0, nothing)
            for key, w in self.weights.items()
        }


def _with_aliases(id_of: dict[str, int], weights: Mapping[str, Lazy]) -> dict[str, int]:
    """Let every name of a tied tensor stand for its one saved parameter."""
    by_view = {weights[name].view: i for name, i in id_of.items() if weights[name].numel}
    aliases = {key: by_view[w.view] for key, w in weights.items() if w.numel and w.view in by_view}
    return {**aliases, **id_of}


def _one_number(name: str, values: Mapping[str, Any]) -> Any:
    """Return the number that all sources have: a step, above all."""
    first, *rest = values.values()
    if any(_plain(value) != _plain(first) for value in rest):
        raise PlanError(f"{name} differs: {', '.join(map(_told, values.items()))}", expected="one number to go on from")
    return first


def _unmoved(name: str, values: Mapping[str, Any], made: Made) -> Any:
    """Return a field that has not the parameter's shape, where one source becomes one target as it is."""
    value = next(iter(values.values()))
    op = moving_op(made.rule)
    if op:
        shape = f" of {list(value.shape)}" if isinstance(value, Tensor) else ""
        raise PlanError(
            f"{name}{shape} cannot follow {op}", expected="a rename or a copy: it has no value for each element"
        )
    return value


def _plain(value: Any) -> Any:
    return value.numpy().item() if isinstance(value, Tensor) else value


def _told(item: tuple[str, Any]) -> str:
    key, value = item
    shown = list(value.shape) if isinstance(value, Tensor) and value.shape else _plain(value)
    return f"{shown} of {key!r}"


def listed(names: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(names) or "nothing"
