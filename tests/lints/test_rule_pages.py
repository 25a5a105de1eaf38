"""The pages of the rules in docs/ are those of the rules in the code."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_are_current():
    """docs/rules holds, to the letter, what tools/rule_pages.py makes from the rules, and nothing else."""
    made = runpy.run_path(str(ROOT / "tools/rule_pages.py"))["pages"]()
    assert {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/rules").glob("*")} == made
