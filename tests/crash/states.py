"""What a crash at each call of a save may leave on the disk: distinct trees, each with what had been promised.

A crash keeps all that is durable (`disk.py` says what is) and any part of the rest:

- *Names.* Of the changes that are not durable, the first few in order, for every number of them (a journal:
  ext4, xfs); all but one; one alone; every subset of up to five. What a change rests on is there with it:
  a name is not renamed before it is made. This is the weak end of what ALICE (Pillai et al., OSDI 2014) found
  among file systems, where changes in different folders pass each other.
- *Content.* A file that is not durable may be as written, as it was at its last fsync, empty (the name is there,
  no block was allocated: delayed allocation), of the right length with none, the first half, the last half or all
  but one page of its new content on the disk (pages are written back in any order; the rest shows zeros or what
  was there before), cut in half, or with the noise of old blocks where its content belongs (ext4 `data=writeback`).
- *Crash points.* After every call, and with half of each write done. CrashMonkey (Mohan et al., OSDI 2018)
  crashes after fsyncs only; here what lies between them is played, and what an fsync leaves out.

Files vary one by one, the others as written or as they were, and all alike; where at most two files are not
durable, in all combinations.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .calls import Call
from .disk import Change, Disk, File, Names, apply
from .replay import Replay

Tree = dict[str, bytes | None]  # path -> content, None for a folder
PAGE = 4096  # bytes; content reaches the disk page by page
ALL_SUBSETS = 5  # this many changes are dropped in every way
ALL_CONTENTS = 2  # this many files vary in every combination


@dataclass(slots=True)
class State:
    """A tree that a crash may leave, and how many promises came before the last crash that leaves it."""

    tree: Tree
    after: str  # the call before the first crash that leaves it after so many promises
    promises: int = 0


@dataclass(slots=True)
class Recorded:
    """Saves, replayed: the trees before them and at each promise, the last, and all that crashes may leave."""

    stages: list[Tree] = field(default_factory=list)
    after: Tree = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    calls: int = 0  # that changed the disk or made it durable


def states(calls: Sequence[Call], folder: str) -> Recorded:
    """Return every distinct state of a trace from its first mark on, where all is durable.

    Every further mark is a promise: what was saved by then is there for good.
    """
    replay = Replay.of(calls, folder)
    disk, recorded, found = replay.disk, Recorded(), dict[frozenset[tuple[str, bytes | None]], State]()
    crash = _Crash(disk)
    last = "the start"
    for call in calls:
        if call.name == "mark":
            if not recorded.stages:
                disk.settle_all()
            recorded.stages.append(crash.now())
        promises = len(recorded.stages) - 1
        for _ in replay.steps(call):
            if promises < 0 or not (crash.changed() or call.name == "mark"):
                continue
            last = str(call) if call.name != "mark" else last
            recorded.calls += call.name != "mark"
            for key, tree in crash.trees():
                state = found.get(key)
                if state is None:
                    state = found[key] = State(tree(), last)
                if promises > state.promises:
                    state.promises, state.after = promises, last
    recorded.after = crash.now()
    recorded.states = list(found.values())
    return recorded


class _Crash:
    """All trees that a crash of a disk at this moment may leave."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.seen: object = None
        self.contents: dict[tuple[int, int], list[tuple[bytes, bytes]]] = {}

    def changed(self) -> bool:
        """Whether the disk is another than when this was asked last."""
        now = (dict(self.disk.names), len(self.disk.pending), {n: f.version for n, f in self.disk.files.items()})
        was, self.seen = self.seen, now
        return was != now

    def now(self) -> Tree:
        """Return the tree that a running system sees."""
        files = self.disk.files
        return {p: files[n].data if n in files else None for p, n in self.disk.tree(self.disk.names).items()}

    def trees(self) -> Iterator[tuple[frozenset[tuple[str, bytes | None]], object]]:
        """Yield for each tree its key (path and digest of each file) and a function that returns it."""
        done = set()
        for names in _kept_names(self.disk):
            nodes = self.disk.tree(names)
            if (shape := frozenset(nodes.items())) in done:
                continue
            done.add(shape)
            loose = sorted({n for n in nodes.values() if n in self.disk.files and self.disk.files[n].pending})
            for contents in self._kept_contents(loose):
                yield self._tree(nodes, contents)

    def _tree(self, nodes: dict[str, int], contents: dict[int, tuple[bytes, bytes]]):
        kept = {
            path: None if node not in self.disk.files else contents.get(node) or self._versions(node)[0]
            for path, node in nodes.items()
        }
        key = frozenset((path, content and content[0]) for path, content in kept.items())
        return key, lambda: {path: content and content[1] for path, content in kept.items()}

    def _kept_contents(self, loose: list[int]) -> Iterator[dict[int, tuple[bytes, bytes]]]:
        versions = [self._versions(node) for node in loose]
        if len(loose) <= ALL_CONTENTS:
            yield from (dict(zip(loose, choice, strict=True)) for choice in itertools.product(*versions))
            return
        for i in range(max(map(len, versions))):
            yield {node: many[min(i, len(many) - 1)] for node, many in zip(loose, versions, strict=True)}
        for node, many in zip(loose, versions, strict=True):
            for others in (0, 1):
                rest = {other: its[others] for other, its in zip(loose, versions, strict=True)}
                yield from (rest | {node: one} for one in many)

    def _versions(self, node: int) -> list[tuple[bytes, bytes]]:
        """Return (digest, content) of each content that a file may have, as written first."""
        file = self.disk.files[node]
        key = node, file.version
        if key not in self.contents:
            distinct = dict.fromkeys(_kept_content(file)) if file.pending else [file.data]
            self.contents[key] = [(hashlib.blake2b(data, digest_size=16).digest(), data) for data in distinct]
        return self.contents[key]


def _kept_content(file: File) -> list[bytes]:
    data, beneath, length = file.data, file.beneath, len(file.data)
    half = _page(length // 2)
    kept = [
        data,
        file.durable,
        beneath,
        data[:half] + beneath[half:],
        beneath[:half] + data[half:],
        *(
            data[:at] + beneath[at : at + PAGE] + data[at + PAGE :]
            for at in (_page(length * n // 4) for n in (1, 2, 3))
        ),
    ]
    if file.shortest <= length // 2:
        kept.append(data[: length // 2])
    if file.shortest == 0:
        kept += [b"", random.Random(length).randbytes(length)]
    return kept


def _page(offset: int) -> int:
    """Return where the page of an offset begins, the offset itself in a file of a few pages."""
    return offset & -PAGE if offset >= 2 * PAGE else offset


def _kept_names(disk: Disk) -> Iterator[Names]:
    pending = disk.pending
    rests_on = [_rests_on(pending, i) for i in range(len(pending))]
    count = len(pending)
    wanted: list[frozenset[int]] = [frozenset(range(n)) for n in range(count, -1, -1)]
    for i in range(count):
        wanted.append(rests_on[i] | {i})
        wanted.append(frozenset(j for j in range(count) if i != j and i not in rests_on[j]))
    if count <= ALL_SUBSETS:
        wanted += [frozenset(s) for n in range(count) for s in itertools.combinations(range(count), n)]
    for subset in dict.fromkeys(wanted):
        if all(rests_on[i] <= subset for i in subset):
            names = dict(disk.durable)
            for i in sorted(subset):
                apply(names, pending[i])
            yield names


def _rests_on(pending: Sequence[tuple[Change, ...]], index: int) -> frozenset[int]:
    """Return which earlier changes a change needs, by way of others too: they are about the same names."""
    names = {change[:2] for change in pending[index]}
    needed = set()
    for i in range(index - 1, -1, -1):
        if names & (touched := {change[:2] for change in pending[i]}):
            needed.add(i)
            names |= touched
    return frozenset(needed)
