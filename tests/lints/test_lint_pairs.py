"""Saves and the loads of what they write, over the files of a project."""

from __future__ import annotations

import ast

import pytest

import weightlift as wl
from weightlift.lints.pairs import Project
from weightlift.lints.path_keys import is_same_path, path_key
from weightlift.lints.source_file import SourceFile

KEYS = {
    "use('a/b.pt')": "a/b.pt",
    "use('./a//b.pt')": "a/b.pt",
    "use('/a/b.pt')": "/a/b.pt",
    "p = 'b.pt'\nuse(p)": "b.pt",
    "import os\nuse(os.path.join(d, 'b.pt'))": "?/b.pt",
    "import os\nuse(os.path.join(d, 'c', f'e_{i}.pt'))": "?/c/e_{}.pt",
    "from pathlib import Path\nuse(Path('a') / 'b.pt')": "a/b.pt",
    "use(d / 'b.pt')": "?/b.pt",
    "use(d + '/b.pt')": "?/b.pt",
    "use(d + '_b.pt')": "{}_b.pt",
    "use(open('b.pt', 'rb'))": "b.pt",
    "use(args.out)": "=x.py:args.out",
    "OUT = pick()\nuse(OUT)": "=x.py:OUT",
    "from mine import OUT\nuse(OUT)": "=mine.OUT",
    "use(f'{a}.pt')": None,
    "use(pick())": None,
    "def f(path):\n    use(path)": None,
    "p = 'a.pt'\nif x:\n    p = 'b.pt'\nuse(p)": "=x.py:p",
}


@pytest.mark.parametrize(("text", "key"), KEYS.items())
def test_a_path_is_known_as_far_as_it_is_spelled(text, key):
    """The key of a path holds what its text says, `{}` and `?` where it does not, and is None where nothing is said."""
    file = SourceFile("x.py", text.encode())
    call = next(each for each in file.nodes[ast.Call] if ast.unparse(each.func) == "use")
    assert path_key(file, call.args[0]) == key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/b.pt", "a/b.pt", True),
        ("a/b.pt", "c/b.pt", False),
        ("?/b.pt", "c/b.pt", True),
        ("?/c/b.pt", "b.pt", False),
        ("?/c/b.pt", "?/b.pt", True),
        ("?/c/b.pt", "?/d/b.pt", False),
        ("=x.py:p", "=x.py:p", True),
        ("=x.py:p", "=y.py:p", False),
        (None, None, False),
    ],
)
def test_paths_are_the_same_as_far_as_they_are_known(one, other, same):
    """Two keys are of one file where all that is known of both agrees; an unknown one is no other's."""
    assert is_same_path(one, other) is same
    assert is_same_path(other, one) is same


TRAIN = """
import os, torch
from mine import keep, keep_state
model = torch.nn.Linear(1, 1)
torch.save(model.state_dict(), os.path.join(out, "last.pt"))
torch.save(model, "whole.pt")
keep_state(model.state_dict())
keep(model.state_dict(), path="kept.pt")
keep(model, "other.pt")
torch.save(model.state_dict(), "mixed.pt")
torch.save(model, "mixed.pt")
"""
MINE = """
import torch
def keep(state, path):
    torch.save(state, path)
def keep_state(state, path="state.pt"):
    torch.save(state, path)
def read(path):
    return torch.load(path)
"""
USE = """
import torch
a = torch.load("runs/last.pt")
a = torch.load("whole.pt")
a = torch.load("state.pt")
a = torch.load("kept.pt")
a = torch.load("other.pt")
a = torch.load("mixed.pt")
a = torch.load(path)
"""


def test_loads_are_paired_over_files_and_helpers(tmp_path):
    """`weights_only=True` is offered for exactly the loads of what is a state dict wherever it is saved."""
    for name, text in {"train.py": TRAIN, "mine.py": MINE, "use.py": USE}.items():
        (tmp_path / name).write_text(text, "utf-8")
    found = wl.lint(tmp_path, torch_min="2.1", select=["WL301"])
    offered = {f"{each.path[len(str(tmp_path)) + 1 :]}:{each.line}": each.fix is not None for each in found.diagnostics}
    wanted = {"runs/last.pt": True, "whole.pt": False, "state.pt": True, "kept.pt": True, "other.pt": False}
    loads = [*wanted.values(), False, False]
    assert offered == {"mine.py:8": False} | {f"use.py:{line}": is_ for line, is_ in enumerate(loads, 3)}


def test_a_helper_that_loads_is_judged_by_all_its_calls(tmp_path):
    """A load in a helper gets `weights_only=True` where every call of it reads a state dict, and not with one other."""
    text = MINE + "m = torch.nn.Linear(1, 1)\nkeep(m.state_dict(), 'a.pt')\nkeep(m, 'b.pt')\nread('a.pt')\n"
    path = tmp_path / "a.py"
    path.write_text(text, "utf-8")
    assert wl.lint(path, torch_min="2.1").diagnostics[0].fix is not None
    path.write_text(text + "read('b.pt')\n", "utf-8")
    assert wl.lint(path, torch_min="2.1").diagnostics[0].fix is None
    path.write_text(text + "read(anything)\n", "utf-8")
    assert wl.lint(path, torch_min="2.1").diagnostics[0].fix is None


def test_a_save_knows_its_loads(tmp_path):
    """The loads of a save are listed with their places and the names they are assigned to; None of an unknown path."""
    path = tmp_path / "a.py"
    path.write_text("import torch\ntorch.save(m, 'a.pt')\ntorch.save(m, pick())\nn = torch.load('a.pt')\n", "utf-8")
    file = SourceFile(str(path), path.read_bytes())
    project = Project([str(path)])
    known, unknown = (each for each in file.nodes[ast.Call] if ast.unparse(each.func) == "torch.save")
    (load,) = project.loads_of(known, file) or []
    assert (load.target, load.statement_place, load.place) == ("n", (4, 1, 4, 23), (4, 5, 4, 23))
    assert project.loads_of(unknown, file) is None
