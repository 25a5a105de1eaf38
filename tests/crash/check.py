"""Each state of a save, written out and read back as its users would."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from .calls import Call, parse
from .record import record
from .scenarios import SCENARIOS
from .scenarios.scenario import Scenario
from .states import Recorded, State, Tree, states

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
Reader = Callable[[str], str | None]


@dataclass(slots=True)
class Tally:
    """How often a save that crashed left what it should not, and the first state of each kind."""

    scenario: str
    calls: int = 0
    states: int = 0
    unreadable: int = 0  # the reader fails, or finds nothing where a durable older checkpoint was
    mixed: int = 0  # the reader returns what no save wrote
    lost: int = 0  # the save had returned, and the reader finds an older one
    stuck: int = 0  # the next save fails, or is not what is read then
    kept_old: int = 0
    kept_new: int = 0
    seconds: float = 0.0
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        """How many states are not as they should be."""
        return self.unreadable + self.mixed + self.lost + self.stuck

    def as_json(self) -> dict[str, object]:
        """Return the fields."""
        return asdict(self)


def crash(name: str, *, at_most: int | None = None) -> Tally:
    """Return what crashes of a scenario's save leave; of `at_most` states, evenly chosen, where there are more."""
    start = time.perf_counter()
    with _recorded(name) as (calls, folder):
        recorded = states(calls, folder)
        if (real := _tree_on_disk(folder)) != recorded.after:
            raise AssertionError(f"{name}: the replay does not end where the save did: {_differences(real, recorded)}")
    tally = _tally(name, recorded, at_most)
    tally.seconds = round(time.perf_counter() - start, 1)
    return tally


def crash_without_each_flush(name: str) -> Iterator[tuple[str, Tally]]:
    """Yield each fsync of a scenario's save, and what crashes would leave if just that one were left out."""
    with _recorded(name) as (calls, folder):
        begin = next(i for i, call in enumerate(calls) if call.name == "mark")
        for i in range(begin, len(calls)):
            if calls[i].name in {"fsync", "fdatasync"}:
                recorded = states(calls[:i] + calls[i + 1 :], folder)
                yield str(calls[i]).replace(folder, ""), _tally(name, recorded, None)


@contextmanager
def _recorded(name: str) -> Iterator[tuple[list[Call], str]]:
    """Yield the calls of a scenario, and the folder as it left it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.realpath(os.path.join(scratch, "run"))
        os.mkdir(folder)
        yield list(parse(record(name, folder))), folder


def _tally(name: str, recorded: Recorded, at_most: int | None) -> Tally:
    chosen = recorded.states
    if at_most is not None and len(chosen) > at_most:
        chosen = [chosen[i * len(chosen) // at_most] for i in range(at_most)]
    tally = Tally(name, recorded.calls)
    with tempfile.TemporaryDirectory(dir=MEMORY) as scratch:
        _judge(tally, recorded, chosen, SCENARIOS[name], os.path.join(scratch, "run"))
    return tally


def _judge(tally: Tally, recorded: Recorded, chosen: Iterable[State], scenario: Scenario, folder: str) -> None:
    read = scenario.read
    stages = [_read(tree, read, folder) for tree in recorded.stages]
    old, new = stages[0], stages[-1]
    if any(isinstance(stage, BaseException) for stage in stages) or new is None or old == new:
        raise AssertionError(f"{tally.scenario}: reads {stages!r} without a crash: nothing to tell apart")
    latest = {stage: index for index, stage in enumerate(stages)}
    before = recorded.stages[0]
    later = _after(recorded.after, scenario, folder)
    for state in chosen:
        tally.states += 1
        found = _read(state.tree, read, folder)
        if scenario.again and (then := _then(scenario, folder)) != later:
            _count(tally, "stuck", state, before, f"the next save: {then!r}")
        if not isinstance(found, BaseException) and found in latest:
            if latest[found] < state.promises:
                _count(tally, "lost", state, before, "an older checkpoint")
            elif found == old:
                tally.kept_old += 1
            else:
                tally.kept_new += 1
        elif found is None or isinstance(found, BaseException):
            _count(tally, "unreadable", state, before, repr(found))
        else:
            _count(tally, "mixed", state, before, "content that no save wrote")


def _count(tally: Tally, kind: str, state: State, before: Tree, found: str) -> None:
    setattr(tally, kind, getattr(tally, kind) + 1)
    if kind not in tally.examples:
        new = [f"{path} ({len(data)} B)" for path, data in state.tree.items() if data and data != before.get(path)]
        empty = [f"{path} (empty)" for path, data in state.tree.items() if data == b""]
        gone = [f"{path} (gone)" for path in before if path not in state.tree]
        shown = ", ".join(new + empty + gone) or "nothing new"
        tally.examples[kind] = f"{found[:300]}: {shown}; after {state.after}"[:900]


def _read(tree: Tree, read: Reader, folder: str) -> str | BaseException | None:
    """Return what the reader finds, or the error that it raises (torch's CheckpointException is no Exception)."""
    _write_out(tree, folder)
    try:
        return read(folder)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001
        return error


def _after(tree: Tree, scenario: Scenario, folder: str) -> str | BaseException | None:
    """Return what is read after the next save, where none crashed."""
    _write_out(tree, folder)
    return _then(scenario, folder) if scenario.again else None


def _then(scenario: Scenario, folder: str) -> str | BaseException | None:
    """Save once more and return what is read now, or what went wrong."""
    try:
        scenario.again(folder)  # type: ignore[misc]
        return scenario.read(folder)
    except Exception as error:  # noqa: BLE001
        return error


def _write_out(tree: Tree, folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for path in sorted(tree):
        content = tree[path]
        if content is None:
            os.mkdir(f"{folder}/{path}")
        else:
            with open(f"{folder}/{path}", "wb", buffering=0) as file:
                file.write(content)


def _tree_on_disk(folder: str) -> Tree:
    tree: Tree = {}
    for where, folders, files in os.walk(folder):
        below = os.path.relpath(where, folder) + "/" if where != folder else ""
        tree.update(dict.fromkeys((below + name for name in folders), None))
        for name in files:
            with open(os.path.join(where, name), "rb") as file:
                tree[below + name] = file.read()
    return tree


def _differences(real: Tree, recorded: Recorded) -> list[str]:
    paths = sorted(real.keys() | recorded.after.keys())
    return [path for path in paths if real.get(path, b"?") != recorded.after.get(path, b"?")]
