#!/usr/bin/env python3
"""Lint the sources of packages, and draw a sample of what is found for somebody to judge. Nothing of them is run.

    python tools/lint_study.py FOLDER [--sample 200] [--seed 7] [--sources FOLDER] [--select WL101 ...]

FOLDER holds wheels and source archives, as `pip download --no-deps` puts them there. Every rule looks at them, those
too that are off by default, for torch 2.1 so that no rule is silent. The sample takes the same share of each rule;
what a rule with fewer findings leaves goes to the others. Printed are the packages, the table of rates of what is
judged already, the number of findings of each rule, and the sample as docs/lint-study.tsv has it, with the judgements
that are there already and `?` for the others.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import weightlift as wl
from weightlift.lints.rule import rule
from weightlift.lints.table import RULES

JUDGED = Path(__file__).parents[1] / "docs/lint-study.tsv"
COLUMNS = ("sample", "package", "version", "file", "line", "rule", "verdict", "now", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding: where it is, in which version of which package."""

    rule: str
    package: str
    version: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader of the code said of a finding."""

    sample: str
    finding: Finding
    verdict: str
    """`true`: the code does what the page of the rule says is bad. `false`: it does not."""
    now: str
    """`found`, or `left alone` where the rule has been made narrower since."""
    reason: str


def verdicts(path: Path = JUDGED) -> list[Verdict]:
    """Return the judgements of docs/lint-study.tsv, in the order of the file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Verdict(
            row["sample"],
            Finding(row["rule"], row["package"], row["version"], row["file"], int(row["line"])),
            row["verdict"],
            row["now"],
            row["reason"],
        )
        for row in rows
    ]


def name_and_version(archive: Path) -> tuple[str, str]:
    """Return what the name of a wheel or of a source archive says: `timm`, `1.0.31`."""
    stem = archive.name.removesuffix(".tar.gz").removesuffix(".zip").removesuffix(".whl")
    if archive.suffix == ".whl":
        name, version, *_ = stem.split("-")
    else:
        name, _, version = stem.rpartition("-")
    return name, version


def unpack(archive: Path, folder: Path) -> Path:
    """Write the Python files and notebooks of an archive into a folder of its own, and return that."""
    target = folder / "-".join(name_and_version(archive))
    for name, data in _members(archive):
        parts = PurePosixPath(name).parts
        if name.endswith((".py", ".ipynb")) and ".." not in parts and not name.startswith("/"):
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    target.mkdir(parents=True, exist_ok=True)
    return target


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield from ((info.filename, opened.read(info)) for info in opened.infolist() if not info.is_dir())
        return
    with tarfile.open(archive) as opened_tar:
        for member in opened_tar:
            data = opened_tar.extractfile(member) if member.isfile() else None
            if data is not None:
                yield member.name.partition("/")[2], data.read()  # without the folder of the release


def found_in(folder: Path, select: Iterable[str]) -> list[Finding]:
    """Return what the rules find in the unpacked sources of one package."""
    name, _, version = folder.name.rpartition("-")
    found = wl.lint(folder, select=tuple(select), torch_min="2.1")
    return sorted(
        Finding(each.code, name, version, _place(Path(each.path).relative_to(folder), each.cell), each.line)
        for each in found.diagnostics
    )


def _place(path: Path, cell: int | None) -> str:
    return path.as_posix() if cell is None else f"{path.as_posix()}#{cell}"


def drawn(findings: Iterable[Finding], size: int, seed: int) -> list[Finding]:
    """Return a sample with the same share of each rule, as far as there are findings; sorted.

    >>> few = [Finding("WL101", "p", "1", "a.py", line) for line in range(2)]
    >>> many = [Finding("WL401", "p", "1", "a.py", line) for line in range(50)]
    >>> Counter(each.rule for each in drawn(few + many, 10, seed=1))
    Counter({'WL401': 8, 'WL101': 2})
    """
    by_rule: dict[str, list[Finding]] = {}
    for finding in sorted(findings):
        by_rule.setdefault(finding.rule, []).append(finding)
    left, sample = size, []
    for at, code in enumerate(sorted(by_rule, key=lambda code: (len(by_rule[code]), code))):
        share = min(len(by_rule[code]), left // (len(by_rule) - at))
        sample += random.Random(f"{seed} {code}").sample(by_rule[code], share)  # noqa: S311 - a draw, no secret
        left -= share
    return sorted(sample)


def lines_in(folder: Path) -> int:
    """Return how many lines of Python are under a folder."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.py"))


def rate_table(judged: Iterable[Verdict]) -> list[str]:
    """Return the rows of a table of rates, of all that was judged and of what is still found."""
    every = list(judged)
    rows = [
        "| rule | by default | judged | false | rate | still found | false | rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for code in RULES:
        of_rule = [each for each in every if each.finding.rule == code]
        if not of_rule:
            continue
        now = [each for each in of_rule if each.now == "found"]
        standing = "on" if rule(code).on_by_default else "off"
        rows.append(f"| [{code}](rules/{code}.md) | {standing} | {_rate(of_rule)} | {_rate(now)} |")
    return rows


def _rate(judged: list[Verdict]) -> str:
    false = sum(each.verdict == "false" for each in judged)
    return f"{len(judged)} | {false} | {100 * false / len(judged):.0f} %" if judged else "0 | |"


def main() -> int:
    """Print the packages, the table and the sample; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="wheels and source archives")
    parser.add_argument("--sample", type=int, default=200, help="how many findings are drawn")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sources", type=Path, help="where the sources are unpacked to, to be read; else nowhere")
    parser.add_argument("--select", nargs="+", default=["WL1", "WL2", "WL3", "WL4"])
    parser.add_argument("--name", default="packages", help="what the sample is called in the first column")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.sources or Path(scratch)
        findings: list[Finding] = []
        print("| package | version | lines | findings |", "|---|---|---|---|", sep="\n")
        for archive in sorted(asked.folder.iterdir()):
            source = unpack(archive, folder)
            found = found_in(source, asked.select)
            findings += found
            name, version = name_and_version(archive)
            print(f"| {name} | {version} | {lines_in(source)} | {len(found)} |", flush=True)
    known = {each.finding: each for each in verdicts()} if JUDGED.exists() else {}
    named = [each for each in known.values() if each.sample == asked.name]
    print("", *rate_table(named), "", sep="\n")
    print(
        ", ".join(f"{code}: {count}" for code, count in sorted(Counter(each.rule for each in findings).items())), "\n"
    )
    writer = csv.writer(sys.stdout, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in drawn(findings, asked.sample, asked.seed):
        said = known.get(each)
        place = (asked.name, each.package, each.version, each.file, each.line, each.rule)
        writer.writerow((*place, said.verdict if said else "?", "found", said.reason if said else ""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
