"""Carrying a plan out: stage, verify, commit. A target is never left half-loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ..errors import PlanError, WeightliftError
from ..state_dict import StateDict
from ..tensors.mapped import MappedFiles
from ..tensors.setting_down import set_down
from ..tensors.torch_modules import ModuleTarget, as_torch_value, optimizers_holding
from ..typed import Any
from ..values import replace
from ..writers import Written
from .report import Report, report_of
from .resolve import Made, PlanProblems, Problem, Resolution


def as_state_dict(resolution: Resolution) -> StateDict:
    """Return what a plan makes as a state dict of lazy tensors.

    Raises:
        PlanProblems: the plan has problems, or leaves tensors (or parts) to be initialised, which only a model does.
    """
    resolution.raise_problems()
    left = list(resolution.initialised) + [key for key, made in resolution.made.items() if made.spans]
    if left:
        named = ", ".join(map(repr, left[:4])) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
        told = f"{len(left)} tensors are to be initialised, whole or in part, which only a model does: {named}"
        raise PlanProblems([Problem("init", 0, told)])
    return StateDict({key: made.value for key, made in resolution.made.items()})


def apply_to_file(
    resolution: Resolution, out: str | os.PathLike[str], max_shard_bytes: int | None = None, progress: Any = None
) -> Written:
    """Write what a plan makes to a safetensors file, streamed; nothing is left behind after an error.

    Raises:
        PlanProblems: see `as_state_dict`. WriteError: the file cannot be written.
    """
    return as_state_dict(resolution).save(out, max_shard_bytes, progress=progress)


def apply_to_module(
    resolution: Resolution,
    target: ModuleTarget,
    source: Mapping[str, Any],
    *,
    assign: bool = False,
    step: Callable[[str], object] = str,
) -> Report:
    """Set what a plan makes down in a live module; after any error the module is exactly as it was.

    With `assign` its tensors lie in the mapped file afterwards, which has to stay as it is.

    Raises:
        PlanProblems: the plan has problems. PlanError: a value that would overflow its new type.
    """
    report = report_of(resolution, source, target.schema)
    staged = staged_values(resolution, target)
    done = set_down(target, staged, assign=assign, step=step)
    done.keep()
    kept = 0 if assign else sum(target.slots[key].nbytes for key in staged)  # to put back after an error
    notes = (*report.notes, *_notes(target, resolution, done.replaced))
    return replace(report, notes=notes, peak_nbytes=resolution.staged_nbytes + kept)


def staged_values(resolution: Resolution, target: ModuleTarget) -> dict[str, Any]:
    """Return the torch tensors that a plan makes for a live module, everything read and nothing set.

    Raises:
        PlanProblems: the plan has problems. PlanError: a value that would overflow its new type.
    """
    resolution.raise_problems()
    staged: dict[str, Any] = {}
    files = MappedFiles()
    by_value: dict[object, Any] = {}
    for key, made in resolution.made.items():
        try:
            value = by_value.get(made.value.view)
            if value is None:
                value = by_value[made.value.view] = as_torch_value(made.value, files)
            staged[key] = _whole(made, value, target)
        except WeightliftError as error:
            error.at(repr(key))
            raise
    return staged


def _notes(target: ModuleTarget, resolution: Resolution, replaced: Mapping[int, Any]) -> list[str]:
    """What the caller has to know, or to do, after it."""
    notes = [
        f"a live {kind} still holds {count} of the parameters that were replaced; make it anew, or load without assign"
        for kind, count in optimizers_holding(replaced, target.slots.values())
    ]
    notes += [f"{key!r} is neither a parameter nor a buffer, and was left as it is" for key in target.extra]
    notes += [f"{key!r} is in no state dict and has no values (meta)" for key in target.without_values]
    left = [key for key in resolution.initialised if target.slots[key].now.device.type == "meta"]
    notes += [f"{key!r} is left to be initialised and has no values (meta); the model cannot run yet" for key in left]
    return notes


def _whole(made: Made, value: Any, target: ModuleTarget) -> Any:
    """The full tensor for a slot: its own values where a rule makes only a part of it."""
    slot = target.slots[made.key]
    if not made.spans:
        device = slot.tensor.device
        return value if device.type == "meta" else value.to(device)
    whole = slot.tensor.detach().clone()
    if whole.device.type == "meta":
        if any(piece.rule.rest for piece in made.pieces):
            raise PlanError("a part of a tensor that has no values yet", remedy="initialise the model first")
        whole = value.new_empty(whole.shape)
    for piece in made.pieces:
        index = tuple(slice(start, stop) for start, stop in piece.spans)
        whole[index] = (value if piece is made else as_torch_value(piece.value)).to(whole.device)
    return whole
