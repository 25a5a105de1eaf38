"""What names say: tokens, the field's synonyms, and how alike two names are beside others that could be meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|#")

_SAME = {
    "q": "query queries wq qproj",
    "k": "key keys wk kproj",
    "v": "value values wv vproj",
    "attn": "attention att sa selfattention attentions attns",
    "cross": "crossattention encdec xattn",
    "norm": "ln layernorm rmsnorm bn batchnorm normalization groupnorm gn norms layernorms",
    "conv": "convolution conv1d conv2d convs",
    "embed": "embedding embeddings emb wte tok token tokens word embedder",
    "pos": "position positional positions wpe posembed",
    "mlp": "ffn ff feedforward ffw",
    "short": "shortcut skip residual identity downsample downsampling",
    "head": "classifier classification heads",
    "out": "output o wo",
    "weight": "gamma scale w",
    "bias": "beta b",
    "mean": "avg",
    "var": "variance",
    "ls": "layerscale lambda lambd",
    "encoder": "enc",
    "decoder": "dec",
    "patch": "patches patchify",
    "proj": "projection linear lin dense project",
    "bbox": "box boxes",
    "cls": "class classes label labels",
    "dist": "distill distillation distilled",
    "rel": "relative",
    "receptance": "receptances",
}
SYNONYMS = {word: name for name, words in _SAME.items() for word in words.split()}
"""Token -> the one that stands for all of its meaning."""

_APART = (
    "encoder decoder", "q k v out", "student teacher", "text vision image visual audio", "weight bias", "mean var",
    "self cross", "left right", "gate up down", "before after", "source target", "in out", "online momentum ema",
    "actor critic", "generator discriminator", "first last", "min max", "mu sigma", "forward backward", "reverse",
    "fc1 fc2", "cls pos patch reg mask dist",
)  # fmt: skip
OPPOSITES = [frozenset(words.split()) for words in _APART]
"""Tokens of one set never mean the same thing."""

_RANKS = {
    word: place
    for place, words in enumerate(("before pre input first self in", "attn up", "cross encoder multihead",
                                   "mlp intermediate", "final last after post down", "out"))
    for word in words.split()
}  # fmt: skip
"""Tokens that say which of several comes first in a block."""


def tokens(path: Iterable[str]) -> list[str]:
    """Return the tokens of the names on a path, synonyms brought together."""
    found = [piece.lower() for name in path for piece in _PIECE.findall(name)]
    return [SYNONYMS.get(token, token) for token in found]


def weights_of(paths: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return how much a token tells: little where many modules have it."""
    count: Counter[str] = Counter()
    total = 0
    for path in paths:
        total += 1
        count.update(set(tokens(path)))
    return {token: log((total + 1) / seen) + 0.1 for token, seen in count.items()}


def likeness(one: frozenset[str], two: frozenset[str], weights: dict[str, float]) -> float:
    """Return how much two sets of tokens have in common: 0 to 1, or -1 where they contradict each other."""
    for apart in OPPOSITES:
        left, right = one & apart, two & apart
        if left and right and not left & right:
            return -1.0
    both = sum(weights.get(token, 1.0) for token in one & two)
    every = sum(weights.get(token, 1.0) for token in one) + sum(weights.get(token, 1.0) for token in two)
    return 2 * both / every if every else 0.0


def rank(path: Sequence[str]) -> float | None:
    """Return the place in a block that a name says, or None: a number in it, or words such as `before`."""
    words = tokens(path)
    digits = [int(word) for word in words if word.isdecimal()]
    if digits:
        return 100.0 + digits[-1]
    ranks = [_RANKS[word] for word in words if word in _RANKS]
    return float(max(ranks)) if ranks else None
