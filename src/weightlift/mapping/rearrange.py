"""`rearrange`: a layout spelled by what its axes mean, in the notation of einops (https://einops.rocks)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import PlanError
from ..tensors.computed import Lazy
from ..tensors.lazy import product
from ..typed import Any
from .ops import permuted, reshaped

Side = list[list[str]]
_REST = "..."


def rearranged(item: Lazy, pattern: str, given: Mapping[str, Any]) -> Lazy:
    """Return the elements in the right side's order: `"(q h d) ... -> (h q d) ..."`; sizes come from the shape."""
    left, right = _sides(pattern, len(item.shape))
    sizes = solved(item, pattern, given)
    names = [name for group in left for name in group]
    wanted = [name for group in right for name in group]
    apart = reshaped(item, tuple(sizes[name] for name in names))
    moved = permuted(apart, tuple(names.index(name) for name in wanted))
    return reshaped(moved, tuple(product(tuple(sizes[name] for name in group)) for group in right))


def solved(item: Lazy, pattern: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of every axis, from those given and the shape.

    Raises:
        PlanError: a group with two unknown sizes, or sizes that do not fit.
    """
    left, _ = _sides(pattern, len(item.shape))
    if len(left) != len(item.shape):
        raise PlanError(f"{pattern!r} has {len(left)} dimensions on the left", expected=f"{len(item.shape)}")
    sizes: dict[str, int] = {}
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise PlanError(f"{name}={value!r} in {pattern!r}", expected="a whole number, or a name that dims gives")
        sizes[name] = value
    for group, size in zip(left, item.shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        known = product(tuple(sizes[name] for name in group if name in sizes))
        if len(unknown) > 1:
            raise PlanError(
                f"the sizes of {', '.join(unknown)} in {pattern!r}", expected="all but one of a group given"
            )
        if unknown:
            if known == 0 or size % known:
                raise PlanError(f"{size} into {known} times {unknown[0]}", expected="a whole number of times")
            sizes[unknown[0]] = size // known
        elif known != size:
            raise PlanError(f"({' '.join(group)}) is {known} in {pattern!r}", expected=f"{size}")
    return sizes


def worked_out(item: Lazy, pattern: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes that nobody said: those of axes in a group that follow from the others and the shape."""
    left, _ = _sides(pattern, len(item.shape))
    sizes = solved(item, pattern, given)
    return {name: sizes[name] for group in left if len(group) > 1 for name in group if name not in given}


def _sides(pattern: str, rank: int) -> tuple[Side, Side]:
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise PlanError(f"{pattern!r}", expected='"left -> right"')
    sides = _side(left), _side(right)
    if [_REST] in sides[0]:
        rest = [[f"{_REST}{i}"] for i in range(max(0, rank - len(sides[0]) + 1))]
        sides = _expanded(sides[0], rest), _expanded(sides[1], rest)
    names = [sorted(name for group in side for name in group) for side in sides]
    if names[0] != names[1] or len(set(names[0])) != len(names[0]):
        raise PlanError(f"{pattern!r} names {names[0]} and {names[1]}", expected="each axis once on both sides")
    return sides


def _expanded(side: Side, rest: Side) -> Side:
    """Put the dimensions that `...` stands for in its place."""
    at = side.index([_REST]) if [_REST] in side else len(side)
    return [*side[:at], *rest, *side[at + 1 :]]


def _side(text: str) -> Side:
    out: Side = []
    inside: list[str] | None = None
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            if inside is not None:
                raise PlanError(f"( within ( in {text!r}")
            inside = []
        elif word == ")":
            if inside is None:
                raise PlanError(f") without ( in {text!r}")
            out.append(inside)
            inside = None
        elif not word.isidentifier() and not (word == _REST and inside is None):
            raise PlanError(f"{word!r} in {text!r}", expected="names of axes")
        elif inside is None:
            out.append([word])
        else:
            inside.append(word)
    if inside is not None:
        raise PlanError(f"( without ) in {text!r}")
    return out
