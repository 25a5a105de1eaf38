"""Live parts of one rank being filled: what torch's planner has read is taken as it lies, in shards."""

from __future__ import annotations

from collections.abc import Mapping

from ...mapping.resolve import Resolution
from ...tensors.torch_modules import ModuleTarget, as_torch_value
from ...typed import Any
from ..parts import Filling


class RankFilling(Filling):
    """A filling of which some tensors are read already: `laid_out`, by name, each as this rank has it."""

    __slots__ = ("laid_out",)

    def __init__(self, filling: Filling, laid_out: Mapping[str, Any]) -> None:
        super().__init__(filling.tensors, filling.parameters, filling.plans, filling.modules, filling.types)
        self.notes = filling.notes
        self.laid_out = laid_out

    def staged(self, resolution: Resolution, target: ModuleTarget, name: str) -> dict[str, Any]:
        """Return the torch tensors for the module of a name: this rank's shards, and wholes."""
        del target
        resolution.raise_problems()
        made = {}
        for key, each in resolution.made.items():
            place = f"{name}/{key}"
            made[key] = self.laid_out[place] if place in self.laid_out else as_torch_value(each.value)
        return made

    def torch(self, name: str, stride: tuple[int, ...] | None = None) -> Any:
        """Return the torch tensor of a name: this rank's shard, or the whole."""
        return self.laid_out[name] if name in self.laid_out else super().torch(name, stride)
