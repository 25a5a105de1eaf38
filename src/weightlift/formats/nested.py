"""torch.save blobs inside a pickle: `torch.storage._load_from_bytes(b'...')`, opened where they lie.

This is how a plain `pickle.dump` writes each storage. A real load would unpickle the blob in full, so
what it names counts for the verdict on the file.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import LimitError, PickleError, WeightliftError, shown
from ..pickles import Blob, Global, Object
from ..sources import Memory, Source
from ..tensors.rebuild import TypedStorage
from ..typed import Any
from .base import Opening

_LOADER = Global("torch.storage", "_load_from_bytes")


class NestedBlobs:
    """Stands in for `_load_from_bytes` in one pickle; counts the blobs and collects their globals."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.count = 0
        self.unread = 0
        self.globals: dict[Global, int] = {}

    def __call__(self, data: Any = None) -> Any:
        """Return the storage in the bytes, or the call itself where they hold something else.

        Raises:
            LimitError: blobs within blobs within blobs.
        """
        from .registry import open_source

        self.count += 1
        try:
            checkpoint = open_source(_source(data, f"blob {self.count}"), self.opening.within())
        except LimitError:
            raise
        except WeightliftError:
            self.unread += 1
            return Object(_LOADER, (data,), is_call=True, offset=0)
        self.globals |= checkpoint.globals
        value = checkpoint.tree
        if not isinstance(value, TypedStorage):
            return Object(_LOADER, (value,), is_call=True, offset=0)
        value.storage.key = f"{self.count}:{value.storage.key}"
        return value

    def settle(self, named: Mapping[Global, int]) -> dict[Global, int]:
        """Return the globals of the pickle and its blobs; the loader only while a blob is unread."""
        left = {key: at for key, at in named.items() if key != _LOADER or self.unread or not self.count}
        return {**left, **self.globals}


def _source(data: Any, name: str) -> Source:
    if isinstance(data, Blob):
        return data.source.window(0, data.source.size, name)
    if isinstance(data, bytes | bytearray):
        return Memory(bytes(data), name)
    raise PickleError(f"a storage from {shown(data, 40)}", expected="bytes")
