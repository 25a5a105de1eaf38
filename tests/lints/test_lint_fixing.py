"""Fixes: what they change, what they leave, and that nothing is half written."""

from __future__ import annotations

import ast
import os
import stat
import sys

import pytest

import weightlift as wl
from weightlift.actions.lint import Run
from weightlift.actions.lint_fixes import _write, fix_files
from weightlift.actions.lint_targets import lint_targets
from weightlift.errors import WeightliftError
from weightlift.lints import rewrites
from weightlift.lints.config import Asked, Configurations
from weightlift.lints.fixing import choose, rewritten
from weightlift.lints.source_file import SourceFile
from weightlift.lints.values import Diagnostic, Edit, Fix

BAD = b"import torch\nm.state_dict(torch.load(p))\n"
GOOD = b"import torch\nm.load_state_dict(torch.load(p))\n"


def edited(text, rewrite, kind=ast.Call, **options):
    """Return a source after one edit of its first node of a kind."""
    file = SourceFile("a.py", text.encode())
    return rewritten(file.data, [file.edit(file.nodes[kind][0], rewrite, **options)]).decode()


REWRITES = [
    ("m.f(a,  b)", rewrites.method_renamed("g"), "m.g(a,  b)"),
    ("f()", rewrites.with_keyword("k", "1"), "f(k=1)"),
    ("f(a)", rewrites.with_keyword("k", "1"), "f(a, k=1)"),
    ("f(a, k = 0)", rewrites.with_keyword("k", "1"), "f(a, k = 1)"),
    ("f(a,b,)", rewrites.with_keyword("k", "1"), "f(a,b, k=1,)"),
    ("f(\n  a, # of a\n)", rewrites.with_keyword("k", "1"), "f(\n  a, # of a\n  k=1,\n)"),
    ("f(\n  a,\n  b # of b\n)", rewrites.with_keyword("k", "1"), "f(\n  a,\n  b, # of b\n  k=1\n)"),
    ("f(k=1)", rewrites.without_keyword("k"), "f()"),
    ("f(a, k=1)", rewrites.without_keyword("k"), "f(a)"),
    ("f(a, k=1, b=2)", rewrites.without_keyword("k"), "f(a, b=2)"),
    ("f(\n  a,\n  k=1,\n)", rewrites.without_keyword("k"), "f(\n  a,\n)"),
    ("f(a,  b, c=3)", rewrites.positional_as_keywords(("x", "y", "z")), "f(x=a,  y=b, c=3)"),
    ("f(*a, b)", rewrites.positional_as_keywords(("x", "y")), "f(*a, y=b)"),
    ("(f(a)) # c", rewrites.method_called("g"), "(f(a)).g() # c"),
    ("f(a)", rewrites.wrapped("copy.deepcopy"), "copy.deepcopy(f(a))"),
    ("k.f( 'p' )", rewrites.replaced_by("{k}.g({p})", k="func.value", p="args.0.value"), "k.g('p')"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "rewrite", "after"), REWRITES, ids=[row[0] for row in REWRITES])
def test_a_rewrite_keeps_the_layout(before, rewrite, after):
    """A rewrite changes what it is about; comments, commas and blanks of the rest stay."""
    assert edited(before, rewrite) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(a)\n", "import copy\ng(f(a))\n"),
        ("import copy\nf(a)\n", "import copy\ng(f(a))\n"),
        ("import os, copy\nf(a)\n", "import os, copy\ng(f(a))\n"),
        ("import copy as c\nf(a)\n", "import copy\nimport copy as c\ng(f(a))\n"),
        ("'page'\nfrom __future__ import x\nf(a)\n", "'page'\nfrom __future__ import x\nimport copy\ng(f(a))\n"),
        ("# licence\n\nimport os\nf(a)\n", "# licence\n\nimport copy\nimport os\ng(f(a))\n"),
        ("#!/bin/x\nf(a)\n", "#!/bin/x\nimport copy\ng(f(a))\n"),
    ],
)  # fmt: skip
def test_imports_are_added_where_they_are_missing(before, after):
    """A module that a fix needs is imported once, behind docstring and `__future__`."""
    assert edited(before, rewrites.wrapped("g"), imports=("copy",)) == after


def test_statements_are_put_in_front_of_a_statement():
    """Statements go in front of the whole one, below its comments, at its depth."""
    before = "if a:\n    # why\n    b = f(c)  # d\n"
    after = "if a:\n    # why\n    x = 1\n    b = f(c)  # d\n"
    assert edited(before, rewrites.statements_before("x = 1"), ast.Assign) == after


@pytest.mark.parametrize(
    "data", [BAD.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + BAD, b"# coding: latin-1\n# \xe9\n" + BAD]
)
def test_encodings_and_line_ends_stay(tmp_path, data):
    """Line ends, a byte order mark and a declared encoding are those of the old file."""
    path = tmp_path / "a.py"
    path.write_bytes(data)
    wl.lint(path, fix=True)
    assert path.read_bytes() == data.replace(b"m.state_dict", b"m.load_state_dict")


def test_a_second_run_changes_nothing(tmp_path):
    """After a fix there is nothing to fix: the file is not written again."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)
    first = wl.lint(path, fix=True)
    assert (len(first.fixed), first.exit_code) == (1, 0)
    before = os.stat(path)
    assert wl.lint(path, fix=True).fixed == ()
    assert os.stat(path) == before
    assert path.read_bytes() == GOOD


def test_permissions_stay_and_links_are_followed(tmp_path):
    """A fixed file keeps its permissions, and a link to it stays a link."""
    path, link = tmp_path / "a.py", tmp_path / "b.py"
    path.write_bytes(BAD)
    path.chmod(0o750)
    link.symlink_to(path)
    wl.lint(link, fix=True)
    assert link.is_symlink()
    assert path.read_bytes() == GOOD
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert sorted(os.listdir(tmp_path)) == ["a.py", "b.py"]


def test_a_broken_file_is_reported_and_the_rest_fixed(tmp_path):
    """A file that is no Python, or no text, is reported and stays; those beside it are fixed."""
    broken = {"a.py": BAD + b"def", "b.py": BAD + b"\0", "c.py": b"# \xff\n" + BAD, "d.py": b"(" * 500 + BAD}
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "e.py").write_bytes(BAD)
    found = wl.lint(tmp_path, fix=True)
    assert [os.path.basename(each.path) for each in found.unreadable] == list(broken)
    assert {each.code for each in found.unreadable} == {"WL901"}
    assert found.exit_code == 2
    assert {name: (tmp_path / name).read_bytes() for name in broken} == broken
    assert (tmp_path / "e.py").read_bytes() == GOOD


def test_a_file_that_cannot_be_written_stays(tmp_path, monkeypatch):
    """Where a file cannot be written it stays as it was, is reported as WL902, and its finding is still told."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("weightlift.actions.lint_fixes.write_all", full)
    found = wl.lint(path, fix=True)
    assert [each.code for each in (*found.unreadable, *found.diagnostics)] == ["WL902", "WL101"]
    assert "No space left on device" in found.unreadable[0].message
    assert (path.read_bytes(), os.listdir(tmp_path)) == (BAD, ["a.py"])


def test_files_of_one_fix_are_written_together_or_not_at_all(tmp_path, monkeypatch):
    """When the second of two files cannot be renamed, the first is given back what it held."""
    paths = [tmp_path / "a.py", tmp_path / "b.py"]
    for path in paths:
        path.write_bytes(BAD)
    real, done = os.replace, []

    def once(source, target):
        if done:
            done.clear()
            raise OSError(13, "Permission denied")
        done.append(target)
        real(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(WeightliftError, match="Permission denied"):
        _write({str(path): BAD for path in paths}, {str(path): GOOD for path in paths})
    assert [path.read_bytes() for path in paths] == [BAD, BAD]
    assert sorted(os.listdir(tmp_path)) == ["a.py", "b.py"]


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path):
    """What another program wrote since the file was read is not written over."""
    path = tmp_path / "a.py"
    path.write_bytes(b"other")
    with pytest.raises(WeightliftError, match="changed it meanwhile"):
        _write({str(path): BAD}, {str(path): GOOD})
    assert path.read_bytes() == b"other"


def test_what_would_not_parse_is_refused():
    """A fix whose result is no Python raises, and so does one at a place where no node is."""
    with pytest.raises(WeightliftError, match="would not be Python"):
        edited("f(a)", lambda call: call.with_changes(func=__import__("libcst").Name("if")))
    with pytest.raises(WeightliftError, match="line 1, column 2"):
        rewritten(b"f(a)", [Edit(1, 2, 1, 3, lambda node: node)])


@pytest.mark.parametrize("name", ["lints/flow.py", "tensors/rebuild.py", "mapping/rules.py", "values.py"])
def test_places_are_those_of_libcst(name):
    """libcst has a node at the place of every call and statement, and handing all of them back changes no byte."""
    path = os.path.join(os.path.dirname(wl.__file__), name)
    with open(path, "rb") as source:
        file = SourceFile(path, source.read())
    kinds = (ast.Call, ast.Attribute, ast.Constant, ast.Compare, ast.Assign, ast.Return, ast.If, ast.Subscript)
    inside = {inner for joined in file.nodes.get(ast.JoinedStr, ()) for inner in ast.walk(joined)}
    nodes = [node for kind in kinds for node in file.nodes.get(kind, ()) if node not in inside]
    assert len(nodes) > 100
    assert rewritten(file.data, [file.edit(node, lambda kept: kept) for node in nodes]) == file.data


def test_what_stands_in_a_formatted_string_is_left_to_people(tmp_path):
    """A finding inside an f-string stands on the whole of it and has no fix."""
    path = tmp_path / "a.py"
    path.write_text(
        "import torch\nx = f'{m.state_dict(torch.load(p))}'\n(f'{[m.state_dict(torch.load(p))]}')\n", "utf-8"
    )
    found = wl.lint(path, fix=True)
    assert [(each.line, each.column, each.fix) for each in found.diagnostics] == [(2, 5, None), (3, 2, None)]
    assert found.unreadable == ()


def test_fixes_that_meet_are_not_made_in_one_go():
    """Of two fixes on one place the first is chosen, unsafe ones only when they are asked for."""

    def at(column, end, grade="safe"):
        fix = Fix(grade, "x", (Edit(1, column, 1, end, lambda node: node),))
        return Diagnostic("WL101", "x", "a.py", 1, column, 1, end, "x", fix)

    one, inside, beside, unsafe = at(1, 9), at(3, 5), at(9, 12), at(20, 22, "unsafe")
    assert choose([one, inside, beside, unsafe], unsafe=False) == [one, beside]
    assert choose([one, inside, beside, unsafe], unsafe=True) == [one, beside, unsafe]


def test_without_libcst_a_fix_names_its_install_line(tmp_path, monkeypatch):
    """Linting works without libcst; a fix says how to install it, and changes nothing."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)
    monkeypatch.setitem(sys.modules, "libcst", None)
    assert len(wl.lint(path).diagnostics) == 1
    with pytest.raises(WeightliftError, match=r"pip install 'weightlift\[fix\]'"):
        wl.lint(path, fix=True)
    assert path.read_bytes() == BAD


def test_one_fix_over_two_files_is_made_in_both_or_in_neither(tmp_path):
    """A fix with an edit in another file changes both; where one of its places is gone, neither."""
    one, other = tmp_path / "a.py", tmp_path / "b.py"
    for path in (one, other):
        path.write_bytes(b"f(x)\n")

    def fixed(column):
        rename = rewrites.wrapped("g")
        edits = (Edit(1, 1, 1, 5, rename), Edit(1, column, 1, 5, rename, path=str(other)))
        run = Run(list(lint_targets([tmp_path], Configurations(Asked()), [])))
        place = (str(one), 1, 1, 1, 5)
        run.diagnostics = [Diagnostic("WL101", "x", *place, "x", Fix("safe", "x", edits))]
        return fix_files(run, unsafe=False), [each.code for each in run.unreadable]

    assert fixed(2) == ([], ["WL902", "WL902"])
    assert (one.read_bytes(), other.read_bytes()) == (b"f(x)\n", b"f(x)\n")
    gone, unreadable = fixed(1)
    assert (len(gone), unreadable) == (1, [])
    assert (one.read_bytes(), other.read_bytes()) == (b"g(f(x))\n", b"g(f(x))\n")
