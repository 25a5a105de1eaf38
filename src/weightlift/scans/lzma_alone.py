"""The oldest form of lzma, which has no magic: a byte of settings, the size of its dictionary, the size of its data."""

from __future__ import annotations

HEADER_NBYTES = 13
_MOST_SETTINGS = 9 * 5 * 5
_LARGEST = 1 << 38  # bytes: xz takes what claims more for something else
_SIZE = slice(5, 13)
_DICTIONARY = slice(1, 5)
_SMALLEST = 1 << 12


def is_lzma_alone(head: bytes) -> bool:
    """Whether bytes can begin so: much else does, and shows when it is inflated."""
    if len(head) <= HEADER_NBYTES or head[0] >= _MOST_SETTINGS:
        return False
    literal_bits = head[0] % 9 + head[0] // 9 % 5
    size = head[_SIZE]
    return literal_bits <= 4 and (size == b"\xff" * 8 or 0 < int.from_bytes(size, "little") < _LARGEST)


def header_within(data: bytes, nbytes: int) -> bytes:
    """Return a stream whose dictionary is of a size that every reader takes, and no larger than what is inflated.

    The data stay the same: they refer to nothing further back than the dictionary that they claim.
    """
    claimed = min(int.from_bytes(data[_DICTIONARY], "little"), nbytes)
    size = 1 << max(claimed - 1, _SMALLEST - 1).bit_length()
    return data[:1] + size.to_bytes(4, "little") + data[_DICTIONARY.stop :]
