"""What the documents say is so: links lead somewhere, commands exist. Their code is run by test_pages.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weightlift.mapping.ops import OPS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@every_page
def test_links_lead_to_files(page):
    """Every relative link names a file of the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@every_page
def test_make_targets_exist(page):
    """Every `make TARGET` that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


def test_operations_that_may_lose_values_are_marked_in_the_table():
    """The page of plans says `!lossy` of an operation exactly where the program may ask for it."""
    page = (ROOT / "docs/plans.md").read_text(encoding="utf-8").partition("## Operations")[2].partition("## ")[0]
    marked = {}
    for row in re.findall(r"^\| `(\w+).*$", page, re.MULTILINE):
        line = next(line for line in page.splitlines() if line.startswith(f"| `{row}"))
        marked[row] = "!lossy" in line.split(" | ")[1]
    assert marked == {name: op.loses is not OPS["t"].loses for name, op in OPS.items()}
