"""The table of hashes that a checkpoint may be checked by, each imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import MissingDependencyError, UnsupportedError, shown
from ..typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol

    class Hasher(Protocol):
        """Takes bytes in pieces and gives their hash."""

        def update(self, data: Any, /) -> object:
            """Take more bytes."""

        def hexdigest(self) -> str:
            """Return the hash of all bytes so far in lower-case hexadecimal digits."""


DEFAULT_HASH = "xxh3"


def _xxh3() -> Callable[[], Hasher]:
    import xxhash

    made: Callable[[], Hasher] = xxhash.xxh3_128
    return made


def _blake3() -> Callable[[], Hasher]:
    import blake3

    made: Callable[[], Hasher] = blake3.blake3
    return made


def _sha256() -> Callable[[], Hasher]:
    from hashlib import sha256

    return sha256


# name in the manifest -> how to get it, hexadecimal digits, install line
_HASHES: dict[str, tuple[Callable[[], Callable[[], Hasher]], int, str]] = {
    "xxh3": (_xxh3, 32, "pip install xxhash"),
    "blake3": (_blake3, 64, "pip install 'weightlift[blake3]'"),
    "sha256": (_sha256, 64, ""),
}
HASH_NAMES = tuple(_HASHES)


def hash_digits(name: str) -> int:
    """Return how many hexadecimal digits a hash of this name has.

    Raises:
        UnsupportedError: no hash of that name.
    """
    if name not in _HASHES:
        raise UnsupportedError(f"the hash {shown(name, 40)}", expected=f"one of {', '.join(_HASHES)}")
    return _HASHES[name][1]


def hasher(name: str) -> Callable[[], Hasher]:
    """Return what makes a new hash object of that name: "xxh3" (128 bits), "blake3" or "sha256".

    Raises:
        UnsupportedError: no hash of that name. MissingDependencyError: its package is not installed.
    """
    hash_digits(name)
    get, _, install = _HASHES[name]
    try:
        return get()
    except ImportError:
        raise MissingDependencyError(f"the hash {name!r} needs a package", remedy=install) from None


def hash_of(name: str, data: bytes | bytearray | memoryview) -> str:
    """Return the hash of some bytes in hexadecimal digits."""
    made = hasher(name)()
    made.update(data)
    return made.hexdigest()
