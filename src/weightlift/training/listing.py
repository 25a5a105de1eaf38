"""What is in a directory of checkpoints, told from the names and the manifests alone."""

from __future__ import annotations

import operator
import os
import stat
from collections.abc import Mapping

from ..errors import MalformedError, StoreError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS
from ..typed import Any
from ..values import dataclass, field
from ..writers.leftovers import leftover
from ..writers.manifest import MANIFEST, PINNED, Manifest, is_own_name
from ..writers.target import at_once

_PREFIX = "step-"
_SET_ASIDE = ".broken"
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class StoredStep:
    """One checkpoint of a store.

    `nbytes` is that of its files, `time` when it was written (ISO 8601), `partial` the parts that are left
    out or cut down, `kept` why the store's rule keeps it (empty: the next save or prune removes it),
    `problem` why it cannot be used ("" where its manifest is sound; its data is looked at by `verify`).
    """

    step: int
    path: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    nbytes: int = 0
    time: str = ""
    parts: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    pinned: bool = False
    kept: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything in a store: checkpoints from the oldest to the newest, and the names of what is none of ours.

    `broken` are directories that were set aside, `strangers` those that have the name of a checkpoint and are none.
    """

    steps: tuple[StoredStep, ...] = ()
    broken: tuple[str, ...] = ()
    strangers: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def step_number(step: object) -> int:
    """Return a step as a plain integer.

    Raises:
        StoreError: it is no whole number, or negative.
    """
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)  # type: ignore[arg-type] # refused below
    except (TypeError, ValueError, RuntimeError):  # what tensors of several elements raise is torch's business
        number = -1
    if not 0 <= number < 10**_MOST_DIGITS:
        raise StoreError(f"step={shown(step)}", expected=f"a whole number, 0 or more, of at most {_MOST_DIGITS} digits")
    return number


def step_name(step: int) -> str:
    """Return the name of a step's directory: `step-000123`."""
    return f"{_PREFIX}{step:06d}"


def step_of(name: str) -> int | None:
    """Return the step that a directory of this name holds, None where it is no such name."""
    digits = name.removeprefix(_PREFIX)
    if not name.startswith(_PREFIX) or not (digits.isascii() and digits.isdigit()) or len(digits) > _MOST_DIGITS:
        return None
    return int(digits) if step_name(int(digits)) == name else None


def stranger(path: str) -> str:
    """Return what keeps a path from being taken for a checkpoint of ours, "" where it is one or nothing is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if not stat.S_ISDIR(mode):
        return "no directory"
    try:
        names = os.listdir(path)
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    is_ours = any(is_own_name(name) and name != PINNED for name in names)  # whole or broken
    return "" if is_ours else "a directory that holds no checkpoint"


def manifest_bytes(path: str) -> bytes:
    """Return the text of the manifest in a checkpoint's directory.

    Raises:
        MalformedError: there is none, or it is no file. StoreError: it cannot be read.
    """
    try:
        with open(os.path.join(path, MANIFEST), "rb", opener=at_once) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(DEFAULT_LIMITS.header_bytes + 1)
        raise MalformedError("is no file", where=MANIFEST)
    except FileNotFoundError:
        raise MalformedError("is missing; without it nothing can be verified", where=MANIFEST) from None
    except IsADirectoryError:
        raise MalformedError("is a directory", expected="a file", where=MANIFEST) from None
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", where=MANIFEST) from None


class Lister:
    """Reads a store's directory; manifests that have not changed since the last time are not read again."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[str, tuple[Any, StoredStep]] = {}

    def read(self) -> Contents:
        """Return what is there now, without `kept`; nothing where there is no directory.

        Raises:
            StoreError: it cannot be listed.
        """
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return Contents()
        except OSError as error:
            raise StoreError(f"cannot be listed: {error.strerror}", where=self._folder) from None
        steps: dict[int, StoredStep] = {}
        broken, others = [], []
        strangers: dict[str, str] = {}
        for name in names:
            path = os.path.join(self._folder, name)
            if (step := step_of(shown_name(name))) is not None:
                if why := stranger(path):
                    strangers[name] = why
                elif name[0] != "." or step_name(step) not in names:
                    stored = self._stored(step, path)
                    if not stored.problem or os.path.lexists(path):  # its writer may have removed it meanwhile
                        steps[step] = stored
            elif _SET_ASIDE in name and step_of(name.partition(_SET_ASIDE)[0]) is not None:
                broken.append(name)
            elif name.startswith(_PREFIX):
                strangers[name] = "not the name of a checkpoint"
            elif not name.startswith("."):
                others.append(name)
        ordered = tuple(steps[step] for step in sorted(steps))
        here = {stored.path for stored in ordered}
        self._known = {path: known for path, known in self._known.items() if path in here}
        return Contents(ordered, tuple(broken), strangers, tuple(others))

    def _stored(self, step: int, path: str) -> StoredStep:
        try:
            status = os.stat(os.path.join(path, MANIFEST))
            mark = (status.st_ino, status.st_size, status.st_mtime_ns, os.path.lexists(os.path.join(path, PINNED)))
        except OSError:
            return _read(step, path)
        known = self._known.get(path)
        if known is None or known[0] != mark:
            known = self._known[path] = mark, _read(step, path)
        return known[1]


def _read(step: int, path: str) -> StoredStep:
    pinned = os.path.lexists(os.path.join(path, PINNED))
    try:
        manifest = Manifest.from_bytes(manifest_bytes(path))
    except WeightliftError as error:
        return StoredStep(step, path, pinned=pinned, problem=str(error))
    return StoredStep(
        step,
        path,
        metrics=manifest.metrics,
        nbytes=manifest.nbytes,
        time=manifest.written.get("time", ""),
        parts=tuple(manifest.parts),
        partial=manifest.partial,
        pinned=pinned,
        problem="" if manifest.step in (step, None) else f"{MANIFEST}: it is that of step {manifest.step}",
    )


def leftover_of(name: str) -> str:
    """Return the name of the checkpoint that a crash left this directory of, "" where it is nothing of the kind."""
    owner, _ = leftover(name)
    return owner if step_of(owner) is not None else ""


def shown_name(name: str) -> str:
    """Return the name that a directory has, or gets back where a replacement of it was cut off: `.step-000123.old`."""
    owner, kind = leftover(name)
    return owner if kind == "old" and owner.startswith(_PREFIX) else name


def set_aside(path: str) -> str:
    """Return a free name for a broken checkpoint: `step-000123.broken`, with a number where that is taken."""
    place, count = path + _SET_ASIDE, 1
    while os.path.lexists(place):
        count += 1
        place = f"{path}{_SET_ASIDE}-{count}"
    return place
