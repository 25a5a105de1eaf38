"""What `wl.scan` looks at: named files, everything under folders, in one order, whatever lies there."""

from __future__ import annotations

import os
import socket

import pytest

import weightlift as wl
from weightlift.scans import Evidence

from builders import call, named, pickled, safetensors, text, torch_zip

EVIL = pickled(call(named("posix", "system"), text("echo hi")))
UNKNOWN = pickled(call(named("their.models", "Net")))


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of each verdict, in folders of its own, and some that are no checkpoints."""
    for name, data in {
        "b/evil.pt": torch_zip(EVIL),
        "b/clean.pt": torch_zip(),
        "a/net.pt": torch_zip(UNKNOWN),
        "a/deep/er/cut.pt": torch_zip()[:40],
        "README.md": b"# A page\n",
        "photo.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "nothing": b"",
    }.items():
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "models"


def names(found, folder):
    """Return the scanned paths below a folder."""
    return [os.path.relpath(file.path, folder) for file in found.files]


def test_a_folder_is_scanned_with_all_under_it(folder):
    """Every checkpoint under a folder gets a verdict, in the order of names; the folder gets the worst of them."""
    found = wl.scan(folder)
    assert names(found, folder) == ["a/net.pt", "a/deep/er/cut.pt", "b/clean.pt", "b/evil.pt"]
    assert [file.verdict for file in found.files] == ["unknown", "unreadable", "clean", "dangerous"]
    assert (found.verdict, found.exit_code) == ("dangerous", 3)


def test_what_is_no_checkpoint_is_skipped_and_counted(folder):
    """Text, pictures and empty files of a folder are not judged, and it is told how many there are."""
    assert wl.scan(folder).skipped == 3


@pytest.mark.parametrize(
    ("left_out", "verdict", "code"),
    [((), "dangerous", 3), (("evil",), "unreadable", 2), (("evil", "cut"), "unknown", 1)],
)
def test_the_worst_verdict_decides(folder, left_out, verdict, code):
    """dangerous is worse than unreadable, that worse than unknown."""
    for path in list(folder.rglob("*.pt")):
        if path.stem in left_out:
            path.unlink()
    found = wl.scan(folder)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_a_named_file_is_judged_whatever_it_is(folder):
    """A page of text that is named is unreadable, and not skipped: it may be what somebody loads."""
    found = wl.scan(folder / "README.md", folder / "nothing")
    assert [file.verdict for file in found.files] == ["unreadable", "unreadable"]
    assert found.skipped == 0


@pytest.mark.parametrize("name", ["notes.txt", "picture.jpg", "no suffix"])
def test_content_decides_under_any_name(tmp_path, name):
    """A pickle that calls something is found under a name that no checkpoint has."""
    (tmp_path / name).write_bytes(EVIL)
    assert wl.scan(tmp_path).verdict == "dangerous"


def test_a_page_under_the_name_of_a_checkpoint_is_unreadable(tmp_path):
    """What a failed download left is not skipped, and not clean."""
    (tmp_path / "model.bin").write_bytes(b"<!doctype html><html>not found</html>")
    found = wl.scan(tmp_path)
    assert (found.verdict, found.skipped) == ("unreadable", 0)


def test_what_is_not_there_is_unreadable(tmp_path):
    """A path that leads nowhere is a verdict, and never clean."""
    (file,) = wl.scan(tmp_path / "gone.pt").files
    assert file.verdict == "unreadable"
    assert file.evidence == (Evidence("unreadable-source", "warning", "", "no such file"),)


def test_links_are_followed_and_loops_end(folder):
    """A link to a file is scanned under its own name; links to folders that were entered lead nowhere new."""
    (folder / "b/loop").symlink_to(folder)
    (folder / "a/up").symlink_to("..")
    (folder / "linked.pt").symlink_to(folder / "b/evil.pt")
    found = wl.scan(folder)
    assert names(found, folder)[0] == "linked.pt"
    assert len(found.files) == 5


def test_a_link_to_nowhere_is_no_clean_checkpoint(tmp_path):
    """A dangling link with the name of a checkpoint is unreadable; of any other name it is skipped."""
    (tmp_path / "model.pt").symlink_to("gone")
    (tmp_path / "notes").symlink_to("gone")
    found = wl.scan(tmp_path)
    assert ([file.verdict for file in found.files], found.skipped) == (["unreadable"], 1)


def test_pipes_and_sockets_are_not_opened(tmp_path, monkeypatch):
    """A pipe in a folder is counted as skipped and stops nothing; one that is named is unreadable."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.pt")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.pt")
        found = wl.scan(tmp_path)
    assert (found.files, found.skipped) == ((), 2)
    (file,) = wl.scan("pipe.pt").files
    assert (file.verdict, file.evidence[0].message) == ("unreadable", "not a regular file")


def test_a_folder_that_cannot_be_listed_is_unreadable(folder, monkeypatch):
    """A folder without permission is told as unreadable, and the others are scanned."""
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = wl.scan(folder)
    told = {os.path.relpath(file.path, folder): file for file in found.files}
    assert told["a/deep"].verdict == "unreadable"
    assert told["a/deep"].evidence[0].message == "the folder cannot be listed: Permission denied"
    assert told["b/evil.pt"].verdict == "dangerous"


def test_each_path_is_told_once(folder):
    """A file that is named and lies in a named folder is one file."""
    assert len(wl.scan(folder / "b/evil.pt", folder, folder).files) == 4


def test_names_of_any_bytes(tmp_path):
    """A file whose name is no text is scanned like any other, in every number of processes."""
    for name in (b"\xff\xfe.pt", b"new\nline.pt"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as out:
            out.write(torch_zip())
    for jobs in (1, 2):
        assert [file.verdict for file in wl.scan(os.fsencode(tmp_path), jobs=jobs).files] == ["clean", "clean"]


def test_a_directory_of_our_own_is_clean(tmp_path):
    """A safetensors file and JSON beside it: one clean file, one that is no checkpoint."""
    (tmp_path / "weights.safetensors").write_bytes(safetensors(b"{}"))
    (tmp_path / "config.json").write_bytes(b'{"layers": 2}')
    found = wl.scan(tmp_path)
    assert ([file.verdict for file in found.files], found.skipped) == (["clean"], 1)


def test_a_defect_is_told_and_ends_nothing(folder, monkeypatch):
    """An error of ours, or want of memory, makes one file unreadable: never clean, and the others are judged."""
    from weightlift.actions import scan_file

    judge = scan_file.scan_source

    def failing(source, **how):
        if source.name == "clean.pt":
            raise ZeroDivisionError("by zero")
        if source.name == "net.pt":
            raise MemoryError
        return judge(source, **how)

    monkeypatch.setattr(scan_file, "scan_source", failing)
    told = {os.path.basename(file.path): file for file in wl.scan(folder).files}
    assert told["clean.pt"].verdict == told["net.pt"].verdict == "unreadable"
    assert told["clean.pt"].evidence[0].message.endswith("please report that: ZeroDivisionError: by zero")
    assert told["net.pt"].evidence[0].code == "unreadable-memory"
    assert told["evil.pt"].verdict == "dangerous"


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_files(folder, jobs):
    """Progress is called with how many files are done, and ends with all of them."""
    calls = []
    wl.scan(folder, jobs=jobs, progress=lambda *call: calls.append(call))
    assert calls[-1] == (7, 7)
    assert calls == sorted(calls)
