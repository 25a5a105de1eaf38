"""Saving and resuming training against torch.save, safetensors, DCP, Orbax and what the machine can do at most.

    python benchmarks/bench_training.py [--torch-python PYTHON] [--orbax-python PYTHON] [--quick] [--markdown]

The state is GPT-2 small with the moments of AdamW, 1.5 GB (`--quick`: 50 MB). Every way runs in a process of
its own that builds the state once and makes a few calls; the processes of all ways take turns. Targets: a
verified durable save at most 1.15 times a raw write with fsync; the stall of an async save at most half of
DCP's, after the first; a verified load at most 1.3 times a raw read, cold, and at least twice as fast as DCP's,
warm. Needs up to 9 times the state on the disk (`--where`), and 3 times it in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from statistics import median

from measuring import Given, arguments, megabytes, print_table, seconds, title

HERE = os.path.dirname(os.path.abspath(__file__))
TASKS = ("save", "stall", "cold", "warm", "small")
WAYS = {
    "save": ("write + fsync", "weightlift", "torch.save + fsync", "safetensors + fsync", "DCP", "Orbax"),
    "stall": ("copy in memory", "weightlift", "DCP", "DCP, stager kept", "DCP, stager kept, pinned"),
    "load": (
        "read", "read, fresh memory", "weightlift", "torch.load", "torch.load(mmap=True)", "DCP",
        "DCP, as its tutorial", "Orbax",
    ),
    "small": (
        "write + fsync", "write + fsync + replace", "weightlift", "torch.save + fsync",
        "torch.save + fsync + replace", "safetensors + fsync + replace", "DCP",
    ),
}  # fmt: skip
HEADS = {
    "save": "durable save",
    "stall": "until training goes on, of a save that does not wait",
    "cold": "load into a live model and optimizer, page cache empty",
    "warm": "the same, files in the page cache",
    "small": "1,000 saves of a model of 1 MB, one over the other",
}


@dataclass(slots=True)
class Told:
    """What the processes of one way told, a list for each round; seconds of the first calls apart."""

    first: list[float] = field(default_factory=list)
    later: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    skipped: str = ""

    @property
    def all_later(self) -> list[float]:
        """Every call but the first of each process."""
        return [second for round_ in self.later for second in round_]

    def times(self, base: Told) -> str:
        """Return the quotient of the medians, and the least and the most of those of single rounds."""
        rounds = [median(mine) / median(theirs) for mine, theirs in zip(self.later, base.later, strict=True)]
        whole = median(self.all_later) / median(base.all_later)
        return f"{whole:.2f} ({min(rounds):.2f} - {max(rounds):.2f})"


class Asked(Given):
    """What this benchmark is told on top."""

    orbax_python: str | None
    quick: bool
    only: list[str]

    def ask(self, task: str, way: str, size: str, folder: str, times: int) -> dict:
        """Return what one fresh process tells of one way."""
        python, script = self.torch_python, "training_ways.py"
        if way == "Orbax":
            if not self.orbax_python:
                return {"skipped": "no --orbax-python"}
            python, script = self.orbax_python, "training_orbax.py"
        command = [python, "-W", "ignore", os.path.join(HERE, script), task, way, size, folder, str(times)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{task}, {way}: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    given = arguments(__doc__, repeats=5, more=_more)
    asked = Asked(**vars(given))
    title("Training", given)
    with given.folder() as folder:
        for task in asked.only or TASKS:
            _bench(task, asked, folder)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orbax-python", help="interpreter that has orbax-checkpoint (default: it is left out)")
    parser.add_argument("--quick", action="store_true", help="50 MB instead of 1.5 GB, to try it")
    parser.add_argument("--only", action="append", default=[], choices=TASKS, help="one of the tables; may be repeated")


def _bench(task: str, asked: Asked, folder: str) -> None:
    size = "small" if task == "small" else "quick" if asked.quick else "full"
    ways = WAYS["load" if task in {"cold", "warm"} else task]
    places = {way: os.path.join(folder, f"{task}-{n}") for n, way in enumerate(ways)}
    told, load = {way: Told() for way in ways}, f"{os.getloadavg()[0]:.1f}"
    if task in {"cold", "warm"}:
        for way in ways:
            told[way].skipped = asked.ask("make", way, size, places[way], 0).get("skipped", "")
    times = {"save": 3, "stall": 4, "small": 1 + 1000 // asked.repeats}.get(task, 3)
    for turn in range(asked.repeats):
        for way in ways if turn % 2 else reversed(ways):
            if not told[way].skipped:
                _note(told[way], asked.ask("save" if task == "small" else task, way, size, places[way], times))
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
    base = told[ways[0]]
    rows = []
    for way, of in told.items():
        if of.skipped:
            rows.append((f"{way}: not measured, {of.skipped}", *[""] * 5))
        else:
            figures = (seconds(of.all_later), of.times(base), seconds(of.cpu), seconds(of.first), megabytes(of.peak))
            rows.append((way, *figures))
    head = (HEADS[task], "calls after the first", "times the first line", "CPU", "first call", "memory on top")
    print(f"Load of the machine, of which 1 may be this benchmark: {load} before, {os.getloadavg()[0]:.1f} after.\n")
    print_table(head, rows, markdown=asked.markdown)


def _note(told: Told, answer: dict) -> None:
    told.skipped = answer.get("skipped", "")
    if not told.skipped:
        first, *later = answer["seconds"]
        told.first.append(first)
        told.later.append(later)
        told.cpu += answer["cpu"][1:]
        told.peak.append(answer["peak"])


if __name__ == "__main__":
    main()
