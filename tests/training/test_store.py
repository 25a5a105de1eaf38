"""The store on its own: runs here are a few bytes per part, collected and restored by stand-ins."""

from __future__ import annotations

import errno
import logging
import math
import os

import pytest

from weightlift.errors import SourceError, StoreError, StoreLockedError, UnsupportedError, WriteError
from weightlift.training import resuming
from weightlift.training import store as store_module
from weightlift.training.keep import Keep
from weightlift.training.store import CheckpointStore

from stored_runs import Run, damaged, names


@pytest.fixture(autouse=True)
def stand_ins(stored_runs):
    """Collecting and restoring by stand-ins in every test here."""


@pytest.fixture
def place(tmp_path):
    """A directory that is not there yet."""
    return tmp_path / "runs" / "a"


def saved(place, steps, **options):
    """A store with these steps saved in this order."""
    store = CheckpointStore(place, **options)
    for step in steps:
        store.save(Run(model=f"w{step}"), step=step)
    return store


def test_saved_and_resumed(place):
    """What was saved last is what a run resumes with, and its step is what resume returns."""
    saved(place, [1, 2, 3]).close()
    run = Run(model="")
    assert CheckpointStore(place).resume(run) == 3
    assert run.parts == {"model": "w3"}
    assert names(place) == ["step-000001", "step-000002", "step-000003"]


def test_a_save_tells_where_it_went(place):
    """save returns the path, the step, and that it is committed."""
    saving = CheckpointStore(place).save(Run(model="w"), step=1234567)
    assert (saving.path, saving.step) == (str(place / "step-1234567"), 1234567)
    assert saving.staged
    assert saving.committed
    assert saving.wait() is saving


def test_nothing_is_made_before_the_first_save(place):
    """A store that was only asked has left no trace on the disk."""
    store = CheckpointStore(place)
    assert store.resume(Run(model=""), default=0) == 0
    assert store.list() == ()
    assert store.verify() == []
    assert store.prune() == []
    with pytest.raises(UnsupportedError):
        store.save(Run(model=len), step=1)
    assert not place.parent.exists()


def test_without_a_checkpoint_and_without_a_default(place):
    """Where nothing was saved, resume without a default is an error that says what to do."""
    with pytest.raises(StoreError, match=r"no checkpoint was saved here; resume\(run, default=0\) begins anew"):
        CheckpointStore(place).resume(Run(model=""))


def test_a_default_can_be_anything(place):
    """None is a default like any other."""
    assert CheckpointStore(place).resume(Run(model=""), default=None) is None


def test_saving_a_step_again_replaces_it(place):
    """The second save of a step is the one that is there."""
    store = saved(place, [5])
    store.save(Run(model="again"), step=5)
    assert store.load(5, into=(run := Run(model=""))).step == 5
    assert run.parts == {"model": "again"}
    assert names(place) == ["step-000005"]


def test_retention_after_every_save_and_over_restarts(place):
    """The last two, the best one and every tenth stay, ranked from what is on the disk by each new store."""
    keep = Keep(last=2, best=1, metric="loss", mode="min", every=10)
    for step in range(8, 15):
        with CheckpointStore(place, keep=keep) as store:
            store.save(Run(model="w"), step=step, metrics={"loss": abs(step - 9)})
    assert names(place) == ["step-000009", "step-000010", "step-000013", "step-000014"]
    assert [stored.kept for stored in store.list()] == [("best",), ("every 10",), ("last 2",), ("newest",)]


def test_nothing_is_removed_before_the_new_one_is_there(place, monkeypatch):
    """When a save fails, everything that was there before still is."""
    store = saved(place, [1], keep=1)
    monkeypatch.setattr(store_module, "_write_step", failing)
    with pytest.raises(WriteError, match="step 2: no space"):
        store.save(Run(model="w"), step=2)
    assert names(place) == ["step-000001"]


def failing(*_, **__):
    raise WriteError("no space")


def test_pinned_ones_stay(place):
    """A pinned checkpoint outlives the rule until it is unpinned, over restarts too."""
    store = saved(place, [1, 2], keep=Keep(last=2))
    store.pin(1)
    store.close()
    store = saved(place, [3, 4], keep=1)
    assert names(place) == ["step-000001", "step-000004"]
    assert store.list()[0].kept == ("pinned",)
    assert store.verify() == [(1, ()), (4, ())]
    store.unpin(1)
    assert [stored.step for stored in store.prune()] == [1]


def test_a_pinned_one_is_not_replaced(place):
    """Saving over a pinned checkpoint is refused and leaves it."""
    store = saved(place, [1])
    store.pin(1)
    with pytest.raises(StoreError, match=r"is pinned; unpin\(1\) lets it be replaced"):
        store.save(Run(model="other"), step=1)
    store.load(1, into=(run := Run(model="")))
    assert run.parts == {"model": "w1"}


def test_the_newest_whole_one_outlives_partial_ones(place):
    """Saves that leave something out do not push the last complete checkpoint out."""
    store = saved(place, [1], keep=2)
    for step in (2, 3, 4):
        store.save(Run(model="w", optimizer="o"), step=step, without=("optimizer",))
    assert names(place) == ["step-000001", "step-000003", "step-000004"]
    assert store.list()[0].kept == ("newest whole",)


def test_a_partial_one_is_passed_over_by_a_run_that_needs_the_rest(place):
    """resume takes the newest that has every part of the run, and says which it passed over."""
    store = CheckpointStore(place)
    store.save(Run(model="w1", optimizer="o1"), step=1)
    store.save(Run(model="w2", optimizer="o2"), step=2, without=("optimizer",))
    assert store.resume(Run(model="", optimizer="")) == 1
    assert store.notes == ["step 2 was saved without optimizer; passed over"]
    assert store.resume(Run(model="")) == 2


def test_only_partial_ones_is_an_error(place):
    """Where no checkpoint has what the run needs, the default is not taken."""
    store = CheckpointStore(place)
    store.save(Run(model="w", optimizer="o"), step=1, without=("optimizer",))
    with pytest.raises(StoreError, match="step 1 was saved without optimizer"):
        store.resume(Run(model="", optimizer=""), default=0)


@pytest.mark.parametrize("how", damaged)
def test_a_broken_one_is_set_aside(place, how, caplog):
    """The newest that verifies is taken; what is newer and broken keeps its bytes under another name, said why."""
    saved(place, [1, 2, 3]).close()
    damaged[how](place / "step-000003")
    (place / "step-000003.broken").mkdir()
    bytes_before = {path.name: path.read_bytes() for path in (place / "step-000003").iterdir() if path.is_file()}
    store = CheckpointStore(place)
    with caplog.at_level(logging.WARNING, "weightlift"):
        assert store.resume(run := Run(model=""), default=0) == 2
    assert run.parts == {"model": "w2"}
    aside = place / "step-000003.broken-2"
    assert {path.name: path.read_bytes() for path in aside.iterdir() if path.is_file()} == bytes_before
    (note,) = store.notes
    assert note.startswith("step 3 is broken: ")
    assert note.endswith("; set aside as step-000003.broken-2")
    assert note in caplog.text


@pytest.mark.parametrize("how", damaged)
def test_when_none_verifies_nothing_is_touched(place, how):
    """Where every checkpoint is broken the default is not taken, now or the next time, and all stay where they are."""
    saved(place, [1, 2]).close()
    for step in (1, 2):
        damaged[how](place / f"step-{step:06d}")
    for _ in range(2):
        with CheckpointStore(place) as store, pytest.raises(StoreError, match="no checkpoint here can be resumed from"):
            store.resume(Run(model=""), default=0)
    assert names(place) == ["step-000001", "step-000002"]


def test_only_those_set_aside_is_an_error_too(place):
    """A directory with nothing but broken checkpoints is no fresh one."""
    saved(place, [1]).close()
    os.rename(place / "step-000001", place / "step-000001.broken")
    with pytest.raises(StoreError, match=r"1 broken one set aside earlier: step-000001\.broken"):
        CheckpointStore(place).resume(Run(model=""), default=0)


def test_what_cannot_be_read_is_not_broken(place):
    """A newer version of the format is an error; the checkpoint is not set aside for it."""
    saved(place, [1, 2]).close()
    newer_version(place / "step-000002")
    with pytest.raises(UnsupportedError, match="use a newer weightlift"):
        CheckpointStore(place).resume(Run(model=""), default=0)
    assert names(place) == ["step-000001", "step-000002"]


def newer_version(folder):
    from weightlift.writers.hashing import hash_of

    body = (folder / "MANIFEST.json").read_bytes().rpartition(b',"manifest_hash"')[0]
    body = body.replace(b'{"weightlift":1,', b'{"weightlift":2,')
    (folder / "MANIFEST.json").write_bytes(body + f',"manifest_hash":"{hash_of("xxh3", body + b"}")}"}}'.encode())


def test_a_run_that_does_not_fit_is_an_error(place):
    """What restoring refuses is raised; the checkpoint is not taken for broken."""
    saved(place, [1, 2]).close()
    with pytest.raises(StoreError, match="no part 'other'"):
        CheckpointStore(place).resume(Run(other=""), default=0)
    assert names(place) == ["step-000001", "step-000002"]


def test_load_by_step_best_and_latest(place):
    """load takes a step, the best by the rule's metric, the newer of equals, or the latest."""
    store = CheckpointStore(place, best="loss:min")
    for step, loss in ((1, 0.5), (2, 0.25), (3, 0.25), (4, math.nan), (5, 1.0)):
        store.save(Run(model=f"w{step}"), step=step, metrics={"loss": loss})
    loaded = {}
    for which in (1, "best", "latest"):
        store.load(which, into=(run := Run(model="")))
        loaded[which] = run.parts["model"]
    assert loaded == {1: "w1", "best": "w3", "latest": "w5"}
    assert store.load("best").manifest.step == 3
    assert store.notes == ["step 4: its 'loss' is not a number; it is not ranked among the best"]


def test_load_says_what_is_there(place):
    """Asking for a step that is not there names those that are."""
    store = saved(place, [1, 2])
    with pytest.raises(StoreError, match="no step 7; expected one of 1, 2"):
        store.load(7)
    with pytest.raises(StoreError, match="no metric says which is best"):
        store.load("best")
    with pytest.raises(StoreError, match="expected a step, 'best' or 'latest'"):
        store.load("newest")


def test_load_does_not_take_another_in_place_of_a_broken_one(place):
    """load of a broken checkpoint is an error, and changes nothing."""
    store = saved(place, [1, 2])
    damaged["a flipped bit in the data"](place / "step-000002")
    with pytest.raises(Exception, match="step-000002"):
        store.load("latest", into=Run(model=""))
    assert names(place) == ["step-000001", "step-000002"]


def test_list_tells_what_the_manifests_say(place):
    """list gives step, path, metrics, size, time, pins, reasons, and what is wrong with a manifest."""
    store = CheckpointStore(place, keep=2)
    store.save(Run(model="w"), step=1, metrics={"loss": 0.5, "steps": 7})
    store.save(Run(model="w"), step=2)
    damaged["a manifest that is cut"](place / "step-000002")
    first, second = store.list()
    assert (first.step, first.path, first.metrics) == (1, str(place / "step-000001"), {"loss": 0.5, "steps": 7})
    assert first.nbytes > 0
    assert first.time.endswith("Z")
    assert (first.kept, first.problem) == (("newest",), "")
    assert second.problem.startswith("MANIFEST.json: ")
    assert second.kept == ()


def test_verify_reads_everything_and_changes_nothing(place):
    """verify finds a flipped bit that the manifests cannot show, and touches nothing."""
    store = saved(place, [1, 2])
    damaged["a flipped bit in the data"](place / "step-000001")
    heard = []
    (first, problems), second = store.verify(lambda done, total: heard.append(done / total))
    assert first == 1
    assert len(problems) == 1
    assert second == (2, ())
    assert heard[-1] == 1
    assert names(place) == ["step-000001", "step-000002"]


def test_prune_says_first(place):
    """A dry run names what the real one then removes."""
    saved(place, [1, 2, 3]).close()
    store = CheckpointStore(place, keep=2)
    assert [stored.step for stored in store.prune(dry_run=True)] == [1]
    assert len(names(place)) == 3
    assert [stored.step for stored in store.prune()] == [1]
    assert names(place) == ["step-000002", "step-000003"]


def test_prune_counts_on_nothing_that_does_not_verify(place):
    """Pruning to the newest keeps the newest that verifies, and leaves the broken one where it is."""
    saved(place, [1, 2, 3]).close()
    damaged["a flipped bit in the data"](place / "step-000003")
    store = CheckpointStore(place, keep=1)
    assert [stored.step for stored in store.prune()] == [1]
    assert names(place) == ["step-000002", "step-000003"]
    assert "step 3 does not verify and is not counted" in store.notes[0]


def test_an_older_step_is_said_and_survives_its_own_save(place):
    """Going back and saving an older step is allowed, said, and what was just saved is not removed by that save."""
    store = saved(place, [10, 11], keep=1)
    store.save(Run(model="w"), step=5)
    assert names(place) == ["step-000005", "step-000011"]
    assert store.notes == ["step 5 was saved while step 11 is here, which stays the newest and is what resume takes"]


@pytest.mark.parametrize("value", [True, "0.5", None, [1.0], 1j])
def test_metrics_are_numbers(place, value):
    """A metric that is no number is refused by name before anything is written."""
    with pytest.raises(StoreError, match="metrics: 'loss' is a "):
        CheckpointStore(place).save(Run(model="w"), step=1, metrics={"loss": value})
    assert not place.exists()


def test_numpy_numbers_are_numbers(place):
    """Scalars and arrays without dimensions are taken as metrics, integers of numpy as steps."""
    import numpy as np

    store = CheckpointStore(place)
    store.save(Run(model="w"), step=np.int64(3), metrics={"a": np.float32(0.5), "b": np.array(2), "c": math.inf})
    assert store.list()[0].metrics == {"a": 0.5, "b": 2, "c": math.inf}


def test_a_missing_metric_is_said_once(place):
    """A save without the ranked metric is kept, not ranked, and said the first time."""
    store = saved(place, [1, 2], best="loss:min", keep=5)
    assert store.notes == ["saves without the metric 'loss' are not ranked among the best"]
    assert len(store.list()) == 2


def test_one_store_at_a_time(place):
    """A second store of the process is refused until the first is closed; reading needs no turn."""
    first = saved(place, [1])
    second = CheckpointStore(place)
    for call in (
        lambda: second.save(Run(model="w"), step=2),
        lambda: second.resume(Run(model=""), default=0),
        second.prune,
        lambda: second.pin(1),
    ):
        with pytest.raises(StoreLockedError):
            call()
    assert second.load("latest", into=Run(model=""))
    assert len(second.list()) == len(second.verify()) == 1
    first.close()
    second.save(Run(model="w"), step=2)


def test_the_error_of_the_block_is_the_one_that_is_seen(place):
    """Leaving a with block by an error closes the store and hides nothing."""
    with pytest.raises(ZeroDivisionError), CheckpointStore(place) as store:
        store.save(Run(model="w"), step=1 // 0 if store.save(Run(model="w"), step=1) else 2)
    assert CheckpointStore(place).resume(Run(model="")) == 1


def test_the_directory_stays_when_the_process_moves(place, tmp_path, monkeypatch):
    """A relative path means the directory that it was when the store was made."""
    monkeypatch.chdir(tmp_path)
    store = CheckpointStore("runs/a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.save(Run(model="w"), step=1)
    assert names(place) == ["step-000001"]


@pytest.mark.parametrize("path", ["", "a\0b", 3])
def test_paths_that_are_none(path):
    """A store needs a directory's name."""
    with pytest.raises(StoreError, match="where the checkpoints go"):
        CheckpointStore(path)


def test_a_hash_that_is_not_known(place):
    """An unknown hash is refused where the store is made."""
    with pytest.raises(UnsupportedError, match="md5"):
        CheckpointStore(place, hash="md5")


def test_a_checkpoint_saved_without_a_step_is_that_of_its_name(place):
    """What was saved by hand under the name of a step, with no step in it, counts as that step."""
    from weightlift.writers.step import write_step

    from stored_runs import collect

    saved(place, [1]).close()
    found = collect(Run(model="by hand"))
    write_step(place / "step-000002", found.tensors, found.document, parts=found.parts)
    assert CheckpointStore(place).resume(run := Run(model="")) == 2
    assert run.parts == {"model": "by hand"}


def test_a_checkpoint_under_the_name_of_another_step_is_broken(place):
    """A directory that was renamed to another step is not taken for that step."""
    saved(place, [1, 2]).close()
    os.rename(place / "step-000002", place / "step-000005")
    store = CheckpointStore(place)
    assert store.resume(Run(model="")) == 1
    assert "its manifest is that of step 2" in store.notes[0]


def test_retention_that_fails_does_not_fail_the_save(place, monkeypatch):
    """When an old checkpoint cannot be removed, the save is good, the old one stays, and it is said."""
    from weightlift.training import folder

    store = saved(place, [1], keep=1)
    monkeypatch.setattr(folder, "remove_directory", failing)
    assert store.save(Run(model="w"), step=2).committed
    assert names(place) == ["step-000001", "step-000002"]
    assert store.notes == ["step 1 is no longer kept, but no space"]


@pytest.mark.parametrize(("number", "taken"), [(errno.EIO, 1), (errno.EMFILE, None), (errno.EACCES, None)])
def test_a_disk_that_fails_is_damage_and_a_full_table_of_files_is_not(place, monkeypatch, number, taken):
    """What the disk cannot give back is set aside; what this process may not read now is an error, and stays."""
    saved(place, [1, 2]).close()
    open_step = resuming._open_step

    def unreadable(path):
        if path.endswith("step-000002"):
            raise OSError(number, os.strerror(number))
        return open_step(path)

    monkeypatch.setattr(resuming, "_open_step", unreadable)
    store = CheckpointStore(place)
    if taken is None:
        with pytest.raises(SourceError, match=f"step-000002: cannot be read: {os.strerror(number)}"):
            store.resume(Run(model=""), default=0)
        assert names(place) == ["step-000001", "step-000002"]
    else:
        assert store.resume(Run(model=""), default=0) == taken
        assert names(place) == ["step-000001", "step-000002.broken"]
