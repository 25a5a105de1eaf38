"""Two state dicts side by side: names, shapes, types, values."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import shown
from .tensors import Composite, Tensor
from .tensors.casting import tolerance as derived_tolerance
from .tensors.computed import Computed
from .typed import Any, Literal
from .values import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One name that differs: how, and what each side has. `largest` is the largest absolute difference of values."""

    key: str
    kind: Literal["only here", "only there", "shape", "dtype", "values", "other"]
    here: str = ""
    there: str = ""
    largest: float = 0.0


def differences(here: Mapping[str, Any], there: Mapping[str, Any], tolerance: float | None) -> list[Difference]:
    """Return what differs, in the order of the first; see `StateDict.equals` for `tolerance`."""
    out = []
    for key, value in here.items():
        if key not in there:
            out.append(Difference(key, "only here", _told(value)))
        elif (found := _difference(key, value, there[key], tolerance)) is not None:
            out.append(found)
    return out + [Difference(key, "only there", "", _told(value)) for key, value in there.items() if key not in here]


def _told(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if hasattr(value, "shape") else shown(value, 60)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are equal, each pair compared once: lists that share their items can spell 2^64 of them."""
    waiting, seen = [(a, b)], set()
    while waiting:
        x, y = waiting.pop()
        if x is y or (id(x), id(y)) in seen:
            continue
        if type(x) is not type(y):
            return False
        if isinstance(x, list | tuple | dict):
            seen.add((id(x), id(y)))
            if len(x) != len(y):
                return False
            if isinstance(x, dict):
                if x.keys() != y.keys():
                    return False
                waiting += [(item, y[key]) for key, item in x.items()]
            else:
                waiting += zip(x, y, strict=True)
        elif not bool(x == y):
            return False
    return True


def _difference(key: str, a: Any, b: Any, tolerance: float | None) -> Difference | None:
    if isinstance(a, Composite) and isinstance(b, Composite) and (a.layout, a.shape) == (b.layout, b.shape):
        inner = differences(a.parts, b.parts, tolerance)
        return Difference(key, inner[0].kind, _told(a), _told(b), inner[0].largest) if inner else None
    if not isinstance(a, Tensor | Computed) or not isinstance(b, Tensor | Computed):
        same = not isinstance(a, Composite) and _same(a, b)
        return None if same else Difference(key, "other", _told(a), _told(b))
    if tuple(a.shape) != tuple(b.shape):
        return Difference(key, "shape", _told(a), _told(b))
    if a.dtype is not b.dtype:
        return Difference(key, "dtype", _told(a), _told(b))
    if a is b or (a.view == b.view and not tolerance):
        return None
    return _values(key, a, b, tolerance)


def _values(key: str, a: Tensor | Computed, b: Tensor | Computed, tolerance: float | None) -> Difference | None:
    if tolerance == 0.0 and a.tobytes() == b.tobytes():
        return None
    import numpy as np

    kind = np.complex128 if a.dtype.is_complex else np.float64
    x, y = a.numpy().astype(kind), b.numpy().astype(kind)
    with np.errstate(invalid="ignore"):
        apart = np.abs(x - y)
    apart[(x == y) | (np.isnan(x) & np.isnan(y))] = 0
    largest = float(np.nan_to_num(apart, nan=np.inf).max()) if apart.size else 0.0
    allowed = derived_tolerance(a.dtype) if tolerance is None else tolerance
    scale = float(np.abs(x[np.isfinite(x)]).max()) if np.isfinite(x).any() else 0.0
    if tolerance != 0.0 and largest <= allowed * scale:
        return None
    return Difference(key, "values", _told(a), _told(b), largest)
