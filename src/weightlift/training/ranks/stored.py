"""A store of checkpoints on many ranks: rank 0 has the lock, chooses and removes; all save and resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import MalformedError, WeightliftError
from ...formats.step import Step, open_step, verify_step
from ...typed import Any
from ..folder import StoreFolder
from ..listing import StoredStep
from ..saving import Saving
from ..state import TrainState, as_state
from .group import group_of_run
from .resuming import resume as resume_on_ranks
from .saving import save as save_on_ranks


def save(
    folder: StoreFolder, step: int, run: TrainState, *, retire: Callable[[int], object], wait: bool, **about: Any
) -> Saving:
    """Save a run of many ranks into a store, and return when it is on the disk; `retire` then runs on rank 0.

    Raises:
        What `save` raises, and on all ranks what rank 0 meets in the directory.
    """
    place = ""
    with group_of_run(folder.path) as group:
        problem: WeightliftError | None = None
        try:
            if group.rank == 0:
                folder.take(make=True)
                place = folder.place_for(step)
        except WeightliftError as error:
            problem = error
        place = group.agree(problem, message=place)[0]
    try:
        save_on_ranks(place, as_state(run), step=step, **about)
    except WeightliftError as error:
        raise error.at(f"step {step}") from None
    if group.rank == 0:
        retire(step)
    if not wait:
        folder.say("on many ranks a save is on the disk before it returns, with wait=False too", once=True)
    saving = Saving(place, step)
    saving.staged = saving.committed = True
    return saving


def resume(
    folder: StoreFolder,
    newest: Callable[[], tuple[StoredStep, Step] | None],
    run: TrainState,
    plan: Any,
    types: Sequence[type],
) -> int | None:
    """Bring all ranks to the newest checkpoint that verifies, as rank 0 finds it; None where nothing was saved.

    Raises:
        What `resume` raises, and on all ranks what rank 0 meets in the directory.
    """
    with group_of_run(folder.path) as group:
        problem: WeightliftError | None = None
        found = None
        try:
            found = newest() if group.rank == 0 else None
        except WeightliftError as error:
            problem = error
        said = group.agree(problem, message=found and [found[0].path, found[0].step])[0]
    if said is None:
        return None
    place, step = said
    for note in resume_on_ranks(place, run, plan=plan, types=types).notes:
        folder.say(f"step {step}: {note}")
    return int(step)


def looked_at(stored: StoredStep) -> Step:
    """Return a checkpoint opened, every byte of it read and verified, and none kept: each rank reads its own part.

    Raises:
        MalformedError: it is damaged, or that of another step. SourceError: it cannot be read.
    """
    step = open_step(stored.path, verify=False)
    if problems := verify_step(stored.path):
        raise MalformedError(problems[0].removeprefix(f"{stored.path}: "), where=stored.path)
    if step.manifest.step not in (stored.step, None):
        raise MalformedError(f"its manifest is that of step {step.manifest.step}", where=stored.path)
    return step
