"""How many ranks saved a checkpoint, and what of it belongs to each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import MalformedError, PlanError
from ...typed import Any


def refuse_other_world(state: Mapping[str, Any], names: Iterable[str], where: str, size: int = 1) -> None:
    """Refuse parts that were each rank's own, where there are more or fewer ranks now.

    Raises:
        PlanError: names them.
    """
    parts, saved = state.get("parts") or {}, ranks_of(state, where)
    own = [name for name in names if name not in parts and f"rank/0/{name}" in parts]
    if own and saved != size:
        raise PlanError(
            f"{', '.join(map(repr, own))} {'was' if len(own) == 1 else 'were'} saved by {saved} ranks, each its own, "
            f"and here {'is' if size == 1 else 'are'} {size}",
            expected=f"{saved} ranks",
            remedy="leave it out, and begin it anew; weights and optimizer go to any number of ranks",
            where=where,
        )


def other_buffers(tensors: Iterable[str]) -> list[str]:
    """Return the names under `rank/<r>/` of what is a module's on rank 0, and differed on another rank."""
    known = set(tensors)
    return [name for name in known if name.startswith("rank/") and name.split("/", 2)[2] in known]


def notes_of(state: Mapping[str, Any], tensors: Iterable[str], where: str, size: int = 1) -> list[str]:
    """Return what is to be told when another number of ranks takes what these saved."""
    saved = ranks_of(state, where)
    names = sorted({name.split("/", 2)[2] for name in other_buffers(tensors)}) if saved != size else []
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    told = ", ".join(map(repr, names[:3]))
    return [f"{told}{more} differed between the {saved} ranks that saved them; those of rank 0 were taken"]


def ranks_of(state: Mapping[str, Any], where: str) -> int:
    """Return how many ranks saved a checkpoint.

    Raises:
        MalformedError: it says no number.
    """
    count = state.get("ranks", 1)
    if type(count) is not int or count < 1:
        raise MalformedError(f"saved by {count!r:.40} ranks", expected="1 or more", where=where)
    return count
