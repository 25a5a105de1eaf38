"""What became of every parameter's optimizer state, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..typed import Literal
from .optimizer_names import Way

Became = Literal["followed", "fresh", "skipped"]


@dataclass(frozen=True, slots=True)
class ParameterState:
    """One parameter of the live model. `sources` are the names of the saved parameters its state comes from."""

    name: str
    status: Became
    sources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    rule_line: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class OptimizerReport:
    """Every parameter, where the saved names come from, and what else is to be known."""

    parameters: tuple[ParameterState, ...]
    names_from: Way
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Status -> how many."""
        out: dict[str, int] = {}
        for parameter in self.parameters:
            out[parameter.status] = out.get(parameter.status, 0) + 1
        return out

    def with_status(self, *statuses: Became) -> list[ParameterState]:
        """Return the parameters with one of these."""
        return [parameter for parameter in self.parameters if parameter.status in statuses]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain data."""
        rows = [asdict(parameter) for parameter in self.parameters]
        return {"parameters": rows, "names_from": self.names_from, "notes": list(self.notes)}

    def __str__(self) -> str:
        told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        rows = [f"  {p.status}  {p.name}  {', '.join(p.sources)}  {p.note}".rstrip() for p in self.parameters]
        return "\n".join([told or "nothing", *rows, *(f"note: {note}" for note in self.notes)])
