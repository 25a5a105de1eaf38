"""A saved optimizer, and which parameter each of its integers stands for: known, told, or in order; never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..checkpoint import Checkpoint
from ..errors import PlanError
from ..paths import path_name
from ..pickles import Object
from ..selection import is_optimizer_state
from ..tensors import Tensor
from ..tensors.computed import Lazy
from ..tensors.from_live import with_lazy
from ..tree import walk
from ..typed import Any, Literal
from ..values import dataclass
from .moments import role_of

Way = Literal["param_names", "names", "order"]
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_MOST_PLACES = 20_000


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """A parameter group: its integers, its options, and the names of its parameters where they were saved."""

    ids: tuple[int, ...]
    options: Mapping[str, Any]
    param_names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Saved:
    """An optimizer's state dict, read but not loaded."""

    state: Mapping[int, Mapping[str, Any]]
    groups: tuple[SavedGroup, ...]

    @property
    def ids(self) -> list[int]:
        """The integers in the order of the groups."""
        return [i for group in self.groups for i in group.ids]

    @property
    def fields(self) -> list[str]:
        """Every field of any parameter."""
        return list(dict.fromkeys(field for entry in self.state.values() for field in entry))


@dataclass(frozen=True, slots=True)
class Names:
    """Integer -> name of the source's parameter; `way` and `note` say where from."""

    by_id: Mapping[int, str]
    way: Way
    note: str


def find_optimizer(checkpoint: Checkpoint, name: str | None = None) -> Any:
    """Return the optimizer's state dict of a checkpoint: that at the path `name`, or the only one.

    Raises:
        PlanError: there is none, there are several, or none of that name.
    """
    found: dict[str, Any] = {}

    def enter(path: Any, value: Any) -> bool:
        if not is_optimizer_state(value):
            return True
        found[path_name(path)] = value
        return False

    for _ in walk(checkpoint.tree, limits=checkpoint.limits, enter=enter):
        pass
    listed = ", ".join(map(repr, found)) or "none"
    if name is not None and name not in found:
        raise PlanError(f"no optimizer state {name!r}", expected=f"one of: {listed}")
    if name is None and len(found) != 1:
        told = f"{len(found)} optimizer states: {listed}" if found else "no optimizer state in the checkpoint"
        remedy = "choose one with name=" if found else "save optimizer.state_dict() beside the weights"
        raise PlanError(told, expected="one", remedy=remedy)
    return found[next(iter(found)) if name is None else name]


def saved_optimizer(value: Any) -> Saved:
    """Return an optimizer's state dict, from a file or a live one, as a value.

    Raises:
        PlanError: it is no state dict of an optimizer, or contradicts itself.
    """
    if isinstance(value, Object):
        raise PlanError("a pickled optimizer, keyed by tensors", expected="what optimizer.state_dict() gives")
    if not is_optimizer_state(value):
        raise PlanError("no optimizer state", expected='a dict with "state" and "param_groups"', remedy=_held_by(value))
    if not isinstance(value["param_groups"], list):
        raise PlanError(f"param_groups is a {type(value['param_groups']).__name__}", expected="a list of groups")
    groups = tuple(_group(group, i) for i, group in enumerate(value["param_groups"]))
    entries = value["state"].items()
    saved = Saved({key: with_lazy(entry) if isinstance(entry, dict) else entry for key, entry in entries}, groups)
    ids = saved.ids
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) != len(ids) else []
    if twice:
        raise PlanError(f"parameters {twice[:6]} are in two groups of the saved optimizer")
    for key, entry in saved.state.items():
        if type(key) is not int or key not in set(ids):
            raise PlanError(
                f"the saved optimizer has state for {key!r:.40}", expected="an integer of one of its groups"
            )
        if not isinstance(entry, dict) or not all(isinstance(field, str) for field in entry):
            raise PlanError(f"the state of parameter {key} is a {type(entry).__name__}", expected="fields by name")
    return saved


def _held_by(value: Any) -> str:
    """What to give instead of a dict that holds an optimizer's state and more."""
    held = [key for key, item in value.items() if is_optimizer_state(item)] if isinstance(value, Mapping) else []
    return f"give what it has under {held[0]!r}, and its weights as weights=" if held else ""


def _group(group: Any, at: int) -> SavedGroup:
    ids = group.get("params") if isinstance(group, dict) else None
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise PlanError(f"group {at} of the saved optimizer has no list of integers", expected='"params": [0, 1, ...]')
    names = group.get("param_names")
    if names is not None and (
        not isinstance(names, list) or len(names) != len(ids) or not all(isinstance(n, str) for n in names)
    ):
        raise PlanError(f"param_names of group {at} do not fit its {len(ids)} parameters", remedy="give names=[...]")
    options = with_lazy({key: item for key, item in group.items() if key not in ("params", "param_names")})
    return SavedGroup(tuple(ids), options, tuple(names) if names is not None else None)


def names_of(saved: Saved, weights: Mapping[str, Lazy], names: Sequence[str] | None = None) -> Names:
    """Return which parameter each integer stands for; every moment has to have its parameter's shape.

    From `names` where they are given (in the order of the groups), else from the names that torch saved,
    else from the order of the source's parameters, if that leaves exactly one way.

    Raises:
        PlanError: names that do not fit, shapes that contradict them, or more than one way.
    """
    ids = saved.ids
    own = [name for group in saved.groups for name in group.param_names or ()]
    if names is not None:
        if len(names) != len(ids):
            raise PlanError(f"{len(names)} names for {len(ids)} saved parameters", expected="one for each, in order")
        aside = "; they differ from the names in the file, which are set aside" if own and own != list(names) else ""
        found = Names(dict(zip(ids, names, strict=True)), "names", f"parameters are named by names={aside}")
    elif own and len(own) == len(ids):
        found = Names(dict(zip(ids, own, strict=True)), "param_names", "parameters are named by the optimizer itself")
    else:
        found = _in_order(saved, weights)
    _check(saved, found, weights)
    return found


def _check(saved: Saved, names: Names, weights: Mapping[str, Lazy]) -> None:
    seen: dict[str, int] = {}
    for i, name in names.by_id.items():
        if name in seen:
            raise PlanError(f"{name!r} names the saved parameters {seen[name]} and {i}", expected="each once")
        seen[name] = i
        if name not in weights:
            raise PlanError(
                f"the saved optimizer's {name!r} is not among the source's weights",
                expected="names of the source state dict",
                remedy="give names=[...] as the state dict has them",
            )
        try:
            _fit(saved, i, weights[name])
        except PlanError as error:
            error.at(f"saved parameter {i}, {name!r}")
            raise


def _fit(saved: Saved, i: int, weight: Lazy) -> None:
    for field, value in saved.state.get(i, {}).items():
        role_of(field, value, tuple(weight.shape))


def _in_order(saved: Saved, weights: Mapping[str, Lazy]) -> Names:
    """Lay the integers along the source's parameters: each group in their order, in the one way that fits."""
    names = parameters_of(weights)
    ids = saved.ids
    remedy = "give names=[...], one for each saved parameter in the order of the groups"
    if len(names) != len(ids):
        raise PlanError(
            f"the saved optimizer has {len(ids)} parameters without names; the source has {len(names)}",
            expected="as many",
            remedy=remedy,
        )
    if len(saved.groups) == 1:
        note = "parameters are named by the order of the source's, which the file does not say"
        return Names(dict(zip(ids, names, strict=True)), "order", note)
    found, ways = _laid(saved, names, weights)
    if found is None:
        told = {0: "no way", 1: "too many ways to count"}.get(ways, "more than one way")
        raise PlanError(
            f"{told} to lay the {len(saved.groups)} groups of the saved optimizer along the source's parameters",
            expected="exactly one, each group in the order of the parameters",
            remedy=remedy,
        )
    note = f"parameters are named by the order of the source's: {len(saved.groups)} groups fit in one way only"
    return Names(found, "order", note)


def _laid(saved: Saved, names: list[str], weights: Mapping[str, Lazy]) -> tuple[dict[int, str] | None, int]:
    """Return (the way, 1) or (None, 0 for no way, 2 for several, 1 for too many places to go through).

    A place is how far each group has come; from layer to layer one parameter is given to one group.
    """
    layers: list[dict[tuple[int, ...], tuple[int, int]]] = [{(0,) * len(saved.groups): (1, -1)}]
    for name in names:
        after: dict[tuple[int, ...], tuple[int, int]] = {}
        for place, (ways, _) in layers[-1].items():
            for g, group in enumerate(saved.groups):
                if place[g] < len(group.ids) and _fits(saved, group.ids[place[g]], weights[name]):
                    to = (*place[:g], place[g] + 1, *place[g + 1 :])
                    after[to] = (min(2, ways + after.get(to, (0, 0))[0]), g)
        if len(after) > _MOST_PLACES:
            return None, 1
        layers.append(after)
    place = tuple(len(group.ids) for group in saved.groups)
    ways = layers[-1].get(place, (0, 0))[0]
    if ways != 1:
        return None, ways
    out: dict[int, str] = {}
    for name, layer in zip(reversed(names), reversed(layers), strict=False):
        g = layer[place][1]
        place = (*place[:g], place[g] - 1, *place[g + 1 :])
        out[saved.groups[g].ids[place[g]]] = name
    return out, 1


def _fits(saved: Saved, i: int, weight: Lazy) -> bool:
    try:
        _fit(saved, i, weight)
    except PlanError:
        return False
    return True


def parameters_of(weights: Mapping[str, Lazy]) -> list[str]:
    """Return the names of a state dict that are parameters, those that are tied once.

    A pickled module says which are; of plain tensors, whole numbers and the statistics of normalisation are not.
    """
    tensors = {key: value for key, value in weights.items() if isinstance(value, Tensor)}
    told = any(value.role == "parameter" for value in tensors.values())
    out: dict[object, str] = {}
    for key, value in tensors.items():
        is_number = value.dtype.name.startswith(("float", "bfloat", "complex"))
        if value.role == "parameter" if told else is_number and key.rpartition(".")[2] not in _BUFFERS:
            out.setdefault(value.view if value.numel else id(value), key)
    return list(out.values())
