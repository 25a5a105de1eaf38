"""Live parts of one rank being filled: what torch's planner has read is taken as it lies, in shards."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import PlanError
from ...mapping.fitting import fitted
from ...tensors.computed import Lazy
from ...tensors.torch_modules import ModuleTarget, as_torch_value, set_down
from ...tensors.torch_states import unwrapped
from ...typed import Any
from ..parts import Change, Filling


class RankFilling(Filling):
    """A filling whose tensors are in part read already: `staged`, by name, each of this rank's layout."""

    __slots__ = ("staged",)

    def __init__(self, filling: Filling, staged: Mapping[str, Any]) -> None:
        super().__init__(filling.tensors, filling.parameters, filling.plans, filling.modules, filling.types)
        self.staged = staged

    def torch(self, name: str, stride: tuple[int, ...] | None = None) -> Any:
        """Return the torch tensor of a name: this rank's shard, or the whole."""
        return self.staged[name] if name in self.staged else super().torch(name, stride)

    def set_module(self, document: Mapping[str, Any], part: Any, name: str, weights: Mapping[str, Lazy]) -> None:
        """Enter the change that sets the tensors of a module; names and shapes have to be the same."""
        target = ModuleTarget(unwrapped(part))
        left_out = set(document.get("left_out") or ())
        schema = {key: about for key, about in target.schema.items() if key not in left_out}
        try:
            fitted(weights, schema, (), extra=target.extra)
        except PlanError as error:
            raise error.at(name) from None
        if left_out:
            self.notes.append(f"{name}: {len(left_out)} entries were not saved and are left as they are")
        values = {
            key: self.staged[f"{name}/{key}"] if f"{name}/{key}" in self.staged else as_torch_value(weights[key])
            for key in schema
        }
        self.changes.append(_setting(target, values))


def _setting(target: ModuleTarget, values: Mapping[str, Any]) -> Change:
    before: dict[str, Any] = {}

    def commit() -> None:
        before.update({key: target.slots[key].tensor.detach().clone() for key in values})
        set_down(target, values, assign=False, step=lambda _: None)

    def undo() -> None:
        if before:
            set_down(target, before, assign=False, step=lambda _: None)

    return Change(commit, undo)
