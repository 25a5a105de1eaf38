"""Our verdict beside those of other scanners and of torch, for every file of some folders.

    python benchmarks/compare_scanners.py hostile=FOLDER benign=FOLDER --scanners PYTHON [--torch PYTHON]
        [--marker FILE] [--page docs/security.md] [--results FILE.json] [--only TOOL ...]

Each tool looks at each file in a process of its own, in 20 seconds and 2 GB. `--marker` is the file that payloads
create: where it appears, a payload ran. A folder's manifest.json says of what kind its files are. `--results` keeps
the verdicts, so that `--only weightlift` asks one tool again, and `--new` asks weightlift about every file and the
others about those that they have said nothing of.
`--page` puts the tables between `<!-- begin NAME -->` and `<!-- end NAME -->`; without it they are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from confined import Ran, run
from scanner_tables import tables, with_tables

ASK = str(Path(__file__).with_name("ask_scanner.py"))
SCANNERS = ("picklescan", "modelscan", "fickling", "modelaudit-picklescan")
TORCH = ("torch", "torch-mmap")
TOOLS = ("weightlift", *SCANNERS, *TORCH)

Verdicts = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Tools:
    """Whom to ask: interpreters that have the scanners, torch, and weightlift (this one)."""

    scanners: str
    torch: str
    marker: Path | None

    def ask(self, tool: str, path: Path) -> str:
        """Return a tool's verdict on one file, or what became of it instead."""
        return verdict_of(run([self.interpreter(tool), ASK, tool, str(path)], **self.surroundings(tool)))

    def interpreter(self, tool: str) -> str:
        """Return the interpreter that has a tool."""
        return sys.executable if tool == "weightlift" else self.torch if tool in TORCH else self.scanners

    def surroundings(self, tool: str) -> dict[str, str]:
        """Return what weightlift needs to be found where it is not installed."""
        return {"PYTHONPATH": os.pathsep.join(sys.path)} if tool == "weightlift" else {}

    def has_run(self) -> bool:
        """Whether a payload ran since this was last asked; its trace is removed."""
        if self.marker is None or not self.marker.exists():
            return False
        self.marker.unlink()
        return True

    def versions(self) -> dict[str, str]:
        """Return the version of each tool that can be had."""
        found = {}
        for tool in ("weightlift", *SCANNERS, "torch"):
            ran = run([self.interpreter(tool), ASK, tool], **self.surroundings(tool))
            if ran.code == 0:
                found[tool] = ran.said.strip().splitlines()[-1]
        return found


def verdict_of(ran: Ran) -> str:
    """Return a verdict, or `hang`, `memory`, `crash SIGNAL`, `error` where there is none."""
    if ran.hung:
        return "hang"
    if ran.out_of_memory:
        return "memory"
    if ran.signal:
        return f"crash {ran.signal}"
    said = [line.partition("verdict: ")[2] for line in ran.said.splitlines() if line.startswith("verdict: ")]
    return said[-1] if said else "error"


def files_of(folder: Path) -> Iterator[str]:
    """Yield the names of a folder's files, in order, and those of its folders that are not hidden."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts[:-1])
        if path.is_file() and not hidden and path.name != "manifest.json":
            yield name.as_posix()


def kinds_of(folder: Path) -> dict[str, str]:
    """Return what a folder's manifest says of each file, from {name: {kind}} or a list of {name, container}."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return {}
    said = json.loads(manifest.read_text("utf-8"))
    if isinstance(said.get("files"), list):
        return {record["name"]: record.get("container", "") for record in said["files"]}
    return {name: record["kind"] for name, record in said.items()}


def ask_all(tools: Tools, folder: Path, asked: Iterable[str], jobs: int, known: Verdicts | None = None) -> Verdicts:
    """Return {file: {tool: verdict}} for the tools asked; what is known stays, but for ours.

    With several at a time nobody could tell whose payload left a trace, so where there is one all are asked again,
    one after the other.
    """
    known = known or {}
    found = {name: dict(known.get(name, {})) for name in files_of(folder)}
    pairs = [(name, tool) for name in found for tool in asked if tool == "weightlift" or tool not in found[name]]

    def ask(pair: tuple[str, str]) -> None:
        verdict = tools.ask(pair[1], folder / pair[0])
        if jobs == 1 and tools.has_run():
            verdict = "RAN THE PAYLOAD"
        found[pair[0]][pair[1]] = verdict
        print(f"{pair[0]}: {pair[1]}: {verdict}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(ask, pairs))
    if jobs > 1 and tools.has_run():
        return ask_all(tools, folder, asked, 1, known)
    return found


def main() -> int:
    """Run the command line; 1 where a payload ran under weightlift."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--scanners", default=sys.executable, help="interpreter that has the other scanners")
    parser.add_argument("--torch", default=sys.executable, help="interpreter that has torch")
    parser.add_argument("--marker", type=Path, help="file that payloads create")
    parser.add_argument("--page", type=Path, help="Markdown page to put the tables into")
    parser.add_argument("--results", type=Path, help="JSON file that keeps the verdicts")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=TOOLS, help="ask these, keep what others said")
    parser.add_argument("--new", action="store_true", help="ask others only what they have not said yet")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    if given.marker and given.marker.exists():
        parser.error(f"{given.marker} is there already")
    tools = Tools(given.scanners, given.torch, given.marker)
    kept = json.loads(given.results.read_text("utf-8")) if given.results and given.results.exists() else {}
    versions = tools.versions()
    asked = [tool for tool in given.only if tool.partition("-mmap")[0] in versions]
    for name, _, folder in (folder.partition("=") for folder in given.folders):
        path = Path(folder).resolve()
        earlier = kept.get(name, {}).get("rows", {})
        rows = ask_all(tools, path, asked, given.jobs, earlier if given.new else None)
        rows = {file: earlier.get(file, {}) | verdicts for file, verdicts in rows.items()}
        kept[name] = {"kinds": kinds_of(path), "versions": versions, "rows": rows}
        made = tables(name, kept[name])
        if given.results:
            given.results.write_text(json.dumps(kept, indent=1), "utf-8")
        if given.page:
            given.page.write_text(with_tables(given.page.read_text("utf-8"), name, made), "utf-8")
        else:
            print(made)
    ours = (row.get("weightlift") for section in kept.values() for row in section["rows"].values())
    return int("RAN THE PAYLOAD" in ours)


if __name__ == "__main__":
    sys.exit(main())
