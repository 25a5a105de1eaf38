"""The tables of `compare_scanners.py`: how often each tool said what, then every file with every verdict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

COLUMNS = ("weightlift", "picklescan", "modelscan", "fickling", "modelaudit-picklescan", "torch")
KINDS = {
    "code": "runs code when it is unpickled",
    "containers": "is a container that is broken, or that two readers read differently",
    "structures": "is malformed inside",
    "bombs": "uses up time or memory",
    "names": "has names made to mislead",
    "safetensors": "is safetensors or an index, and malformed",
}


def tables(name: str, section: dict[str, Any]) -> str:
    """Return the Markdown of one folder: versions, counts by kind, one row for every file."""
    rows, kinds = section["rows"], section["kinds"]
    columns = [column for column in COLUMNS if any(column in row for row in rows.values())]
    cells = {file: [cell(row, column) for column in columns] for file, row in rows.items()}
    versions = ", ".join(f"{tool} {version}" for tool, version in section["versions"].items())
    parts = [f"{datetime.now(UTC).date()}: {versions}."]
    if name == "hostile":
        parts.append(_table(("the file", "files", *columns), _counted(cells, kinds)))
        parts.append(_table(("file", "kind", *columns), ((_code(f), kinds.get(f, ""), *cells[f]) for f in cells)))
    else:
        total = [_counts(column) for column in zip(*cells.values(), strict=True)]
        parts.append(_table(("", *columns), [(f"{len(rows)} files", *total)]))
        parts.append(_table(("file", *columns), ((_code(file), *cells[file]) for file in cells)))
    return "\n\n".join(parts)


def cell(row: dict[str, str], column: str) -> str:
    """Return one verdict as it is shown; of torch also where `mmap=True` takes what it refuses, or breaks."""
    said = row.get(column, "")
    mapped = row.get("torch-mmap", said)
    if column == "torch" and mapped != said and mapped.partition(" ")[0] in {"ok", "hang", "memory", "crash", "RAN"}:
        said = f"{said}; mmap: {mapped}"
    return f"**{said}**" if said.isupper() else said


def _counted(cells: dict[str, list[str]], kinds: dict[str, str]) -> Iterable[Sequence[str]]:
    for kind in dict.fromkeys([*KINDS, *kinds.values()]):
        of_kind = [row for file, row in cells.items() if kinds.get(file) == kind]
        if of_kind:
            words = f"{KINDS[kind]} ({kind})" if kind in KINDS else kind
            yield (words, str(len(of_kind)), *(_counts(column) for column in zip(*of_kind, strict=True)))


def _counts(verdicts: Iterable[str]) -> str:
    counted = Counter(verdict.partition(";")[0].partition(" ")[0].strip("*") for verdict in verdicts)
    return ", ".join(f"{number} {verdict}" for verdict, number in counted.most_common())


def _code(name: str) -> str:
    return "`" + "".join(c if c.isprintable() and c not in "`|" else "?" for c in name) + "`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page: str, name: str, made: str) -> str:
    """Return the page with its tables of that name replaced.

    Raises:
        ValueError: the page has no such place, or two.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(place.findall(page)) != 1:
        raise ValueError(f"the page needs one {begin} with its {end}")
    return place.sub(lambda _: f"{begin}\n{made}\n{end}", page)
