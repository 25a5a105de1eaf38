"""The hostile and malformed files of the tests, written into a folder with a manifest of what they are.

    python benchmarks/hostile_files.py FOLDER MARKERS

Their payloads create a file in the folder MARKERS, which has to have a short path, and do nothing else.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "hostile")]


def write_all(folder: Path, markers: Path, *, but: str = "") -> dict[str, dict[str, str]]:
    """Write every attack's files, but for those of one kind; return {file: {kind: the table it is from}}."""
    bad_files = importlib.import_module("bad_files")
    marker = str(markers.resolve()) + "/"
    length = len(bad_files.MARKER_BYTES)
    if len(marker) >= length:
        raise SystemExit(f"the path of {markers} has to be shorter than {length - 1} characters")
    said = {}
    for kind, attack in attacks():
        if kind == but:
            continue
        path = Path(bad_files.write(attack, str(folder), marker.ljust(length, "m")))
        top = folder / path.relative_to(folder).parts[0]
        for file in [path] if top == path else sorted(top.rglob("*")):
            said[file.relative_to(folder).as_posix()] = {"kind": kind}
    return said


def attacks() -> Iterator[tuple[str, object]]:
    """Yield (kind, attack) of every table in tests/hostile/bad_*.py; the kind is the module's name without `bad_`."""
    for path in sorted((TESTS / "hostile").glob("bad_*.py")):
        table = getattr(importlib.import_module(path.stem), "TABLE", None)
        for attack in table.attacks if table else ():
            yield path.stem.removeprefix("bad_"), attack


def main(folder: str, markers: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    Path(markers).mkdir(parents=True, exist_ok=True)
    said = write_all(target, Path(markers))
    (target / "manifest.json").write_text(json.dumps(said, indent=1), "utf-8")
    print(f"{len(said)} files in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
