"""The codec for a run in shards: a sharded tensor is entered as the block that this rank has of it."""

from __future__ import annotations

from ...codec import Encoder
from ...typed import Any
from .group import is_sharded


class RankEncoder(Encoder):
    """An encoder that knows live tensors again: `live` are those of torch by name, `sharded` the DTensors.

    `ties` are names of a DTensor that has another name already, and that name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Any] = {}
        self.sharded: dict[str, Any] = {}
        self.ties: dict[str, str] = {}
        self._first: dict[int, str] = {}  # id of a DTensor, which `sharded` holds on to -> its name

    def _enter(self, name: str, tensor: Any) -> str | None:
        if not is_sharded(tensor):
            entered = super()._enter(name, tensor)
            if entered is not None and hasattr(tensor, "untyped_storage"):
                self.live[entered] = tensor
            return entered
        if any(placement.is_partial() for placement in tensor.placements):
            return self.refuse("is a partial result on each rank", "redistribute() it first")  # type: ignore[no-any-return]
        entered = super()._enter(name, tensor.detach().to_local())
        if entered is not None and self._first.setdefault(id(tensor), entered) != entered:
            self.ties[entered] = self._first[id(tensor)]
        elif entered is not None:
            self.sharded[entered] = tensor
        return entered
