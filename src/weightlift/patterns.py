"""Patterns over names: anchored at segments, so that `layers.1` never means `layers.10`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


@cache
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a whole name fits: `*` is any part of one segment, `**` any number of segments.

    >>> fits = matcher("layers.*.attn.**")
    >>> fits("layers.1.attn.q.weight"), fits("layers.1.mlp.weight"), fits("x.layers.1.attn.q")
    (True, False, False)
    """
    import re

    out = ""
    for segment in pattern.split("."):
        if segment == "**":
            out += r"(?:\.[^.]+)*"
        else:
            out += r"\." + "[^.]*".join(map(re.escape, segment.split("*")))
    fits = re.compile(out).fullmatch
    return lambda name: fits("." + name) is not None
