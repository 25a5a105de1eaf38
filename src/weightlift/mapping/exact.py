"""The plan of equal names: what `load` uses where no plan is given. Wrappers' prefixes are recognised and said.

It never renames: names that do not meet are problems, with the rule lines that would settle them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from ..blocks import compress
from ..patterns import pattern
from ..tensors.computed import Lazy
from .plan import Plan
from .resolve import Schema

PREFIXES = ("module.", "_orig_mod.", "model.", "state_dict.", "net.", "module.model.", "module._orig_mod.")
"""What DataParallel, torch.compile and training wrappers put before every name."""

Excused = Literal["error"] | Iterable[str]


@dataclass(frozen=True, slots=True)
class ExactPlan:
    """A plan, what was recognised in making it, and lines that would settle what is left open."""

    plan: Plan
    notes: tuple[str, ...]
    suggestions: tuple[str, ...]


def exact_plan(
    source: Mapping[str, Lazy],
    target: Schema,
    *,
    missing: Excused = "error",
    unexpected: Excused = "error",
    mismatch: Excused = "error",
) -> ExactPlan:
    """Return the plan that joins equal names. `missing`, `unexpected` and `mismatch` excuse names by patterns."""
    strip, add = _prefixes(source, target)
    to = {key: add + key.removeprefix(strip) for key in source if key.startswith(strip)}
    both = {key: name for key, name in to.items() if name in target}
    misfits = {k: n for k, n in both.items() if target[n][0] is not None and tuple(source[k].shape) != target[n][0]}
    excused = {k: n for k, n in misfits.items() if _is_excused(n, mismatch)}
    left = [key for key in source if key not in both]
    absent = [name for name in target if name not in both.values()]
    lines = []
    dropped = [key for key in left if _is_excused(key, unexpected)]
    apart = [*dropped, *excused, *(key for key in left if key not in dropped)]
    if both.keys() - excused.keys():
        lines.append(" ".join([f"{strip}** -> {add}**", *(f"except {row}" for row in _templates(apart))]))
    lines += [f'{row} -> drop "excused by unexpected="' for row in _templates(dropped)]
    lines += [f'{row} -> drop "excused by mismatch="' for row in _templates(excused)]
    kept = [name for name in absent if _is_excused(name, missing)]
    lines += [f'init -> {row} "excused by missing="' for row in _templates(kept)]
    lines += [f'init -> {row} "excused by mismatch="' for row in _templates(excused.values())]
    open_sources = [key for key in left if key not in dropped]
    open_targets = [name for name in absent if name not in kept]
    notes = []
    if strip:
        notes.append(f"the source's names begin with {strip!r}, which is left out")
    if add:
        notes.append(f"the target's names begin with {add!r}, which is put before the source's")
    return ExactPlan(
        Plan.of("\n".join(lines) or "# nothing fits"),
        tuple(notes),
        tuple(_suggest(source, target, open_sources, open_targets)),
    )


def _prefixes(source: Mapping[str, Lazy], target: Schema) -> tuple[str, str]:
    """Return (prefix to leave out, prefix to add) under which most names meet; none where that is as good."""
    names = set(target)
    best, most = ("", ""), sum(key in names for key in source)
    for prefix in PREFIXES:
        inside = [key.removeprefix(prefix) for key in source if key.startswith(prefix)]
        for choice, met in (
            ((prefix, ""), sum(k in names for k in inside)),
            (("", prefix), sum(prefix + k in names for k in source)),
        ):
            if met > most:
                best, most = choice, met
    return best


def _is_excused(name: str, excused: Excused) -> bool:
    return excused != "error" and any(pattern(text).match(name) is not None for text in excused)


def _templates(names: Iterable[str]) -> list[str]:
    return [row.template for row in compress((name, None) for name in names)]


def _suggest(source: Mapping[str, Lazy], target: Schema, left: list[str], absent: list[str]) -> Iterable[str]:
    """Rule lines to paste: renames where shape and name are close, else drop and init, each to be judged."""
    renames: dict[str, str] = {}
    for name in absent:
        alike = [key for key in left if key not in renames and tuple(source[key].shape) == target[name][0]]
        scored = sorted(((SequenceMatcher(None, key, name).ratio(), key) for key in alike[:200]), reverse=True)
        if scored and scored[0][0] >= 0.6:
            renames[scored[0][1]] = name
    for row in compress((f"{key} -> {name}", None) for key, name in renames.items()):
        yield f"{row.template}    # same shape, similar name"
    for unused in _templates(key for key in left if key not in renames):
        yield f'{unused} -> drop "why?"'
    for new in _templates(name for name in absent if name not in renames.values()):
        yield f'init -> {new} "why?"'
