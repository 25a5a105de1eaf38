"""Walking the inert tree of a checkpoint, by identity: shared values are met once, cycles end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .errors import LimitError
from .limits import DEFAULT_LIMITS, Limits
from .paths import Index, Path
from .pickles import Object
from .pickles.nodes import NOT_BUILT
from .tensors import Composite, Tensor
from .tensors.computed import Computed, strided_parts
from .tensors.lazy import AnyTensor, Storage
from .typed import Any

Children = Iterator[tuple[Path, Any]]


def children(path: Path, value: Any) -> Children:
    """Give what a value directly holds, with the path of each, one at a time: a deep path is long."""
    if isinstance(value, dict):
        return (((*path, key), item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return (((*path, Index(i)), item) for i, item in enumerate(value))
    if isinstance(value, Object):
        return _object_children(path, value)
    return iter(())


def _object_children(path: Path, value: Object) -> Children:
    for i, item in enumerate(value.items):
        yield (*path, Index(i)), item
    for key, item in value.pairs.items():
        yield (*path, key), item
    attributes = value.attributes
    for key, item in attributes.items():
        yield (*path, key), item
    if not attributes and value.state is not NOT_BUILT:
        yield (*path, "state"), value.state
    for i, item in enumerate(value.args):
        yield (*path, "args", Index(i)), item
    for key, item in value.kwargs.items():
        yield (*path, key), item
    if isinstance(value.fn, Object):
        yield (*path, "fn"), value.fn


def walk(
    root: Any, *, limits: Limits = DEFAULT_LIMITS, enter: Callable[[Path, Any], bool] | None = None
) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for everything reachable, parents first, in the order of the file.

    `enter` says whether to go into a value. Each container is yielded once, at the first path.

    Raises:
        LimitError: deeper or larger than `limits` allow.
    """
    stack: list[Children] = [iter([((), root)])]
    seen: set[int] = set()
    count = 0
    while stack:
        following = next(stack[-1], None)
        if following is None:
            stack.pop()
            continue
        path, value = following
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
            stack.append(children(path, value))


def tensors_in(value: Any) -> Iterator[AnyTensor | Computed]:
    """Yield the tensors in a value: itself, or those that it holds at any depth."""
    if isinstance(value, Tensor | Composite | Computed):
        yield value
    elif isinstance(value, dict | list | tuple | Object):
        for _, inner in walk(value):
            if isinstance(inner, Tensor | Composite | Computed):
                yield inner


def storages_in(value: Any) -> Iterator[Storage]:
    """Yield where the bytes of the tensors in a value lie."""
    for tensor in tensors_in(value):
        for part in strided_parts(tensor):
            yield part.storage
