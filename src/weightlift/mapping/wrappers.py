"""Prefixes that wrappers put before every name, and under which most names of two sides meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, takewhile

from ..tensors.computed import Lazy
from ..tensors.torch_states import INSIDE
from .resolve import Schema

TRANSPARENT = tuple(dict.fromkeys(INSIDE.values()))
"""What DataParallel and torch.compile put before every name: "module", "_orig_mod"."""
WRAPPERS = (*TRANSPARENT, "model", "state_dict", "net")
"""The same, and what training wrappers call the model; one inside another in any order, `model._orig_mod.`."""
_DEEPEST, _MOST_PREFIXES = 3, 8


def prefixes_of(source: Mapping[str, Lazy], target: Schema) -> tuple[str, str]:
    """Return (prefix to leave out, prefix to add) under which most names meet; none where that is as good."""
    names = set(target)
    best, most = ("", ""), sum(key in names for key in source)
    pairs = [(strip, add) for strip in _wrapped(source) for add in _wrapped(target) if _is_wrapping(strip, add)]
    for strip, add in sorted(pairs, key=lambda pair: sum(prefix.count(".") for prefix in pair)):
        met = sum(add + key.removeprefix(strip) in names for key in source if key.startswith(strip))
        if met > most:
            best, most = (strip, add), met
    return best


def _wrapped(names: Iterable[str]) -> list[str]:
    """Return the wrappers' prefixes that names have, the most frequent ones, and none first."""
    found: Counter[str] = Counter()
    for name in names:
        words = takewhile(WRAPPERS.__contains__, name.split(".", _DEEPEST)[:-1])
        found.update(accumulate(f"{word}." for word in words))
    return ["", *(prefix for prefix, _ in found.most_common(_MOST_PREFIXES))]


def _is_wrapping(strip: str, add: str) -> bool:
    """`net.` beside `model.` are two names for a model, not two wrappers of one: a rename, which is not made here."""
    one, other = ([word for word in prefix.split(".")[:-1] if word not in TRANSPARENT] for prefix in (strip, add))
    return not one or not other or one == other
