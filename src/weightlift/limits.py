"""What one file may cost. Every budget is checked before anything is allocated for it."""

from __future__ import annotations

from .values import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets for reading one checkpoint; the defaults fit any real file seen so far.

    Sizes are bytes. A hostile file meets one of these long before it hurts the machine.
    """

    opcodes: int = 50_000_000
    """Pickle opcodes carried out, over all pickles of the file."""
    memo: int = 10_000_000
    """Entries in one pickle's memo."""
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
    inflated_bytes: int = 512 * MIB
    """A compressed member that has to be held in memory."""
    header_bytes: int = 100 * MIB
    """A safetensors header (the format's own limit), an index, a zip directory."""
    dimensions: int = 64
    """Dimensions of one tensor."""
    expanded_bytes: int = 1 << 30
    """A view with more elements than its storage has (stride 0), written out."""
    archives: int = 4
    """Archives within archives."""


DEFAULT_LIMITS = Limits()
