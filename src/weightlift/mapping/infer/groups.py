"""Fused and split tensors: one that holds what several hold elsewhere.

Which tensors belong together shows in their shapes and names. In which order and layout they lie in the fused one
does not show in any shape: it is taken from a name that spells it (`qkv`), and is unsure otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...values import dataclass
from .names import tokens
from .trees import Node, numbers, template

_SPELLED = {
    ("q", "k", "v"): ("qkv", "in_proj", "in_proj_weight", "in_proj_bias"),
    ("k", "v"): ("kv", "kv_proj"),
    ("q", "k"): ("qk",),
    ("gate", "up"): ("gate_up", "gate_up_proj"),
}
"""Parts of what is fused -> names of it that spell them, in the order in which they lie."""
_LAYOUT = "the layout inside the fused tensor is a convention that no shape shows"


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors that make others, by which operations, and what is doubtful about it."""

    sources: Sequence[Node]
    targets: Sequence[Node]
    ops: str
    doubt: str


def grouped(left: list[Node], right: list[Node], source: Node, target: Node) -> Iterator[Group]:
    """Yield what fits together among tensors that have no counterpart of their own size, each once."""
    used: set[int] = set()
    for whole, members, ops, doubt in _fused(left, source, right, target, _SPLIT):
        used |= {id(whole), *map(id, members)}
        yield Group([whole], members, ops, doubt)
    rest = [[node for node in side if id(node) not in used] for side in (left, right)]
    for whole, members, ops, doubt in _fused(rest[1], target, rest[0], source, _CAT):
        used |= {id(whole), *map(id, members)}
        yield Group(members, [whole], ops, doubt)
    left, right = ([node for node in side if id(node) not in used] for side in (left, right))
    yield from _stacks(left, right, source, target)


Fused = tuple[Node, list[Node], str, str]
_SPLIT, _CAT = ("split(0{sizes})", "t | split(0{sizes})"), ("cat(0)", "cat(0) | t")
"""Operations between a fused tensor and its parts: as they are, and transposed."""


def _fused(wholes: list[Node], scope: Node, parts: list[Node], other: Node, ops: tuple[str, str]) -> Iterator[Fused]:
    """Yield each tensor that holds what several hold, the parts in order, the operations and the doubt."""
    shelves: dict[tuple[tuple[int, ...], str], dict[tuple[str, ...], dict[str, Node]]] = {}
    for part in parts:
        role = _role(part)
        if role:
            shelf = shelves.setdefault((numbers(part.below(other)), _leaf(part)), {})
            shelf.setdefault(role[1], {})[role[0]] = part
    for whole in wholes:
        for members in shelves.get((numbers(whole.below(scope)), _leaf(whole)), {}).values():
            found = _fitting(whole, members, ops)
            if found:
                for name in [name for name, member in members.items() if member in found[1]]:
                    del members[name]
                yield found
                break


def _fitting(whole: Node, members: dict[str, Node], ops: tuple[str, str]) -> Fused | None:
    shape = whole.shape or ()
    for names in _SPELLED:
        found = [members[name] for name in names if name in members]
        shapes = [member.shape or () for member in found]
        if len(found) < len(names) or not shape or () in shapes:
            continue
        rows = [s[0] for s in shapes]
        sizes = "" if len(set(rows)) == 1 else f", {rows}"
        if {s[1:] for s in shapes} == {shape[1:]} and sum(rows) == shape[0]:
            return whole, found, ops[0].format(sizes=sizes), "" if _is_spelled(whole, names, sizes) else _LAYOUT
        if len(shape) == 2 and {s[1:] for s in shapes} == {shape[:1]} and sum(rows) == shape[1]:
            return whole, found, ops[1].format(sizes=sizes), _LAYOUT
    return None


def _is_spelled(whole: Node, names: tuple[str, ...], sizes: str) -> bool:
    """Whether a name says in which order the parts lie; heads may share keys where sizes differ."""
    if len(whole.shape or ()) > 2 or (sizes and "q" in names):
        return False
    return any(segment in _SPELLED[names] for segment in whole.path[-2:])


def _role(node: Node) -> tuple[str, tuple[str, ...]] | None:
    """The part of a fused tensor that a name tells, and the rest of the name."""
    words = [tokens([segment]) for segment in node.path]
    for depth in range(len(words) - 1, max(-1, len(words) - 4), -1):
        for role in ("q", "k", "v", "gate", "up"):
            if words[depth].count(role) == 1:
                rest = tuple(word for word in words[depth] if word != role)
                return role, (*template(node.path[:depth]), *rest, *template(node.path[depth + 1 :]))
    return None


def _leaf(node: Node) -> str:
    return "bias" if "bias" in tokens(node.path[-1:]) else "weight"


def _stacks(left: list[Node], right: list[Node], source: Node, target: Node) -> Iterator[Group]:
    """Tensors that hold one for each expert in their first dimension."""
    families: dict[tuple[str, ...], list[Node]] = {}
    for node in sorted(left, key=lambda node: numbers(node.path)):
        name = tuple("#" if segment.isdecimal() else segment for segment in node.below(source))
        families.setdefault(name, []).append(node)
    for whole in right:
        shape = whole.shape or ()
        if len(shape) < _EXPERTS or shape[0] < 2:
            continue
        experts = {name: nodes for name, nodes in families.items() if len(nodes) == shape[0]}
        single = [name for name, nodes in experts.items() if nodes[0].shape == shape[1:]]
        words = set(tokens(whole.below(target))) - {"proj", "weight"}
        named = [name for name in single if words & set(tokens(name)) - {"#"}] if len(single) > 1 else single
        halves = [name for name, nodes in experts.items() if _is_half(nodes[0].shape or (), shape)]
        if len(named) == 1:
            yield Group(families.pop(named[0]), [whole], "stack(0)", "" if words & set(tokens(named[0])) else _ALONE)
        elif len(halves) == 2:
            halves.sort(key=lambda name: (_role(experts[name][0]) or ("~",))[0])  # gate before up
            is_known = [(_role(experts[name][0]) or ("",))[0] for name in halves] == ["gate", "up"]
            is_spelled = any(segment in _SPELLED["gate", "up"] for segment in whole.path[-2:])
            members = [node for both in zip(*(families.pop(name) for name in halves), strict=True) for node in both]
            yield Group(members, [whole], "cat(0) | stack(0)", "" if is_known and is_spelled else _LAYOUT)


def _is_half(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether two tensors of a shape make what is held for each expert."""
    return len(shape) == len(whole) - 1 and (2 * shape[0], *shape[1:]) == whole[1:]


_ALONE = "only the shapes say so"
_EXPERTS = 3  # dimensions of what holds a matrix for each expert
