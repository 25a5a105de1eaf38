"""A state dict as a tree of modules, with what stays the same however its modules are called, nested or fused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...tensors.lazy import product
from ..resolve import Schema

NUMBER = re.compile(r"\d+")
BLOCK = 6
"""Weights from which on a module is a block, and not a layer or two."""
_ITSELF = "\0"  # the child of a module that is a tensor as well
_COUNTERS = ("int64", "int32", "int16", "bool")
"""Types of what is no weight: counters, positions and masks. They go with the module that they are in."""


class Seat:
    """A place in a row: modules beside each other that are told apart by numbers alone."""

    __slots__ = ("at", "row")

    def __init__(self, row: list[Node], at: int) -> None:
        self.row = row
        self.at = at

    @property
    def node(self) -> Node:
        """The module that has this place."""
        return self.row[self.at]

    @property
    def is_block(self) -> bool:
        """Whether what is here is a block of layers."""
        return self.node.leaves >= BLOCK


class Node:
    """A module or, without children, a tensor.

    `numel` counts the elements of the weights below; fusing, splitting, transposing and nesting keep it.
    `shapes` is equal for modules with the same shapes below, ones left out; `kind` for those that also
    have the same names below. `seats` are its places in the rows of numbered modules that it is in, outermost
    first.
    """

    __slots__ = ("children", "key", "kind", "leaves", "numel", "path", "place", "seats", "shape", "shapes")

    def __init__(self, path: tuple[str, ...], place: int) -> None:
        self.path = path
        self.seats: tuple[Seat, ...] = ()
        self.place = place
        self.children: dict[str, Node] = {}
        self.key = ""
        self.shape: tuple[int, ...] | None = None
        self.numel = self.shapes = self.kind = self.leaves = 0

    @property
    def is_tensor(self) -> bool:
        """Whether this is a tensor and not a module."""
        return not self.children

    @property
    def is_weight(self) -> bool:
        """Whether there is anything but counters in it."""
        return self.leaves > 0

    @property
    def role(self) -> str:
        """The name inside the innermost block, with `#` for that: what a tensor is in any of them."""
        depth = max((len(seat.node.path) for seat in self.seats if seat.is_block), default=0)
        inside = self.path[depth:]
        while depth and len(inside) > 1 and inside[0].isdecimal():
            inside = inside[1:]
        return ".".join(("#", *inside) if depth else inside)

    @property
    def parts(self) -> list[Node]:
        """The children with weights, past modules that hold one thing alone."""
        return [child.core() for child in self.children.values() if child.is_weight]

    def core(self) -> Node:
        """The first module on the way down that holds more than one thing with weights."""
        node = self
        while len(below := [child for child in node.children.values() if child.is_weight]) == 1 and below[0].children:
            node = below[0]
        return node

    def tensors(self) -> Iterator[Node]:
        """Every tensor below, in order."""
        if self.is_tensor:
            yield self
        for child in self.children.values():
            yield from child.tensors()

    def modules(self) -> Iterator[Node]:
        """This, and every module and tensor in it."""
        yield self
        for child in self.children.values():
            yield from child.modules()

    def below(self, scope: Node) -> tuple[str, ...]:
        """The names on the way from a module above."""
        return self.path[len(scope.path) :]


def tree_of(schema: Schema) -> Node:
    """Return the tree of a state dict."""
    root = Node((), 0)
    for place, (key, (shape, dtype)) in enumerate(schema.items()):
        node = root
        for segment in key.split("."):
            if segment not in node.children:
                node.children[segment] = Node((*node.path, segment), place)
            node = node.children[segment]
        if node.children:  # a name that others begin with: the tensor itself hangs below it, unnamed
            node.children[_ITSELF] = node = Node(node.path, place)
        node.key = key
        node.shape = shape or ()
        if dtype.name not in _COUNTERS:
            node.leaves, node.numel, node.shapes = 1, product(node.shape), hash(squeezed(node.shape))
        else:
            node.numel = 0
    kinds: dict[object, int] = {}
    _sum_up(root, kinds)
    _seat(root)
    return root


def _sum_up(root: Node, kinds: dict[object, int]) -> None:
    waiting = [(root, False)]
    while waiting:
        node, is_open = waiting.pop()
        if node.children and node.shape is not None:  # was taken for a tensor before names began with it
            node.children.setdefault(_ITSELF, _moved(node))
        if node.children and not is_open:
            waiting.append((node, True))
            waiting += [(child, False) for child in node.children.values()]
            continue
        children = node.children.values()
        if children:
            node.leaves = sum(child.leaves for child in children)
            node.numel = sum(child.numel for child in children)
            node.shapes = sum(child.shapes for child in children) & (1 << 61) - 1
        mark = (node.shape, node.leaves) if not children else tuple((n, c.kind) for n, c in node.children.items())
        node.kind = kinds.setdefault(mark, len(kinds))


def _seat(root: Node) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        rows: dict[tuple[str, ...], list[Node]] = {}
        for name, child in node.children.items():
            child.seats = node.seats
            if child.is_weight and NUMBER.search(name):
                rows.setdefault(template((name,)), []).append(child)
        for row in rows.values():
            row.sort(key=lambda child: numbers(child.path))
            for at, child in enumerate(row):
                child.seats = (*node.seats, Seat(row, at)) if len(row) > 1 else node.seats
        waiting += node.children.values()


def _moved(node: Node) -> Node:
    below = Node(node.path, node.place)
    below.key, below.shape, below.leaves = node.key, node.shape, node.leaves
    below.numel, below.shapes = node.numel, node.shapes
    node.key, node.shape = "", None
    return below


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its ones."""
    return tuple(size for size in shape if size != 1)


def spelled(path: tuple[str, ...]) -> str:
    """A path as a text that others can be put before and after, whatever its names are; segments may be empty."""
    return "".join(f"{name}\0" for name in path)


def numbers(path: tuple[str, ...]) -> tuple[int, ...]:
    """Every number in a path, in order."""
    return tuple(int(found) for segment in path for found in NUMBER.findall(segment))


def template(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path with `#` for its numbers."""
    return tuple(NUMBER.sub("#", segment) for segment in path)
