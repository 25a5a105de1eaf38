"""Which save of a project writes what a load of it reads: by the path as it is spelled, or by the function in between.

The files that save or load are read once more when the first rule asks, and what they do is kept as values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..typed import TYPE_CHECKING
from .pair_records import Helper, Loaded, Records, Saved, calls_of, records, saved
from .path_keys import is_same_path, path_key
from .source_file import SourceFile, argument

if TYPE_CHECKING:
    from .pair_records import Place

_SAVES_OR_LOADS = (b"save(", b"load(", b"save (", b"load (", b"save as ", b"load as ", b"torch.save", b"torch.load")


class Project:
    """The saves and loads of some files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._contents: dict[str, bytes] = {}
        self._pairs: tuple[tuple[Saved, ...], tuple[Loaded, ...]] | None = None
        self._records: dict[str, tuple[bytes, Records]] = {}

    @property
    def saves(self) -> tuple[Saved, ...]:
        """Every `torch.save` of the project; one in a helper stands for each of its calls."""
        return self._found()[0]

    @property
    def loads(self) -> tuple[Loaded, ...]:
        """Every `torch.load` of the project; one in a helper stands there once for each path it is called with."""
        return self._found()[1]

    def saves_of(self, call: ast.Call, file: SourceFile) -> list[Saved] | None:
        """Return the saves that write what a load reads; None where its path is not certain enough to tell."""
        keys = self._keys(file, call, [(each.place, each.key) for each in self.loads if each.path == file.path])
        return None if keys is None else [each for each in self.saves if _any_same(keys, each.key)]

    def loads_of(self, call: ast.Call, file: SourceFile) -> list[Loaded] | None:
        """Return the loads that read what a save writes; None where its path is not certain enough to tell."""
        key = path_key(file, argument(call, 1, "f"))
        return None if key is None else [each for each in self.loads if is_same_path(key, each.key)]

    def loads_a_state_dict(self, call: ast.Call, file: SourceFile) -> bool:
        """Whether what a load reads is saved in this project, and is a state dict wherever it is saved."""
        found = self.saves_of(call, file)
        return bool(found) and all(each.is_plain for each in found or ())

    def overlay(self, contents: Mapping[str, bytes]) -> None:
        """Take these bytes for what is in the files."""
        self._contents.update(contents)
        self._pairs = None

    def _keys(self, file: SourceFile, call: ast.Call, known: Iterable[tuple[Place, str | None]]) -> list[str] | None:
        place = file.range(call)
        keys = [key for at, key in known if at == place]
        found = [key for key in keys if key is not None]
        return found if found and len(found) == len(keys) else None

    def _found(self) -> tuple[tuple[Saved, ...], tuple[Loaded, ...]]:
        if self._pairs is None:
            every = [self._of(path, data) for path, data in self._read(_saves_or_loads)]
            saves = [each for one in every for each in one.saves]
            loads = [each for one in every for each in one.loads]
            helpers = [each for one in every for each in one.helpers]
            if helpers:
                self._through(helpers, saves, loads)
            self._pairs = tuple(saves), tuple(loads)
        return self._pairs

    def _through(self, helpers: Sequence[Helper], saves: list[Saved], loads: list[Loaded]) -> None:
        """Add what is saved and loaded by calls of helpers."""
        from ..values import replace

        by_name: dict[str, list[Helper]] = {}
        for helper in helpers:
            by_name.setdefault(helper.name, []).append(helper)
        names = b"|".join(re.escape(name.encode()) for name in sorted(by_name))
        for path, data in self._read(re.compile(rb"\b(?:" + names + rb")\s*\(").search):
            file = _parsed(path, data)
            if file is None:
                continue
            for helper, call, key in calls_of(file, by_name):
                if helper.loaded is not None:
                    loads.append(replace(helper.loaded, key=key))
                elif helper.value and (value := argument(call, *helper.value)) is not None:
                    saves.append(saved(file, call, value, key))

    def _of(self, path: str, data: bytes) -> Records:
        kept = self._records.get(path)
        if kept is None or kept[0] != data:
            file = _parsed(path, data)
            kept = data, records(file) if file else Records((), (), ())
            self._records[path] = kept
        return kept[1]

    def _read(self, has_words: Callable[[bytes], object]) -> Iterator[tuple[str, bytes]]:
        """Yield the files whose bytes have these words, with them; what cannot be read is told where it is checked."""
        for path in self._paths:
            data = self._contents.get(path)
            if data is None:
                try:
                    with open(path, "rb") as file:
                        data = file.read()
                except OSError:
                    continue
            if has_words(data):
                yield path, data


def _saves_or_loads(data: bytes) -> bool:
    return b"torch" in data and any(word in data for word in _SAVES_OR_LOADS)


def _parsed(path: str, data: bytes) -> SourceFile | None:
    try:
        if path.endswith(".ipynb"):
            from .notebooks import Notebook

            return SourceFile(path, Notebook(data).source)
        return SourceFile(path, data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _any_same(keys: Iterable[str], other: str | None) -> bool:
    return any(is_same_path(key, other) for key in keys)
