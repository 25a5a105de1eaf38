"""The checkpoints of one training run: saved so that a crash loses nothing, kept by a rule, resumed verified."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import StoreError, WeightliftError, printable
from ..typed import TYPE_CHECKING, Any, Literal, Self
from ..values import replace
from ..writers.hashing import DEFAULT_HASH, hasher
from .background import Background
from .choosing import chosen
from .folder import StoreFolder
from .keep import Keep, is_number, kept, rule
from .listing import Contents, StoredStep, step_number
from .metrics import metric_values
from .ranks import are_on
from .saving import Saving
from .state import as_state

if TYPE_CHECKING:
    from ..formats.step import Step
    from .resume import Plans, Resumed
    from .save import Select
    from .state import TrainState

REQUIRED: Any = object()


class CheckpointStore:
    """Checkpoints of a run in one directory, `step-000123` each. One process writes to it at a time.

    `keep`: a `Keep`, how many of the newest, or None for all; `best="val_loss:min"` keeps the best one too.
    `hash`: what they are verified by, "xxh3", "blake3" or "sha256". The directory is made by the first save.
    What had to be decided on the way (a broken checkpoint set aside, a metric missing) is in `notes`, and logged.

        >>> store = CheckpointStore("runs/a", keep=3, best="val_loss:min")
        >>> start = store.resume(run, default=0)
        >>> for step in range(start, 10_000):
        ...     train(run)
        ...     store.save(run, step=step + 1, metrics={"val_loss": loss}, wait=False)
        >>> store.close()

    Raises:
        StoreError: a rule that contradicts itself, or no directory.
        UnsupportedError, MissingDependencyError: the hash is not known, or not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep: Keep | int | None = None,
        best: str | None = None,
        hash: str = DEFAULT_HASH,  # noqa: A002 - the word of the format
    ) -> None:
        self.keep = rule(keep, best)
        self.hash = hash
        hasher(hash)
        self._folder = StoreFolder(path)
        self.path = self._folder.path
        self.notes = self._folder.notes
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self._background = Background()
        self._staging: Any = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within the block no other thread uses the store, and no save is in flight."""
        if self._pid != os.getpid():  # a forked child: neither the thread, nor the lock, nor the turn is its own
            self._begin()
        with self._turn:
            self._background.wait()
            yield

    def save(
        self,
        run: TrainState,
        *,
        step: int,
        metrics: Any = None,
        wait: bool = True,
        select: Select = None,
        without: str | Sequence[str] = (),
    ) -> Saving:
        """Save a run; it is on the disk when this returns, or with `wait=False` when the result's `wait` does.

        With `wait=False` the run is copied to memory first, and may go on when this returns. One save at a time
        is in flight: the next waits for it, and raises what went wrong with it.
        A checkpoint of that step is replaced. Only then are those removed that the rule does not keep.

        `metrics` are numbers by name. `select` and `without` leave things out, see `weightlift.save`.

        On many ranks all of them call it, with the same arguments, and it is on the disk when it returns.

        Raises:
            StoreError: the step, a metric, or what has the step's name already.
            StoreLockedError: another process writes here.
            UnsupportedError: something in the run that cannot be saved, all of it, by path; nothing was written.
            WriteError: it cannot be written; what was there before still is.
        """
        number, values = step_number(step), metric_values(metrics)
        with self._alone():
            self._say_unranked(number, values)
            if are_on(as_state(run)):
                from .ranks import stored

                about: dict[str, Any] = {"metrics": values, "select": select, "without": without, "hash": self.hash}
                return stored.save(self._folder, number, run, retire=self._retire_after, wait=wait, **about)
            collected = _collect(run, select=select, without=without)
            self._folder.take(make=True)
            saving = Saving(self._folder.place_for(number), number)
            tensors = collected.tensors if wait else self._staged(collected.tensors)

            def write() -> None:
                try:
                    _write_step(
                        saving.path,
                        tensors,
                        collected.document,
                        step=number,
                        metrics=values,
                        parts=collected.parts,
                        partial=collected.partial,
                        hash=self.hash,
                    )
                except WeightliftError as error:
                    raise error.at(f"step {number}") from None
                saving.committed = True
                self._retire_after(number)

            if wait:
                write()
                saving.staged = True
            else:
                saving.staged = True
                saving.job = self._background.submit(write, f"saving {saving.path}")
            return saving

    def _staged(self, tensors: Any) -> Any:
        if self._staging is None:
            self._staging = _new_staging()
        return self._staging.stage(tensors)

    def _say_unranked(self, step: int, metrics: dict[str, float]) -> None:
        name = self.keep.metric
        if not name or is_number(metrics.get(name)):
            return
        if name in metrics:
            self._folder.say(f"step {step}: its {name!r} is not a number; it is not ranked among the best")
        else:
            self._folder.say(f"saves without the metric {name!r} are not ranked among the best", once=True)

    def _retire_after(self, saved: int) -> None:
        """Remove what the rule does not keep, after a save. What cannot be removed is told, and stays."""
        if self.keep.last is None:
            return
        try:
            steps = self._stored()
        except WeightliftError as error:  # the save itself went well
            self._folder.say(f"nothing was removed after step {saved}: {error}")
            return
        newest = steps[-1].step if steps else saved
        if newest > saved:
            self._folder.say(
                f"step {saved} was saved while step {newest} is here, which stays the newest and is what resume takes",
                once=True,
            )
        for stored in steps:
            if not stored.kept and not stored.problem and stored.step != saved:
                self._folder.remove(stored)

    def _stored(self) -> tuple[StoredStep, ...]:
        """What is here, each with why it stays."""
        steps = self._folder.read().steps
        why = kept([stored for stored in steps if not stored.problem], self.keep)
        return tuple([replace(stored, kept=why.get(stored.step, ())) for stored in steps])

    def resume(
        self, run: TrainState, default: Any = REQUIRED, *, plan: Plans = None, types: Sequence[type] = ()
    ) -> Any:
        """Bring a run to the newest checkpoint that verifies; returns its step, or `default` where none was saved.

        Every byte is checked before the run is touched. What is damaged is set aside as `step-000123.broken`, said
        why in `notes`, and the next is taken; what was saved without a part that this run has is passed over.
        `plan` and `types` are those of `load`.

        Raises:
            StoreError: nothing was saved here and there is no default; or there are checkpoints and none of
            them verifies: then none is set aside.
            StoreLockedError: another process writes here.
            What restoring raises where the run does not fit; the run is as it was.
        """
        with self._alone():
            if are_on(as_state(run)):
                from .ranks import stored as on_ranks

                found = on_ranks.resume(self._folder, lambda: self._newest(run, on_ranks.looked_at), run, plan, types)
            else:
                found = self._resumed(run, plan, types)
        if found is None and default is REQUIRED:
            raise StoreError(
                "no checkpoint was saved here", remedy="resume(run, default=0) begins anew", where=self.path
            )
        return default if found is None else found

    def _resumed(self, run: TrainState, plan: Plans, types: Sequence[type]) -> int | None:
        newest = self._newest(run)
        if newest is None:
            return None
        stored, step = newest
        for note in _restore(step, run, plan=plan, types=types).notes:
            self._folder.say(f"step {stored.step}: {note}")
        return stored.step

    def _newest(
        self, run: TrainState, look: Callable[[StoredStep], Step] | None = None
    ) -> tuple[StoredStep, Step] | None:
        """The newest checkpoint that verifies, and it opened; None where nothing was saved. Takes the lock."""
        from .resuming import newest_verified

        contents = self._folder.read()
        if contents.steps or contents.broken:
            self._folder.take()
            contents = self._folder.read()
        if not contents.steps and not contents.broken:
            return None
        return newest_verified(self._folder, contents, run, look)

    def load(
        self,
        which: int | Literal["best", "latest"],
        into: TrainState | None = None,
        *,
        plan: Plans = None,
        types: Sequence[type] = (),
    ) -> Resumed | Step:
        """Bring `into` to one checkpoint, verified; without it, return that checkpoint opened. Needs no lock.

        `which` is a step, "latest", or "best" by the rule's metric. A `plan` moves weights and optimizer state
        into a changed model; `types` are the classes that records may become.

        Raises:
            StoreError: no such checkpoint. MalformedError: it does not verify; no other is taken in its place.
            What restoring raises where `into` does not fit; it is as it was.
        """
        from .resuming import opened

        with self._alone():
            stored = chosen(self._folder.read().steps, which, self.keep, self.path)
        if into is not None and are_on(as_state(into)):
            from .resume import on_ranks

            return on_ranks(stored.path, into, plan=plan, types=types)
        step = opened(stored)
        return step if into is None else _restore(step, into, plan=plan, types=types)

    def list(self) -> tuple[StoredStep, ...]:
        """Return every checkpoint, the newest last. Reads names and manifests only; needs no lock."""
        return self._stored()

    def contents(self) -> Contents:
        """Return everything in the directory, what was set aside and what is none of ours too; needs no lock."""
        return replace(self._folder.read(), steps=self._stored())

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Sequence[tuple[int, Sequence[str]]]:
        """Return (step, problems) for every checkpoint; none where it is whole. Reads everything, changes nothing.

        `progress` is called with (bytes done, bytes in all).
        """
        from .resuming import problems_of

        steps = self._folder.read().steps
        total, done = sum(stored.nbytes for stored in steps), 0
        found = []
        for stored in steps:
            if (problems := problems_of(stored)) is not None:
                found.append((stored.step, problems))
            done += stored.nbytes
            if progress:
                progress(done, total)
        return found

    def prune(self, *, dry_run: bool = False) -> Sequence[StoredStep]:
        """Remove what the rule does not keep, and return it; with `dry_run` what would be. The rest is in `list`.

        Nothing is removed unless the newest that stays verifies: it is read for that. One that does not counts
        for nothing, and stays.

        Raises:
            StoreLockedError: another process writes here.
        """
        from .resuming import removable

        with self._alone():
            if not dry_run and self._folder.read().steps:
                self._folder.take()
            going = removable(self._folder, self.keep)
            return going if dry_run else [stored for stored in going if self._folder.remove(stored)]

    def pin(self, step: int) -> None:
        """Keep a checkpoint until it is unpinned. Pinned ones are neither removed nor replaced."""
        self._pinned(step, pin=True)

    def unpin(self, step: int) -> None:
        """Let the rule decide about a checkpoint again."""
        self._pinned(step, pin=False)

    def _pinned(self, step: object, *, pin: bool) -> None:
        number = step_number(step)
        with self._alone():
            if self._folder.read().steps:
                self._folder.take()
            self._folder.pin(chosen(self._folder.read().steps, number, self.keep, self.path), pin=pin)

    def wait(self) -> None:
        """Return when no save is in flight.

        Raises:
            WriteError: what a save in the background ran into, where nothing has told it yet.
        """
        with self._alone():
            pass

    def close(self) -> None:
        """Wait for the save in flight and let others write here. The store can be used again, and takes it back.

        Raises:
            What `wait` raises; it is closed even then.
        """
        try:
            self.wait()
        finally:
            self._folder.release()
            self._staging = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except WeightliftError as second:  # the first error is what the caller has to see
            self._folder.say(str(second))

    def __repr__(self) -> str:
        return f"<CheckpointStore {printable(self.path)!r}: {self.keep}>"


def _collect(run: Any, **chosen: Any) -> Any:
    from .save import collect

    return collect(run, **chosen)


def _restore(step: Any, run: Any, **chosen: Any) -> Any:
    from .resume import restore

    return restore(step, run, **chosen)


def _write_step(path: str, tensors: Any, document: Any, **about: Any) -> None:
    from ..writers.step import write_step

    write_step(path, tensors, document, **about)


def _new_staging() -> Any:
    from ..tensors.staging import Staging

    return Staging()
