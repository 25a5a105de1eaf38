"""Which checkpoints of a run stay: the last few, the best few, every so many steps, and those that are pinned."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping

from ..errors import StoreError, shown
from ..typed import TYPE_CHECKING, Any, Literal
from ..values import dataclass, replace

if TYPE_CHECKING:
    from typing import Protocol

    class Rankable(Protocol):
        """What the rule looks at."""

        @property
        def step(self) -> int: ...  # noqa: D102
        @property
        def metrics(self) -> Mapping[str, Any]: ...  # noqa: D102
        @property
        def pinned(self) -> bool: ...  # noqa: D102
        @property
        def partial(self) -> tuple[str, ...]: ...  # noqa: D102


MODES = ("min", "max")


@dataclass(frozen=True, slots=True)
class Keep:
    """Which checkpoints stay; one that fits any of these does.

    `last`: the newest so many, at least 1; None keeps all.
    `best`: so many of those with the lowest (`mode="min"`) or highest (`mode="max"`) `metric`.
    `every`: each whose step is a multiple of this.

    Whatever is said here, these always stay: the newest, the newest that was not saved partially, and
    those that are pinned. Written wrongly, it is refused where a store is made of it.

        >>> Keep(last=3, best=2, metric="val_loss", mode="min", every=1000)
        Keep(last=3, best=2, metric='val_loss', mode='min', every=1000)
    """

    last: int | None = 1
    best: int = 0
    metric: str = ""
    mode: Literal["min", "max", ""] = ""
    every: int | None = None


ALL = Keep(last=None)


def rule(keep: Keep | int | None = None, best: str | None = None) -> Keep:
    """Return the rule that a store's `keep` and `best` spell: a `Keep`, or how many of the newest, None for all.

    `best="val_loss:min"` keeps also the one checkpoint with the lowest `val_loss`.

    Raises:
        StoreError: it contradicts itself, or leaves open what is meant.
    """
    chosen = keep if isinstance(keep, Keep) else replace(ALL, last=keep)
    if best is not None:
        if chosen.best or chosen.metric:
            raise StoreError("the best are asked for twice", expected="`best` or `Keep(best=...)`, not both")
        metric, _, mode = best.rpartition(":") if isinstance(best, str) else ("", "", "")
        if not metric or mode not in MODES:
            raise StoreError(f"best={shown(best)}", expected="'METRIC:min' or 'METRIC:max', as in 'val_loss:min'")
        chosen = replace(chosen, best=1, metric=metric, mode="min" if mode == "min" else "max")
    _check(chosen)
    return chosen


def _check(keep: Keep) -> None:
    if keep.last is not None and _count(keep.last, "last") < 1:
        raise StoreError(f"last={keep.last}", expected="1 or more: the newest checkpoint always stays; None keeps all")
    if keep.every is not None and _count(keep.every, "every") < 1:
        raise StoreError(f"every={keep.every}", expected="1 or more steps")
    if _count(keep.best, "best") < 0:
        raise StoreError(f"best={keep.best}", expected="0 or more")
    if not isinstance(keep.metric, str):
        raise StoreError(f"metric={shown(keep.metric)}", expected="the name of a metric")
    if keep.best and not keep.metric:
        raise StoreError(f"best={keep.best} without a metric", remedy="say which: metric='val_loss', mode='min'")
    if keep.metric and keep.mode not in MODES:
        raise StoreError(
            f"metric={keep.metric!r} with mode={shown(keep.mode)}",
            expected="mode='min' where lower is better, or mode='max'",
        )
    if keep.metric and not keep.best:
        raise StoreError(f"metric={keep.metric!r} that keeps nothing", remedy="say how many: best=1")


def _count(value: object, name: str) -> int:
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type] # what has no index is told below
    except TypeError:
        pass
    raise StoreError(f"{name}={shown(value)}", expected="a whole number")


def ranked(checkpoints: Iterable[Rankable], keep: Keep) -> list[Any]:
    """Return those that have the rule's metric as a number, the best first; of equals the newer one first."""
    sign = -1 if keep.mode == "max" else 1
    numbered = [c for c in checkpoints if is_number(c.metrics.get(keep.metric))]
    return sorted(numbered, key=lambda c: (sign * c.metrics[keep.metric], -c.step))


def is_number(value: object) -> bool:
    """Whether a metric can be ranked: a number, infinite or not, that is no NaN."""
    return isinstance(value, int | float) and value == value  # noqa: PLR0124 - a NaN differs from itself


def kept(checkpoints: Iterable[Rankable], keep: Keep) -> dict[int, tuple[str, ...]]:
    """Return for each step why it stays, as short words: `newest`, `last 3`, `best 2`; nothing where it goes.

    Looks at values alone: no file is read.
    """
    newest_first = sorted(checkpoints, key=lambda c: -c.step)
    why: dict[int, list[str]] = {c.step: [] for c in newest_first}
    for i, checkpoint in enumerate(newest_first):
        reasons = why[checkpoint.step]
        if i == 0:
            reasons.append("newest")
        if keep.last is None:
            reasons.append("all")
        elif i < keep.last and i:
            reasons.append(f"last {keep.last}")
        if keep.every is not None and checkpoint.step % keep.every == 0:
            reasons.append(f"every {keep.every}")
        if checkpoint.pinned:
            reasons.append("pinned")
    whole = next((c for c in newest_first if not c.partial), None)
    if whole is not None and whole is not newest_first[0]:
        why[whole.step].append("newest whole")
    if keep.best:
        for place, checkpoint in enumerate(ranked(newest_first, keep)[: keep.best], 1):
            why[checkpoint.step].append("best" if place == 1 else f"best {place}")
    return {step: tuple(reasons) for step, reasons in why.items()}
