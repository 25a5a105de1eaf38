"""Directories that are there whole or not at all: what may be replaced, and what a crash leaves."""

from __future__ import annotations

import os

import pytest

from weightlift.errors import WriteError
from weightlift.formats.step import open_step, verify_step
from weightlift.training.store import CheckpointStore
from weightlift.writers.directory import durable_directory, remove_directory
from weightlift.writers.leftovers import clear_leftovers, settled

from step_saves import found, save


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Nothing here waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("held", [["notes.txt"], ["data-00001.safetensors"], ["MANIFEST.json", "notes.txt"]])
def test_a_directory_that_is_no_checkpoint_is_not_replaced(tmp_path, held):
    """A directory with anything else in it is refused and untouched."""
    (tmp_path / "s").mkdir()
    for name in held:
        (tmp_path / "s" / name).write_text("mine")
    with pytest.raises(WriteError, match=r"is a directory that holds .*; expected a checkpoint, or nothing"):
        save(tmp_path / "s", 1)
    assert sorted(os.listdir(tmp_path / "s")) == sorted(held)
    assert os.listdir(tmp_path) == ["s"]


def test_a_file_and_a_mount_point_are_not_replaced(tmp_path):
    """A file in the way is refused, as is the root of a file system."""
    (tmp_path / "s").write_text("mine")
    with pytest.raises(WriteError, match="is a file"):
        save(tmp_path / "s", 1)
    with pytest.raises(WriteError, match="is the root of the file system"):
        save("/", 1)
    with pytest.raises(WriteError, match="is a mount point"):
        save("/proc", 1)
    for name in ("", "a\0b", str(tmp_path / ("x" * 230))):
        with pytest.raises(WriteError):
            save(name, 1)


def test_an_empty_directory_and_a_checkpoint_are_replaced(tmp_path):
    """What was made for it beforehand and an older checkpoint are replaced; a symbolic link is followed."""
    (tmp_path / "s").mkdir()
    (tmp_path / "link").symlink_to("s")
    for mark in (1, 2):
        save(tmp_path / "link", mark)
        assert (found(tmp_path / "s"), found(tmp_path / "link")) == (mark, mark)
    assert sorted(os.listdir(tmp_path)) == ["link", "s"]


def test_after_a_crash_between_the_renames_the_older_one_is_found(tmp_path):
    """Where only `.NAME.old` is there, readers find it under NAME, and the next save replaces it."""
    save(tmp_path / "s", 1)
    os.rename(tmp_path / "s", tmp_path / ".s.old")
    assert settled(tmp_path / "s") == str(tmp_path / ".s.old")
    assert found(tmp_path / "s") == 1
    save(tmp_path / "s", 2)
    assert (found(tmp_path / "s"), os.listdir(tmp_path)) == (2, ["s"])


def test_removing_takes_the_older_one_along(tmp_path):
    """A checkpoint that is removed does not come back as what a crash left of its predecessor."""
    save(tmp_path / "s", 1)
    os.rename(tmp_path / "s", tmp_path / ".s.old")
    save(tmp_path / "t", 2)
    os.rename(tmp_path / "t", tmp_path / "s")
    remove_directory(tmp_path / "s")
    assert os.listdir(tmp_path) == []
    save(tmp_path / "s", 1)
    os.rename(tmp_path / "s", tmp_path / ".s.old")
    remove_directory(tmp_path / "s")
    assert os.listdir(tmp_path) == []
    remove_directory(tmp_path / "s")


def test_what_another_is_still_writing_stays(tmp_path):
    """A temporary directory is cleared once nobody holds its lock, and not before; only files of ours are deleted."""
    with durable_directory(tmp_path / "s") as folder:
        clear_leftovers(str(tmp_path))
        assert os.path.isdir(folder)
    abandoned = tmp_path / ".s.1-00000000.part"
    abandoned.mkdir()
    (abandoned / "data-00001.safetensors").write_text("half")
    foreign = tmp_path / ".s.1-00000001.part"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    (tmp_path / ".other.1-00000001.part").mkdir()
    clear_leftovers(str(tmp_path), "s")
    assert sorted(os.listdir(tmp_path)) == [".other.1-00000001.part", foreign.name, "s"]
    clear_leftovers(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [foreign.name, "s"]


def test_nothing_is_written_into_a_checkpoint(tmp_path):
    """A checkpoint or a store inside of a checkpoint would make that one malformed."""
    save(tmp_path / "c", 1)
    for inner in ("best", "a/b/c"):
        with pytest.raises(WriteError, match="would be inside of the checkpoint c, and damage it"):
            save(tmp_path / "c" / inner, 2)
    for place in ("c", "c/runs/a"):
        with pytest.raises(WriteError, match="would be inside of the checkpoint c"):
            CheckpointStore(tmp_path / place).save({"epoch": 1}, step=1)
    assert verify_step(tmp_path / "c") == []


def test_a_reader_holds_on_to_what_it_has_opened(tmp_path):
    """Tensors that are read later come from the checkpoint that was opened, though another has taken its name."""
    save(tmp_path / "s", 1)
    step = open_step(tmp_path / "s", verify=False)
    before = {name: each.tobytes() for name, each in step.tensors.items()}
    save(tmp_path / "s", 2)
    assert {name: each.tobytes() for name, each in step.tensors.items()} == before


def test_a_checkpoint_can_be_written_over_its_own_source(tmp_path):
    """Tensors that are read from a checkpoint can be written in its place."""
    from weightlift.writers.step import write_step

    save(tmp_path / "s", 1)
    step = open_step(tmp_path / "s", verify=False)
    write_step(tmp_path / "s", step.tensors, step.state, step=1)
    assert found(tmp_path / "s") == 1


def test_a_checkpoint_that_is_replaced_while_it_is_read(tmp_path, monkeypatch):
    """A reader whose files are deleted between two reads takes the checkpoint that has the name now."""
    save(tmp_path / "s", 1)
    from weightlift.formats import step as module

    real = module._Opened.state
    replaced = []

    def state(opened):
        if not replaced:
            replaced.append(True)
            save(tmp_path / "s", 2)
        return real(opened)

    monkeypatch.setattr(module._Opened, "state", state)
    assert found(tmp_path / "s") == 2
