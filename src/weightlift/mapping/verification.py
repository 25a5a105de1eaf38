"""What a forward pass proved of a plan, as data."""

from __future__ import annotations

from ..typed import Any
from ..values import dataclass
from .plan import Plan
from .rules import Rule

_MOST = 8


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two models give equal outputs after a plan, and where they part if not.

    `difference` is the largest one, as a share of the value there plus that of a usual one; it is proof up to
    `tolerance`, the square root of the smallest step of `dtype`, which is the coarsest type that computed anything.
    """

    ok: bool
    difference: float
    tolerance: float
    dtype: str
    module: str | None = None
    """The first diverging module of the new model; "" is the model itself."""
    lines: tuple[Rule, ...] = ()
    """The rules that fill that module."""
    upstream: tuple[Rule, ...] = ()
    """The rules that fill what was done before it."""
    settled: Plan | None = None
    """The plan with its proven lines settled: as it stands, or with the one exchange that proves equal."""
    exchanged: tuple[int, ...] = ()
    """The lines whose sources the settled plan exchanges."""
    unseen: tuple[str, ...] = ()
    """Targets of `!unsure` rules that the outputs do not depend on; their lines stay `!unsure`."""
    possible: int = 0
    """How many other meanings the `!unsure` rules have together."""
    tried: int = 0
    proving: int = 0
    """How many of those that were tried prove equal."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "ok": self.ok,
            "difference": self.difference if self.difference < float("inf") else None,
            "tolerance": self.tolerance,
            "dtype": self.dtype,
            "module": self.module,
            "lines": [{"line": rule.line, "rule": str(rule)} for rule in self.lines],
            "upstream": [{"line": rule.line, "rule": str(rule)} for rule in self.upstream],
            "settled": self.settled.text if self.settled else None,
            "exchanged": list(self.exchanged),
            "unseen": list(self.unseen),
            "possible": self.possible,
            "tried": self.tried,
            "proving": self.proving,
        }

    def __str__(self) -> str:
        verdict = "proven" if self.ok else "not proven"
        out = [f"{verdict}: outputs differ by {self.difference:.1e}, {self.tolerance:.1e} is allowed in {self.dtype}"]
        if self.module is not None:
            out.append(f"first diverging module: {self.module or 'the model itself'}")
            out += _told("filled by", self.lines)
            out += _told("before it", self.upstream)
        if not self.ok:
            out += self._search()
        if self.unseen:
            named = ", ".join(self.unseen[:_MOST]) + (" ..." if len(self.unseen) > _MOST else "")
            out.append(f"still unsure, the outputs do not depend on it: {named}")
        return "\n".join(out)

    def _search(self) -> list[str]:
        if not self.possible:
            return []
        found = f"{self.tried:,} of {self.possible:,} other meanings of the !unsure lines tried, {self.proving} proven"
        if self.settled is None:
            return [found]
        lines = {rule.line: rule for rule in self.settled.rules}
        return [found, *(f"  line {line}: {lines[line]}" for line in self.exchanged)]


def _told(what: str, rules: tuple[Rule, ...]) -> list[str]:
    rows = [f"  {what}: line {rule.line}: {rule}" for rule in rules[:_MOST]]
    return rows + ([f"  {what}: {len(rules) - _MOST} more lines"] if len(rules) > _MOST else [])
