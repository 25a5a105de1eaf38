"""A resume that all ranks make together: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ...errors import MalformedError, PlanError, UnsupportedError, WeightliftError
from ...formats.step import Step, open_step
from ...tensors.torch_states import unwrapped
from ...typed import Any
from ..parts import Change, Filling
from ..resume import Resumed, commit_all, fill_part, parts_of
from ..save import modules_of, parameter_names
from ..state import TrainState, as_state
from .filling import RankFilling
from .group import Group, group_of_run, talking
from .reader import Reader
from .share import is_own
from .targets import leaves, targets_of
from .world import notes_of, other_buffers, ranks_of, refuse_other_world


def resume(
    path: str | os.PathLike[str], run: TrainState | Mapping[str, Any], *, plan: Any = None, types: Sequence[type] = ()
) -> Resumed:
    """Bring the live objects of every rank to a saved state, whatever number of ranks saved it.

    Every rank of the process group calls it, with the same arguments. Weights and what optimizers keep for them
    are laid out as the live weights are; random states, generators and `data` go back to the rank whose they were.

    Raises:
        MalformedError: the checkpoint is damaged, as read by any rank.
        PlanError: it does not fit on some rank, or each rank's own parts were saved by another number of ranks.
        WriteError: a rank died or does not answer.
        After any error all ranks that are left are as they were.
    """
    state = as_state(run)
    where = os.fspath(path)
    with group_of_run(where) as group:
        step = _opened(where, group)
        _refuse_plan(plan, group)
        documents, filling = _read(step, state, group, tuple(types))
        filled, values = _filled(step, state, documents, filling, group)
        _commit(filling, group)
    if isinstance(run, TrainState):
        run.parts.update(filled)
    return Resumed(where, step.manifest.step, step.manifest.metrics, values, tuple(filling.notes))


def _opened(where: str, group: Group) -> Step:
    problem: WeightliftError | None = None
    try:
        step = open_step(where, verify=False)
        said = step.manifest.to_bytes()[-100:].decode("ascii")
    except WeightliftError as error:
        problem, said = error, ""
    told = group.agree(problem, message=said)
    if any(each != told[0] for each in told):
        raise MalformedError("ranks see different checkpoints", expected="a file system that all ranks share")
    return step


def _refuse_plan(plan: Any, group: Group) -> None:
    if plan is not None:
        raise UnsupportedError(
            f"a plan on {group.size} ranks",
            expected="the same model",
            remedy="resume with the plan in one process, save, and resume that on all ranks",
        )


def _read(
    step: Step, state: TrainState, group: Group, types: tuple[type, ...]
) -> tuple[dict[str, Mapping[str, Any]], RankFilling]:
    """Return the document of each part for this rank, and everything that they need, read and verified."""
    import torch.distributed.checkpoint as dcp

    problem: WeightliftError | None = None
    try:
        documents = _documents(step, state, group)
        parts = [leaf for name in state for leaf in leaves(name, state[name], documents[name])]
        names = parameter_names(state)
        by_name = {names[id(each)]: each for module in modules_of(state).values() for each in module.parameters()}
        staged = targets_of(step, parts, by_name)
        tied = {name: kept for name, kept in (step.state.get("ties") or {}).items() if kept in staged}
        staged = {name: target for name, target in staged.items() if name not in tied}
        begins = tuple(f"{_saved_name(step, name, group)}/" for name in documents)
        if ranks_of(step.state, step.path) == group.size:
            begins += tuple(f"rank/{group.rank}/{name}/" for name in documents)
        rest = [name for name in step.tensors if name.startswith(begins) and name not in staged | tied]
        whole = open_step(step.path, verify=True, names=rest).tensors
    except WeightliftError as error:
        problem = error
    group.agree(problem)
    dcp.StorageReader.register(Reader)
    planner = dcp.DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with talking():
        dcp.load(dict(staged), storage_reader=Reader(step, staged), planner=planner, process_group=group.handle)
    modules = {name: unwrapped(module) for name, module in modules_of(state).items()}
    tensors = {name: whole.get(name, held) for name, held in step.tensors.items()}
    tensors |= {name.split("/", 2)[2]: whole[name] for name in other_buffers(tensors) if name in whole}
    laid_out = staged | {name: staged[kept] for name, kept in tied.items()}
    notes = notes_of(step.state, step.tensors, step.path, group.size)
    return documents, RankFilling(Filling(tensors, names, {}, modules, types, notes=notes), laid_out)


def _saved_name(step: Step, name: str, group: Group) -> str:
    own = f"rank/{group.rank}/{name}"
    return own if own in parts_of(step) else name


def _documents(step: Step, state: TrainState, group: Group) -> dict[str, Mapping[str, Any]]:
    """Return the documents of the parts of this rank, and of the plain values that were not asked for."""
    saved = parts_of(step)
    refuse_other_world(step.state, state, step.path, group.size)
    absent = [name for name in state if name not in saved and f"rank/{group.rank}/{name}" not in saved]
    if absent:
        raise PlanError(
            f"the checkpoint has no {', '.join(map(repr, absent))}",
            expected=f"parts that were saved: {', '.join(saved)}",
        )
    alone = [name for name, part in state.items() if name in saved and group.size > 1 and is_own(name, part)]
    if alone:
        raise PlanError(
            f"{', '.join(map(repr, alone))} was saved by one process, and here are {group.size} ranks",
            expected="what each of them had",
            remedy="leave it out, and begin it anew",
        )
    values = [name for name, document in saved.items() if document.get("kind") == "value" and "/" not in name]
    return {name: saved[_saved_name(step, name, group)] for name in dict.fromkeys([*state, *values])}


def _filled(
    step: Step, state: TrainState, documents: Mapping[str, Mapping[str, Any]], filling: RankFilling, group: Group
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make every change ready, on every rank; return (parts, plain values)."""
    problem: WeightliftError | None = None
    filled: dict[str, Any] = {}
    values: dict[str, Any] = {}
    try:
        for name, document in documents.items():
            saved = _saved_name(step, name, group)
            if name in state:
                filled[name] = fill_part(document, state[name], saved, filling)
            if document.get("kind") == "value":
                values[name] = filled.get(name) if name in state else filling.value(document.get("value"), saved)
    except WeightliftError as error:
        problem = error
    group.agree(problem)
    return filled, values


def _commit(filling: Filling, group: Group) -> None:
    """Carry out all changes on all ranks; where one fails, the others take theirs back."""
    problem: WeightliftError | None = None
    try:
        commit_all(filling.changes)
    except WeightliftError as error:
        problem = error
    try:
        group.agree(problem)
    except BaseException:
        if problem is None:
            _take_back(filling.changes)
        raise


def _take_back(changes: Sequence[Change]) -> None:
    for change in reversed(changes):
        change.undo()
