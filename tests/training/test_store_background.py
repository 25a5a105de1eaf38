"""Saves in the background: what the run may do meanwhile, where errors come out, what a crash leaves."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from weightlift.errors import StoreLockedError, WriteError
from weightlift.training import store as store_module
from weightlift.training.store import CheckpointStore

import stored_runs as stand_ins
from stored_runs import Run, names


@pytest.fixture(autouse=True)
def stand_ins_for_all(stored_runs):
    """Collecting and restoring by stand-ins in every test here."""


@pytest.fixture
def slow(monkeypatch):
    """Writing waits until `go` is set, and fails where `error` is."""
    control = SimpleNamespace(go=threading.Event(), error=None, begun=threading.Event())
    write_step = store_module._write_step

    def write(*arguments, **about):
        control.begun.set()
        assert control.go.wait(20)
        if control.error is not None:
            raise control.error
        write_step(*arguments, **about)

    monkeypatch.setattr(store_module, "_write_step", write)
    yield control
    control.go.set()


def test_a_save_in_the_background(tmp_path, slow):
    """It is staged when save returns, committed when wait does, and the newest until then is the one before."""
    store = CheckpointStore(tmp_path)
    slow.go.set()
    store.save(Run(model="w1"), step=1)
    slow.go.clear()
    saving = store.save(Run(model="w2"), step=2, wait=False)
    assert (saving.staged, saving.committed) == (True, False)
    assert names(tmp_path) == ["step-000001"]
    slow.go.set()
    assert saving.wait().committed
    assert names(tmp_path) == ["step-000001", "step-000002"]


def test_the_next_save_waits(tmp_path, slow):
    """One save is in flight at a time; a second one, and retention, come after it."""
    store = CheckpointStore(tmp_path, keep=1)
    first = store.save(Run(model="w1"), step=1, wait=False)
    threading.Timer(0.05, slow.go.set).start()
    second = store.save(Run(model="w2"), step=2, wait=False)
    assert first.committed
    store.wait()
    assert second.committed
    assert names(tmp_path) == ["step-000002"]


@pytest.mark.parametrize("call", ["save", "wait", "close", "resume", "handle"])
def test_an_error_comes_out_of_the_next_call(tmp_path, slow, call):
    """What went wrong in the background is raised by whatever is asked next, once, and the store goes on."""
    store = CheckpointStore(tmp_path)
    slow.error = WriteError("no space")
    saving = store.save(Run(model="w1"), step=1, wait=False)
    slow.go.set()
    calls = {
        "save": lambda: store.save(Run(model="w2"), step=2),
        "wait": store.wait,
        "close": store.close,
        "resume": lambda: store.resume(Run(model=""), default=0),
        "handle": saving.wait,
    }
    with pytest.raises(WriteError, match="step 1: no space"):
        calls[call]()
    assert not saving.committed
    slow.error = None
    store.save(Run(model="w3"), step=3)
    assert names(tmp_path) == ["step-000003"]


def test_what_was_encoded_does_not_change(tmp_path, slow, monkeypatch):
    """Values are encoded before save returns: what the run does to them later is not in the file."""
    live = {"epoch": 1}
    collect = stand_ins.collect

    def collecting(run, **chosen):
        found = collect(run, **chosen)
        found.document["parts"]["meta"] = {"kind": "value", "value": dict(live)}
        return found

    monkeypatch.setattr(store_module, "_collect", collecting)
    store = CheckpointStore(tmp_path)
    store.save(Run(model="w"), step=1, wait=False)
    live["epoch"] = 2
    slow.go.set()
    assert store.load(1).state["parts"]["meta"]["value"] == {"epoch": 1}


def test_the_lock_is_held_until_the_save_is_done(tmp_path, slow):
    """A store that is dropped with a save in flight still writes, and is free only then."""
    CheckpointStore(tmp_path).save(Run(model="w"), step=1, wait=False)
    gc.collect()
    slow.begun.wait(20)
    other = CheckpointStore(tmp_path)
    with pytest.raises(StoreLockedError):
        other.save(Run(model="w"), step=2)
    slow.go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("weightlift: saving"):
            thread.join()
    gc.collect()
    assert other.resume(Run(model="")) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cannot_write(tmp_path, slow):
    """A child made while a save is in flight neither hangs nor writes: it is told who does."""
    store = CheckpointStore(tmp_path)
    store.save(Run(model="w"), step=1, wait=False)
    child = os.fork()
    if child == 0:
        try:
            store.save(Run(model="w"), step=2)
        except StoreLockedError as error:
            os._exit(0 if f"process {os.getppid()} on" in str(error) else 1)
        os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    slow.go.set()
    store.close()
    assert code == 0
    assert names(tmp_path) == ["step-000001"]


PROGRAM = """
import os, signal, sys, time
import stored_runs
from weightlift.training import store
store._collect, store._restore, store._new_staging = stored_runs.collect, stored_runs.restore, stored_runs.Staging
kept = store.CheckpointStore(sys.argv[1], keep=1)
kept.save(stored_runs.Run(model="w1"), step=1)
{before}
kept.save(stored_runs.Run(model="w2"), step=2, wait=False)
{after}
"""
KILLED_AT_FLUSH = """
import itertools
fsync, calls = os.fsync, itertools.count()
def counted(fd):
    if next(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(fd)
os.fsync = counted
"""


def program(place, before="", after=""):
    code = PROGRAM.format(before=before, after=after)
    return subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("call", range(6))
def test_a_crash_in_the_background_leaves_the_one_before(tmp_path, call):
    """Killed at any flush of a save, the process leaves a checkpoint that verifies, and the next store cleans up."""
    done = program(tmp_path, KILLED_AT_FLUSH.format(call=call), "kept.wait()")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert ("step-000001" in names(tmp_path)) == (call < 5), "the one before goes when the new one is flushed"
    with CheckpointStore(tmp_path, keep=1) as store:
        step = store.resume(run := Run(model=""))
        assert run.parts == {"model": f"w{step}"}
        assert step == (2 if call >= 4 else 1)
        assert store.notes == []
        assert all(problems == () for _, problems in store.verify())
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith((".part", ".gone", ".old"))]


@pytest.mark.parametrize("after", ["", "sys.exit(1)", "del kept"])
def test_the_script_may_end_at_once(tmp_path, after):
    """A script that ends right after a save in the background ends when that is on the disk."""
    assert program(tmp_path, after=after).stderr == ""
    assert names(tmp_path) == ["step-000002"]


def test_an_error_at_the_end_makes_noise(tmp_path):
    """A save that failed after the script's last line is told on stderr."""
    done = program(tmp_path, "def fail(fd): raise OSError(28, 'No space left on device')\nos.fsync = fail")
    assert "step-000002 failed, and nothing waited for it" in done.stderr
    assert "No space left on device" in done.stderr
    assert names(tmp_path) == ["step-000001"]
