"""`weightlift lint` beside ruff and bandit on one tree: wall and processor seconds.

    python benchmarks/bench_lint.py TREE [--python PYTHON] [--linters-python PYTHON] [--bandit ROUNDS] [--markdown]

`--python` is an environment with weightlift installed, `--linters-python` one with ruff and bandit. ruff is given two
rules, one of which looks at calls, one thread and no cache; bandit all of its own, as it has no fewer for torch alone,
and rounds of its own, since one takes minutes. What a linter finds is no matter here, and no error.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from statistics import median
from time import perf_counter

from measuring import arguments, print_table, seconds, title

_RUFF = ("check", "--select", "S301,B006", "--no-cache", "--isolated", "-q")
_EVERY_RULE = ("--select", "WL", "--torch-min", "2.1")

Runs = dict[str, list[tuple[float, float]]]


def main() -> None:
    given = arguments(__doc__, repeats=7, more=_more)
    os.environ["RAYON_NUM_THREADS"] = "1"
    title("Lint", given)
    files, lines = _size(given.tree)
    print(f"{files:,} Python files, {lines:,} lines\n")
    beside = os.path.dirname(given.linters_python)
    commands = {
        "`python -c pass`": [given.python, "-c", "pass"],
        "weightlift lint": [given.weightlift, "lint", given.tree],
        "weightlift lint, every rule": [given.weightlift, "lint", given.tree, *_EVERY_RULE],
        "ruff, 2 rules": [os.path.join(beside, "ruff"), *_RUFF, given.tree],
    }
    runs = _rounds(commands, given.repeats)
    if given.bandit:
        runs |= _rounds({"bandit": [os.path.join(beside, "bandit"), "-q", "-r", given.tree]}, given.bandit, warm=False)
    base = median(cpu for _, cpu in runs["ruff, 2 rules"])
    rows = []
    for name, taken in runs.items():
        cpus = [cpu for _, cpu in taken]
        times = f"{median(cpus) / base:.2f}" if not name.startswith("`") else ""
        rows.append((name, str(len(taken)), seconds(cpus), seconds([wall for wall, _ in taken]), times))
    print_table(("linter", "rounds", "CPU", "wall", "ruff's CPU"), rows, markdown=given.markdown)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", metavar="TREE", help="a folder of Python code, such as transformers unpacked")
    parser.add_argument("--linters-python", default=sys.executable, help="interpreter beside ruff and bandit")
    parser.add_argument("--bandit", type=int, default=0, metavar="ROUNDS", help="rounds of bandit (default: none)")


def _size(tree: str) -> tuple[int, int]:
    """Return how many Python files there are under a folder, and their lines; the page cache has them then."""
    files = lines = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(folder, name), "rb") as file:
                    lines += file.read().count(b"\n")
                files += 1
    return files, lines


def _rounds(commands: dict[str, list[str]], repeats: int, *, warm: bool = True) -> Runs:
    """Return the seconds, of the clock and of processors, of each command in each round, interleaved."""
    taken: Runs = {name: [] for name in commands}
    for turn in range(not warm, repeats + 1):
        for name in list(commands) if turn % 2 else reversed(commands):
            started, used = perf_counter(), _used()
            done = subprocess.run(commands[name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if done.returncode not in (0, 1):
                raise SystemExit(f"exit status {done.returncode}: {name}\n{done.stderr.decode()[-500:]}")
            if turn:
                taken[name].append((perf_counter() - started, _used() - used))
    return taken


def _used() -> float:
    """Return the processor seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
