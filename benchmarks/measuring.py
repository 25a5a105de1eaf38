"""Commands timed against each other: each run a fresh process, runs interleaved, medians and ranges.

The process that measures stays small on purpose: Linux counts the pages of the parent at the moment of
exec into the child's peak memory, so nothing heavy is imported here or in the scripts that use it.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

Command = Sequence[str]


@dataclass(slots=True)
class Runs:
    """What repeated runs of one command took: wall and CPU seconds, peak memory in bytes."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)


def run_once(command: Command) -> tuple[float, float, int]:
    """Return (wall seconds, CPU seconds, peak resident bytes) of one fresh process.

    Raises:
        SystemExit: the command fails; a benchmark of failures would be quick.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    started = perf_counter()
    pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    wall = perf_counter() - started
    if status:
        raise SystemExit(f"exit status {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit


def interleave(
    commands: dict[str, Command], *, repeats: int, before_each: Callable[[str], None] | None = None
) -> dict[str, Runs]:
    """Return the runs of every command. Rounds, not blocks: noise of the machine meets all alike.

    Every other round goes backwards, so that no command always follows the same one. The first round
    warms the page cache and is not counted. `before_each` runs, untimed, before every command.
    """
    runs = {name: Runs() for name in commands}
    for turn in range(repeats + 1):
        for name in list(commands) if turn % 2 else reversed(commands):
            if before_each:
                before_each(name)
            wall, cpu, peak = run_once(commands[name])
            if turn:
                runs[name].wall.append(wall)
                runs[name].cpu.append(cpu)
                runs[name].peak.append(peak)
    return runs


def ratio(runs: dict[str, Runs], name: str, base: str) -> float:
    """Return how many times as long `name` took as `base`: the quotient of their medians."""
    return median(runs[name].wall) / median(runs[base].wall)


def seconds(values: list[float]) -> str:
    """Return `median (least - most)`, in milliseconds below a second."""
    scale, unit, digits = (1000, "ms", 1) if median(values) < 1 else (1, "s", 2)
    low, mid, high = (f"{scale * value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{mid} {unit} ({low} - {high})"


def megabytes(values: list[int]) -> str:
    """Return the median in MB (10^6 bytes)."""
    return f"{median(values) / 1e6:.1f} MB"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print rows as aligned columns, or as a Markdown table."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    left, middle, right = ("| ", " | ", " |") if markdown else ("", "  ", "")
    for i, row in enumerate((head, *rows)):
        print((left + middle.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + right).rstrip())
        if markdown and i == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    print()


class Given(argparse.Namespace):
    """What a benchmark is told."""

    python: str
    torch_python: str
    repeats: int
    markdown: bool
    where: str | None

    @property
    def weightlift(self) -> str:
        """The command as users start it."""
        return os.path.join(os.path.dirname(self.python), "weightlift")

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """Return a folder that goes away at the end."""
        return tempfile.TemporaryDirectory(prefix="weightlift-bench-", dir=self.where)


def arguments(
    about: str | None, *, repeats: int, more: Callable[[argparse.ArgumentParser], None] | None = None
) -> Given:
    """Return the command line of a benchmark; `more` adds options of its own."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter beside a weightlift command")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has torch")
    parser.add_argument(
        "--repeats", "--rounds", type=int, default=repeats, help="counted rounds (default: %(default)s)"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a Markdown page")
    parser.add_argument("--where", help="folder on the disk to measure (default: the temporary one)")
    if more:
        more(parser)
    return parser.parse_args(namespace=Given())


def title(name: str, given: Given) -> None:
    """Print what was measured on what."""
    ask = "import platform; print(platform.python_version())"
    version = subprocess.run([given.python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    print(f"{'### ' if given.markdown else ''}{name}\n")
    print(f"{machine()}, Python {version}; medians (least - most) of {given.repeats} interleaved runs.\n")


def machine() -> str:
    """Return what was measured on: cores, processor, system. No names of hosts or people."""
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{os.cpu_count()} cores, {processor or platform.machine()}, {system}"
