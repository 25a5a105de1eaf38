"""What flows through a rule: tensors along named axes, from N sources to M targets."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import PlanError
from ..tensors.computed import Lazy
from ..values import dataclass

Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Tensors at the places of a grid. `axes` are (name, size): `#0`, `#1` ... for enumerations, or a letter."""

    axes: tuple[tuple[str, int], ...]
    items: dict[Place, Lazy]

    def each(self, fn: Callable[[Lazy], Lazy]) -> Bundle:
        """Return the bundle with every tensor replaced."""
        return Bundle(self.axes, {place: fn(item) for place, item in self.items.items()})

    def join(self, axis: str | None, fn: Callable[[list[Lazy]], Lazy]) -> Bundle:
        """Return the bundle without an axis: the tensors along it become one.

        Without a name the only axis is meant, or the last enumeration.
        """
        at = self._axis(axis)
        groups: dict[Place, dict[int, Lazy]] = {}
        for place, item in self.items.items():
            groups.setdefault(place[:at] + place[at + 1 :], {})[place[at]] = item
        joined = {rest: fn([row[i] for i in sorted(row)]) for rest, row in groups.items()}
        return Bundle(self.axes[:at] + self.axes[at + 1 :], joined)

    def part(self, axis: str, size: int, fn: Callable[[Lazy, int], Lazy]) -> Bundle:
        """Return the bundle with a new axis: every tensor becomes `size` tensors."""
        items = {(*place, i): fn(item, i) for place, item in self.items.items() for i in range(size)}
        return Bundle((*self.axes, (axis, size)), items)

    def _axis(self, name: str | None) -> int:
        names = [axis for axis, _ in self.axes]
        if name is not None:
            if name not in names:
                raise PlanError(
                    f"nothing runs along {{{name}}}", expected=f"one of {names}" if names else "several sources"
                )
            return names.index(name)
        enumerations = [i for i, axis in enumerate(names) if axis.startswith("#")]
        if len(names) == 1:
            return 0
        if not enumerations:
            raise PlanError(
                "there is nothing to join" if not names else f"which of {names} is meant is not said",
                expected="several sources, or the name of an index",
            )
        return enumerations[-1]
