"""Each recorded call, done to the file system in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .calls import Call
from .disk import Disk, File

_CHILD = re.compile(r"CLONE_THREAD|CLONE_FILES")
_IGNORED = {"mark", "sync_file_range", "clone", "clone3", "fork", "vfork"}


class UnsupportedCallError(Exception):
    """A recorded call cannot be replayed; the scenario must do without."""


@dataclass(slots=True)
class Opened:
    """What a descriptor is of, and where it stands."""

    node: int
    offset: int = 0
    append: bool = False


@dataclass(slots=True)
class Replay:
    """The recorded processes: what each descriptor of each process is, and what each call does to the disk."""

    disk: Disk
    parents: dict[int, tuple[int, bool]]  # process -> its parent, and whether they share descriptors
    tables: dict[int, dict[int, Opened]] = field(default_factory=dict)

    @classmethod
    def of(cls, calls: Iterable[Call], folder: str) -> Replay:
        """Return the state before the first call."""
        parents = {
            call.result: (call.pid, bool(_CHILD.search(" ".join(call.args))))
            for call in calls
            if call.name in {"clone", "clone3", "fork", "vfork"}
        }
        return cls(Disk(folder), parents)

    def table(self, pid: int) -> dict[int, Opened]:
        """Return a process's descriptors; what it inherits when it is first seen."""
        if pid not in self.tables:
            parent, shared = self.parents.get(pid, (None, False))
            inherited = {} if parent is None else self.table(parent)
            self.tables[pid] = inherited if shared else dict(inherited)
        return self.tables[pid]

    def steps(self, call: Call) -> Iterator[None]:
        """Do the call, pausing after each part of it that a crash may come after.

        Raises:
            UnsupportedCallError: what it does to the folder is not modelled.
        """
        if call.name in _WRITES:
            yield from self._write(call)
            return
        if call.name not in _IGNORED:
            act = _ACTS.get(call.name)
            if act is None:
                raise UnsupportedCallError(str(call))
            act(self, call)
        yield

    def _file(self, call: Call, index: int = 0) -> tuple[Opened, File] | None:
        opened = self.table(call.pid).get(call.number(index))
        if opened is None or opened.node not in self.disk.files:
            return None
        return opened, self.disk.files[opened.node]

    def _open(self, call: Call) -> None:
        at = call.name not in {"open", "creat"}
        path, flags = call.path(1, 0) if at else call.path(0), "O_CREAT|O_TRUNC"
        if call.name != "creat":
            flags = call.args[2 if at else 1]
        where = self.disk.locate(path)
        if where is None:
            self.table(call.pid).pop(call.result, None)
            return
        if re.search(r"O_D?SYNC|O_TMPFILE", flags):
            raise UnsupportedCallError(str(call))
        node = self.disk.node(path)
        if node is None:
            node = self.disk.new(File())
            self.disk.change((*where, node))
        elif "O_TRUNC" in flags:
            self.disk.files[node].resize(0)
        self.table(call.pid)[call.result] = Opened(node, append="O_APPEND" in flags)

    def _write(self, call: Call) -> Iterator[None]:
        """The first half, then the second."""
        found = self._file(call)
        if found is None:
            yield
            return
        opened, file = found
        data = call.data
        at = opened.offset if call.name in {"write", "writev"} else call.number(3)
        if opened.append:
            at = len(file.data)
        if call.name in {"write", "writev"}:
            opened.offset = at + len(data)
        half = len(data) // 2
        for start, part in ((0, data[:half]), (half, data[half:])):
            if part:
                file.write(at + start, part)
                yield

    def _copy(self, call: Call) -> None:
        """Copy between two files of the folder, both from where their descriptors stand or from given offsets."""
        target = self._file(call, 2)
        if target is None:
            return
        source = self._file(call, 0)
        if source is None or (call.args[1], call.args[3]) != ("NULL", "NULL"):
            raise UnsupportedCallError(str(call))
        (one, read), (other, written) = source, target
        written.write(other.offset, read.data[one.offset : one.offset + call.result])
        one.offset += call.result
        other.offset += call.result

    def _send(self, call: Call) -> None:
        """Copy from an offset, or from where the source stands, to where the target stands."""
        target = self._file(call, 0)
        if target is None:
            return
        source = self._file(call, 1)
        if source is None:
            raise UnsupportedCallError(str(call))
        (other, written), (one, read) = target, source
        given = re.match(r"\[(\d+)\]", call.args[2])
        start = int(given[1]) if given else one.offset
        written.write(other.offset, read.data[start : start + call.result])
        other.offset += call.result
        if given is None:
            one.offset += call.result

    def _refuse_for_ours(self, call: Call) -> None:
        """Pass over what is done to other files than ours."""
        if any(call.args[i].split("<")[0].isdigit() and self._file(call, i) for i in range(min(5, len(call.args)))):
            raise UnsupportedCallError(str(call))

    def _map(self, call: Call) -> None:
        if "MAP_SHARED" in call.args[3] and "PROT_WRITE" in call.args[2] and not call.args[4].startswith("-1"):
            self._refuse_for_ours(call)

    def _resize(self, call: Call) -> None:
        if found := self._file(call):
            found[1].resize(call.number(1))

    def _allocate(self, call: Call) -> None:
        found = self._file(call)
        if found is None:
            return
        mode, end = call.args[1], call.number(2) + call.number(3)
        if mode not in {"0", "FALLOC_FL_KEEP_SIZE"}:
            raise UnsupportedCallError(str(call))
        if mode == "0" and end > len(found[1].data):
            found[1].resize(end)

    def _seek(self, call: Call) -> None:
        if found := self._file(call):
            found[0].offset = call.result

    def _sync(self, call: Call) -> None:
        opened = self.table(call.pid).get(call.number(0))
        if opened is None:
            return
        if opened.node in self.disk.files:
            self.disk.files[opened.node].settle()
        else:
            self.disk.settle_names(opened.node)

    def _sync_all(self, _: Call) -> None:
        self.disk.settle_all()

    def _close(self, call: Call) -> None:
        self.table(call.pid).pop(call.number(0), None)

    def _duplicate(self, call: Call) -> None:
        if call.name == "fcntl" and "F_DUPFD" not in call.args[1]:
            return
        table = self.table(call.pid)
        table.pop(call.result, None)
        if opened := table.get(call.number(0)):
            table[call.result] = opened

    def _make_folder(self, call: Call) -> None:
        if where := self.disk.locate(call.path(1, 0) if call.name == "mkdirat" else call.path(0)):
            self.disk.change((*where, self.disk.new(None)))

    def _remove(self, call: Call) -> None:
        if where := self.disk.locate(call.path(1, 0) if call.name == "unlinkat" else call.path(0)):
            self.disk.change((*where, None))

    def _two_paths(self, call: Call) -> Sequence[tuple[int, str] | None]:
        at = call.name.endswith(("at", "at2"))
        paths = (call.path(1, 0), call.path(3, 2)) if at else (call.path(0), call.path(1))
        found = [self.disk.locate(path) for path in paths]
        if (found[0] is None) != (found[1] is None):
            raise UnsupportedCallError(str(call))
        return found

    def _rename(self, call: Call) -> None:
        source, target = self._two_paths(call)
        if source is None or target is None:
            return
        moved = self.disk.names[source]
        if "RENAME_EXCHANGE" in call.args[-1]:
            self.disk.change((*source, self.disk.names[target]), (*target, moved))
        elif source != target:
            self.disk.change((*source, None), (*target, moved))

    def _link(self, call: Call) -> None:
        source, target = self._two_paths(call)
        if source is not None and target is not None:
            self.disk.change((*target, self.disk.names[source]))


_WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
_ACTS: dict[str, Callable[[Replay, Call], None]] = {
    **dict.fromkeys(("open", "openat", "creat"), Replay._open),
    **dict.fromkeys(("fsync", "fdatasync"), Replay._sync),
    **dict.fromkeys(("sync", "syncfs"), Replay._sync_all),
    **dict.fromkeys(("dup", "dup2", "dup3", "fcntl"), Replay._duplicate),
    **dict.fromkeys(("mkdir", "mkdirat"), Replay._make_folder),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Replay._remove),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Replay._rename),
    **dict.fromkeys(("link", "linkat"), Replay._link),
    **dict.fromkeys(("splice", "msync"), Replay._refuse_for_ours),
    "copy_file_range": Replay._copy,
    "sendfile": Replay._send,
    "mmap": Replay._map,
    "ftruncate": Replay._resize,
    "fallocate": Replay._allocate,
    "lseek": Replay._seek,
    "close": Replay._close,
}
