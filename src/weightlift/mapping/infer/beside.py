"""What helps to choose between sources of equal values, and what is said where nothing does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .match import Match

_TOLD = 3  # candidates that a doubt names


def module_origins(matches: Iterable[Match]) -> dict[str, set[str]]:
    """Return, for each module of the target, the modules of the source that tensors in it are made of.

    Modules are given as what stands before the names in them: "encoder.0.", or "" for the model itself.
    """
    origins: dict[str, set[str]] = {}
    for match in matches:
        if len(match.sources) == len(match.targets) == 1:
            origins.setdefault(module_of(match.targets[0]), set()).add(module_of(match.sources[0]))
    return origins


def module_of(name: str) -> str:
    """Return what stands before the last part of a name."""
    return name[: name.rfind(".") + 1]


def same_place(name: str, candidates: Sequence[str], origins: Mapping[str, set[str]]) -> Match | None:
    """Return the match with the one candidate of the same name in the module that a target's neighbours come from."""
    module = module_of(name)
    places = {origin + name.removeprefix(module) for origin in origins.get(module, ())}
    fitting = [one for one in candidates if one in places]
    return Match((fitting[0],), (name,), "", "exact") if len(fitting) == 1 else None


def several(names: Sequence[str]) -> str:
    """Return the doubt about sources that hold the same values."""
    told = ", ".join(names[:_TOLD]) + (", ..." if len(names) > _TOLD else "")
    return f"the same values are in {told}" if len(names) > 1 else f"the same values are twice in {told}"
