"""What the documents say is so: links lead somewhere, commands exist, the README's code runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from builders import dict_of, pickled, tensor, torch_zip

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


def test_readme_code_runs(tmp_path):
    """The README's Python block runs as it stands, on a file with those names."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "yolov5s.pt").write_bytes(torch_zip(pickled(dict_of(("model.0.conv.weight", tensor())))))
    loaded = {}
    model = type("Model", (), {"load_state_dict": staticmethod(loaded.update)})
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        exec(compile(block[1], "README.md", "exec"), {"model": model})
    finally:
        os.chdir(before)
    assert list(loaded) == ["model.0.conv.weight"]
    assert (tmp_path / "weights.safetensors").exists()
