"""The checkpoint that somebody asks for by its step, or as the latest or the best."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StoreError, shown
from .keep import Keep, ranked
from .listing import StoredStep, step_number

_MOST_NAMED = 8


def chosen(steps: Sequence[StoredStep], which: object, keep: Keep, where: str) -> StoredStep:
    """Return the one of a store's checkpoints, the newest last, that `which` means: a step, "latest" or "best".

    Raises:
        StoreError: there is none; names those that there are.
    """
    if not steps:
        raise StoreError("no checkpoint was saved here", where=where)
    if which == "latest":
        return steps[-1]
    if which == "best":
        if not keep.metric:
            raise StoreError("no metric says which is best", remedy="CheckpointStore(..., best='val_loss:min')")
        best: list[StoredStep] = ranked([stored for stored in steps if not stored.problem], keep)
        if not best:
            raise StoreError(f"no checkpoint has the metric {keep.metric!r} as a number", where=where)
        return best[0]
    if isinstance(which, str):
        raise StoreError(f"no checkpoint {shown(which)}", expected="a step, 'best' or 'latest'", where=where)
    number = step_number(which)
    for stored in steps:
        if stored.step == number:
            return stored
    known = ", ".join(str(stored.step) for stored in steps[-_MOST_NAMED:])
    raise StoreError(
        f"no step {number}",
        expected=f"one of {known}{' or an older one' if len(steps) > _MOST_NAMED else ''}",
        where=where,
    )
