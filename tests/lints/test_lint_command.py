"""`weightlift lint` and `weightlift rule`: what is looked at, what is printed, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import weightlift as wl
from weightlift.errors import WeightliftError
from weightlift.faces.cli import main

BAD = "import torch\nm.state_dict(torch.load(p))\nm.load_state_dict(w, strict=False)\n"
HEAVY = {
    "libcst",
    "torch",
    "numpy",
    "argparse",
    "asyncio",
    "typing",
    "dataclasses",
    "inspect",
    "json",
    "pickle",
    "tomllib",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes files into a folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return make


def paths(found):
    return sorted({each.path for each in found.diagnostics})


def test_the_page(project, capsys):
    """A line for each finding in the order of files and lines, with how it is fixed, and a line that counts."""
    project({"b.py": BAD, "a.py": "x = (load_state_dict(False)", "c.py": "pass\n"})
    assert main(["lint", "."]) == 2
    assert capsys.readouterr().out == (
        "a.py:1:5: WL901 it cannot be parsed: '(' was never closed\n"
        "b.py:2:1: WL101 [*] state_dict() writes the model's own weights over what was loaded; "
        "load_state_dict() is meant\n"
        "b.py:3:1: WL401 strict=False returns the keys that did not match, and the result is thrown away\n"
        "2 findings in 3 files; 1 unreadable; [*] 1 by --fix\n"
    )


def test_exit_codes(project, capsys):
    """0 for nothing, 1 for a finding, 2 for a file that cannot be read or a call that means nothing."""
    project({"good.py": "pass\n", "bad.py": BAD})
    assert main(["lint", "good.py"]) == 0
    assert main(["lint", "good.py", "bad.py"]) == 1
    assert main(["lint", "bad.py", "--ignore", "WL101,WL401"]) == 0
    for wrong in ("--select=WL777", "--torch-min=new", "--to=x", "--unsafe-fixes", "gone.py"):
        assert main(["lint", "good.py", wrong]) == 2
    assert main(["lint", "good.py", "--json", "--sarif"]) == 2
    assert "weightlift: no rule 'WL777'" in capsys.readouterr().err


def test_what_is_looked_at(project):
    """Python files and notebooks of a folder, each once; not what others wrote or what was made."""
    looked = ["a.py", "b/c.py", "b/d.py"]
    others = [".git/a.py", "env/a.py", "build/a.py", "x/site-packages/a.py", "node_modules/a.py", "a.txt"]
    project(dict.fromkeys([*looked, *others], BAD) | {"env/pyvenv.cfg": ""})
    assert paths(wl.lint(".", "a.py", "b")) == looked
    assert paths(wl.lint("build/a.py", "a.txt")) == ["a.txt", "build/a.py"]


def test_configuration_of_the_nearest_folder(project):
    """Each file has the settings of the nearest pyproject.toml with a table for lint; the call stands over them."""
    outer = '[tool.weightlift.lint]\nselect = ["WL101"]\nexclude = ["old", "b/x_*.py"]\n'
    inner = '[tool.weightlift.lint]\nignore = ["WL1"]\n[tool.weightlift.lint.per-file-ignores]\n"t/*" = ["WL4"]\n'
    project(dict.fromkeys(["a.py", "old/a.py", "b/x_1.py", "c/a.py", "c/t/a.py", "d/a.py"], BAD)
            | {"pyproject.toml": outer, "c/pyproject.toml": inner, "d/pyproject.toml": "[project]\n"})  # fmt: skip
    found = {each.path: each.code for each in wl.lint(".").diagnostics}
    assert found == {"a.py": "WL101", "c/a.py": "WL401", "d/a.py": "WL101"}
    assert {each.code for each in wl.lint("a.py", select=["WL4"]).diagnostics} == {"WL401"}
    assert wl.lint("a.py", ignore=["WL1"]).diagnostics == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.weightlift.lint]\nselct = []", "has a key 'selct'"),
        ("[tool.weightlift.lint]\nselect = 'WL101'", "select is 'WL101'"),
        ("[tool.weightlift.lint]\nselect = ['WL777']", "no rule 'WL777'"),
        ("[tool.weightlift.lint]\ntorch-min = 'x'", "no version of torch"),
        ("[tool.weightlift]\nlint = 1", "is no table"),
        ("[tool.weightlift", "cannot be read"),
    ],
)
def test_a_configuration_without_meaning_is_an_error(project, text, message):
    """What a pyproject.toml cannot mean is an error that names the file, and nothing is linted."""
    project({"a.py": BAD, "pyproject.toml": text})
    with pytest.raises(WeightliftError, match=message) as caught:
        wl.lint("a.py")
    assert "pyproject.toml" in str(caught.value)


def test_json_is_complete(project, capsys):
    """The document has every finding with its place, and of a fix its grade, title and places."""
    project({"a.py": BAD})
    assert main(["lint", "a.py", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["files"], document["exit_code"]) == ("lint", 1, 1)
    first, second = document["diagnostics"]
    assert first["fix"] == {
        "grade": "safe",
        "title": "call load_state_dict",
        "edits": [{"path": None, "line": 2, "column": 1, "end_line": 2, "end_column": 28}],
    }
    assert (second["code"], second["line"], second["fix"], second["cell"]) == ("WL401", 3, None, None)


def test_sarif_names_rules_and_places(project, capsys):
    """The log has a rule with its page for each code, and results that point at rules, files and exact places."""
    project({"a b.py": BAD, "broken.py": "def state_dict("})
    assert main(["lint", ".", "--sarif"]) == 2
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == ["WL101", "WL401", "WL901"]
    assert "## Use instead" in rules[0]["help"]["markdown"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert (
            run["artifacts"][place["artifactLocation"]["index"]]["location"]["uri"] == place["artifactLocation"]["uri"]
        )
    found = {each["ruleId"]: each["locations"][0]["physicalLocation"] for each in run["results"]}
    assert found["WL101"]["artifactLocation"]["uri"] == "a%20b.py"
    assert found["WL101"]["region"] == {"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 28}


def test_github_annotations(project, capsys):
    """A command for each finding, at its place; certain bugs and broken files are errors."""
    project({"a,b.py": BAD, "c.py": "def state_dict("})
    main(["lint", ".", "--github"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=c.py,line=1,endLine=1,col=15,endColumn=15,title=WL901 broken-file::")
    assert lines[1].startswith(
        "::error file=a%2Cb.py,line=2,endLine=2,col=1,endColumn=28,title=WL101 state-dict-of-a-load::state_dict() "
    )
    assert lines[2].startswith("::warning file=a%2Cb.py,line=3,")


def test_fix_at_the_command_line(project, capsys):
    """--fix rewrites what is safe and tells what is left."""
    folder = project({"a.py": BAD})
    assert main(["lint", "a.py", "--fix"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 finding in 1 file; 1 fixed"
    assert (folder / "a.py").read_text("utf-8") == BAD.replace("m.state_dict", "m.load_state_dict")


def test_the_page_of_a_rule(capsys):
    """`rule` takes a code in either case or a name, and says which rules are near another."""
    for given in ("WL101", "wl101", "state-dict-of-a-load"):
        assert main(["rule", given]) == 0
        assert capsys.readouterr().out.startswith("# WL101: state-dict-of-a-load\n\nThe weights just loaded are thrown")
    assert main(["rule", "WL101", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["grade"] == "safe"
    assert main(["rule", "state-dict-of-load"]) == 2
    assert "such as state-dict-of-a-load" in capsys.readouterr().err


def test_nothing_heavy_is_imported(project):
    """Linting without options imports neither libcst nor torch nor argparse nor any other heavy module."""
    project({"a.py": BAD})
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom weightlift.faces.cli import main\nmain(['lint', 'a.py'])\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "weightlift" in loaded
    assert not loaded & HEAVY
