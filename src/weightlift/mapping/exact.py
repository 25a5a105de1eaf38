"""The plan of equal names: what `load` uses where no plan is given. Wrappers' prefixes are recognised and said.

It never renames: names that do not meet are problems, with the rule lines that would settle them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from ..errors import PlanError
from ..patterns import as_pattern, pattern
from ..tensors.casting import cuts_off
from ..tensors.computed import Lazy
from ..typed import Any, Literal
from ..values import dataclass
from .plan import Plan
from .resolve import Schema
from .suggest import dropped, initialised, moved, suggested, templates, tied, together
from .wrappers import prefixes_of

Excused = Literal["error"] | Iterable[str]


@dataclass(frozen=True, slots=True)
class ExactPlan:
    """A plan, what was recognised in making it, and lines that would settle what is left open."""

    plan: Plan
    notes: tuple[str, ...]
    suggestions: tuple[str, ...]


def exact_plan(
    source: Mapping[str, Any],
    target: Schema,
    ties: Iterable[Sequence[str]] = (),
    *,
    missing: Excused = "error",
    unexpected: Excused = "error",
    mismatch: Excused = "error",
    extra: Collection[str] = (),
) -> ExactPlan:
    """Return the plan that joins equal names.

    `ties` are groups of target names that are one tensor: one that is there makes the others.
    `missing`, `unexpected` and `mismatch` excuse names by patterns. What is no plain tensor in the source is
    left out where the target has it too (`extra`) or `unexpected` excuses it.

    Raises:
        PlanError: what excuses names is neither "error" nor patterns.
    """
    excuses = _patterns("missing", missing), _patterns("unexpected", unexpected), _patterns("mismatch", mismatch)
    for word, texts, names in zip(
        ("missing", "unexpected", "mismatch"), excuses, (target, source, target), strict=True
    ):
        _fit_something(word, texts, list(names))
    met = _Meeting(source, target, ties, excuses, extra)
    return ExactPlan(Plan.of("\n".join(met.plan()) or "# nothing fits"), tuple(met.notes()), tuple(met.settled()))


class _Meeting:
    """The names of two sides, by what becomes of them."""

    def __init__(
        self,
        source: Mapping[str, Any],
        target: Schema,
        ties: Iterable[Sequence[str]],
        excuses: tuple[tuple[str, ...], ...],
        extra: Collection[str],
    ) -> None:
        may_miss, may_be_new, may_misfit = excuses
        self.target, self.ties = target, tuple(ties)
        self.source = tensors = {key: value for key, value in source.items() if isinstance(value, Lazy)}
        self.strip, self.add = strip, add = prefixes_of(tensors, target)
        to = {key: add + key.removeprefix(strip) for key in source if key.startswith(strip)}
        self.both = both = {key: name for key, name in to.items() if key in tensors and name in target}
        self.misfits = {k: n for k, n in both.items() if target[n][0] not in (None, tuple(tensors[k].shape))}
        self.excused = {k: n for k, n in self.misfits.items() if _is_excused(n, may_misfit)}
        cut = {k: n for k, n in both.items() if k not in self.misfits and cuts_off(target[n][1], tensors[k].dtype)}
        self.mark = dict.fromkeys(cut, "  !lossy")
        made = {name: key for key, name in both.items() if key not in self.misfits}
        groups = list(_first_made(self.ties, made))
        taken = set(both.values())
        self.same = {name: made[first] for first, names in groups for name in names if name not in taken}
        self.torn = {key: made[first] for first, names in groups for key in _torn(tensors, made, first, names)}
        self.left = [key for key in tensors if key not in both]
        self.unused = [key for key in self.left if _is_excused(key, may_be_new)]
        self.absent = [name for name in target if name not in taken and name not in self.same]
        self.kept = [name for name in self.absent if _is_excused(name, may_miss)]
        self.data = [key for key in source if key not in tensors]
        self.aside = [key for key in self.data if to.get(key) in extra or _is_excused(key, may_be_new)]

    def plan(self) -> list[str]:
        """The lines of what is joined and what is excused."""
        apart = [*self.left, *self.excused, *self.aside]
        return [*_joined(self.strip, self.add, apart, self.both.keys() - self.excused.keys()), *self._excused()]

    def _excused(self) -> list[str]:
        return [
            *dropped(self.aside, "no plain tensor"),
            *dropped(self.unused, "excused by unexpected="),
            *dropped(self.excused, "excused by mismatch="),
            *(tied(key, name, self.mark.get(key, "")) for name, key in self.same.items()),
            *initialised(self.kept, "excused by missing="),
            *initialised(self.excused.values(), "excused by mismatch="),
        ]

    def settled(self) -> list[str]:
        """The lines that would settle everything."""
        apart = dict.fromkeys([*self.left, *self.misfits, *self.torn, *self.mark, *self.data])
        refused = {key: name for key, name in self.misfits.items() if key not in self.excused}
        new = together(self.ties, [name for name in self.absent if name not in self.kept])
        return [
            *_joined(self.strip, self.add, apart, self.both.keys() - apart.keys()),
            *self._excused(),
            *(moved(key, self.both[key], mark) for key, mark in self.mark.items() if key not in self.torn),
            *dropped((key for key in self.data if key not in self.aside), "no plain tensor, why?"),
            *(line for key, first in self.torn.items() for line in self._tied_anew(key, first)),
            *(line for key, name in refused.items() for line in _replaced(key, name)),
            *suggested(self.source, self.target, [key for key in self.left if key not in self.unused], new),
        ]

    def _tied_anew(self, key: str, first: str) -> list[str]:
        why = f"one tensor with {as_pattern(first)}, why?"
        return [*dropped([key], why), tied(first, self.both[key], self.mark.get(first, ""))]

    def notes(self) -> list[str]:
        """What was recognised."""
        notes = []
        if self.strip:
            notes.append(f"the source's names begin with {self.strip!r}, which is left out")
        if self.add:
            notes.append(f"the target's names begin with {self.add!r}, which is put before the source's")
        notes += [f"{name!r} is the same tensor in the target as what {key!r} makes" for name, key in self.same.items()]
        return notes + [f"{key!r} is no plain tensor, and is left out" for key in self.aside]


def _replaced(key: str, name: str) -> list[str]:
    why = "another shape, why?"
    return [*dropped([key], why), *initialised([name], why)]


def _patterns(word: str, excused: Excused) -> tuple[str, ...]:
    if excused == "error":
        return ()
    if isinstance(excused, str):
        raise PlanError(f"{word}={excused!r}", expected=f'"error", or a list of patterns such as [{excused!r}]')
    return tuple(excused)


def _fit_something(word: str, texts: tuple[str, ...], names: list[str]) -> None:
    """Refuse to excuse what is not there: it is a slip of the pen."""
    for text in texts:
        if not any(pattern(text).match(name) is not None for name in names):
            near = get_close_matches(text, names[:5000], n=2, cutoff=0.6)
            remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise PlanError(f"{word}={[text]!r} fits no name", remedy=remedy)


def _torn(source: Mapping[str, Lazy], made: Mapping[str, str], first: str, names: Sequence[str]) -> list[str]:
    """Sources that would make the tensor of a group anew, of other values as far as is known."""
    keys = [made[name] for name in names if name in made]
    return [key for key in keys if source[key].view != source[made[first]].view]


def _first_made(ties: Iterable[Sequence[str]], made: Mapping[str, str]) -> Iterable[tuple[str, Sequence[str]]]:
    """For each group of names that are one tensor: the first that is made, and all of them."""
    for group in ties:
        first = next((name for name in group if name in made), None)
        if first is not None:
            yield first, group


def _joined(strip: str, add: str, apart: Iterable[str], joined: Iterable[str]) -> list[str]:
    """The line that joins equal names, where there are any."""
    excepts = [f"except {row}" for row in templates(key for key in apart if key.startswith(strip))]
    return [" ".join([f"{strip}** -> {add}**", *excepts])] if any(True for _ in joined) else []


def _is_excused(name: str, excused: Iterable[str]) -> bool:
    return any(pattern(text).match(name) is not None for text in excused)
