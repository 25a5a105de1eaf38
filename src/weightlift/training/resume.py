"""A checkpoint into live objects: everything is read, verified and checked first, then all is set, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from ..errors import MalformedError, PlanError, WeightliftError
from ..formats.step import Step, open_step
from ..mapping.plan import Plan
from ..tensors.torch_states import unwrapped
from ..typed import Any
from ..values import dataclass
from .parts import Change, Filling, kind_named
from .ranks import are_on
from .ranks.world import notes_of, refuse_other_world
from .save import modules_of, parameter_names
from .state import TrainState, as_state

Plans = Plan | str | os.PathLike[str] | Mapping[str, Plan | str | os.PathLike[str]] | None
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a resume did: the step and metrics of the checkpoint, its plain values, and what is worth knowing."""

    path: str
    step: int | None
    metrics: Mapping[str, float]
    values: Mapping[str, Any]
    """Every part that is plain data, `meta` above all, whether or not it was asked for; of a list or dict of parts
    what is plain data in it."""
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        """Return a plain value by the name of its part."""
        return self.values[name]


def resume(path: str | os.PathLike[str], *, plan: Plans = None, types: Sequence[type] = (), **parts: Any) -> Resumed:
    """Bring live objects to a saved state: bytes verified, names matched, all of it or nothing.

    Only the parts that are given are filled. A part that the checkpoint has not is an error, and so is a parameter
    that only one side has; where the model changed, a plan moves weights and optimizer state alike.

    Args:
        path: the directory of one checkpoint.
        plan: how the weights of `model` go into the changed one (a `Plan` or its file), or part -> plan.
        types: classes that records in plain values may become again (dataclasses, enums, named tuples).
        parts: live objects by the names that they were saved under; without any, only plain values are read.

    Raises:
        MalformedError, TruncatedError: the checkpoint is damaged; it says which file or tensor.
        PlanError: it does not fit the live objects, which are as they were.
    """
    run = as_state(parts) if parts else TrainState()
    if are_on(run):
        return on_ranks(path, run, plan=plan, types=types)
    return _restored(open_step(path), run, plan=plan, types=types)


def on_ranks(path: str | os.PathLike[str], run: TrainState, *, plan: Plans, types: Sequence[type]) -> Resumed:
    """Bring all ranks to a saved state; see `ranks.resuming.resume`."""
    from .ranks import resuming

    return resuming.resume(path, run, plan=plan, types=types)


def restore(
    step: Step, run: TrainState | Mapping[str, Any], *, plan: Plans = None, types: Sequence[type] = ()
) -> Resumed:
    """Bring the parts of a run to what an opened checkpoint has; see `resume`."""
    return _restored(step, as_state(run), plan=plan, types=types)


def _restored(step: Step, state: TrainState, *, plan: Plans, types: Sequence[type]) -> Resumed:
    refuse_other_world(step.state, state, step.path)
    saved = parts_of(step)
    absent = [name for name in state if name not in saved]
    if absent:
        raise PlanError(
            f"the checkpoint has no {', '.join(map(repr, absent))}",
            expected=f"parts that were saved: {', '.join(saved)}",
            where=os.fspath(step.path),
        )
    modules = {name: unwrapped(module) for name, module in modules_of(state).items()}
    plans = _plans(plan, modules)
    notes = notes_of(step.state, step.tensors, step.path)
    filling = Filling(step.tensors, parameter_names(state), plans, modules, tuple(types), notes=notes)
    try:
        filled = {name: fill_part(saved[name], part, name, filling) for name, part in state.items()}
        values = _values(saved, filled, "", filling)
        commit_all(filling.changes)
    except WeightliftError as error:
        raise error.at(os.fspath(step.path)) from None
    state.parts.update(filled)
    return Resumed(os.fspath(step.path), step.manifest.step, step.manifest.metrics, values, tuple(filling.notes))


def _values(documents: Mapping[str, Any], filled: Mapping[str, Any], begin: str, filling: Filling) -> dict[str, Any]:
    """Return the plain data among parts by name; of several parts, what is plain data in them."""
    out: dict[str, Any] = {}
    for name, document in documents.items():
        if document.get("kind") == "value":
            known = not begin and name in filled
            out[name] = filled[name] if known else filling.value(document.get("value"), f"{begin}{name}")
        elif document.get("kind") == "several" and (
            inside := _values(document["items"], {}, f"{begin}{name}/", filling)
        ):
            out[name] = inside
    return out


def parts_of(step: Step) -> Mapping[str, Any]:
    """Return the documents of the parts of a checkpoint by name.

    Raises:
        MalformedError: there are none.
    """
    parts = step.state.get("parts")
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise MalformedError("no parts", expected="what weightlift saves", where=os.fspath(step.path))
    return parts


def _plans(plan: Plans, modules: Mapping[str, Any]) -> dict[str, Plan]:
    given = plan if isinstance(plan, Mapping) else {MODEL: plan} if plan is not None else {}
    unknown = [name for name in given if name not in modules]
    if unknown:
        raise PlanError(f"a plan for {unknown[0]!r}", expected=f"one of the modules: {', '.join(modules) or 'none'}")
    return {name: each if isinstance(each, Plan) else Plan.load(each) for name, each in given.items()}


def fill_part(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    """Enter the changes of one part, and return what the part is afterwards.

    Raises:
        MalformedError: its document says nothing. PlanError: it does not fit.
    """
    try:
        return kind_named(document.get("kind"), name).fill(document, part, name, filling)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedError(f"a document that says nothing: {error!r:.80}", where=name) from error


def commit_all(changes: Sequence[Change]) -> None:
    """Carry out every change, or none: what was done is taken back in the reverse order.

    A part that fails twice, at its new state and at its old one, keeps no other from being put back.
    """
    done: list[Callable[[], object]] = []
    try:
        for change in changes:
            done.append(change.undo)
            change.commit()
    except BaseException as error:
        interrupt = None
        for undo in reversed(done):
            try:
                undo()
            except Exception as second:  # noqa: BLE001 - the first error is the one to be seen
                error.add_note(f"and a part does not take its old state back: {second}")
            except BaseException as second:  # noqa: BLE001 - raised below, when the rest is back
                interrupt = second
        if interrupt is not None:
            raise interrupt from error
        raise
