"""Walking the inert tree of a checkpoint, by identity: shared values are met once, cycles end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .errors import LimitError
from .limits import DEFAULT_LIMITS, Limits
from .paths import Index, Path
from .pickles import Object
from .pickles.nodes import NOT_BUILT
from .tensors import Composite, Tensor
from .tensors.lazy import AnyTensor
from .typed import Any

Children = list[tuple[Path, Any]]


def children(path: Path, value: Any) -> Children:
    """Return what a value directly holds, with the path of each."""
    if isinstance(value, dict):
        return [((*path, key), item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [((*path, Index(i)), item) for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [((*path, Index(i)), item) for i, item in enumerate(value)]
    if isinstance(value, Object):
        return _object_children(path, value)
    return []


def _object_children(path: Path, value: Object) -> Children:
    out = [((*path, Index(i)), item) for i, item in enumerate(value.items)]
    out += [((*path, key), item) for key, item in value.pairs.items()]
    attributes = value.attributes
    out += [((*path, key), item) for key, item in attributes.items()]
    if not attributes and value.state is not NOT_BUILT:
        out.append(((*path, "state"), value.state))
    out += [((*path, "args", Index(i)), item) for i, item in enumerate(value.args)]
    out += [((*path, key), item) for key, item in value.kwargs.items()]
    if isinstance(value.fn, Object):
        out.append(((*path, "fn"), value.fn))
    return out


def walk(
    root: Any, *, limits: Limits = DEFAULT_LIMITS, enter: Callable[[Path, Any], bool] | None = None
) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for everything reachable, parents first, in the order of the file.

    `enter` says whether to go into a value. Each container is yielded once, at the first path.

    Raises:
        LimitError: deeper or larger than `limits` allow.
    """
    stack: Children = [((), root)]
    seen: set[int] = set()
    count = 0
    while stack:
        path, value = stack.pop()
        held = isinstance(value, dict | list | tuple | set | frozenset | Object)
        if held or hasattr(value, "dtype"):
            if id(value) in seen:
                continue
            seen.add(id(value))
        count += 1
        if count > limits.nodes:
            raise LimitError(f"more than {limits.nodes} values", remedy="raise Limits.nodes")
        if len(path) > limits.depth:
            raise LimitError(f"values nested deeper than {limits.depth}", remedy="raise Limits.depth")
        yield path, value
        if held and (enter is None or enter(path, value)):
            stack.extend(reversed(children(path, value)))


def tensors_in(value: Any) -> Iterator[AnyTensor]:
    """Yield the tensors in a value: itself, or those that it holds at any depth."""
    if isinstance(value, Tensor | Composite):
        yield value
    elif isinstance(value, dict | list | tuple | Object):
        for _, inner in walk(value):
            if isinstance(inner, Tensor | Composite):
                yield inner
