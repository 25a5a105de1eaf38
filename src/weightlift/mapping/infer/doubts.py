"""What no shape and no name shows, and what therefore makes a match unsure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ...tensors.casting import cuts_off
from ...values import replace
from ..resolve import Schema
from .match import Match
from .names import likeness, tokens, weights_of
from .trees import squeezed, template

_FUSED = re.compile(r"qkv|c_attn|in_proj|q.*k.*v|^kv|gate_up|w12|_kv")
_IN_ORDER = {"qkv", "in_proj_weight", "in_proj_bias"}
"""Names of what is known to hold q, then k, then v."""
_SQUARE = "other matrices of this block are transposed; a square shows nothing"
_POSITIONS = frozenset(("pos", "rel", "relative", "attention_biases", "biases", "alibi"))


def doubted(matches: Iterable[Match], source: Schema, target: Schema) -> list[Match]:
    """Return the matches, those unsure that rest on what cannot be seen."""
    matches = list(matches)
    unseen = _Unseen(matches, source, target)
    rivals = _Rivals(matches, source, target)
    return [rivals.doubted(unseen.doubted(match)) for match in matches]


class _Unseen:
    """What shapes and names do not show: layouts, rotary embeddings, transposed squares, positions."""

    def __init__(self, matches: list[Match], source: Schema, target: Schema) -> None:
        self.source, self.target = source, target
        self.may_be_rotary = not any(_tells_positions(key) for key in (*source, *target))
        self.turned = {_block(match.targets[0]) for match in matches if match.ops == "t"}
        self.moved = _positions_moved(source, target)

    def doubted(self, match: Match) -> Match:
        """The match, unsure where something about it cannot be seen."""
        if match.doubt or len(match.sources) != 1 or len(match.targets) != 1:
            return match
        why = self._why(match.sources[0], match.targets[0], match.ops)
        return replace(match, doubt=why, ops="t" if why == _SQUARE else match.ops) if why else match

    def _why(self, one: str, two: str, ops: str) -> str:
        shape = self.source[one][0] or ()
        fused = {_fused_name(one), _fused_name(two)}
        before, after = self.source[one][1], self.target[two][1]
        if cuts_off(after, before) or before.is_complex != after.is_complex:
            return "another kind of numbers"
        if one != two and (self._is_kept(one) or self._is_kept(two)):
            return "one of the names is on both sides, and would go elsewhere"
        if len(fused) > 1 and fused - _IN_ORDER:
            return "fused under different names: libraries lay heads and parts out differently"
        if self.may_be_rotary and _is_renamed_projection(one, two):
            return "rotary embeddings: libraries keep the rows in different orders"
        if not ops and len(shape) == 2 and shape[0] == shape[1]:
            if _block(two) in self.turned:
                return _SQUARE
            if "weight" in two.rpartition(".")[2] and "weight" not in one.rpartition(".")[2]:
                return "a square under another name: it may be transposed"
        if not ops and len(shape) == 3 and shape[0] == 1 and _block(two) in self.moved:
            return "the positions have changed in number, and tokens may have been added to them"
        return ""

    def _is_kept(self, key: str) -> bool:
        """Whether a name is on both sides, with the same shape."""
        return key in self.source and key in self.target and self.source[key][0] == self.target[key][0]


def unlike_others(matches: list[Match], before: Mapping[str, str], after: Mapping[str, str]) -> list[Match]:
    """Return the matches, unsure where nearly all tensors of that name in other blocks went to another name.

    `before` and `after` give the names without the numbers of blocks.
    """
    went: dict[str, Counter[str]] = {}
    for match in matches:
        for one in match.sources:
            went.setdefault(before[one], Counter())[after[match.targets[0]]] += 1
    out = []
    for match in matches:
        ways = went[before[match.sources[0]]]
        (usual, count), *_ = ways.most_common(1)
        is_odd = not match.doubt and count >= _MOST * ways[after[match.targets[0]]]
        out.append(replace(match, doubt=f"in other blocks it went to {usual!r}") if is_odd else match)
    return out


_MOST = 3  # times as often as the other way, from which on that is the usual one


class _Rivals:
    """Tensors that nothing was found for, and that the names of a match fit better."""

    def __init__(self, matches: list[Match], source: Schema, target: Schema) -> None:
        used = (
            {key for match in matches for key in match.sources},
            {key for match in matches for key in match.targets},
        )
        self.schemas = source, target
        self.left: list[dict[object, list[str]]] = [{}, {}]
        for shelf, schema, taken in zip(self.left, self.schemas, used, strict=True):
            for key in schema.keys() - set(taken):
                shelf.setdefault((squeezed(schema[key][0] or ()), _block(key)), []).append(key)
        self.weights = weights_of({template(tuple(key.split("."))) for schema in self.schemas for key in schema})

    def doubted(self, match: Match) -> Match:
        """The match, unsure where a tensor of its shape in its block is left over that has a better name for it."""
        if match.doubt or len(match.sources) != 1 or len(match.targets) != 1:
            return match
        one, two = match.sources[0], match.targets[0]
        here = self._alike(one, two)
        others = [(other, two) for other in self._beside(0, one)] + [(one, other) for other in self._beside(1, two)]
        better = next((pair for pair in others if self._alike(*pair) > here), None)
        if better is None:
            return match
        return replace(
            match, doubt=f"{better[0] if better[0] != one else better[1]!r} is left over, and its name fits better"
        )

    def _beside(self, side: int, key: str) -> list[str]:
        return self.left[side].get((squeezed(self.schemas[side][key][0] or ()), _block(key)), [])

    def _alike(self, one: str, two: str) -> float:
        names = [key[len(_block(key)) :] for key in (one, two)]
        same = names[0].strip(".") == names[1].strip(".")
        words = [frozenset(tokens(name.split("."))) for name in names]
        return 2.0 if same else likeness(words[0], words[1], self.weights)


def _fused_name(key: str) -> str:
    """The name in a key that stands for several projections at once, or ""."""
    return next((part for part in reversed(key.split(".")) if _FUSED.search(part.lower())), "")


def _tells_positions(key: str) -> bool:
    return bool(_POSITIONS & {*tokens(key.split(".")), *key.split(".")})


def _is_renamed_projection(one: str, two: str) -> bool:
    """Whether both are projections to queries or keys, under names that are spelled differently."""
    names = [key.split(".")[-2:-1] for key in (one, two)]
    return all({"q", "k"} & set(tokens(name)) for name in names) and names[0] != names[1]


def _block(key: str) -> str:
    """The part of a name up to its last number."""
    parts = key.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdecimal()), default=-1)
    return ".".join(parts[: last + 1])


def _positions_moved(source: Schema, target: Schema) -> set[str]:
    """Blocks of targets whose position embeddings have no source of their shape."""
    shapes = {shape for key, (shape, _) in source.items() if "pos" in tokens(key.split("."))}
    found = {key: shape for key, (shape, _) in target.items() if "pos" in tokens(key.split("."))}
    return {_block(key) for key, shape in found.items() if shapes and shape not in shapes and len(shape or ()) == 3}
