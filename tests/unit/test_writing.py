"""Setting weights down: whole or not at all, each byte once, ties kept."""

from __future__ import annotations

import json
import os
import struct

import pytest

import weightlift as wl
from weightlift.errors import WriteError
from weightlift.writers import atomic, atomic_file, copying

from builders import FOUR_FLOATS, dict_of, pickled, tensor, torch_zip


def header_of(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])


def test_failure_leaves_nothing_and_the_old_file(tmp_path):
    """After an error in the middle the old file is untouched and no other file is there."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def interrupted():
        with atomic_file(path) as fd:
            os.write(fd, b"half")
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_every_failing_call_is_named_and_leaves_nothing(tmp_path, write, monkeypatch, call):
    """A full disk at any step is a WriteError and leaves no file."""
    path = write(torch_zip())
    out = tmp_path / "out" / "w.safetensors"
    out.parent.mkdir()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(WriteError, match="No space left on device"):
        wl.open(path).state_dict().save(out)
    assert list(out.parent.iterdir()) == []


def test_missing_folder_is_named(tmp_path):
    """A folder that is not there is named."""
    with pytest.raises(WriteError, match="no such folder"), atomic_file(tmp_path / "no" / "w"):
        pass


def test_output_may_not_be_the_input(write):
    """A checkpoint is never overwritten by its own extract."""
    path = write(torch_zip())
    before = path.read_bytes()
    with pytest.raises(WriteError, match="is the checkpoint itself"):
        wl.extract(path, path)
    assert path.read_bytes() == before


def test_tie_is_written_once_and_restored(write, tmp_path):
    """Two names of one tensor share its bytes in the file and are tied again when read, in their order."""
    shared = tensor() + b"q\x05"
    pickle = pickled(dict_of(("head", shared), ("body", tensor(shape=(2,))), ("tail", b"h\x05")))
    out = tmp_path / "w.safetensors"
    done = wl.extract(write(torch_zip(pickle)), out)
    assert done.written.ties == {"tail": "head"}
    assert header_of(out)["__metadata__"]["tail"] == "head"
    assert "tail" not in {k: v for k, v in header_of(out).items() if k != "__metadata__"}
    again = wl.open(out).state_dict()
    assert list(again) == ["head", "body", "tail"]
    assert again.ties == [("head", "tail")]
    assert again["body"].storage is again["head"].storage
    assert again["tail"].tobytes() == FOUR_FLOATS


def test_short_writes_are_continued(tmp_path, monkeypatch):
    """A system that takes few bytes at a time gets them all."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))
    with atomic_file(tmp_path / "w") as fd:
        copying.write_all(fd, b"0123456789")
    assert (tmp_path / "w").read_bytes() == b"0123456789"


def test_expanded_views_are_not_blown_up(write, tmp_path):
    """A view of a few bytes that claims terabytes is refused, not written."""
    bomb = pickled(dict_of(("w", tensor(shape=(1 << 40,), stride=(0,)))))
    with pytest.raises(wl.WeightliftError, match="would be made of the 16 that are there"):
        wl.extract(write(torch_zip(bomb)), tmp_path / "w")


def test_folder_flush_failure_is_no_error(tmp_path, monkeypatch):
    """A file system that cannot flush folders still gets its file."""
    monkeypatch.setattr(atomic.os, "open", _no_folders(os.open))
    with atomic_file(tmp_path / "w") as fd:
        os.write(fd, b"x")
    assert (tmp_path / "w").read_bytes() == b"x"


def _no_folders(real):
    def opened(path, flags, *mode):
        if flags == os.O_RDONLY:
            raise OSError(22, "Invalid argument")
        return real(path, flags, *mode)

    return opened


def test_a_link_is_followed(tmp_path):
    """What a symbolic link points to is replaced; the link stays one."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_file(tmp_path / "link") as fd:
        os.write(fd, b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_what_is_no_file_is_never_replaced(tmp_path):
    """A pipe or device under the output's name is refused, and so is no name at all."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "no regular file"), ("", "empty name"), (tmp_path, "directory")):
        with pytest.raises(WriteError, match=said), atomic_file(path):
            pass


def test_no_file_that_is_read_from_is_replaced(tmp_path):
    """A shard of a checkpoint, or a file merged into a state dict, is never the output."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(torch_zip(pickled(dict_of((name, tensor())))))
    both = wl.open(tmp_path / "a").state_dict().merge(wl.open(tmp_path / "b").state_dict().cast("float64"))
    before = (tmp_path / "b").read_bytes()
    for name in ("a", "b"):
        with pytest.raises(WriteError, match="is a file that is read from"):
            both.save(tmp_path / name)
    assert (tmp_path / "b").read_bytes() == before
