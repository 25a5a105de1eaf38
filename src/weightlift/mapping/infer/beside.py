"""What helps to choose between sources of equal values, and what is said where nothing does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .match import Match

_TOLD = 3  # candidates that a doubt names


def module_origins(matches: Iterable[Match]) -> dict[str, set[str]]:
    """Return, for each module of the target, the modules of the source that tensors in it are made of."""
    origins: dict[str, set[str]] = {}
    for match in matches:
        if len(match.sources) == len(match.targets) == 1:
            before, after = (name.rpartition(".")[0] for name in (*match.sources, *match.targets))
            origins.setdefault(after, set()).add(before)
    return origins


def same_place(name: str, candidates: Sequence[str], origins: Mapping[str, set[str]]) -> Match | None:
    """Return the match with the one candidate of the same name in the module that a target's neighbours come from."""
    module, _, leaf = name.rpartition(".")
    places = {f"{origin}.{leaf}" for origin in origins.get(module, ())}
    fitting = [one for one in candidates if one in places]
    return Match((fitting[0],), (name,), "", "exact") if len(fitting) == 1 else None


def several(names: Sequence[str]) -> str:
    """Return the doubt about sources that hold the same values."""
    told = ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
    return f"the same values are in {told}" if len(names) > 1 else f"the same values are twice in {told}"
