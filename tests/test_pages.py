"""What the pages show runs: every Python block of README.md and docs/*.md, with the output that stands below it.

The blocks of a page are one program, run in order in a folder of its own. What a page may say before a block:

    <!-- not run: why -->       the block is not run
    <!-- file: NAME -->         the block is that file, for the blocks after it

A `text` block right after a Python block is what it prints, to the letter.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import weightlift as wl
from weightlift.mapping.ops import OPS

from builders import dict_of, pickled, tensor, torch_zip

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
_COMMENT = re.compile(r"<!-- (not run|file): (.+?) -->")


@dataclass
class Block:
    """A fenced block: its language, the line of its first line, what the comment before it says, what it prints."""

    language: str
    line: int
    text: str
    comment: tuple[str, str] = ("", "")
    printed: str | None = None


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    comment, fence, before = ("", ""), None, None
    for number, line in enumerate(page.split("\n"), 1):
        if fence is not None:
            if line == "```":
                if fence.language == "text" and before is not None:
                    before.printed = fence.text
                found.append(fence)
                before, fence = (fence if fence.language == "python" else None), None
            else:
                fence.text += line + "\n"
        elif line.startswith("```"):
            fence, comment = Block(line[3:].strip(), number + 1, "", comment), ("", "")
        elif said := _COMMENT.fullmatch(line.strip()):
            comment, before = (said[1], said[2]), None
        elif line.strip():
            comment, before = ("", ""), None
    return found


def run_page(page: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page's blocks in the current folder; `names` are there from the beginning."""
    module = ModuleType("page")  # a module that can be imported, so that its classes can be pickled
    monkeypatch.setitem(sys.modules, "page", module)
    module.__dict__.update(names)
    for block in blocks_of(page.read_text("utf-8")):
        kind, said = block.comment
        if kind == "file":
            Path(said).write_text(block.text, "utf-8")
        if block.language != "python" or kind == "not run":
            continue
        printed = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, module.__dict__)
        if block.printed is not None:
            assert printed.getvalue() == block.printed, f"{page.name}, below line {block.line}"


def _whole_module() -> dict[str, Any]:
    torch.save(torch.nn.Linear(3, 2), "full_model.pt")
    return {"wl": wl, "model": torch.nn.Linear(3, 2)}


STAND_INS: dict[str, Callable[[], dict[str, Any]]] = {"only-the-state-dict.md": _whole_module}
"""Page -> what makes the files and names that it takes for granted."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run a test in a folder of its own, and leave torch's generator as it was."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        yield tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs(page, folder, monkeypatch):
    """The Python blocks of a page run in order and print what the page says."""
    run_page(page, STAND_INS.get(page.name, dict)(), monkeypatch)


def _classifier(classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        OrderedDict({"body": torch.nn.Linear(4, 4), "head": torch.nn.Linear(4, classes)}),
    )


def test_the_readme_runs(folder, monkeypatch):
    """The README's code runs on a file with those names, hands the weights to the model and writes them."""
    (folder / "yolov5s.pt").write_bytes(torch_zip(pickled(dict_of(("model.0.conv.weight", tensor())))))
    torch.save({"state_dict": torch.nn.DataParallel(_classifier(3)).state_dict()}, "old.ckpt")
    new_model = _classifier(5)
    loaded: dict[str, Any] = {}
    model = type("Model", (), {"load_state_dict": staticmethod(loaded.update)})
    run_page(ROOT / "README.md", {"model": model, "new_model": new_model}, monkeypatch)
    assert list(loaded) == ["model.0.conv.weight"]
    assert (folder / "weights.safetensors").exists()


def test_every_operation_is_in_the_table():
    """The table of docs/plans.md has a row for each operation and no other."""
    section = (ROOT / "docs/plans.md").read_text("utf-8").split("\n## Operations\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)", section, re.MULTILINE) == list(OPS)


def test_what_differs_from_the_page_is_found(folder, monkeypatch):
    """A block that prints something else than the page says fails, with the page and the line."""
    (folder / "page.md").write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n", "utf-8")
    with pytest.raises(AssertionError, match=r"page\.md, below line 2"):
        run_page(folder / "page.md", {}, monkeypatch)


def test_a_block_that_is_not_run_says_why(folder, monkeypatch):
    """A block below `not run` is skipped; one below `file` is written."""
    page = "<!-- not run: it needs a GPU -->\n```python\nraise\n```\n<!-- file: a.txt -->\n```toml\nx = 1\n```\n"
    (folder / "page.md").write_text(page, "utf-8")
    run_page(folder / "page.md", {}, monkeypatch)
    assert (folder / "a.txt").read_text("utf-8") == "x = 1\n"
