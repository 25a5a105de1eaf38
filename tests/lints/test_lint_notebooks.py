"""Notebooks: places in cells, and fixes that change one cell and no other byte."""

from __future__ import annotations

import json

import pytest

import weightlift as wl
from weightlift.lints.config import Asked, Configurations

CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ["model.state_dict(torch.load(p))"]},
    {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "source": ["%time\n", "import torch as th\n", "!ls é\n", "x?"],
    },
    {
        "cell_type": "code",
        "metadata": {},
        "outputs": [{"text": "é"}],
        "source": "if p:\n    %time\nm.state_dict(th.load(p))",
    },
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": []},
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["%%bash\n", "ls ("]},
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["# ü\n", "m.state_dict(\n", "  th.load(p))\n"]},
]


def notebook(tmp_path, **layout):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "metadata": {"cells": 1}, "cells": CELLS}, **layout) + "\n", "utf-8")
    return path


def test_places_are_those_of_cells(tmp_path):
    """A finding in a notebook has the number of its cell among all cells, and the lines of that cell."""
    found = wl.lint(notebook(tmp_path))
    assert [(each.cell, each.line, each.column, each.end_line) for each in found.diagnostics] == [
        (3, 3, 1, 3),
        (6, 2, 1, 3),
    ]
    assert found.exit_code == 1


@pytest.mark.parametrize("layout", [{"indent": 1}, {"indent": 1, "ensure_ascii": False}, {}, {"indent": "\t"}], ids=str)
def test_a_fix_changes_its_cell_alone(tmp_path, layout):
    """After a fix every byte is what it was but those of the call, in whichever layout the notebook is."""
    path = notebook(tmp_path, **layout)
    before = path.read_bytes()
    found = wl.lint(path, fix=True)
    assert len(found.fixed) == 2
    assert found.exit_code == 0
    wanted = before.replace(b"m.state_dict(", b"m.load_state_dict(")
    assert path.read_bytes() == wanted
    assert wl.lint(path, fix=True).fixed == ()


@pytest.mark.parametrize("text", ["{", '{"nbformat": 4}', '{"cells": [{"source": "state_dict("}]}', '"state_dict("'])
def test_what_is_no_notebook_is_reported(tmp_path, text):
    """A file that is no notebook is unreadable, and stays as it is."""
    path = tmp_path / "a.ipynb"
    path.write_text(text + " load_state_dict False", "utf-8")
    found = wl.lint(path, fix=True)
    assert [each.code for each in found.unreadable] == ["WL901"]
    assert found.exit_code == 2


def test_words_are_looked_for_in_the_source_of_cells(tmp_path):
    """Quotes and line ends that JSON escapes do not hide what a rule looks for."""
    source = 't = torch\nt.load(p)\nfor k in state_dict:\n    k.replace("module.", "")\n'
    data = json.dumps({"cells": [{"cell_type": "code", "source": [source]}]}).encode()
    configured = Configurations(Asked(select=("WL403", "WL301"), torch_min=(2, 1))).of(str(tmp_path))
    assert [rule.code for rule in configured.rules_for("a.ipynb", data)] == ["WL301", "WL403"]
