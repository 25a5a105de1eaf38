"""The study of how often rules are wrong: its data file, and the tables that the documentation makes of it."""

from __future__ import annotations

import csv
import runpy
from collections import Counter
from pathlib import Path

from weightlift.lints.table import RULES

ROOT = Path(__file__).parents[2]
STUDY = runpy.run_path(str(ROOT / "tools/lint_study.py"), run_name="lint_study")


def _packages() -> set[tuple[str, str, str]]:
    with (ROOT / "docs/lint-study-packages.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {(row["sample"], row["package"], row["version"]) for row in rows}


def test_each_finding_is_judged_once_and_with_a_reason():
    """Every line of the data file is a finding of a rule that there is, in a package of the list, with its reason."""
    verdicts = STUDY["verdicts"]()
    packages = _packages()
    assert len({verdict.finding for verdict in verdicts}) == len(verdicts)
    for verdict in verdicts:
        assert verdict.finding.rule in RULES
        assert (verdict.sample, verdict.finding.package, verdict.finding.version) in packages
        assert (verdict.verdict, verdict.now) in {("true", "found"), ("true", "left alone"), ("false", "left alone")}
        assert verdict.reason
    assert Counter(verdict.sample for verdict in verdicts)["packages"] == 200


def test_the_rates_of_the_documentation_are_those_of_the_data():
    """docs/lint.md has a row for each rule that was judged, with the counts of the data file."""
    text = (ROOT / "docs/lint.md").read_text(encoding="utf-8")
    for sample in ("packages", "others"):
        of_sample = [verdict for verdict in STUDY["verdicts"]() if verdict.sample == sample]
        for row in STUDY["rate_table"](of_sample):
            assert f"\n{row}" in text


def test_a_sample_takes_what_few_findings_leave_from_the_others():
    """A sample has all findings of a rule that has fewer than its share, and is the same for the same seed."""
    finding = STUDY["Finding"]
    every = [finding("WL101", "p", "1", "a.py", 1)] + [finding("WL401", "p", "1", "a.py", at) for at in range(50)]
    sample = STUDY["drawn"](every, 10, 3)
    assert Counter(each.rule for each in sample) == {"WL101": 1, "WL401": 9}
    assert sample == STUDY["drawn"](list(reversed(every)), 10, 3) != STUDY["drawn"](every, 10, 4)


def test_sources_are_unpacked_without_leaving_their_folder(tmp_path):
    """Python files of a wheel are written under a folder of its name and version; other members and paths are not."""
    import zipfile

    wheel = tmp_path / "some_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("some/a.py", "../out.py", "/abs.py", "some/data.bin"):
            archive.writestr(name, "model.load_state_dict(torch.load(p), strict=False)\n")
    folder = STUDY["unpack"](wheel, tmp_path / "sources")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")] == [
        "sources/some_package-1.0/some/a.py"
    ]
    found = STUDY["found_in"](folder, ["WL401"])
    assert [(each.package, each.version, each.file, each.line) for each in found] == [
        ("some_package", "1.0", "some/a.py", 1)
    ]
