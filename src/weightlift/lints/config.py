"""The settings of a file: `[tool.weightlift.lint]` in the nearest pyproject.toml, and over it what the call says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ..errors import WeightliftError
from ..typed import Any
from ..values import dataclass, replace
from .prefilter import prefilter
from .rule import Rule, chosen
from .values import Settings

TO = ("weightlift",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for, over any configuration; None where it leaves the configuration's. `ignore` is added."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    torch_min: tuple[int, int] | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings of the files under one folder, with the rules that they choose."""

    folder: str
    settings: Settings
    concerned: Callable[[bytes], list[Rule]]

    def rules_for(self, path: str, data: bytes) -> list[Rule]:
        """Return the rules that look at a file: chosen, not ignored for its path, and its bytes have their words."""
        if path.endswith(".ipynb"):
            data = data.replace(b"\\n", b"\n").replace(b'\\"', b'"')  # what source looks like in JSON
        rules = self.concerned(data)
        if rules and self.settings.per_file_ignores:
            quiet = [codes for pattern, codes in self.settings.per_file_ignores if _matches(path, self.folder, pattern)]
            rules = [rule for rule in rules if not any(rule.code.startswith(codes) for codes in quiet)]
        return rules

    def excludes(self, path: str) -> bool:
        """Whether a file or folder is kept out, if it was not named itself."""
        return any(_matches(path, self.folder, pattern) for pattern in self.settings.exclude)


class Configurations:
    """The settings of every folder, each pyproject.toml read once."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._folders: dict[str, Configured] = {}
        self._default: Configured | None = None

    def of(self, folder: str) -> Configured:
        """Return the settings of the files in a folder.

        Raises:
            WeightliftError: A pyproject.toml cannot be read, or says what has no meaning; with its path.
        """
        folder = os.path.abspath(folder)
        found = self._folders.get(folder)
        if found is None:
            table = _table(os.path.join(folder, "pyproject.toml"))
            above = os.path.dirname(folder)
            if table is not None:
                found = self._configured(folder, table)
            elif above != folder:
                found = self.of(above)
            else:
                found = self._configured(folder, {})
            self._folders[folder] = found
        return found

    def _configured(self, folder: str, table: Mapping[str, Any]) -> Configured:
        if not table and self._default is not None:
            return self._default
        try:
            settings = _over(read_settings(table), self._asked)
            made = Configured(folder, settings, prefilter(chosen(settings)))
        except WeightliftError as error:
            raise (error.at(os.path.join(folder, "pyproject.toml")) if table else error) from None
        if not table:
            self._default = made
        return made


def version(text: str) -> tuple[int, int]:
    """Return a version of torch as numbers: "2.6" -> (2, 6).

    Raises:
        WeightliftError: It is none.
    """
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise WeightliftError(f"{text!r} is no version of torch", expected="one such as 2.6")
    return int(parts[0]), int(parts[1])


def read_settings(table: Mapping[str, Any]) -> Settings:
    """Return the settings that a table `[tool.weightlift.lint]` spells.

    Raises:
        WeightliftError: A key that there is not, or a value of another kind.
    """
    readers: dict[str, Callable[[str, Any], Any]] = {
        "select": _texts,
        "ignore": _texts,
        "exclude": _texts,
        "per-file-ignores": _ignores,
        "torch-min": lambda name, value: version(_text(name, value)),
        "to": lambda name, value: target(_text(name, value)),
    }
    given = {}
    for name, value in table.items():
        if name not in readers:
            raise WeightliftError(f"[tool.weightlift.lint] has a key {name!r}", expected=f"one of {', '.join(readers)}")
        given[name.replace("-", "_")] = readers[name](name, value)
    return Settings(**given)


def target(text: str) -> str:
    """Return what fixes may be written for.

    Raises:
        WeightliftError: It is nothing that fixes are written for.
    """
    if text not in TO:
        raise WeightliftError(f"fixes cannot be written for {text!r}", expected=" or ".join(TO))
    return text


def _over(settings: Settings, asked: Asked) -> Settings:
    settings = replace(settings, ignore=(*settings.ignore, *asked.ignore))
    if asked.select is not None:
        settings = replace(settings, select=asked.select)
    if asked.torch_min is not None:
        settings = replace(settings, torch_min=asked.torch_min)
    return settings if asked.to is None else replace(settings, to=asked.to)


def _table(path: str) -> Mapping[str, Any] | None:
    """Return `[tool.weightlift.lint]` of a file, None where there is no such file or no such table in it."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WeightliftError(f"cannot be read: {error.strerror}", where=path) from None
    if b"weightlift" not in data:
        return None
    import tomllib

    try:
        table = tomllib.loads(data.decode()).get("tool", {}).get("weightlift", {}).get("lint")
    except (ValueError, AttributeError) as error:
        raise WeightliftError(f"cannot be read: {error}", where=path) from None
    if table is not None and not isinstance(table, dict):
        raise WeightliftError("[tool.weightlift.lint] is no table", where=path)
    return table


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise WeightliftError(f"{name} is {value!r}", expected="a string")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise WeightliftError(f"{name} is {value!r}", expected="a list of strings")
    return tuple(value)


def _ignores(name: str, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise WeightliftError(f"{name} is {value!r}", expected="a table from patterns of paths to codes")
    return tuple((pattern, _texts(f"{name} of {pattern!r}", codes)) for pattern, codes in value.items())


def _matches(path: str, folder: str, pattern: str) -> bool:
    """Whether a pattern is that of a path, of a folder above it, or of the name of either, as seen from `folder`."""
    from fnmatch import fnmatchcase

    inner = os.path.relpath(os.path.abspath(path), folder).replace(os.sep, "/")
    pattern = pattern.removeprefix("./").rstrip("/")
    parts = inner.split("/")
    if "/" not in pattern:
        return any(fnmatchcase(part, pattern) for part in parts)
    return any(fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))
