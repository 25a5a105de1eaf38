"""A file system in memory that calls act on, and that knows what of them would outlive a crash.

What the calls promise is POSIX and nothing more, which is less than any one file system keeps:

- `fsync` and `fdatasync` of a file make its content durable, and not its name. (ext4, xfs and btrfs log
  the name as well; POSIX and the manual page of fsync ask for an fsync of the folder.)
- `fsync` of a folder makes durable what happened to the names in it, and what those names came from.
- A rename, with the removal of what it replaces, happens as a whole or not at all.
- Closing, waiting and renaming make nothing durable: ext4 with `auto_da_alloc` would flush a file that is
  renamed over another; xfs, ext4 without it, and network file systems need not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

ROOT = 0
Names = dict[tuple[int, str], int]  # (folder, name) -> node
Change = tuple[int, str, int | None]  # folder, name, what is there now


@dataclass(slots=True)
class File:
    """A file's content now, at its last fsync, and what its blocks hold where nothing new has reached them."""

    data: bytes = b""
    durable: bytes = b""
    beneath: bytes = b""  # `data` without what was written since the last fsync
    shortest: int = 0  # the least length since the last fsync
    version: int = 0

    @property
    def pending(self) -> bool:
        """Whether a crash may show something other than `data`."""
        return self.data != self.durable or self.shortest < len(self.data)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`, zeros before it where the file was shorter."""
        old = self.data.ljust(offset, b"\0")
        self.data = old[:offset] + data + old[offset + len(data) :]
        self.beneath = self.beneath.ljust(len(self.data), b"\0")
        self.version += 1

    def resize(self, length: int) -> None:
        """Cut or extend with zeros."""
        self.data = self.data[:length].ljust(length, b"\0")
        self.beneath = self.beneath[:length].ljust(length, b"\0")
        self.shortest = min(self.shortest, length)
        self.version += 1

    def settle(self) -> None:
        """Make the content durable."""
        self.durable = self.beneath = self.data
        self.shortest = len(self.data)
        self.version += 1


@dataclass(slots=True)
class Disk:
    """The names that are durable, those changes that are not yet, and the files that all of them speak of."""

    folder: str
    durable: Names = field(default_factory=dict)
    pending: list[tuple[Change, ...]] = field(default_factory=list)
    names: Names = field(default_factory=dict)
    files: dict[int, File] = field(default_factory=dict)  # a node that is not here is a folder
    nodes: int = ROOT

    def new(self, content: File | None) -> int:
        """Return a new node: a file, or a folder for None."""
        self.nodes += 1
        if content is not None:
            self.files[self.nodes] = content
        return self.nodes

    def change(self, *changes: Change) -> None:
        """Change names, all at once, not yet durably."""
        apply(self.names, changes)
        self.pending.append(changes)

    def settle_names(self, folder: int) -> None:
        """Make durable all changes in a folder, and those before them that they rest on."""
        wanted: set[tuple[int, str]] = set()
        kept: list[tuple[Change, ...]] = []
        settled: list[tuple[Change, ...]] = []
        for changes in reversed(self.pending):
            keys = {(where, name) for where, name, _ in changes}
            if wanted & keys or any(where == folder for where, _ in keys):
                wanted |= keys
                settled.append(changes)
            else:
                kept.append(changes)
        for changes in reversed(settled):
            apply(self.durable, changes)
        self.pending = kept[::-1]

    def settle_all(self) -> None:
        """Make everything durable."""
        self.durable, self.pending = dict(self.names), []
        for file in self.files.values():
            file.settle()

    def locate(self, path: str) -> tuple[int, str] | None:
        """Return the folder's node and the name of a path, or None outside of the folder."""
        path = os.path.relpath(os.path.normpath(path), self.folder)
        if path == ".." or path.startswith("../"):
            return None
        node, (*parents, name) = ROOT, path.split("/")
        for parent in parents:
            node = self.names[node, parent]
        return node, name

    def node(self, path: str) -> int | None:
        """Return the node of a path, ROOT for the folder itself, None where there is none."""
        where = self.locate(path)
        if where is None or where == (ROOT, "."):
            return where and ROOT
        return self.names.get(where)

    def tree(self, names: Names) -> dict[str, int]:
        """Return path -> node of all that can be reached."""
        inside: dict[int, list[tuple[str, int]]] = {}
        for (where, name), node in names.items():
            inside.setdefault(where, []).append((name, node))
        found: dict[str, int] = {}
        waiting = [("", ROOT)]
        while waiting:
            prefix, where = waiting.pop()
            for name, node in inside.get(where, ()):
                found[prefix + name] = node
                if node not in self.files:
                    waiting.append((prefix + name + "/", node))
        return found


def apply(names: Names, changes: tuple[Change, ...]) -> None:
    """Change names in place."""
    for where, name, node in changes:
        if node is None:
            names.pop((where, name), None)
        else:
            names[where, name] = node
