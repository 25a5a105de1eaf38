"""A store among other things: what is none of ours stays, what a crash of ours left behind goes."""

from __future__ import annotations

import os

import pytest

from weightlift.errors import StoreError
from weightlift.training.store import CheckpointStore

from stored_runs import Run, names


@pytest.fixture(autouse=True)
def stand_ins_for_all(stored_runs):
    """Collecting and restoring by stand-ins in every test here."""


FOREIGN = {
    "events.out": "file",
    "tensorboard": "folder",
    ".hidden.part": "folder",
    ".other.gone": "folder",
    ".step-000009.note": "folder",
    "step-000004": "link",
    "step-000005": "file",
    "step-000006": "folder",
    "step-7": "folder",
    "step-000001.txt": "file",
}


def furnish(place):
    """Put things into a directory that only look like ours, or not even that."""
    elsewhere = place.parent / f"{place.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "MANIFEST.json").write_text("theirs")
    for name, kind in FOREIGN.items():
        if kind == "link":
            (place / name).symlink_to(elsewhere)
        elif kind == "file":
            (place / name).write_text("theirs")
        else:
            (place / name).mkdir()
            (place / name / "data").write_text("theirs")


def everything(place):
    return {
        str(path.relative_to(place)): "link" if path.is_symlink() else path.read_text() if path.is_file() else ""
        for path in sorted(place.rglob("*"))
        if path.relative_to(place).parts[0] not in (".lock", "step-000003")
    }


def test_what_is_not_ours_is_left_alone(tmp_path):
    """Saving, resuming, pruning and verifying touch no file, link or folder that is no checkpoint of ours."""
    furnish(tmp_path)
    before = everything(tmp_path)
    with CheckpointStore(tmp_path, keep=1) as store:
        assert store.resume(Run(model=""), default=0) == 0
        for step in (1, 2, 3):
            store.save(Run(model="w"), step=step)
        assert [stored.step for stored in store.list()] == [3]
        assert store.resume(Run(model="")) == 3
        assert store.prune() == []
        assert store.verify() == [(3, ())]
    assert everything(tmp_path) == before
    assert sorted(store.notes) == [
        "step-000001.txt: not the name of a checkpoint; left alone",
        "step-000004: a symbolic link; left alone",
        "step-000005: no directory; left alone",
        "step-000006: a directory that holds no checkpoint; left alone",
        "step-7: not the name of a checkpoint; left alone",
    ]


@pytest.mark.parametrize("step", [4, 5, 6])
def test_what_is_not_ours_is_not_replaced(tmp_path, step):
    """Saving a step whose name something else has is an error that says what is there."""
    furnish(tmp_path)
    before = everything(tmp_path)
    with pytest.raises(StoreError, match=rf"step-00000{step}: a .* has its name|no directory has its name"):
        CheckpointStore(tmp_path).save(Run(model="w"), step=step)
    assert everything(tmp_path) == before


def test_what_crashes_left_is_cleared_with_the_lock_and_not_before(tmp_path):
    """Half written and half removed ones go, one that was being replaced gets its name back, when a writer comes."""
    with CheckpointStore(tmp_path) as store:
        for step in (1, 2, 3):
            store.save(Run(model=f"w{step}"), step=step)
    os.rename(tmp_path / "step-000003", tmp_path / ".step-000003.old")
    os.rename(tmp_path / "step-000002", tmp_path / ".step-000002.gone")
    (tmp_path / ".step-000004.1234-0123abcd.part").mkdir()
    (tmp_path / ".step-000004.1234-0123abcd.part" / "state.json").write_text("{}")

    store = CheckpointStore(tmp_path)
    assert [stored.step for stored in store.list()] == [1, 3]
    assert store.verify() == [(1, ()), (3, ())]
    assert (tmp_path / ".step-000003.old").exists()
    assert store.resume(run := Run(model="")) == 3
    assert run.parts == {"model": "w3"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "step-000001", "step-000003"]


def test_a_directory_that_is_a_file(tmp_path):
    """A store is not made of a file."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="runs: is no directory"):
        CheckpointStore(tmp_path / "runs")


def test_a_file_on_the_way(tmp_path):
    """A directory that cannot be made is an error of the save."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(Exception, match="cannot be made: Not a directory"):
        CheckpointStore(tmp_path / "runs" / "a").save(Run(model="w"), step=1)


def test_a_step_that_disappears_is_not_missed(tmp_path):
    """Checkpoints that somebody removes by hand are simply gone."""
    store = CheckpointStore(tmp_path, keep=2)
    for step in (1, 2):
        store.save(Run(model="w"), step=step)
    for path in (tmp_path / "step-000001").iterdir():
        path.unlink()
    (tmp_path / "step-000001").rmdir()
    store.save(Run(model="w"), step=3)
    assert names(tmp_path) == ["step-000002", "step-000003"]


@pytest.mark.parametrize("there", ["nothing in it", "a broken checkpoint"])
def test_what_was_replaced_stays_where_the_new_one_is_in_doubt(tmp_path, there):
    """The older half of a replacement is not cleared while what has its name is no sound checkpoint."""
    with CheckpointStore(tmp_path) as store:
        for step in (1, 2):
            store.save(Run(model="w"), step=step)
    os.rename(tmp_path / "step-000002", tmp_path / ".step-000002.old")
    (tmp_path / "step-000002").mkdir()
    if there == "a broken checkpoint":
        (tmp_path / "step-000002" / "state.json").write_text("{}")
    with CheckpointStore(tmp_path) as store:
        assert store.resume(Run(model="")) == 1
    assert (tmp_path / ".step-000002.old" / "MANIFEST.json").exists()
