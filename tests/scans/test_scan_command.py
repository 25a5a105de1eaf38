"""`weightlift scan` as people and programs meet it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from weightlift.actions.scan_file import CHECKPOINT_SUFFIXES
from weightlift.faces.cli import main

from builders import call, named, pickled, text, torch_zip

ROOT = Path(__file__).parents[2]
EVIL = torch_zip(pickled(call(named("posix", "system"), text("echo hi"))))
NET = torch_zip(pickled(call(named("their.models", "Net"))))
HOOK = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("data", "code", "verdict"),
    [(torch_zip(), 0, "clean"), (NET, 1, "unknown"), (torch_zip()[:30], 2, "unreadable"), (EVIL, 3, "dangerous")],
)
@pytest.mark.parametrize("form", [[], ["--json"], ["--sarif"], ["--github"]])
def test_the_exit_code_is_the_verdict(write, capsys, data, code, verdict, form):
    """0 clean, 1 unknown, 2 unreadable, 3 dangerous, in every form of output."""
    assert main(["scan", str(write(data)), *form]) == code
    printed = capsys.readouterr().out
    assert printed
    if form in (["--json"], ["--sarif"]):
        json.loads(printed)
    elif not form:
        assert printed.startswith(verdict)


def test_several_paths(write, capsys):
    """Any number of files and folders is scanned at once; the worst decides."""
    paths = [str(write(torch_zip(), "a.pt")), str(write(EVIL, "b.pt"))]
    assert main(["scan", *paths]) == 3
    assert main(["scan", *paths, "--jobs", "2"]) == 3
    first, second = capsys.readouterr().out.split("2 files scanned: 1 dangerous, 1 clean\n")[:2]
    assert first == second
    assert first.index("b.pt") < first.index("a.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "--sarif"], "--sarif beside --json: expected one of them"),
        (["--sarif", "--github"], "--github beside --sarif: expected one of them"),
        (["--jobs", "0"], "--jobs 0: expected 1 or more"),
    ],
)
def test_what_cannot_be_asked(write, capsys, options, message):
    """Two forms at once, or no process at all, is an error before anything is read."""
    assert main(["scan", str(write(EVIL)), *options]) == 2
    assert message in capsys.readouterr().err.replace("; expected", ": expected")


def test_scanning_imports_nothing_heavy(write):
    """A scan of one file starts without numpy, torch, multiprocessing, json, re or argparse."""
    probe = (
        "import sys; before = set(sys.modules); from weightlift.faces.cli import main; main(['scan', sys.argv[1]]);"
        "print(*sorted({n.partition('.')[0] for n in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(write(EVIL))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "weightlift" in loaded
    assert not loaded & {
        *(
            "numpy",
            "torch",
            "ml_dtypes",
            "pickle",
            "pickletools",
            "tarfile",
            "zipfile",
            "multiprocessing",
            "json",
            "re",
        ),
        *("typing", "dataclasses", "argparse", "selectors", "urllib", "subprocess"),
    }


@pytest.mark.parametrize("suffix", CHECKPOINT_SUFFIXES)
def test_the_hook_looks_at_every_checkpoint(suffix):
    """The pre-commit hook is given the names that a scan of a folder never skips."""
    pattern = re.search(r"files: '(.+)'", HOOK)[1]
    assert re.search(pattern, f"models/a{suffix}")
    assert re.search(pattern, f"models/A{suffix.upper()}")
    assert not re.search(pattern, f"models/a{suffix}.md")


def test_the_hook_runs_the_command():
    """The hook is named weightlift-scan and runs `weightlift scan` on regular files."""
    assert re.search(r"^- id: weightlift-scan$", HOOK, re.MULTILINE)
    assert re.search(r"^  entry: weightlift scan$", HOOK, re.MULTILINE)
    assert re.search(r"^  types: \[file\]$", HOOK, re.MULTILINE)
