"""`python -m fuzz.run --seconds 3600 --jobs 1`: kinds take turns; counts go on where they were left off.

Where atheris is installed, its coverage guides every third round; the rounds between change what that has kept,
several times as fast without instrumentation. Writes FOLDER/totals.json after every turn, one line to the terminal, and a Markdown row at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from .counters import KINDS_OF_FINDINGS, NBYTES, Counters

_ENDED = (0, 72, -signal.SIGTERM, -signal.SIGINT)  # 72: libFuzzer, told to end by a signal; 1: Python, by an exception
_STUCK = 30  # seconds of a processor without a new execution: not even a signal gets through


class Totals:
    """What all turns so far have counted, kept in a file."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "totals.json")
        self.lock = threading.Lock()
        self.counts: dict[str, Any] = {
            "executions": 0, "crashes": 0, "stuck": 0, **dict.fromkeys(KINDS_OF_FINDINGS, 0), "seconds": 0.0, "turns": 0,
            "slowest_us": 0, "kinds": {}, "by": {},
        }  # fmt: skip
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.counts |= json.load(file)

    def add(self, kind: str, engine: str, counters: Counters, seconds: float, *, crashed: bool, stuck: bool) -> None:
        """Take in one turn and write the file."""
        with self.lock:
            self.counts["executions"] += counters.executions
            self.counts["crashes"] += crashed
            self.counts["stuck"] += stuck
            self.counts["seconds"] += seconds
            self.counts["turns"] += 1
            self.counts["slowest_us"] = max(self.counts["slowest_us"], counters.slowest_us)
            for name, count in counters.findings.items():
                self.counts[name] += count
            about = self.counts["kinds"].setdefault(kind, {"executions": 0, "seconds": 0.0})
            about["executions"] += counters.executions
            about["seconds"] += seconds
            self.counts["by"][engine] = self.counts["by"].get(engine, 0) + counters.executions
            with open(f"{self.path}.new", "w", encoding="utf-8") as file:
                json.dump(self.counts, file, indent=1)
            os.replace(f"{self.path}.new", self.path)
            rate = counters.executions / seconds if seconds else 0
            print(
                f"{time.strftime('%H:%M:%S')} {kind:12} {engine:8} {counters.executions:8,} ({rate:6,.0f}/s)  {self}",
                flush=True,
            )

    def __str__(self) -> str:
        about = self.counts
        found = ", ".join(f"{about[name]} {name}" for name in ("crashes", "stuck", *KINDS_OF_FINDINGS))
        return f"in all {about['executions']:,} executions: {found}"

    def row(self) -> str:
        """A row for a table: executions, crashes, hangs, unnamed exceptions, too much memory, markers."""
        about = self.counts
        hangs = about["hang"] + about["stuck"]
        cells = (about["executions"], about["crashes"], hangs, about["unnamed"], about["memory"], about["marker"])
        return "| " + " | ".join(f"{cell:,}" for cell in cells) + " |"


def turn(
    kind: str, folder: str, seconds: float, seed: int, engine: str, totals: Totals, worker: int, stop: threading.Event
) -> None:
    """Run one turn in a process of its own, and take its counts over whatever becomes of it."""
    here = os.path.join(folder, f"worker{worker}")
    os.makedirs(here, exist_ok=True)
    for name in ("seeds", "corpus", "findings"):
        if not os.path.lexists(os.path.join(here, name)):
            os.symlink(os.path.join("..", name), os.path.join(here, name))
    path = os.path.join(here, "counters")
    with open(path, "wb") as file:
        file.write(bytes(NBYTES))
    began = time.monotonic()
    words = [sys.executable, "-m", "fuzz.slice", kind, here, str(seconds), str(seed), engine]
    with open(os.path.join(here, "log"), "wb") as log:
        child = subprocess.Popen(
            words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=here
        )
        stuck = False
        try:
            stuck = _waited(child, path, stop)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            counters = _counters(path)
            crashed = child.returncode not in _ENDED and not stuck and not stop.is_set()
            totals.add(kind, engine, counters, time.monotonic() - began, crashed=crashed, stuck=stuck)
    if crashed or stuck:
        what = "crash" if crashed else "stuck"
        with open(os.path.join(folder, "findings", f"{what}-{kind}-{seed}"), "wb") as file:
            file.write(counters.last)
        with open(os.path.join(here, "log"), encoding="utf-8", errors="replace") as log_file:
            told = [line for line in log_file if not line.startswith("INFO:")]
        with open(os.path.join(folder, "findings", f"{what}-{kind}-{seed}.txt"), "w", encoding="utf-8") as file:
            file.write(f"ended with {child.returncode}\n{''.join(told[-60:])}")


def _waited(child: subprocess.Popen[bytes], path: str, stop: threading.Event) -> bool:
    """Wait for the end of a turn, or end it; whether it had to be ended because nothing moved."""
    last, since = 0, 0.0
    while not stop.is_set():
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            count, now = _counters(path).executions, _processor_seconds(child.pid)
            if count != last or not count:  # until the first one, its modules are loaded
                last, since = count, now
            elif now - since > _STUCK:
                child.kill()
                child.wait()
                return True
        else:
            return False
    return False


def _processor_seconds(pid: int) -> float:
    """What a process has had of a processor, however busy the machine is; elsewhere than on Linux, the time."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return time.monotonic()


def _counters(path: str) -> Counters:
    with open(path, "rb") as file:
        return Counters(bytearray(file.read()))


def main() -> int:
    """Run until the time is over; 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--turn", type=float, default=90, help="seconds of one turn")
    parser.add_argument("--folder", default=".fuzz")
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--engine", choices=("atheris", "outcomes"), default=_engine())
    given = parser.parse_args()
    folder = os.path.abspath(given.folder)
    for name in ("seeds", "corpus", "findings"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    if not os.listdir(os.path.join(folder, "seeds")):
        # in a process of its own: what torch takes there would count as the peak of every child
        subprocess.run([sys.executable, "-m", "fuzz.seeds", os.path.join(folder, "seeds")], check=True)
    totals = Totals(folder)
    until = time.monotonic() + given.seconds
    turns = itertools.count(totals.counts["turns"])
    kinds = given.kinds or _shares()

    stop = threading.Event()

    def work(worker: int) -> None:
        while (left := until - time.monotonic()) > min(5, given.turn / 2) and not stop.is_set():
            number = next(turns)
            engine = given.engine if number // len(kinds) % 3 == 0 else "outcomes"
            turn(kinds[number % len(kinds)], folder, min(given.turn, left), number + 1, engine, totals, worker, stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(given.jobs)]
    for each in workers:
        each.start()
    for each in workers:
        while each.is_alive():  # so that a signal is heard meanwhile
            each.join(1)
    print(f"guidance: {given.engine}\n{totals.row()}")
    about = totals.counts
    return int(any(about[name] for name in ("crashes", "stuck", *KINDS_OF_FINDINGS)))


def _shares() -> list[str]:
    from .kinds import KINDS

    return [kind.name for kind in KINDS.values() for _ in range(kind.share)]


def _engine() -> str:
    from importlib.util import find_spec

    return "atheris" if find_spec("atheris") else "outcomes"


if __name__ == "__main__":
    sys.exit(main())
