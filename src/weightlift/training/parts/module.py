"""A module: its parameters and buffers by name, and its extra state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...errors import PlanError, plural
from ...mapping.fitting import fitted
from ...tensors.computed import Lazy
from ...tensors.from_live import module_values
from ...tensors.setting_down import SetDown, set_down
from ...tensors.torch_modules import ModuleTarget, is_module
from ...tensors.torch_states import set_state, unwrapped
from ...typed import Any
from .base import Change, Filling, Kind, Reading, class_name
from .documents import module_document


def _recognises(name: str, part: Any) -> bool:
    del name
    return is_module(part)


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    module = unwrapped(part)
    values, versions = module_values(module)
    chosen = {key: value for key, value in values.items() if reading.choose(name, key, value)}
    return module_document(
        name,
        chosen,
        {key for key, value in chosen.items() if hasattr(value, "untyped_storage")},
        reading.encoder,
        class_name=class_name(module),
        versions=versions,
        left_out=[key for key in values if key not in chosen],
    )


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if not is_module(part):
        raise PlanError(f"a {type(part).__name__}", expected="a live torch module, as was saved", where=name)
    values = document.get("values") or {}
    weights = {
        key: value
        for key, value in filling.under(name).items()
        if not any(key.startswith(f"{other}/") for other in values)  # tensors inside of what is no tensor
    }
    is_plain = not values and all(isinstance(value, Lazy) for value in weights.values())
    renamed = set(ModuleTarget(unwrapped(part)).extra) & set(weights)  # by hooks, which have to put them back
    if (is_plain and not renamed) or name in filling.plans:
        _fill_tensors(document, part, name, weights, filling)
    else:
        _fill_state(document, part, name, weights, filling)
    return part


def _fill_tensors(
    document: Mapping[str, Any], part: Any, name: str, weights: Mapping[str, Any], filling: Filling
) -> None:
    """Make the tensors ready to be set in place: no code of the module runs."""
    target = ModuleTarget(unwrapped(part))
    left_out = set(document.get("left_out") or ())
    schema = {key: about for key, about in target.schema.items() if key not in left_out}
    ties = [group for group in (tuple(key for key in tied if key in schema) for tied in target.ties) if len(group) > 1]
    try:
        resolution, notes = fitted(weights, schema, ties, plan=filling.plans.get(name), extra=target.extra)
        staged = filling.staged(resolution, target, name)
    except PlanError as error:
        raise error.at(name) from None
    filling.notes += [f"{name}: {note}" for note in notes]
    made = resolution.made.values()
    filling.notes += _cast_notes(name, Counter((each.cast_from, each.value.dtype.name) for each in made))
    if left_out:
        filling.notes.append(f"{name}: {len(left_out)} entries were not saved and are left as they are")
    done: list[SetDown] = []
    spend = not filling.is_shared(name)  # the bytes were read for this module alone

    def undo() -> None:
        for each in done:
            each.undo()

    filling.changes.append(Change(lambda: done.append(set_down(target, staged, assign=False, spend=spend)), undo))


def _cast_notes(name: str, casts: Mapping[tuple[str, str], int]) -> list[str]:
    """Say what the model holds in another element type than was saved; those of "" are as they were."""
    entries = {pair: plural(count, "entry", "entries") for pair, count in casts.items() if pair[0]}
    return [f"{name}: {told} cast from {before} to {now}" for (before, now), told in entries.items()]


def _fill_state(
    document: Mapping[str, Any], part: Any, name: str, weights: Mapping[str, Any], filling: Filling
) -> None:
    """Make a whole state dict ready for `load_state_dict`: there is more in it than plain tensors."""
    module = unwrapped(part)
    values = document.get("values") or {}
    state = {key: filling.torch(f"{name}/{key}") for key in weights}
    state |= {key: filling.value(value, f"{name}/{key}") for key, value in values.items()}
    order = document.get("order") or list(state)
    versions = filling.value(document.get("versions"), name)
    left_out = set(document.get("left_out") or ())
    held, _ = module_values(module)
    missing, unexpected = set(held) - set(state) - left_out, set(state) - set(held)
    if missing or unexpected or set(order) != set(state):
        told = [f"the module has {sorted(missing)[:6]}, which was not saved"] if missing else []
        told += [f"{sorted(unexpected)[:6]} was saved and is not in the module"] if unexpected else []
        raise PlanError("; ".join(told) or "entries that are not there", expected="the same names", where=name)
    ordered = {key: state[key] for key in order}
    before: list[Any] = []
    filling.changes.append(
        Change(lambda: before.append(set_state(module, ordered, versions, name)), lambda: [back() for back in before])
    )


KIND = Kind("module", _recognises, _read, _fill)
