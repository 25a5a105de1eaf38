"""What one file may cost. Every budget is checked before anything is allocated for it."""

from __future__ import annotations

from time import monotonic

from .errors import LimitError
from .values import dataclass, replace

MIB = 1 << 20
NEVER = float("inf")


_OPCODES = 50_000_000
_OPCODES_IN_ANY_FILE = 3_000_000
_OPCODES_PER_BYTE = 4  # in the file: real pickles take one for two bytes or more, and compress to a tenth


class Spent:
    """What all pickles of one file have taken so far of the budgets that they share.

    A file of `nbytes` bytes gives so many opcodes, however often a pickle in it is loaded and however well it
    was compressed; of compressed pickles alone, so many beyond what they take in the file.
    """

    __slots__ = ("names", "opcodes", "unpacked_left")

    def __init__(self, most_opcodes: int, nbytes: int) -> None:
        is_raised = most_opcodes > _OPCODES  # whoever asks for more gets it, whatever the size of the file
        self.opcodes = most_opcodes  # that are left
        if not is_raised:
            self.opcodes = min(most_opcodes, _OPCODES_IN_ANY_FILE + _OPCODES_PER_BYTE * nbytes)
        self.unpacked_left = most_opcodes if is_raised else _OPCODES_IN_ANY_FILE
        self.names: set[tuple[str, str]] = set()

    def opcodes_left(self, packed_nbytes: float | None) -> int:
        """Return how many opcodes a pickle may take, given what it takes in the file where it is compressed."""
        if packed_nbytes is None:
            return max(0, self.opcodes)
        return max(0, min(self.opcodes, self.unpacked_left + int(_OPCODES_PER_BYTE * packed_nbytes)))

    def count(self, opcodes: int, packed_nbytes: float | None) -> None:
        """Count what a pickle has taken."""
        self.opcodes -= opcodes
        if packed_nbytes is not None:
            self.unpacked_left -= max(0, opcodes - int(_OPCODES_PER_BYTE * packed_nbytes))


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets for reading one checkpoint; the defaults fit any real file seen so far.

    Sizes are bytes. A hostile file meets one of these long before it hurts the machine.
    """

    opcodes: int = _OPCODES
    """Pickle opcodes carried out in one file, and of these no more than 3,000,000 and 4 for each of its bytes."""
    globals: int = 10_000
    """Different names that the pickles of one file would import."""
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
    inflated_bytes: int = 64 * MIB
    """Bytes of members and streams that have to be held in memory. Where they are compressed, no more than 8 MiB and
    32 for each byte in the file."""
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
    spent: Spent | None = None
    """What is left of the budgets that a file's pickles share; set while it is read."""

    def running(self, nbytes: int = 0) -> Limits:
        """Return the same for reading a file of so many bytes: with the clock started, unless it is."""
        if self.until != NEVER:
            return self
        return replace(self, until=monotonic() + self.seconds, spent=Spent(self.opcodes, nbytes))

    def anew(self, nbytes: int) -> Limits:
        """Return the same with nothing spent, for another file or for reading the same one again."""
        return replace(self, spent=Spent(self.opcodes, nbytes))

    def check_time(self) -> None:
        """Say that time is over.

        Raises:
            LimitError: it is.
        """
        if self.until != NEVER and monotonic() > self.until:
            raise LimitError(f"reading takes more than {self.seconds:g} seconds", remedy="raise Limits.seconds")


BUDGETS = tuple(name for name in Limits.__slots__ if name not in ("until", "spent"))
"""The names of what a caller can set."""
DEFAULT_LIMITS = Limits()
