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


_LEAVES = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
_NO_TYPES: frozenset[type] = frozenset()
_TIMED = 0xFFF  # the clock is looked at once in so many values


def children(path: Path, value: Any, without: frozenset[type] = _NO_TYPES) -> Children:
    """Give what a value directly holds, with the path of each, one at a time: a deep path is long."""
    if isinstance(value, dict):
        return (((*path, key), item) for key, item in value.items() if type(item) not in without)
    if isinstance(value, list | tuple | set | frozenset):
        return (((*path, Index(i)), item) for i, item in enumerate(value) if type(item) not in without)
    if isinstance(value, Object):
        return _object_children(path, value, without)
    return iter(())


def _object_children(path: Path, value: Object, without: frozenset[type]) -> Children:
    for i, item in enumerate(value.items):
        if type(item) not in without:
            yield (*path, Index(i)), item
    attributes = value.attributes
    for pairs in (value.pairs, attributes):
        for key, item in pairs.items():
            if type(item) not in without:
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
    root: Any,
    *,
    limits: Limits = DEFAULT_LIMITS,
    enter: Callable[[Path, Any], bool] | None = None,
    leaves: bool = True,
) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for everything reachable, parents first, in the order of the file.

    `enter` says whether to go into a value. Each container is yielded once, at the first path. Without
    `leaves`, numbers, texts and bytes are passed over, which is ten times as quick where there are millions.

    Raises:
        LimitError: deeper or larger than `limits` allow, or later where their clock is running.
    """
    stack: list[Children] = [iter([((), root)])]
    seen: set[int] = set()
    count = tensors = 0
    without = _NO_TYPES if leaves else _LEAVES
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
            tensors += not held
        count += 1
        if count > limits.nodes:
            raise LimitError(f"more than {limits.nodes} values", remedy="raise Limits.nodes")
        if tensors > limits.tensors:
            raise LimitError(f"more than {limits.tensors} tensors", remedy="raise Limits.tensors")
        if not count & _TIMED:
            limits.check_time()
        if len(path) > limits.depth:
            raise LimitError(f"values nested deeper than {limits.depth}", remedy="raise Limits.depth")
        yield path, value
        if held and (enter is None or enter(path, value)):
            if not leaves:
                count += len(value.pairs) + len(value.items) if isinstance(value, Object) else len(value)
            stack.append(children(path, value, without))


def tensors_in(value: Any) -> Iterator[AnyTensor | Computed]:
    """Yield the tensors in a value: itself, or those that it holds at any depth."""
    if isinstance(value, Tensor | Composite | Computed):
        yield value
    elif isinstance(value, dict | list | tuple | Object):
        for _, inner in walk(value, leaves=False):
            if isinstance(inner, Tensor | Composite | Computed):
                yield inner


def storages_in(value: Any) -> Iterator[Storage]:
    """Yield where the bytes of the tensors in a value lie."""
    for tensor in tensors_in(value):
        for part in strided_parts(tensor):
            yield part.storage
