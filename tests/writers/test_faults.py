"""Whatever fails while a checkpoint is written, the whole older or the whole newer one is there, and nothing else."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress

import pytest

import weightlift
from weightlift.errors import WriteError
from weightlift.writers.directory import remove_directory

import step_saves
from step_saves import found, save

CALLS = ("mkdir", "open", "write", "fsync", "rename", "unlink", "rmdir", "close", "listdir", "lstat", "fstat")
WRITING = "mkdir,write,pwrite64,writev,fsync,fdatasync,rename,renameat2,unlink,unlinkat,rmdir,fchmod,ftruncate"
EVERYTHING = os.environ.get("WEIGHTLIFT_FAULTS") == "all"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """These are about which calls are made and what follows an error, not about the disk: nothing waits for it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Trip:
    """Stands in for the functions of `os`; at the n-th call something happens before or instead of it."""

    def __init__(self, monkeypatch, at, event, *, after=False):
        self.at = at
        self.event = event
        self.after = after
        self.count = 0
        self.calls = []
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, real):
        """Return what stands in for one function."""

        def call(*args, **more):
            if sys._getframe(1).f_code.co_name == "__del__":
                return real(*args, **more)  # a file of another test, collected just now
            self.count += 1
            self.calls.append(name)
            if self.count == self.at and not self.after:
                raise self.event
            mine = self.count == self.at
            try:
                return real(*args, **more)
            finally:
                if mine:
                    raise self.event

        return call


@pytest.fixture(params=["first", "overwriting"])
def place(request, tmp_path):
    """Where a checkpoint is to be written: (path, mark of the one that is there already)."""
    path = tmp_path / "runs" / "step-1"
    if request.param == "first":
        return path, None
    save(path, 1)
    return path, 1


def attempts(place, event, *, after=False, action=save):
    """Carry the action out with the event at each call in turn; yield (error or None) until none is left to trip."""
    path, older = place
    folder = path.parent
    at = 0
    while True:
        at += 1
        shutil.rmtree(folder, ignore_errors=True)
        if older is not None:
            save(path, older)
        error = None
        with pytest.MonkeyPatch.context() as patch:
            trip = Trip(patch, at, event, after=after)
            try:
                action(path, 2)
            except (Exception, KeyboardInterrupt) as raised:  # noqa: BLE001 - whatever it is, it is looked at
                error = raised
        if trip.count < at:
            assert at > 20
            return
        yield error, trip


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_an_error_at_any_call_leaves_the_older_one_and_nothing_else(place, number):
    """ENOSPC, EIO or EACCES from any call: a WriteError and the older checkpoint, or a complete new one."""
    path, older = place
    raised = 0
    for error, trip in attempts(place, OSError(number, os.strerror(number))):
        if error is None:
            assert found(path) == 2
            continue
        raised += 1
        assert isinstance(error, WriteError), trip.calls
        assert found(path) == older, trip.calls
        assert not path.parent.exists() or set(os.listdir(path.parent)) <= {"step-1"}, trip.calls
    assert raised > 20


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interrupt_at_any_call_leaves_a_whole_one(place, after):
    """KeyboardInterrupt before or after any call: the older checkpoint, or a complete new one, never a mix."""
    path, older = place
    for error, trip in attempts(place, KeyboardInterrupt(), after=after):
        assert isinstance(error, KeyboardInterrupt)
        assert found(path) in (older, 2), trip.calls
        save(path, 3)
        assert os.listdir(path.parent) == ["step-1"], trip.calls  # the next save clears what was left
        assert found(path) == 3


def test_an_interrupt_while_files_are_written_leaves_nothing(tmp_path):
    """KeyboardInterrupt in a write or fsync removes everything new, the directories made for it too."""
    place = (tmp_path / "runs" / "step-1", None)
    seen = 0
    for _, trip in attempts(place, KeyboardInterrupt()):
        if trip.calls[trip.at - 1] in ("write", "fsync") and "rename" not in trip.calls[: trip.at]:
            seen += 1
            assert not place[0].parent.exists(), trip.calls
    assert seen > 5


def test_an_error_while_removing_leaves_it_whole_or_gone(tmp_path):
    """Whatever fails in remove_directory, the checkpoint is there whole or not at all."""
    place = (tmp_path / "runs" / "step-1", 1)
    outcomes = set()
    for number in (errno.EIO, errno.EACCES):
        path = place[0]
        for at in range(1, 40):
            shutil.rmtree(path.parent, ignore_errors=True)
            save(path, 1)
            with pytest.MonkeyPatch.context() as patch:
                trip = Trip(patch, at, OSError(number, "failed"))
                with suppress(WriteError):
                    remove_directory(path)
            outcomes.add(found(path))
            if trip.count < at:
                break
    assert outcomes == {None, 1}


def test_nothing_is_flushed_twice_after_an_error(tmp_path, monkeypatch):
    """A descriptor whose fsync failed is not flushed again: the system may have dropped what was written."""
    failed = []

    def fsync(fd):
        status = os.fstat(fd)
        assert status.st_ino not in failed
        if len(failed) == 0:
            failed.append(status.st_ino)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WriteError, match="Input/output error"):
        save(tmp_path / "s", 1)
    assert os.listdir(tmp_path) == []


def test_a_flush_that_fails_while_the_rest_is_written(tmp_path, monkeypatch):
    """An error of the early flush of a large file is not lost: nothing is saved, and the file is not flushed again."""
    flushed = []

    def fdatasync(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("weightlift.writers.hashed_file._EARLY", 1)
    monkeypatch.setattr(os, "fdatasync", fdatasync, raising=False)
    monkeypatch.setattr(os, "fsync", flushed.append)
    with pytest.raises(WriteError, match="Input/output error"):
        save(tmp_path / "s", 1)
    assert os.listdir(tmp_path) == []
    assert flushed == []


def test_a_process_that_has_no_more_threads_still_saves(tmp_path, monkeypatch):
    """Where no thread can be started, as in the last moments of the interpreter, a file is flushed at its end."""

    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("weightlift.writers.hashed_file._EARLY", 1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    save(tmp_path / "s", 1)
    assert found(tmp_path / "s") == 1


@pytest.mark.parametrize("most", [1, 7])
def test_short_writes_lose_nothing(tmp_path, monkeypatch, most):
    """A system that takes a few bytes at a time gets all of them."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, memoryview(data)[:most]))
    save(tmp_path / "s", 1)
    monkeypatch.undo()
    assert found(tmp_path / "s") == 1


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    """The error says how many bytes are needed and how many are free; no directory is made."""
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((*real[:3], 0, 0, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(WriteError, match=r"\d+ bytes are to be written and 0 are free"):
        save(tmp_path / "runs" / "s", 1)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_while_writing(tmp_path):
    """On a file system of its own that fills up on the way, the older checkpoint stays and nothing else does."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        path = small / "s"
        save(path, 1)
        (small / "ballast").write_bytes(bytes(180_000))
        big = {f"model/{i}": step_saves.tensor_of(bytes(9000), (9000,), "uint8") for i in range(10)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("weightlift.writers.step.refuse_full_disk", lambda *_: None)
            with pytest.raises(WriteError, match="No space left"):
                weightlift.writers.step.write_step(path, big, {}, max_file_bytes=9000)
        assert sorted(os.listdir(small)) == ["ballast", "s"]
        assert found(path) == 1
        with pytest.raises(WriteError, match="are free on the disk"):
            weightlift.writers.step.write_step(path, big, {})
    finally:
        subprocess.run(["umount", "-l", small], check=True)


# ---- the same from outside, by strace: the system calls themselves fail, or the process is killed in them


def strace(path, mark, *options, log=os.devnull):
    """Save in a process of its own under strace."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, step_saves.__file__, str(path), str(mark)]
    return subprocess.run(
        ["strace", "-f", "-o", str(log), "-e", f"trace={WRITING}", *options, *command],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """How often each writing call is made by a save that overwrites."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("recorded")
    save(folder / "s", 1)
    done = strace(folder / "s", 2, log=folder / "log")
    if done.returncode:
        pytest.skip(f"processes cannot be traced here: {done.stderr.strip()[-200:]}")
    assert found(folder / "s") == 2
    names = re.findall(r"^\d+ +(\w+)\(", (folder / "log").read_text(), re.MULTILINE)
    counted = Counter(names)
    assert counted["write"] >= 4
    assert counted["fsync"] >= 7
    assert sum(counted[name] for name in counted if "rename" in name) >= 2
    return counted


def spread(calls, most):
    """(call, n) for every call, or `most` of them spread over all."""
    every = [(name, n + 1) for name, count in calls.items() for n in range(count)]
    return every if EVERYTHING else every[:: max(1, len(every) // most)]


def test_killed_in_any_system_call(calls, tmp_path):
    """SIGKILL at each writing call: the whole older or the whole newer one, and the next save clears the rest."""
    for at, (name, n) in enumerate(spread(calls, 10)):
        for older in (1, None) if EVERYTHING else (1,):
            path = tmp_path / f"{at}-{older}" / "s"
            path.parent.mkdir()
            if older:
                save(path, older)
            done = strace(path, 2, "-e", f"inject={name}:signal=SIGKILL:when={n}")
            assert found(path) in (older, 2), (name, n)
            if done.returncode >= 0:
                continue  # fewer calls than in the overwriting save that was recorded
            save(path, 3)
            assert os.listdir(path.parent) == ["s"], (name, n)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EINTR"])
def test_an_error_of_any_system_call(calls, tmp_path, error):
    """ENOSPC, EIO or EINTR from each writing call: saved whole, or a WriteError and the older one untouched."""
    for at, (name, n) in enumerate(spread(calls, 5)):
        path = tmp_path / str(at) / "s"
        save(path, 1)
        done = strace(path, 2, "-e", f"inject={name}:error={error}:when={n}")
        if done.returncode == 0:
            assert found(path) == 2, (name, n)
        else:
            assert (done.returncode, done.stdout.strip()) == (3, "WriteError"), (name, n, done.stderr)
            assert found(path) == 1, (name, n)
            assert os.listdir(path.parent) == ["s"], (name, n)
