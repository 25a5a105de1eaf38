"""Files of every shape: lint and its fixes raise nothing of Python's own, and change what they say and nothing else."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import tokenize
from pathlib import Path
from random import Random

import pytest

import weightlift as wl
from weightlift.actions import lint_fixes
from weightlift.errors import WeightliftError

from lint_fixtures import FIXTURES
from lint_mutations import mutated, notebook_of, parses

CASES = int(os.environ.get("WEIGHTLIFT_CASES", "60"))
TREE = os.environ.get("WEIGHTLIFT_TREE")
BOM = b"\xef\xbb\xbf"
BAD = b"import torch\nm.state_dict(torch.load(p))\n"


def sources():
    paths = sorted(FIXTURES.glob("WL*/*.py"))
    if TREE:
        rng = Random(0)
        more = [path for path in sorted(Path(TREE).rglob("*.py")) if path.stat().st_size < 100_000]
        with_words = [path for path in more if b"state_dict" in path.read_bytes() or b"torch.load" in path.read_bytes()]
        paths += with_words + rng.sample(more, min(len(more), 200))
    return [path.read_text("utf-8") for path in paths]


SOURCES = sources()
OPTIONS = {"select": ["WL"], "torch_min": "2.1", "fix": True, "unsafe_fixes": True}


def tokens(data):
    """Return the tokens of a file with their places; None for what `tokenize` does not get through."""
    try:
        return list(tokenize.tokenize(io.BytesIO(data).readline))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None


def outside(data, edits):
    """Return the texts of the tokens that stand outside of all edits, without those of layout alone."""
    found = []
    for token in tokens(data) or ():
        begin, end = (token.start[0], token.start[1] + 1), (token.end[0], token.end[1] + 1)
        inside = any(edit[:2] <= begin and end <= edit[2:] for edit in edits)
        if not inside and token.string.strip() and token.type not in (tokenize.ENCODING, tokenize.INDENT):
            found.append(token.string)
    return found


def line_ends(data):
    """Return the kinds of line ends in a file."""
    return set(re.findall(rb"\r\n|\r|\n", data))


def is_within(few, many):
    """Whether the items of one list are in another, in the same order."""
    rest = iter(many)
    return all(any(each == other for other in rest) for each in few)


def check_a_file(path, data):
    """Fix a file and check everything that has to be true of it then."""
    path.write_bytes(data)
    path.chmod(0o666)
    before = wl.lint(path, **{**OPTIONS, "fix": False, "unsafe_fixes": False})
    assert path.read_bytes() == data
    found = wl.lint(path, **OPTIONS)
    after = path.read_bytes()
    codes = {each.code for each in (*before.unreadable, *found.unreadable)}
    assert "WL903" not in codes, [each.message for each in found.unreadable]
    assert found.exit_code == (2 if found.unreadable else 1 if found.diagnostics else 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert bool(found.fixed) == (after != data)
    if "WL901" in codes:
        assert after == data
    again = wl.lint(path, **OPTIONS)
    assert (again.fixed, path.read_bytes()) == ((), after)
    return before, found, after


def check_what_is_kept(before, data, after):
    """Check that a changed file is Python, and that nothing is changed in it outside of the edits."""
    assert parses(after)
    edits = [
        (edit.line, edit.column, edit.end_line, edit.end_column)
        for each in before.diagnostics
        for edit in (each.fix.edits if each.fix else ())
    ]
    assert line_ends(after) <= line_ends(data)
    assert after.startswith(BOM) == data.startswith(BOM)
    data, after = data.removeprefix(BOM), after.removeprefix(BOM)
    lines, made = re.split(rb"\r\n|\r|\n", data), re.split(rb"\r\n|\r|\n", after)
    kept = [line for at, line in enumerate(lines, 1) if not any(edit[0] <= at <= edit[2] for edit in edits)]
    assert is_within(kept, made)
    data, after = b"\n".join(lines), b"\n".join(made)
    if tokens(data) is not None:
        assert is_within(outside(data, edits), [token.string for token in tokens(after)])


def check_cells(data, after):
    """Check that a changed notebook differs in the source of code cells alone, each spelled as it was."""
    old, new = json.loads(data), json.loads(after)
    for cell, other in zip(old["cells"], new["cells"], strict=True):
        if cell.get("cell_type") == "code" and "source" in cell:
            assert type(cell.pop("source")) is type(other.pop("source"))
    assert old == new


@pytest.mark.parametrize("part", range(4))
def test_changed_files(tmp_path, part):
    """Whatever a file holds: no exception, no file that is no Python, and nothing changed but the edits, once."""
    path = tmp_path / "a.py"
    for case in range(part, CASES, 4):
        data = mutated(SOURCES, Random(case))
        try:
            before, _, after = check_a_file(path, data)
            if after != data:
                check_what_is_kept(before, data, after)
        except BaseException as error:
            error.add_note(f"case {case}: {data[:2000]!r}")
            raise


@pytest.mark.parametrize("part", range(2))
def test_changed_notebooks(tmp_path, part):
    """Whatever a notebook holds: no exception, and nothing changed but the source of code cells."""
    path = tmp_path / "a.ipynb"
    for case in range(part, CASES, 2):
        rng = Random(case)
        data = notebook_of(rng.choice(SOURCES), rng).encode("utf-8", "surrogatepass")
        try:
            _, _, after = check_a_file(path, data)
            if after != data:
                check_cells(data, after)
        except BaseException as error:
            error.add_note(f"case {case}: {data[:2000]!r}")
            raise


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"   ", b"\\", b"\f", b"# torch.load state_dict", b"\0"])
def test_files_of_next_to_nothing(tmp_path, data):
    """A file with nothing in it has no findings and stays."""
    check_a_file(tmp_path / "a.py", data)
    assert (tmp_path / "a.py").read_bytes() == data


def test_links_and_folders_of_every_kind(tmp_path):
    """Links that lead nowhere or in a circle, folders named like files and pipes are passed over in a folder."""
    (tmp_path / "a.py").write_bytes(BAD)
    (tmp_path / "circle.py").symlink_to(tmp_path / "circle.py")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "gone")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "folder.py" / "b.py").write_bytes(BAD)
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "same.py").symlink_to(tmp_path / "a.py")
    os.mkfifo(tmp_path / "pipe.py")
    found = wl.lint(tmp_path, fix=True)
    assert found.exit_code == 0
    assert (tmp_path / "a.py").read_bytes() == BAD.replace(b"m.state", b"m.load_state")
    assert (tmp_path / "folder.py" / "b.py").read_bytes() == BAD.replace(b"m.state", b"m.load_state")
    assert (tmp_path / "same.py").is_symlink()


@pytest.mark.parametrize("name", ["circle.py", "nowhere.py", "gone.py"])
def test_what_is_named_has_to_be_there(tmp_path, name):
    """A path that leads nowhere is an error of ours where it is named."""
    (tmp_path / "circle.py").symlink_to(tmp_path / "circle.py")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "gone")
    with pytest.raises(WeightliftError, match="no such file or folder"):
        wl.lint(tmp_path / name)


def test_a_pipe_that_is_named_is_no_file(tmp_path):
    """A pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(WeightliftError, match="no regular file"):
        wl.lint(tmp_path / "pipe.py")


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    """A folder without permission is reported, and the files beside it are fixed."""
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_bytes(BAD)
    real = os.scandir

    def scandir(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = wl.lint(tmp_path, fix=True)
    assert [(each.code, os.path.basename(each.path)) for each in found.unreadable] == [("WL901", "closed")]
    assert found.unreadable[0].message == "the folder cannot be listed: Permission denied"
    assert (found.exit_code, len(found.fixed)) == (2, 1)


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    """A file without permission is reported, and the others are fixed."""
    for name in ("closed.py", "open.py"):
        (tmp_path / name).write_bytes(BAD)
    real = open

    def opened(path, *args, **kwargs):
        if str(path).endswith("closed.py"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", opened)
    found = wl.lint(tmp_path, fix=True)
    assert [each.message for each in found.unreadable] == ["it cannot be read: Permission denied"]
    assert len(found.fixed) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_changes_while_it_is_fixed(tmp_path, monkeypatch, gone):
    """What another program does to a file between the look at it and the fix stays as that program has left it."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)
    other = BAD + b"# mine\n"
    real = lint_fixes.rewritten

    def slow(data, edits):
        if gone:
            path.unlink()
        else:
            path.write_bytes(other)
        return real(data, edits)

    monkeypatch.setattr(lint_fixes, "rewritten", slow)
    found = wl.lint(path, fix=True)
    assert [each.code for each in found.unreadable] == ["WL902"]
    assert found.exit_code == 2
    assert os.listdir(tmp_path) == ([] if gone else ["a.py"])
    assert gone or path.read_bytes() == other


def test_a_file_that_changes_before_it_is_fixed(tmp_path, monkeypatch):
    """Places of findings are those of the bytes that were looked at: fixes are made in these or not at all."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)
    other = b"import torch\nx = 1; y = [m.state_dict(torch.load(p))]\n"
    real = lint_fixes.fix_files

    def late(run, **options):
        path.write_bytes(other)
        return real(run, **options)

    monkeypatch.setattr(lint_fixes, "fix_files", late)
    found = wl.lint(path, fix=True)
    assert [each.code for each in found.unreadable] == ["WL902"]
    assert path.read_bytes() == other


def test_a_read_only_file_keeps_its_mode(tmp_path):
    """A file that is not to be written is replaced, as its folder allows, and is not to be written after."""
    path = tmp_path / "a.py"
    path.write_bytes(BAD)
    path.chmod(0o444)
    assert len(wl.lint(path, fix=True).fixed) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
