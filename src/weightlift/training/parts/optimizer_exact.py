"""An optimizer brought to a saved state: the same parameters, in whatever order and groups; every field as it was."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from ...errors import PlanError
from ...mapping.moments import known_kinds, missing_fields
from ...mapping.optimizer_groups import HOW
from ...tensors.torch_optimizers import kind_of, load_optimizer, undo_of
from ...typed import Any
from .base import Change, Filling, class_name

_MOST_NAMES = 6
_FLAT = ("LBFGS",)
"""Classes that keep vectors over all their parameters, in their order."""


def fill_exactly(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> None:
    """Enter the change that brings a live optimizer to what was saved.

    Raises:
        PlanError: other parameters, another kind, or options that contradict each other; by the parameters' names.
    """
    saved, live = _saved_names(document), _live_names(part, name, filling)
    _refuse_other_parameters(saved, live, name, filling)
    _refuse_other_order(document, saved, live, part, name)
    groups = _groups(document, live, part, name, filling)
    state, fields = _state(document, live, groups, name, filling)
    _refuse_other_kind(document, part, name, groups, fields)
    rest = filling.value(document["rest"], name) if document.get("rest") else {}
    if document.get("class") not in (None, class_name(part)):  # a converted bundle does not say
        filling.notes.append(f"{name}: saved from a {document['class']}, and goes into a {class_name(part)}")
    filling.changes.append(Change(lambda: load_optimizer(part, state, groups, rest), undo_of(part)))


def _saved_names(document: Mapping[str, Any]) -> list[list[str]]:
    return [list(group["params"]) for group in document["groups"]]


def _live_names(part: Any, where: str, filling: Filling) -> list[list[str]]:
    out: list[list[str]] = []
    for at, group in enumerate(part.param_groups):
        out.append([])
        for parameter in group["params"]:
            if id(parameter) not in filling.parameters:
                raise PlanError(
                    f"group {at} has a parameter of shape {list(parameter.shape)} that is in no module of the run",
                    remedy="give the module that has it beside the optimizer",
                    where=where,
                )
            out[-1].append(filling.parameters[id(parameter)])
    return out


def _refuse_other_parameters(saved: list[list[str]], live: list[list[str]], name: str, filling: Filling) -> None:
    before, now = {n for names in saved for n in names}, {n for names in live for n in names}
    exist = set(filling.parameters.values())
    told = [
        _told("was trained and is no longer in the optimizer", [n for n in before - now if n in exist]),
        _told("was trained and is in no module of the run", [n for n in before - now if n not in exist]),
        _told("is in the optimizer and was not when it was saved", now - before),
    ]
    if any(told):
        raise PlanError(
            "; ".join(filter(None, told)),
            expected="the same parameters",
            remedy="build the optimizer over the parameters that it had, or go on with a new one: leave it out, and "
            "give a plan if the model changed",
            where=name,
        )


def _told(what: str, names: Any) -> str:
    named = sorted(names)
    more = f" and {len(named) - _MOST_NAMES} more" if len(named) > _MOST_NAMES else ""
    return f"{', '.join(map(repr, named[:_MOST_NAMES]))}{more} {what}" if named else ""


def _refuse_other_order(
    document: Mapping[str, Any], saved: list[list[str]], live: list[list[str]], part: Any, name: str
) -> None:
    pairs = list(zip(chain(*live), chain(*saved), strict=True))
    first = next((now for now, before in pairs if now != before), None)
    classes = {str(document.get("class")).rpartition(".")[2], type(part).__name__}
    if first is not None and classes & set(_FLAT):
        raise PlanError(
            f"{first!r} stands at another place than when it was saved, and {type(part).__name__} keeps vectors over "
            "all parameters in their order",
            expected="the same order",
            where=name,
        )


def _groups(
    document: Mapping[str, Any], live: list[list[str]], part: Any, name: str, filling: Filling
) -> list[dict[str, Any]]:
    """Return the groups to load: parameters counted through, options from the saved groups that they come from."""
    home = {each: at for at, group in enumerate(document["groups"]) for each in group["params"]}
    out: list[dict[str, Any]] = []
    count = 0
    for at, (names, group) in enumerate(zip(live, part.param_groups, strict=True)):
        own = {key: value for key, value in group.items() if key not in ("params", "param_names")}
        origins = sorted({home[each] for each in names})
        _refuse_other_options(document, origins, names, home, f"{name}: group {at}")
        saved = filling.value(document["groups"][origins[0]]["options"], name) if origins else {}
        how = {key: value for key, value in own.items() if key in HOW}
        out.append({**own, **saved, **how, "params": list(range(count, count + len(names)))})
        count += len(names)
    return out


def _refuse_other_options(
    document: Mapping[str, Any], origins: list[int], names: list[str], home: Mapping[str, int], where: str
) -> None:
    """One live group cannot have the learning rates of two."""
    options = [document["groups"][at]["options"] for at in origins]
    if any(each != options[0] for each in options):
        pairs = [f"{next(n for n in names if home[n] == at)!r} of saved group {at}" for at in origins]
        told = f"it has {' and '.join(pairs)}, whose options differ"
        raise PlanError(told, expected="groups that have one set of options", where=where)


def _state(
    document: Mapping[str, Any], live: list[list[str]], groups: list[dict[str, Any]], name: str, filling: Filling
) -> tuple[dict[Any, Any], dict[int, tuple[str, dict[str, Any]]]]:
    """Return (integer -> fields, with what belongs to no parameter; integer -> (name, fields) of parameters)."""
    number = {
        n: i for names, group in zip(live, groups, strict=True) for n, i in zip(names, group["params"], strict=True)
    }
    fields = {}
    for each, saved in document["state"].items():
        if each not in number:
            raise PlanError(f"state of {each!r}, which is in none of its groups", where=name)
        fields[number[each]] = (each, filling.value(saved, f"{name}/{each}"))
    loose = filling.value(document["loose"], name) if document.get("loose") else {}
    return {**{i: held for i, (_, held) in fields.items()}, **loose}, fields


def _refuse_other_kind(
    document: Mapping[str, Any],
    part: Any,
    name: str,
    groups: list[dict[str, Any]],
    fields: Mapping[int, tuple[str, dict[str, Any]]],
) -> None:
    """A class may change its name; what it keeps for a parameter may not, or it would fail at its next step."""
    if document.get("class") == class_name(part):
        return
    kind = kind_of(part, known_kinds())
    if document.get("class") is None and not kind:
        return  # a converted bundle does not say which class it was, and nothing is known of what this one keeps
    options = {i: group for group in groups for i in group["params"]}
    for i, (each, held) in fields.items():
        rank = max((len(value.shape) for value in held.values() if hasattr(value, "shape")), default=0)
        missing, foreign = missing_fields(kind, options[i], rank, held)
        if missing or foreign or not kind:
            saved_from = document.get("class") or "class that is not told"
            raise PlanError(
                f"saved from a {saved_from}, which keeps {', '.join(held) or 'nothing'} for {each!r}",
                expected=f"one that a {class_name(part)} can go on from",
                where=name,
            ) from None
