"""Rule lines to paste: what would settle the names that do not meet, each to be judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from ..blocks import compress
from ..patterns import as_pattern
from ..tensors.casting import cuts_off
from ..tensors.computed import Lazy
from .resolve import Schema


def moved(key: str, name: str, mark: str = "") -> str:
    """The line that brings one tensor under another name."""
    return f"{as_pattern(key)} -> {as_pattern(name)}{mark}"


def tied(key: str, name: str, mark: str = "") -> str:
    """The line that makes a name the same tensor as what another makes."""
    return f"{as_pattern(key)} => {as_pattern(name)} : tie{mark}"


def dropped(names: Iterable[str], why: str) -> list[str]:
    """The lines that leave sources out."""
    return [f'{row} -> drop "{why}"' for row in templates(names)]


def initialised(names: Iterable[str], why: str) -> list[str]:
    """The lines that leave targets as they are."""
    return [f'init -> {row} "{why}"' for row in templates(names)]


def templates(names: Iterable[str]) -> list[str]:
    """Names as patterns, those of repeated blocks as one."""
    return [row.template for row in compress((as_pattern(name), None) for name in names)]


def together(ties: Iterable[Sequence[str]], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The names in groups: those that are one tensor in the target together, every other alone."""
    wanted = set(names)
    found = [tuple(name for name in group if name in wanted) for group in ties]
    home = {name: group for group in found for name in group}
    return list(dict.fromkeys(home.get(name, (name,)) for name in names))


def suggested(source: Mapping[str, Lazy], target: Schema, left: list[str], new: list[tuple[str, ...]]) -> Iterable[str]:
    """Rule lines to paste: renames where shape and name are close, else drop and init, each to be judged.

    `new` are groups of target names that are one tensor: what makes one of them is tied to the others.
    """
    shapes = [target[group[0]][0] for group in new]
    by_shape: dict[object, list[str]] = {}
    for key in left:
        by_shape.setdefault(tuple(source[key].shape), []).append(key)
    only, similar = dict[str, str](), dict[str, str]()
    made: dict[tuple[str, ...], str] = {}
    for group, shape in zip(new, shapes, strict=True):
        same, dtype = by_shape.get(shape, []), target[group[0]][1]
        alike = [key for key in same if key not in similar and not cuts_off(dtype, source[key].dtype)]
        scored = sorted(((_likeness(key, name), key, name) for key in alike[:200] for name in group), reverse=True)
        if scored and len(same) == shapes.count(shape) == 1:
            only[scored[0][1]] = scored[0][2]
        elif scored and scored[0][0] >= 0.6:
            similar[scored[0][1]] = scored[0][2]
        else:
            continue
        made[group] = scored[0][1]
    yield from (moved(key, name, "    # the only ones of this shape") for key, name in only.items())
    for row in compress((moved(key, name), None) for key, name in similar.items()):
        yield f"{row.template}    # same shape, similar name"
    renamed = only | similar
    for group, key in made.items():
        yield from (tied(key, name) for name in group if name != renamed[key])
    yield from dropped((key for key in left if key not in renamed), "why?")
    yield from initialised((name for group in new if group not in made for name in group), "why?")


def _likeness(key: str, name: str) -> float:
    return SequenceMatcher(None, key, name).ratio()
