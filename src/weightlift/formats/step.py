"""A checkpoint directory of ours: MANIFEST.json, state.json and safetensors files. The format: docs/format.md.

Everything is held against the manifest: each file's size and hash, each header, each tensor. Tensors are read
once, into memory of their own, and hashed on the way; or, unverified, left in their files until asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ..checkpoint import Checkpoint
from ..errors import LimitError, MalformedError, SourceError, StateDictError, WeightliftError, plural, shown
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import LocalFile
from ..tree import storages_in
from ..typed import Any
from ..values import dataclass
from ..writers.flushing import open_folder
from ..writers.leftovers import settled
from ..writers.manifest import BEGIN, DAMAGED, MANIFEST, STATE, Manifest
from .base import Format, Opening, Probe
from .joined import with_joined
from .safetensors import entries_of
from .step_parts import tree_of
from .verified import DataFile, check_hash

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """An opened checkpoint directory. `tensors` are lazy: their bytes verified in memory, or still in the files."""

    path: str
    manifest: Manifest
    state: Mapping[str, Any]
    tensors: Mapping[str, Any]
    verified: bool


def open_step(
    path: str | os.PathLike[str],
    *,
    verify: bool = True,
    names: Iterable[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Step:
    """Return a checkpoint: its manifest, its state document, and its tensors by name.

    With `verify` every file is read once, into fresh memory that the tensors are views of, and every hash is
    checked on the way; with `names` only those tensors, or blocks of them, are read, and checked by their own hashes.
    Without, the sizes, headers and the state are checked, and tensors read the files when they are asked for.

    Raises:
        SourceError: no such checkpoint. StateDictError: no tensor of such a name. MalformedError: anything is not
        what the manifest says; names the tensor or the file. LimitError: it asks for more than `limits`.
    """
    given = os.fspath(path)
    wanted = None if names is None else list(names)
    for _ in range(_TRIES):
        opened = _Opened(given, limits)
        try:
            return opened.step(wanted, verified=verify)
        except WeightliftError as error:
            # a file that is gone because another checkpoint has taken the name: read that one
            if not isinstance(error, SourceError) or opened.is_still_there():
                raise error.at(given) from None
        finally:
            opened.close()
    raise SourceError("is replaced again and again while it is read", where=given)


def verify_step(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    """Return what is wrong with a checkpoint, a sentence each; [] where everything is as its manifest says.

    Reads every byte, and keeps none of them.
    """
    problems: list[str] = []
    try:
        opened = _Opened(os.fspath(path), limits)
        try:
            opened.check(lambda error: problems.append(str(error)))
        finally:
            opened.close()
    except SourceError as error:
        problems.append(str(error))
    return problems


class _Opened:
    """The files of one checkpoint directory, which stay these whatever happens to its name."""

    def __init__(self, given: str, limits: Limits) -> None:
        self.given = given
        self.where = settled(given)
        self.limits = limits
        self._known: Manifest | None = None
        try:
            self.folder = open_folder(self.where)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"no checkpoint ({reason})", expected="a directory", where=given) from None

    @property
    def manifest(self) -> Manifest:
        """The manifest, checked by its own hash."""
        if self._known is None:
            self._refuse_a_store()
            self._known = Manifest.from_bytes(self._small(MANIFEST, self.limits.header_bytes))
        return self._known

    def _refuse_a_store(self) -> None:
        """Say which checkpoints are in a directory that is none itself."""
        names = os.listdir(self.folder)
        if MANIFEST in names:
            return
        inside = [name for name in sorted(names) if os.path.isfile(os.path.join(self.where, name, MANIFEST))]
        if inside:
            raise SourceError(
                f"a directory of {plural(len(inside), 'checkpoint')} and none itself",
                expected="one of them",
                remedy=f"name it, {inside[-1]!r} for instance, or take CheckpointStore(...).resume",
            )

    def close(self) -> None:
        """Let go of the directory; files that are open stay so."""
        folder, self.folder = self.folder, -1
        if folder >= 0:
            os.close(folder)

    def is_still_there(self) -> bool:
        """Whether the directory that was opened still has the name."""
        try:
            return os.path.samestat(os.stat(self.where), os.fstat(self.folder))
        except OSError:
            return False

    def step(self, names: list[str] | None, *, verified: bool) -> Step:
        """Return the checkpoint, with all its tensors or those of the names."""
        state = self.state()
        opened = [self._data(name) for name in self.manifest.files if name != STATE]
        tensors: dict[str, Any] = {}
        for data in opened:
            entries = entries_of(data.plain, data.metadata)
            if twice := next((key for key in entries if key in tensors), None):
                raise MalformedError(f"{twice!r} is in two files", expected="each name once").at(data.name)
            tensors |= entries
        whole = with_joined(tensors, self.manifest.tensors, state.get("ties"))
        tensors = whole if names is None else _selected(tensors | whole, names)
        if verified:
            needed = None if names is None else {id(storage) for storage in storages_in(tensors)}
            for data in opened:
                for problem in data.read(self.manifest.hash, needed):
                    raise problem
        return Step(self.given, self.manifest, state, tensors, verified)

    def check(self, report: Callable[[WeightliftError], object]) -> None:
        """Report everything that is not as the manifest says."""
        try:
            self.manifest  # noqa: B018 - read here
        except WeightliftError as error:
            report(error.at(self.given))
            return
        checks: list[Callable[[], object]] = [self.state]
        checks += [partial(self._check_data, name, report) for name in self.manifest.files if name != STATE]
        for check in checks:
            try:
                check()
            except WeightliftError as error:
                report(error.at(self.given))

    def state(self) -> Mapping[str, Any]:
        """Return the state document."""
        record = self.manifest.files[STATE]
        text = self._small(STATE, self.limits.text_bytes)
        check_hash(self.manifest.hash, text, record.hash, record.nbytes, STATE)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise MalformedError("not JSON", expected="the state as JSON", where=STATE) from None
        if not isinstance(document, dict):
            raise MalformedError(shown(document), expected="an object", where=STATE)
        return document

    def _check_data(self, name: str, report: Callable[[WeightliftError], object]) -> None:
        data = self._data(name)
        entries_of(data.plain, data.metadata)
        for problem in data.check(self.manifest.hash):
            report(problem.at(self.given))

    def _data(self, name: str) -> DataFile:
        tensors = {key: each for key, each in self.manifest.tensors.items() if each.file == name}
        file = self._file(name)
        return DataFile(name, file, self.manifest.files[name], tensors, self.manifest.hash, self.limits)

    def _file(self, name: str) -> LocalFile:
        """Open a file of this directory, wherever that is by now."""
        try:
            return LocalFile(os.path.join(self.where, name), folder_fd=self.folder)
        except SourceError as error:
            error.where = (name,)
            error.remedy = DAMAGED
            raise

    def _small(self, name: str, longest: int) -> bytes:
        """Return a whole file that is small."""
        file = self._file(name)
        if file.size > longest:
            raise LimitError(f"a file of {file.size} bytes", expected=f"at most {longest}", where=name)
        return file.read_at(0, file.size)


def _selected(tensors: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    for name in names:
        if name not in tensors:
            from difflib import get_close_matches

            near = get_close_matches(str(name), tensors, 1)
            raise StateDictError(
                f"no tensor {shown(name)}", expected=f"one of {len(tensors)}",
                remedy=f"did you mean {near[0]!r}?" if near else "",
            )  # fmt: skip
    return {name: tensors[name] for name in names}


def _recognises(probe: Probe) -> bool:
    return probe.head.startswith(BEGIN)


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    path = getattr(probe.source, "path", "")
    if not path:
        raise SourceError("a manifest without its directory", expected="the directory of a checkpoint")
    folder = os.path.dirname(os.path.abspath(path))
    step = open_step(folder, verify=False, limits=opening.limits)
    manifest, parts = step.manifest, step.state.get("parts")
    about: dict[str, Any] = {"step": manifest.step, "metrics": dict(manifest.metrics), "parts": dict(manifest.parts)}
    about |= {"partial": list(manifest.partial), "written": dict(manifest.written), "hash": manifest.hash}
    return Checkpoint(
        tree_of(parts if isinstance(parts, dict) else {}, step.tensors),
        format="step",
        source=probe.source,
        details=about | {"files": list(manifest.files), "nbytes": manifest.nbytes},
        limits=opening.limits,
    )


FORMAT = Format("step", _recognises, _open)
