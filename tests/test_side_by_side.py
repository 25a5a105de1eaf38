"""The tables of docs/security.md: that they say what the scanner says today, and that the harness sees what happens."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

import weightlift as wl

from builders import BENIGN, torch_zip
from compare_scanners import Tools, ask_all, files_of, kinds_of, verdict_of
from confined import Ran, run
from hostile_files import marker, write_all
from scanner_tables import tables, with_tables

PAGE = Path(__file__).parents[1] / "docs/security.md"


def rows_of(page: str, name: str) -> dict[str, dict[str, str]]:
    """Return the last table between a page's markers: {file: {column: cell}}."""
    section = page.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.split("\n\n")[-1].split("\n")]
    head, rows = lines[0], [line for line in lines[2:] if line != [""]]
    return {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in rows}


def test_the_page_tells_todays_verdicts(tmp_path):
    """The table names each of our hostile files and the verdict that scanning it gives today (bombs: when asked)."""
    kinds = write_all(tmp_path, but="bombs")
    rows = rows_of(PAGE.read_text("utf-8"), "hostile")
    told = {file: (row["kind"], row["weightlift"]) for file, row in rows.items() if row["kind"] != "bombs"}
    assert told == {name: (kinds[name]["kind"], wl.scan(tmp_path / name).verdict) for name in files_of(tmp_path)}
    assert not marker().exists()


@pytest.mark.parametrize("name", ["hostile", "benign"])
def test_no_payload_ran_under_weightlift(name):
    """The page has a verdict of ours, and never a hang, a crash or a payload that ran, for every file."""
    rows = rows_of(PAGE.read_text("utf-8"), name)
    assert len(rows) > 20
    assert {row["weightlift"] for row in rows.values()} <= {"clean", "unknown", "dangerous", "unreadable"}


def test_no_false_alarm():
    """Every checkpoint that torch loads with `weights_only=True` is clean in the table, and some that it refuses."""
    rows = rows_of(PAGE.read_text("utf-8"), "benign").values()
    assert {row["weightlift"] for row in rows if row["torch"] == "ok"} == {"clean"}
    assert {row["weightlift"] for row in rows if row["torch"] == "refused"} >= {"clean", "unknown"}


def python(code: str, **more: float) -> Ran:
    """Run a line of Python in confinement."""
    return run([sys.executable, "-c", code], **more)


def test_what_becomes_of_a_command_is_told():
    """A command that does not end, asks for too much or is killed is told from one that answers."""
    assert verdict_of(python("print('verdict: clean')")) == "clean"
    assert verdict_of(python("raise SystemExit(2)")) == "error"
    assert verdict_of(python("import time; time.sleep(60)", seconds=0.5)) == "hang"
    assert verdict_of(python("bytearray(1 << 30)", nbytes=1 << 28)) == "memory"
    assert verdict_of(python("import os; os.kill(os.getpid(), 11)")) == "crash SIGSEGV"


def test_a_child_of_a_command_that_hangs_is_ended(tmp_path):
    """Whatever a command started is ended with it."""
    code = (
        f"import subprocess, time; subprocess.Popen(['sh', '-c', 'sleep 1.5; touch {tmp_path}/late']); time.sleep(60)"
    )
    assert python(code, seconds=0.5).hung
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_payload_that_runs_is_told(tmp_path, monkeypatch, jobs):
    """Of a tool that runs a payload it is said, and of no other, however many are asked at once."""
    files, trace = tmp_path / "files", tmp_path / "trace"
    files.mkdir()
    (files / "a.pt").write_bytes(torch_zip(BENIGN))
    (files / "b.pt").write_bytes(torch_zip(BENIGN))

    class Fake(Tools):
        def ask(self, tool: str, path: Path) -> str:
            if (tool, path.name) == ("careless", "b.pt"):
                trace.touch()
            return "clean"

    found = ask_all(Fake("", "", trace), files, ["careless", "careful"], jobs)
    assert found["a.pt"] == {"careless": "clean", "careful": "clean"}
    assert found["b.pt"] == {"careless": "RAN THE PAYLOAD", "careful": "clean"}


def test_tables_stand_between_their_markers(tmp_path):
    """The tables count by kind, show every file, say where mmap takes what torch refuses, and replace the old ones."""
    (tmp_path / "manifest.json").write_text(json.dumps({"x|y.pt": {"kind": "code"}}))
    rows = {"x|y.pt": {"weightlift": "dangerous", "torch": "refused", "torch-mmap": "ok"}}
    made = tables("hostile", {"kinds": kinds_of(tmp_path), "versions": {"torch": "2.13.0"}, "rows": rows})
    page = with_tables("before\n<!-- begin hostile -->\nold\n<!-- end hostile -->\nafter", "hostile", made)
    assert re.match(r"before\n<!-- begin hostile -->\n\d{4}-\d\d-\d\d: torch 2\.13\.0\.\n", page)
    assert "(code) | 1 | 1 dangerous | 1 refused |" in page
    assert rows_of(page, "hostile")["x?y.pt"] == {
        "file": "`x?y.pt`", "kind": "code", "weightlift": "dangerous", "torch": "refused; mmap: ok"
    }  # fmt: skip
    assert page.endswith("<!-- end hostile -->\nafter")
    with pytest.raises(ValueError, match="needs one <!-- begin benign -->"):
        with_tables(page, "benign", made)
