"""Which checkpoint a run goes on from: the newest that verifies and has all that the run needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ..errors import MalformedError, SourceError, StoreError, WeightliftError, plural
from ..typed import TYPE_CHECKING, Any
from ..writers.leftovers import settled
from .damage import is_damage
from .folder import StoreFolder
from .keep import Keep, kept
from .listing import Contents, StoredStep
from .state import as_state

if TYPE_CHECKING:
    from ..formats.step import Step


def newest_verified(
    folder: StoreFolder, contents: Contents, run: Any, look: Callable[[StoredStep], Step] | None = None
) -> tuple[StoredStep, Step]:
    """Return the newest checkpoint that verifies, and it opened; those that are newer and broken are set aside.

    `look` opens one and verifies it; without it, that is `opened`.

    Raises:
        StoreError: none verifies; then nothing was renamed.
        What keeps a checkpoint from being read that is not damage: no permission, a newer version.
    """
    broken: list[tuple[StoredStep, str]] = []
    incomplete: list[str] = []
    for stored in reversed(contents.steps):
        if lacking := _lacking(stored, run):
            incomplete.append(f"step {stored.step} was saved without {lacking}")
            continue
        try:
            step = (look or opened)(stored)
        except WeightliftError as error:
            if not is_damage(error, stored.path):
                raise
            broken.append((stored, _fact(error, stored)))
            continue
        for each, why in broken:
            folder.set_aside(each, why)
        for note in incomplete:
            folder.say(f"{note}; passed over")
        return stored, step
    raise _none(folder, contents, broken, incomplete)


def _none(
    folder: StoreFolder, contents: Contents, broken: Sequence[tuple[StoredStep, str]], incomplete: Sequence[str]
) -> StoreError:
    facts = [f"step {stored.step} is broken: {why}" for stored, why in broken]
    facts += incomplete
    if contents.broken:
        facts.append(
            f"{plural(len(contents.broken), 'broken one')} set aside earlier: {', '.join(contents.broken[-4:])}"
        )
    return StoreError(
        f"no checkpoint here can be resumed from; {'; '.join(facts[:8])}" + (" ..." if len(facts) > 8 else ""),
        remedy="nothing was changed; load(step, into=...) takes one on purpose, a fresh directory begins anew",
        where=folder.path,
    )


def _lacking(stored: StoredStep, run: Any) -> str:
    """Return the parts of a run that a checkpoint does not have because they were left out, "" where it has all."""
    if stored.problem or not stored.partial:
        return ""
    return ", ".join(part for part in as_state(run) if not {part, f"rank/0/{part}"} & set(stored.parts))


def opened(stored: StoredStep) -> Step:
    """Return a checkpoint opened, every byte of it read and verified.

    Raises:
        MalformedError: it is damaged, incomplete, or that of another step.
        StoreError, UnsupportedError, SourceError: it cannot be read, which says nothing about its content.
    """
    try:
        step = _open_step(stored.path)
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=stored.path) from error
    if step.manifest.step not in (stored.step, None):
        raise MalformedError(f"its manifest is that of step {step.manifest.step}", where=stored.path)
    return step


def _fact(error: WeightliftError, stored: StoredStep) -> str:
    return str(error).replace(f"{stored.path}: ", "").replace(f"{stored.path}{os.sep}", "")


def problems_of(stored: StoredStep) -> tuple[str, ...] | None:
    """Return what is wrong with a checkpoint, all of it read; empty where it verifies, None where it is gone."""
    try:
        found = tuple(_verify_step(stored.path))
    except OSError as error:  # of the disk
        found = (f"cannot be read: {error.strerror}",)
    if found and not os.path.lexists(settled(stored.path)):
        return None  # its writer has removed it meanwhile
    return found if found or not stored.problem else (stored.problem,)


def removable(folder: StoreFolder, keep: Keep) -> list[StoredStep]:
    """Return what a rule does not keep. The newest that a run could go on from is verified first.

    Where it fails it counts for nothing, and the next is looked at; so what is left is never only what is broken.
    """
    sound = [stored for stored in folder.read().steps if not stored.problem]
    verified: set[int] = set()
    while sound:
        why = kept(sound, keep)
        going = [stored for stored in sound if not why[stored.step]]
        newest = {sound[-1].step, next((each.step for each in reversed(sound) if not each.partial), -1)}
        unsure = [stored for stored in sound if stored.step in newest - verified]
        if not going or not unsure:
            return going
        for stored in unsure:
            problems = problems_of(stored)
            if problems == ():
                verified.add(stored.step)
                continue
            sound.remove(stored)
            if problems:
                folder.say(f"step {stored.step} does not verify and is not counted: {problems[0]}")
    return []


def _open_step(path: str) -> Step:
    from ..formats.step import open_step

    return open_step(path, verify=True)


def _verify_step(path: str) -> Sequence[str]:
    from ..formats.step import verify_step

    return verify_step(path)
