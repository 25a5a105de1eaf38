"""Writers of a few lines, one right and the others each wrong in one way: the harness must tell which."""

from __future__ import annotations

import os

from .scenario import Scenario, digest

OLD, NEW = b"old " * 5000, b"new " * 6000


def _flush(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def _write(path: str, data: bytes, *, flush: bool = True) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        if flush:
            os.fsync(file.fileno())


def _before(folder: str) -> None:
    _write(f"{folder}/state", OLD)


def _read(folder: str) -> str | None:
    """The one file, whose writer vouches for it: nothing in it can tell that it is torn."""
    try:
        with open(f"{folder}/state", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    if not data:
        raise ValueError("empty")
    return digest({"state": data})


def _right(folder: str) -> None:
    _write(f"{folder}/new", NEW)
    os.replace(f"{folder}/new", f"{folder}/state")
    _flush(folder)


def _without_fsync(folder: str) -> None:
    _write(f"{folder}/new", NEW, flush=False)
    os.replace(f"{folder}/new", f"{folder}/state")
    _flush(folder)


def _without_fsync_of_folder(folder: str) -> None:
    _write(f"{folder}/new", NEW)
    os.replace(f"{folder}/new", f"{folder}/state")


def _rename_first(folder: str) -> None:
    with open(f"{folder}/new", "wb") as file:
        os.replace(f"{folder}/new", f"{folder}/state")
        file.write(NEW)
        file.flush()
        os.fsync(file.fileno())
    _flush(folder)


def _delete_first(folder: str) -> None:
    _write(f"{folder}/new", NEW)
    os.unlink(f"{folder}/state")
    _flush(folder)
    os.rename(f"{folder}/new", f"{folder}/state")
    _flush(folder)


def _two_before(folder: str) -> None:
    _write(f"{folder}/a", OLD)
    _write(f"{folder}/b", OLD)


def _two(folder: str) -> None:
    for name in "ab":
        _write(f"{folder}/new", NEW)
        os.replace(f"{folder}/new", f"{folder}/{name}")
        _flush(folder)


def _two_read(folder: str) -> str | None:
    values = {}
    for name in "ab":
        with open(f"{folder}/{name}", "rb") as file:
            values[name] = file.read()
    return digest(values)


def _sideways(folder: str) -> None:
    """Right, in a folder of its own that is renamed as a whole, by another thread's descriptors."""
    os.mkdir(f"{folder}/part")
    os.mkdir(f"{folder}/part/inner")
    _write(f"{folder}/part/inner/state", NEW)
    _flush(f"{folder}/part/inner")
    _flush(f"{folder}/part")
    os.rename(f"{folder}/part", f"{folder}/second")
    _flush(folder)


def _sideways_read(folder: str) -> str | None:
    inner = f"{folder}/second/inner"
    return _read(inner) if os.path.isdir(f"{folder}/second") else _read(folder)


BY_HAND = {
    "right": Scenario("new file, fsync, rename, fsync of the folder", _before, _right, _read),
    "right-folder": Scenario("the same with a folder in a folder", _before, _sideways, _sideways_read),
    "no-fsync": Scenario("no fsync of the file", _before, _without_fsync, _read),
    "no-fsync-of-folder": Scenario("no fsync of the folder", _before, _without_fsync_of_folder, _read),
    "rename-first": Scenario("renamed before it is written", _before, _rename_first, _read),
    "delete-first": Scenario("the old deleted before the new is there", _before, _delete_first, _read),
    "two-files": Scenario("two files, one after the other", _two_before, _two, _two_read),
}
