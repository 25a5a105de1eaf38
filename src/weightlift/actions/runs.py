"""`runs`: the training checkpoints of a directory, checked, pruned and pinned."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from ..errors import StoreError
from ..training.keep import Keep, rule
from ..training.listing import StoredStep
from ..training.store import CheckpointStore
from ..values import dataclass, field, replace
from ..writers.target import is_checkpoint


@dataclass(frozen=True, slots=True)
class Runs:
    """What is in a directory of checkpoints, the newest last.

    `verified`: whether the data was read too; `removed`: what was pruned, or with `dry_run` would be;
    `broken`: names of those set aside; `strangers`: what only looks like a checkpoint, and why it is none.
    """

    path: str
    steps: tuple[StoredStep, ...]
    verified: bool = False
    removed: tuple[StoredStep, ...] = ()
    dry_run: bool = False
    broken: tuple[str, ...] = ()
    strangers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[StoredStep, ...]:
        """Those that cannot be resumed from."""
        return tuple([stored for stored in self.steps if stored.problem])


def runs(
    path: str | os.PathLike[str],
    *,
    keep: Keep | int | None = None,
    verify: bool = False,
    prune: bool = False,
    dry_run: bool = False,
    pin: Sequence[int] = (),
    unpin: Sequence[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Runs:
    """Return what is in a store's directory; reads manifests only, or with `verify` every byte.

    `keep` is that of `CheckpointStore`: it says why each stays, and what `prune` removes.
    `progress` is that of verifying. Torch is not needed.

    Raises:
        StoreError: no such directory, or that of one checkpoint; no such step; pruning without a rule.
        StoreLockedError: it is pruned or pinned while another process writes there.
    """
    if not os.path.isdir(path):
        raise StoreError("no such directory", expected="one with training checkpoints", where=os.fspath(path))
    if is_checkpoint(os.fspath(path)):
        raise StoreError(
            "is one checkpoint",
            expected="a directory of them",
            remedy="`weightlift inspect` shows one",
            where=os.fspath(path),
        )
    chosen = rule(keep)
    if prune and chosen.last is None:
        raise StoreError("pruning without a rule", remedy="say how many of the newest stay: --keep 3")
    with CheckpointStore(path, keep=chosen) as store:
        for step in pin:
            store.pin(step)
        for step in unpin:
            store.unpin(step)
        problems = dict(store.verify(progress)) if verify else {}
        removed = tuple(store.prune(dry_run=dry_run)) if prune else ()
        contents = store.contents()
        steps = [
            replace(stored, problem=problems[stored.step][0]) if problems.get(stored.step) else stored
            for stored in store.list()
        ]
        return Runs(
            store.path,
            tuple(steps),
            verified=verify,
            removed=removed,
            dry_run=dry_run,
            broken=contents.broken,
            strangers=contents.strangers,
            notes=tuple(store.notes),
        )
