"""Tensors straight from the file: mapped into memory, copied only where somebody writes.

As `torch.load(mmap=True)` does, and for the legacy stream too. The file has to stay as it is while such
tensors live.
"""

from __future__ import annotations

import mmap

from ..typed import Any
from .lazy import Tensor


class MappedFiles:
    """Each file is mapped once; tensors hold the mapping for as long as they live."""

    def __init__(self) -> None:
        self._bytes: dict[int, Any] = {}  # by descriptor: the file's bytes as a torch storage

    def tensor(self, tensor: Tensor) -> Any:
        """Return the torch tensor in place, or None where its bytes do not lie in a file as torch needs them."""
        import torch

        plain = tensor.storage.little_endian and not (tensor.conj or tensor.neg or tensor.cast or tensor.absent)
        dtype = getattr(torch, tensor.dtype.name, None)
        if not plain or dtype is None or not tensor.numel or tensor.dtype.bits < 8:
            return None
        start, end = tensor.extent
        located = tensor.storage.source().file_range(start, end - start)
        if located is None or located[1] % tensor.dtype.itemsize:
            return None
        storage = self._of(located[0])[located[1] : located[1] + end - start]
        return torch.empty(0, dtype=dtype).set_(storage, 0, tensor.shape, tensor.stride)

    def _of(self, fd: int) -> Any:
        import torch

        if fd not in self._bytes:
            held = mmap.mmap(fd, 0, access=mmap.ACCESS_COPY)
            self._bytes[fd] = torch.frombuffer(held, dtype=torch.uint8).untyped_storage()
        return self._bytes[fd]
