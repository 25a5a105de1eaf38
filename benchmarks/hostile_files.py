"""The hostile and malformed files of the tests, written into a folder with a manifest of what they are.

    python benchmarks/hostile_files.py FOLDER

Prints the path of the file that their payloads create; they do nothing else.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "hostile")]


def write_all(folder: Path, *, but: str = "") -> dict[str, dict[str, str]]:
    """Write every attack's files, but for those of one kind; return {file: {kind: the table it is from}}.

    Their payloads create the one file that `marker` names.
    """
    bad_files = importlib.import_module("bad_files")
    said = {}
    for kind, attack in attacks():
        if kind == but:
            continue
        path = Path(bad_files.write(attack, str(folder)))
        top = folder / path.relative_to(folder).parts[0]
        for file in [path] if top == path else sorted(top.rglob("*")):
            said[file.relative_to(folder).as_posix()] = {"kind": kind}
    return said


def marker() -> Path:
    """Return the file that every payload creates."""
    return Path(importlib.import_module("bad_files").MARKER)


def attacks() -> Iterator[tuple[str, object]]:
    """Yield (kind, attack) of every table in tests/hostile/bad_*.py; the kind is the module's name without `bad_`."""
    for path in sorted((TESTS / "hostile").glob("bad_*.py")):
        table = getattr(importlib.import_module(path.stem), "TABLE", None)
        for attack in table.attacks if table else ():
            yield path.stem.removeprefix("bad_"), attack


def main(folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "manifest.json").write_text(json.dumps(write_all(target), indent=1), "utf-8")
    print(marker())


if __name__ == "__main__":
    main(*sys.argv[1:])
