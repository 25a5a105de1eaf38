"""`weightlift scan` beside picklescan and fickling: files and megabytes of pickle in a second.

    python benchmarks/bench_scan.py [--python PYTHON] [--scanners-python PYTHON] [--corpus FOLDER] [--markdown]

`--python` is an environment with weightlift installed, `--scanners-python` one with `picklescan` and `fickling`.
Each scanner gets 1,000 small state dicts, made on the spot, and the files of a corpus: a fresh process for
each file as a hook has it, then all of them in one process, and in two where a scanner offers it. The commands are
those that users start. fickling's own does not read zips, so its functions are called by a script.
What a scanner cannot read counts with the time that it takes to say so; the tables tell how many those are. fickling
ends in an error of its own on some files: they are counted, and it is measured on the others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter

from files import make_small_state_dicts
from measuring import Given, arguments, print_table, seconds, title

FILES = 1000
FRESH = 10
"""How many of a thousand alike are given a process each, in every round."""

_FICKLING = """
import sys, zipfile
from fickling.loader import scan_file, scan_zip_archive
for path in sys.argv[1:]:
    if zipfile.is_zipfile(path):
        scan_zip_archive(path, graceful=True)
    else:
        scan_file(path, graceful=True)
"""
_PICKLESCAN = """
import sys
from picklescan.scanner import scan_file_path
for path in sys.argv[1:]:
    try:
        scan_file_path(path)
    except Exception:
        pass
"""
_CANNOT = {
    "picklescan": """
import logging, sys
from picklescan.scanner import scan_file_path
logging.disable()
def fails(path):
    try:
        return scan_file_path(path).scan_err
    except Exception:
        return True
print(sum(map(fails, sys.argv[1:])))
""",
    "fickling": """
import sys, zipfile
from fickling.loader import scan_file, scan_zip_archive
def fails(path):
    if not zipfile.is_zipfile(path):
        return bool(scan_file(path, graceful=True).errors)
    found = scan_zip_archive(path, graceful=True)
    return not found or any(each.errors for each in found.values())
failed, crashed = 0, []
for path in sys.argv[1:]:
    try:
        failed += fails(path)
    except Exception:
        crashed.append(path)
print(failed, *crashed, sep="\\n")
""",
}


def main() -> None:
    given = arguments(__doc__, repeats=5, more=_more)
    title("Scan", given)
    with given.folder() as folder:
        make_small_state_dicts(folder, FILES, python=given.torch_python)
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
        _measure("1,000 small files", paths, folder, paths[:: FILES // FRESH], given)
    if given.corpus:
        every = sorted(os.path.join(given.corpus, name) for name in os.listdir(given.corpus))
        paths = [path for path in every if os.path.isfile(path) and not path.endswith(".json")]
        _measure(f"corpus, {len(paths)} files", paths, None, paths, given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scanners-python", default=sys.executable, help="interpreter with picklescan and fickling")
    parser.add_argument("--corpus", help="folder of real checkpoints (make corpus)")


def _measure(what: str, paths: list[str], folder: str | None, fresh: list[str], given: Given) -> None:
    found = json.loads(_run([given.weightlift, "scan", "--json", *paths], capture=True))["files"]
    nbytes = {file["path"]: file["pickle_nbytes"] for file in found}
    few = paths[:: max(1, len(paths) // 50)]  # fickling takes a hundred times as long
    cannot = {"weightlift": f"{sum(file['verdict'] == 'unreadable' for file in found)} of {len(paths)}"}
    said = _run([given.scanners_python, "-c", _CANNOT["picklescan"], *paths], capture=True)
    cannot["picklescan"] = f"{said.strip()} of {len(paths)}"
    tried = sorted({*few, *fresh})
    failed, *crashed = _run([given.scanners_python, "-c", _CANNOT["fickling"], *tried], capture=True).splitlines()
    cannot["fickling"] = f"{failed} of {len(tried)}" + (f", {len(crashed)} crash it" if crashed else "")
    few = [path for path in few if path not in crashed]
    for_fickling = [path for path in fresh if path not in crashed]
    picklescan = os.path.join(os.path.dirname(given.scanners_python), "picklescan")
    one = {
        "`python -c pass`": [given.python, "-c", "pass"],
        "weightlift": [given.weightlift, "scan"],
        "picklescan": [picklescan, "-p"],
        "fickling": [given.scanners_python, "-c", _FICKLING],
    }
    rows = []
    each = {name: for_fickling if name == "fickling" else fresh for name in one}
    runs = _rounds({name: [[*one[name], path] for path in each[name]] for name in one}, given.repeats)
    slow = {"fickling": runs.pop("fickling")} if crashed else {}
    size = sum(nbytes[path] for path in fresh)
    rows += _rows("a fresh process for each file", runs, "picklescan", len(fresh), size, cannot)
    size = sum(nbytes[path] for path in for_fickling)
    rows += _alone(f"the same for {len(for_fickling)} of them", slow, len(for_fickling), size, cannot)
    targets = [folder] if folder else paths
    # picklescan's command takes one path; several files are handed to its function
    together = [picklescan, "-p", folder] if folder else [given.scanners_python, "-c", _PICKLESCAN, *paths]
    whole = {
        "weightlift": [[given.weightlift, "scan", "--jobs", "1", *targets]],
        "weightlift, 2 processes": [[given.weightlift, "scan", "--jobs", "2", *targets]],
        "picklescan": [together],
        "fickling": [[given.scanners_python, "-c", _FICKLING, *few]],
    }
    runs = _rounds(whole, given.repeats)
    slow = {"fickling": runs.pop("fickling")}
    rows += _rows("all in one process", runs, "picklescan", len(paths), sum(nbytes.values()), cannot)
    size = sum(nbytes[path] for path in few)
    rows += _alone(f"{len(few)} of them", slow, len(few), size, cannot)
    print(f"{what}, {sum(nbytes.values()) / 1e6:.1f} MB of pickles\n")
    head = (
        "how",
        "scanner",
        "wall",
        "CPU",
        "files/s",
        "MB of pickle/s",
        "picklescan's wall",
        "picklescan's CPU",
        "cannot read",
    )
    print_table(head, rows, markdown=given.markdown)


def _alone(
    how: str, runs: dict[str, list[tuple[float, float]]], count: int, nbytes: int, cannot: dict[str, str]
) -> list[tuple[str, ...]]:
    """Return the rows of what was given other files than the rest, and is not compared with it."""
    return [(*row[:6], "", "", row[8]) for name in runs for row in _rows(how, runs, name, count, nbytes, cannot)]


def _run(command: Sequence[str], *, capture: bool = False) -> str:
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode not in range(4):  # verdicts
        raise SystemExit(f"exit status {done.returncode}: {' '.join(command[:3])}")
    return done.stdout if capture else ""


def _rounds(ways: dict[str, list[list[str]]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds, of the clock and of processors, of each way in each round but the first."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name in list(ways) if turn % 2 else reversed(ways):
            started, used = perf_counter(), _used()
            for command in ways[name]:
                _run(command)
            if turn:
                taken[name].append((perf_counter() - started, _used() - used))
    return taken


def _used() -> float:
    """Return the processor seconds of all processes that were started and have ended, with those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rows(
    how: str, runs: dict[str, list[tuple[float, float]]], base: str, count: int, nbytes: int, cannot: dict[str, str]
) -> list[tuple[str, ...]]:
    rows = []
    middle = {
        name: (median(wall for wall, _ in taken), median(cpu for _, cpu in taken)) for name, taken in runs.items()
    }
    for name, taken in runs.items():
        took, cpu = middle[name]
        is_scanner = not name.startswith("`")
        speed = (f"{count / took:,.0f}", f"{nbytes / took / 1e6:.2f}") if is_scanner else ("", "")
        times = f"{middle[base][0] / took:.2f}", f"{middle[base][1] / cpu:.2f}"
        rows.append(
            (
                how,
                name,
                seconds([wall for wall, _ in taken]),
                f"{cpu:.2f} s",
                *speed,
                *times,
                cannot.get(name.partition(",")[0], ""),
            )
        )
    return rows


if __name__ == "__main__":
    main()
