"""Scenarios crashed, and the table of what that left: `python -m crash.run [NAME ...] --table FILE`.

Rows of other runs that are in FILE.json stay, so that tools which need an interpreter of their own can add theirs.
Exit 1 where a save of ours left what it should not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from importlib.util import find_spec

from .check import crash
from .record import why_not
from .scenarios import BY_HAND, OURS, SCENARIOS

_HEAD = "| {} | states | unreadable | silent mix | lost work |{}\n|---|---|---|---|---|{}\n"
_KINDS = ("states", "unreadable", "mixed", "lost")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="crash.run", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *SCENARIOS], help="scenarios; all by default")
    parser.add_argument("--table", metavar="FILE", help="write FILE.json and FILE.md")
    parser.add_argument("--at-most", type=int, metavar="N", help="check no more than N states of each")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(reason, file=sys.stderr)  # noqa: T201
        return 2
    logging.disable()  # torch and Orbax log every state that they cannot read
    rows = _earlier(options.table)
    failed = False
    for name in options.names or SCENARIOS:
        if missing := [module for module in SCENARIOS[name].needs if find_spec(module) is None]:
            print(f"{name}: left out, needs {', '.join(missing)}", file=sys.stderr)  # noqa: T201
            continue
        tally = crash(name, at_most=options.at_most)
        rows[name] = tally.as_json()
        failed |= name in OURS and tally.failures > 0
        counts = f"{tally.unreadable} unreadable, {tally.mixed} mixed, {tally.lost} lost, {tally.stuck} stuck"
        print(f"{name}: {tally.states} states in {tally.seconds} s: {counts}", flush=True)  # noqa: T201
        for kind, example in tally.examples.items():
            print(f"    {kind}: {example if name in OURS else example[:150]}", flush=True)  # noqa: T201
    if options.table:
        _write(options.table, rows)
    return int(failed)


def _earlier(table: str | None) -> dict[str, dict]:
    if table is None or not os.path.exists(f"{table}.json"):
        return {}
    with open(f"{table}.json", encoding="utf-8") as file:
        return json.load(file)


def _write(table: str, rows: dict[str, dict]) -> None:
    with open(f"{table}.json", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    peers = [name for name in SCENARIOS if name in rows and name not in BY_HAND and name not in OURS]
    ours = [name for name in OURS if name in rows]
    lines = [_HEAD.format("save", "", ""), *(_row(SCENARIOS[name].title, [rows[name]], _KINDS) for name in peers)]
    lines.append("\n" + _HEAD.format("our saves", " next save fails |", "---|"))
    lines += [_row(SCENARIOS[name].title, [rows[name]], (*_KINDS, "stuck")) for name in ours]
    lines.append(_row("**all**", [rows[name] for name in ours], (*_KINDS, "stuck")))
    with open(f"{table}.md", "w", encoding="utf-8") as file:
        file.write("".join(lines))


def _row(title: str, rows: list[dict], kinds: tuple[str, ...]) -> str:
    total = [sum(row[kind] for row in rows) for kind in kinds]
    return f"| {title} | {' | '.join(f'{number:,}' for number in total)} |\n"


if __name__ == "__main__":
    sys.exit(main())
