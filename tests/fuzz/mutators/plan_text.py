"""Plan files: lines, words and pieces of the rule language moved, doubled, taken out and put in."""

from __future__ import annotations

import random
import re

from . import raw

_PIECES = ("->", "=>", ":", "|", "**", "{i}", "{t}", "{a,b,c}", "{2*i}", "{i+1}", "{", "}", "[0:4]", "[", "]", "drop", "init",
           "tie", "cat(0)", "stack(0, e)", "t", "permute(1, 0)", "reshape(2, -1)", "rearrange('(q d) k -> q d k', q=2)",
           "split(0)", "rows", "slice(0, 0, 2)", "pad(0, 1)", "scale(0.5)", "cast(float16)", "resize(grid, prefix=1)", "copy",
           "optional", "!lossy", "!partial", "!unsure", "rest=init", '"why"', "#", "=", '"""', "'''", "[[block]]", "rules",
           "source", "target", "dims", "schema", "plan = 1", "999999999999999999999", "-1", "1e9", "\\", "\t", "\r", "\0", "é",
           "(", ")", ",", ".", "*", "/", "@", "$", "\\u0000", "..")  # fmt: skip
_TOKENS = re.compile(r"\s+|\w+|[^\w\s]+")


def changed(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of tokens or lines."""
    if rng.randrange(12) == 0:
        return raw.changed(data, rng)
    text = data.decode("utf-8", "replace")
    for _ in range(rng.randint(1, 4)):
        separate = rng.randrange(3) > 0
        parts = _TOKENS.findall(text) if separate else text.splitlines(keepends=True)
        at = rng.randint(0, len(parts))
        how = rng.randrange(5)
        if how == 0:
            del parts[at : at + rng.choice((1, 1, 3))]
        elif how == 1:
            parts.insert(at, rng.choice(_PIECES))
        elif how == 2 and at < len(parts):
            parts[at] = rng.choice(_PIECES)
        elif how == 3 and parts:
            begin = rng.randrange(len(parts))
            parts[at:at] = parts[begin : begin + rng.choice((1, 2, 6))] * rng.choice((1, 1, 1, 20))
        elif parts and at < len(parts):
            other = rng.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        text = "".join(parts)[:20_000]
    return text.encode("utf-8", "replace")
