"""A scan over several processes: the same as in one, and of those processes any may die."""

from __future__ import annotations

import os
import sys

import pytest

import weightlift as wl
from weightlift.actions import scan_workers

from builders import call, named, pickled, text, torch_zip

DYING = """
import os, sys
sys.path[:] = {path!r}
from weightlift.actions import scan_workers
scan = scan_workers.scan_file

def scan_or_die(path, **how):
    if "deadly" in path:
        os.kill(os.getpid(), 9)
    if "leaving" in path:
        os._exit(7)
    return scan(path, **how)

scan_workers.scan_file = scan_or_die
scan_workers.work()
"""


@pytest.fixture
def many(tmp_path):
    """A folder of 60 files: clean, dangerous, and no checkpoints."""
    evil = torch_zip(pickled(call(named("posix", "system"), text("echo hi"))))
    for i in range(20):
        (tmp_path / f"{i:02}.pt").write_bytes(torch_zip())
        (tmp_path / f"{i:02}-evil.pt").write_bytes(evil)
        (tmp_path / f"{i:02}.txt").write_text("text")
    return tmp_path


@pytest.fixture
def mortal(monkeypatch):
    """Workers that are killed by a file named deadly, and leave over one named leaving."""
    command = [sys.executable, "-c", DYING.format(path=sys.path)]
    monkeypatch.setattr(scan_workers, "worker_command", lambda: command)


def test_as_in_one_process(many):
    """Any number of processes gives the same verdicts in the same order."""
    alone = wl.scan(many, jobs=1)
    assert len(alone.files) == 40
    assert alone.skipped == 20
    for jobs in (2, 3, 100):
        assert wl.scan(many, jobs=jobs) == alone


def test_a_killed_worker_costs_one_file(many, mortal):
    """The file that a worker dies of is unreadable, says so, and every other file gets its verdict."""
    alone = wl.scan(many, jobs=1)
    for name in ("05-deadly.pt", "05-leaving.pt", "17-deadly.pt"):
        (many / name).write_bytes(torch_zip())
    found = wl.scan(many, jobs=2)
    dead = {os.path.basename(file.path): file for file in found.of("unreadable")}
    assert sorted(dead) == ["05-deadly.pt", "05-leaving.pt", "17-deadly.pt"]
    assert dead["05-deadly.pt"].evidence[0].code == "unreadable-killed"
    assert "was killed by signal 9" in dead["05-deadly.pt"].evidence[0].message
    assert "ended with status 7" in dead["05-leaving.pt"].evidence[0].message
    assert tuple(file for file in found.files if file.verdict != "unreadable") == alone.files


def test_without_workers_the_scan_goes_on_alone(many, monkeypatch):
    """Where no process can be started, or what starts is none of ours, the verdicts are the same."""
    alone = wl.scan(many, jobs=1)
    for command in (["/nowhere/python"], [sys.executable, "-c", "pass"]):
        monkeypatch.setattr(scan_workers, "worker_command", lambda command=command: command)
        assert wl.scan(many, jobs=2) == alone


def test_nothing_of_the_current_folder_is_imported(many, monkeypatch):
    """A json.py among the scanned files is not what a worker imports."""
    (many / "json.py").write_text("open('marker', 'w')")
    monkeypatch.chdir(many)
    assert len(wl.scan(".", jobs=2).files) == 40
    assert not (many / "marker").exists()


def test_no_worker_stays_behind(many, monkeypatch):
    """An error while workers run, as Ctrl-C is, ends them all."""
    pids = []
    start = os.posix_spawn
    monkeypatch.setattr(os, "posix_spawn", lambda *args, **how: pids.append(start(*args, **how)) or pids[-1])

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wl.scan(many, jobs=2, progress=interrupted)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_limits_reach_every_worker(many):
    """A limit that no file stays within is one in every process."""
    found = wl.scan(many, jobs=2, limits=wl.Limits(members=1))
    assert {file.verdict for file in found.files} == {"unreadable"}
