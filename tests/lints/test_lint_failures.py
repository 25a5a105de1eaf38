"""What goes wrong inside lint: a rule that fails, a fix that cannot be carried out. The rest goes on."""

from __future__ import annotations

import json

import pytest

import weightlift as wl
from weightlift.lints import rule as rule_module
from weightlift.lints.rules import state_dict_of_a_load, strict_false_result_discarded
from weightlift.lints.values import Fix, Found

LINES = b"m.state_dict(torch.load(p))\nm.load_state_dict(w, strict=False)\n"
BAD = b"import torch\n" + LINES
GOOD = BAD.replace(b"m.state_dict(", b"m.load_state_dict(")


def fails(node, file):
    raise IndexError("list index out of range")
    yield


def deep(node, file):
    return deep(node, file)


@pytest.mark.parametrize(("check", "name"), [(fails, "IndexError"), (deep, "RecursionError")])
def test_a_rule_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, check, name):
    """A mistake in a rule is a diagnostic of each file that it fails on, with its code and the exception, exit 2."""
    monkeypatch.setattr(strict_false_result_discarded, "check", check)
    paths = [tmp_path / "a.py", tmp_path / "b.py"]
    for path in paths:
        path.write_bytes(BAD)
    found = wl.lint(tmp_path, fix=True)
    assert [(each.code, each.path) for each in found.unreadable] == [("WL903", str(path)) for path in paths]
    assert f"WL401 fails on it, which is a mistake in that rule: {name}" in found.unreadable[0].message
    assert (found.exit_code, [each.code for each in found.fixed]) == (2, ["WL101", "WL101"])
    assert [path.read_bytes() for path in paths] == [GOOD, GOOD]


def test_a_rule_that_fails_in_a_notebook(tmp_path, monkeypatch):
    """The failure is one of the notebook, and its other findings stay."""
    monkeypatch.setattr(strict_false_result_discarded, "check", fails)
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": BAD.decode()}]}), "utf-8")
    found = wl.lint(path)
    assert [each.code for each in (*found.unreadable, *found.diagnostics)] == ["WL903", "WL101"]


def impossible(real, where):
    """Return a check that makes the fixes of some lines impossible: at no node, to no Python, or never at an end."""

    def check(node, file):
        for found in real(node, file) or ():
            why = next((word for word in where if word in file.lines[node.lineno - 1]), None)
            yield Found(found.node, found.message, Fix("safe", "x", (EDITS[why](file, node),)) if why else found.fix)

    return check


def _raises(call):
    raise AttributeError("func")


EDITS = {
    "nowhere": lambda file, node: file.edit(node, _raises),
    "broken": lambda file, node: file.edit(node, lambda call: call.with_changes(func=__import__("libcst").Name("if"))),
    "endless": lambda file, node: file.edit(node, lambda call: call),
}


@pytest.mark.parametrize("why", EDITS)
def test_one_impossible_fix_does_not_keep_the_others_back(tmp_path, monkeypatch, why):
    """The fixes that can be carried out are, and the one that cannot is told at its place with the reason."""
    real = state_dict_of_a_load.check
    monkeypatch.setattr(state_dict_of_a_load, "check", impossible(real, EDITS))
    before = "import torch\n" + "".join(f"m{i}.state_dict(torch.load(p))\n" for i in range(5))
    text = before.replace("m2.state_dict(torch.load(p))", f"m2.state_dict(torch.load(p))  # {why}")
    path = tmp_path / "a.py"
    path.write_text(text, "utf-8")
    found = wl.lint(path, fix=True)
    wanted = text.replace(".state_dict", ".load_state_dict").replace("m2.load_state_dict", "m2.state_dict")
    assert path.read_text("utf-8") == wanted
    assert [(each.code, each.line) for each in found.unreadable] == [("WL902", 4)]
    assert found.unreadable[0].message.startswith("the fix of WL101 cannot be carried out: ")
    assert (len(found.fixed), [each.line for each in found.diagnostics], found.exit_code) == (4, [4], 2)
    assert rule_module.rule("WL101").check is not real


def test_where_no_fix_can_be_carried_out_the_file_stays(tmp_path, monkeypatch):
    """A file all of whose fixes fail is as it was, and the reason is told once."""
    monkeypatch.setattr(state_dict_of_a_load, "check", impossible(state_dict_of_a_load.check, EDITS))
    path = tmp_path / "a.py"
    text = b"import torch\n" + b"m.state_dict(torch.load(p))  # nowhere\n" * 3
    path.write_bytes(text)
    found = wl.lint(path, fix=True)
    assert [(each.code, each.line) for each in found.unreadable] == [("WL902", 1)]
    assert "AttributeError" in found.unreadable[0].message
    assert (path.read_bytes(), len(found.diagnostics)) == (text, 3)
