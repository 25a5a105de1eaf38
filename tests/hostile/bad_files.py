"""Hostile and malformed checkpoints, made when the tests run: one function an attack, with what it must end in.

A payload would create a marker file; none may ever appear.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builders import BENIGN, FOUR_FLOATS, call, dict_of, named, pickled, tensor, text

MARKER = os.path.join(tempfile.gettempdir(), f"weightlift-marker-{os.getpid()}")
"""What every payload creates; its folder is any user's to write to, so that a payload that runs is seen."""
COMMAND = f"touch {MARKER}"

Files = bytes | dict[str, bytes]


@dataclass(frozen=True)
class Attack:
    """What makes a file, and how reading it ends: an error for every verb, a late one, or what is inside."""

    name: str
    make: Callable[[], Files]
    suffix: str = ".pt"
    error: tuple[str, str] | None = None
    """Class and a part of the message; opening ends in it."""
    late: tuple[str, str] | None = None
    """The same where the file opens and only its tensors do not hold."""
    weights: dict[str, bytes] | None = None
    """Name -> little-endian bytes of the one state dict; {} where there is none."""
    code: int = 0
    """What `inspect` exits with where it says something."""
    extract: tuple[str, str] | None = None
    """The error of extracting alone."""
    writing: tuple[str, str] | None = None
    """The same where there is something that can be told, and cannot be written."""
    scan: str = ""
    """The verdict of a scan, where what reading says does not tell it."""

    @property
    def verdict(self) -> str:
        """What a scan says of the file: nothing that reading refuses is ever clean."""
        told = "dangerous" if self.code == 3 else "unreadable" if self.error or self.late else "clean"
        return self.scan or told


@dataclass
class Table:
    """The attacks of one module, in order."""

    attacks: list[Attack] = field(default_factory=list)

    def add(self, **more: Any) -> Callable[[Callable[[], Files]], Callable[[], Files]]:
        """Enter the decorated function; its name is the attack's."""

        def enter(make: Callable[[], Files]) -> Callable[[], Files]:
            self.attacks.append(Attack(make.__name__, make, **more))
            return make

        return enter


PLAIN = {"weight": FOUR_FLOATS}
NOTHING: dict[str, bytes] = {}


def write(attack: Attack, folder: str) -> str:
    """Write an attack's files into a folder; return the path that is opened."""
    made = attack.make()
    files = {attack.name + attack.suffix: made} if isinstance(made, bytes) else made
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    return os.path.join(folder, next(iter(files)))


def payload(module: str = "posix", name: str = "system") -> bytes:
    """A call that would create the marker."""
    return call(named(module, name), text(COMMAND))


def with_payload() -> bytes:
    """A state dict beside a call that would create the marker."""
    return pickled(dict_of(("weight", tensor()), ("x", payload())))


@dataclass(frozen=True)
class Entry:
    """One member of a zip, where the directory may tell another story than the local header."""

    name: str
    data: bytes = b""
    deflated: bytes | None = None
    nbytes: int | None = None
    crc: int | None = None
    flags: int = 0
    method: int | None = None
    local: dict[str, Any] = field(default_factory=dict)
    """name, nbytes or flags of the local header, where they differ."""
    beside: int | None = None
    """The position of the entry whose local header this one shares."""


def zip_of(entries: list[Entry], *, before: bytes = b"", comment: bytes = b"", end: bytes | None = None) -> bytes:
    """A zip, every field as told."""
    out, directory, offsets = bytearray(before), bytearray(), []
    for entry in entries:
        stored = entry.data if entry.deflated is None else entry.deflated
        method = entry.method if entry.method is not None else 0 if entry.deflated is None else 8
        nbytes = len(entry.data) if entry.nbytes is None else entry.nbytes
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        name = entry.name.encode()
        offsets.append(len(out) if entry.beside is None else offsets[entry.beside])
        if entry.beside is None:
            spelled = entry.local.get("name", entry.name).encode()
            flags, claimed = entry.local.get("flags", entry.flags), entry.local.get("nbytes", nbytes)
            held = entry.local.get("nbytes", len(stored))
            out += struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 0, crc, held, claimed, len(spelled), 0)
            out += spelled + stored
        fields = (20, 20, entry.flags, method, 0, 0, crc, len(stored), nbytes, len(name), 0, 0, 0, 0, 0, offsets[-1])
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + name
    count = len(entries)
    ending = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(out), len(comment))
    return bytes(out + directory + (ending if end is None else end) + comment)


def torch_members(pickle: bytes = BENIGN, data: bytes | None = FOUR_FLOATS, *more: Entry) -> list[Entry]:
    """The members that torch.save writes, and others."""
    own = [Entry("archive/data.pkl", pickle), Entry("archive/byteorder", b"little")]
    own += [] if data is None else [Entry("archive/data/0", data)]
    return [*own, *more, Entry("archive/version", b"3\n")]


def torch_file(pickle: bytes = BENIGN, data: bytes | None = FOUR_FLOATS, *more: Entry) -> bytes:
    """What torch.save writes, and other members."""
    return zip_of(torch_members(pickle, data, *more))


def deflate(pieces: list[tuple[bytes, int]]) -> bytes:
    """Raw deflate of each piece as often as told, without ever holding what it inflates to."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = [(engine.compress(piece) + engine.flush(zlib.Z_FULL_FLUSH)) * count for piece, count in pieces]
    return b"".join([*out, engine.flush()])  # what a full flush ends refers to nothing before it
