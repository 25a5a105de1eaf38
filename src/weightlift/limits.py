"""What one file may cost. Every budget is checked before anything is allocated for it."""

from __future__ import annotations

from time import monotonic

from .errors import LimitError
from .values import dataclass, replace

MIB = 1 << 20
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets for reading one checkpoint; the defaults fit any real file seen so far.

    Sizes are bytes. A hostile file meets one of these long before it hurts the machine.
    """

    opcodes: int = 50_000_000
    """Pickle opcodes carried out in one pickle. Where it is compressed: 4,000,000 and 32 for each byte in the file."""
    memo: int = 10_000_000
    """Entries in one pickle's memo."""
    memory_bytes: int = 48 * MIB
    """What the containers, calls and memo of one pickle take, estimated, beyond 32 times its bytes in the file."""
    text_bytes: int = 256 * MIB
    """Strings, bytes and long integers that the pickles hold in memory, together."""
    integer_bytes: int = 4096
    """One integer, in bytes (or text digits)."""
    depth: int = 2_000
    """Nesting of containers in the tree, and of open marks in a pickle."""
    nodes: int = 20_000_000
    """Values in the tree, shared ones counted once."""
    members: int = 1_000_000
    """Entries of a zip or tar archive."""
    tensors: int = 1_000_000
    """Entries of all state dicts together, and tensors anywhere in the tree."""
    inflated_bytes: int = 512 * MIB
    """A compressed member that has to be held in memory."""
    materialised_bytes: int = 128 * MIB
    """One tensor, or all that are read or written together, where they are more than 8 times what the file holds of
    them: a number expanded to a huge shape, a storage that was compressed too well to be weights. What a file does
    hold is never limited: an embedding of 10 GB is read and written."""
    header_bytes: int = 100 * MIB
    """A safetensors header (the format's own limit), an index, a zip directory."""
    dimensions: int = 64
    """Dimensions of one tensor."""
    archives: int = 4
    """Archives within archives."""
    seconds: float = 60.0
    """Time for making out what is in a file, before a tensor is read."""
    until: float = NEVER
    """When that time is over, by the monotonic clock; set while a file is read, see `running`."""

    def running(self) -> Limits:
        """Return the same with the clock started, unless it is."""
        return self if self.until != NEVER else replace(self, until=monotonic() + self.seconds)

    def check_time(self) -> None:
        """Say that time is over.

        Raises:
            LimitError: it is.
        """
        if self.until != NEVER and monotonic() > self.until:
            raise LimitError(f"reading takes more than {self.seconds:g} seconds", remedy="raise Limits.seconds")


DEFAULT_LIMITS = Limits()
