"""Names of places inside a checkpoint: `model.layers[0].weight`."""

from __future__ import annotations

from .errors import LimitError, shown
from .typed import Any

Path = tuple[Any, ...]
"""Keys from the root; a list or tuple index is an `Index`, anything else a dict key or attribute."""


class Index(int):
    """A position in a list or tuple, as opposed to a key that is a number."""


_LONGEST = 1 << 20


def path_name(path: Path) -> str:
    """Return the short spelling: segments joined by dots, list positions in brackets."""
    out = ""
    for part in path:
        if isinstance(part, Index):
            out += f"[{int(part)}]"
        elif isinstance(part, str):
            out += f".{part}" if out else part
        else:
            out += f"[{shown(part, 40)}]"
        if len(out) > _LONGEST:
            raise LimitError(f"a path of more than {_LONGEST} characters")
    return out


def exact_name(path: Path) -> str:
    """Return the spelling that no two places share: every key in brackets and quoted."""
    return "".join(f"[{int(part)}]" if isinstance(part, Index) else f"[{_exactly(part)}]" for part in path)


def _exactly(part: Any) -> str:
    return repr(part) if isinstance(part, str) else shown(part, 1000)
