"""What a turn counts, in a small mapped file that outlives the process."""

from __future__ import annotations

import mmap
import struct

KINDS_OF_FINDINGS = ("unnamed", "hang", "memory", "marker")
_WORDS = struct.Struct(f"<{3 + len(KINDS_OF_FINDINGS)}q")
_LAST_AT = 256
NBYTES = 1 << 16


class Counters:
    """Executions, findings of each sort, the longest execution in microseconds, and the last file."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self.memory = memory
        words = list(_WORDS.unpack_from(memory))
        self.executions, self.slowest_us, self.last_nbytes = words[:3]
        self.findings = dict(zip(KINDS_OF_FINDINGS, words[3:], strict=True))

    def begin(self, data: bytes) -> None:
        """One more execution, of these bytes."""
        self.executions += 1
        self.last_nbytes = min(len(data), NBYTES - _LAST_AT)
        self.memory[_LAST_AT : _LAST_AT + self.last_nbytes] = data[: self.last_nbytes]
        self._write()

    def took(self, seconds: float) -> None:
        """How long an execution was."""
        if seconds * 1e6 > self.slowest_us:
            self.slowest_us = int(seconds * 1e6)
            self._write()

    def found(self, what: str) -> None:
        """One more finding."""
        self.findings[what] += 1
        self._write()

    @property
    def last(self) -> bytes:
        """The file that was run last."""
        return bytes(self.memory[_LAST_AT : _LAST_AT + self.last_nbytes])

    def _write(self) -> None:
        _WORDS.pack_into(self.memory, 0, self.executions, self.slowest_us, self.last_nbytes, *self.findings.values())
