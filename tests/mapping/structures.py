"""Names and shapes of models, and random changes to them that are known: what inference has to see through."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from random import Random
from typing import Any

from weightlift.dtypes import DTYPES

from mapbench import FOLDER

Schema = dict[str, Any]
Items = list[tuple[tuple[str, ...], str, Any]]
"""(name in segments, name before all changes or "" for what is new, header)."""

FLOAT = DTYPES["float32"]


def schema(*parts: tuple[str, tuple[int, ...]]) -> Schema:
    """A schema of float tensors."""
    return {name: (shape, FLOAT) for name, shape in parts}


def layer(name: str, out: int, into: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (out, into)), (f"{name}.bias", (out,))]


def norm(name: str, width: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}.weight", (width,)), (f"{name}.bias", (width,))]


def vision_transformer(blocks: int = 6, d: int = 32) -> Schema:
    """As timm names it."""
    parts = [("cls_token", (1, 1, d)), ("pos_embed", (1, 50, d)), ("patch_embed.proj.weight", (d, 3, 4, 4))]
    parts.append(("patch_embed.proj.bias", (d,)))
    for i in range(blocks):
        parts += norm(f"blocks.{i}.norm1", d) + layer(f"blocks.{i}.attn.qkv", 3 * d, d)
        parts += layer(f"blocks.{i}.attn.proj", d, d) + norm(f"blocks.{i}.norm2", d)
        parts += layer(f"blocks.{i}.mlp.fc1", 4 * d, d) + layer(f"blocks.{i}.mlp.fc2", d, 4 * d)
    return schema(*parts, *norm("norm", d), *layer("head", 10, d))


def converted_vision_transformer(blocks: int = 6, d: int = 32) -> Schema:
    """The same as transformers names it."""
    parts = [("vit.embeddings.cls_token", (1, 1, d)), ("vit.embeddings.position_embeddings", (1, 50, d))]
    parts += [("vit.embeddings.patch_embeddings.projection.weight", (d, 3, 4, 4))]
    parts += [("vit.embeddings.patch_embeddings.projection.bias", (d,))]
    for i in range(blocks):
        at = f"vit.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            parts += layer(f"{at}.attention.attention.{name}", d, d)
        parts += layer(f"{at}.attention.output.dense", d, d) + layer(f"{at}.intermediate.dense", 4 * d, d)
        parts += layer(f"{at}.output.dense", d, 4 * d)
        parts += norm(f"{at}.layernorm_before", d) + norm(f"{at}.layernorm_after", d)
    return schema(*parts, *norm("vit.layernorm", d), *layer("classifier", 10, d))


def two_towers(blocks: int = 4, d: int = 24) -> Schema:
    """An encoder and a decoder of equal shapes, and a decoder that is wider."""
    parts: list[tuple[str, tuple[int, ...]]] = [("shared.weight", (100, d)), ("positions.weight", (20, d))]
    for side in ("encoder", "decoder"):
        for i in range(blocks):
            for name in ("q", "k", "v", "o"):
                parts += layer(f"{side}.block.{i}.self_attn.{name}", d, d)
            parts += norm(f"{side}.block.{i}.ln_1", d) + layer(f"{side}.block.{i}.fc1", 4 * d, d)
            parts += layer(f"{side}.block.{i}.fc2", d, 4 * d) + norm(f"{side}.block.{i}.ln_2", d)
    return schema(*parts)


def stages(widths: tuple[int, ...] = (8, 16, 16, 32)) -> Schema:
    """A convolutional network of stages with a shortcut where the width changes."""
    parts: list[tuple[str, tuple[int, ...]]] = [("conv1.weight", (8, 3, 3, 3)), *norm("bn1", 8)]
    before = 8
    for s, width in enumerate(widths):
        for i in range(3):
            at = f"layer{s + 1}.{i}"
            parts += [(f"{at}.conv1.weight", (width, before, 3, 3)), *norm(f"{at}.bn1", width)]
            parts += [(f"{at}.conv2.weight", (width, width, 3, 3)), *norm(f"{at}.bn2", width)]
            if before != width:
                parts += [(f"{at}.downsample.0.weight", (width, before, 1, 1)), *norm(f"{at}.downsample.1", width)]
            before = width
    return schema(*parts, *layer("fc", 5, before))


def structures() -> list[Schema]:
    """Every structure at hand: those above, and real ones where they are given."""
    found = [vision_transformer(), converted_vision_transformer(), two_towers(), stages()]
    for path in sorted(FOLDER.glob("*.json")) if FOLDER.is_dir() else []:
        record = json.loads(path.read_text("utf-8"))
        for side in ("source", "target"):
            headers = {key: (tuple(shape), DTYPES[dtype]) for key, shape, dtype in record[side]}
            if len(headers) <= 260:
                found.append(headers)
    return found


NONSENSE = ("zab", "qix", "wump", "floo", "drim", "pask", "velt", "gorn", "yult", "brix")
SYNONYMS = (
    ("attn", "attention", "self_attn"), ("mlp", "ffn", "feed_forward"), ("norm", "ln", "layernorm"),
    ("blocks", "layers", "h", "layer"), ("q", "query", "q_proj"), ("k", "key", "k_proj"), ("v", "value", "v_proj"),
    ("head", "classifier"), ("conv", "convolution"),
)  # fmt: skip


class Changed:
    """A structure after some random changes; `truth` says for each name what it was, "" for what is new."""

    def __init__(self, start: Schema, random: Random) -> None:
        self.random = random
        self.items: Items = [(tuple(key.split(".")), key, header) for key, header in start.items()]
        self.log = random.choices(list(_CHANGES), k=random.randint(1, 4))
        for name in self.log:
            _CHANGES[name](self)

    @property
    def schema(self) -> Schema:
        """Names and headers as they are now."""
        return {".".join(path): header for path, _, header in self.items}

    @property
    def truth(self) -> dict[str, str]:
        """Name -> what it was."""
        return {".".join(path): key for path, key, _ in self.items}

    def take(self, items: Items) -> None:
        """Keep a change, unless two tensors would have one name."""
        if len({path for path, _, _ in items}) == len(items):
            self.items = items

    def segments(self) -> list[str]:
        """All names of modules."""
        return sorted({segment for path, _, _ in self.items for segment in path[:-1]})

    def modules(self) -> list[tuple[str, ...]]:
        """All modules with tensors."""
        return sorted({path[:-1] for path, _, _ in self.items if len(path) > 1})

    def rename_to_nonsense(self) -> None:
        """Names that mean nothing."""
        self._rename(lambda _: self.random.choice(NONSENSE) + self.random.choice("abcdefgh"))

    def rename_to_synonyms(self) -> None:
        """Names that mean the same."""
        self._rename(lambda name: self.random.choice(next((group for group in SYNONYMS if name in group), (name,))))

    def _rename(self, new_name: Any) -> None:
        names = [name for name in self.segments() if not name.isdecimal()]
        new = {name: new_name(name) for name in self.random.sample(names, min(len(names), self.random.randint(1, 4)))}
        self.take([((*(new.get(s, s) for s in p[:-1]), p[-1]), key, header) for p, key, header in self.items])

    def wrap(self) -> None:
        """A module around everything."""
        word = self.random.choice(("model", "module", "net", "backbone", "zab"))
        self.items = [((word, *path), key, header) for path, key, header in self.items]

    def nest(self) -> None:
        """A module more below some."""
        at, word = self.random.choice(self.segments() or [""]), self.random.choice(("inner", "core", "0"))
        self.take(
            [
                ((*(new for s in path[:-1] for new in ((s, word) if s == at else (s,))), path[-1]), key, header)
                for path, key, header in self.items
            ]
        )

    def unwrap(self) -> None:
        """A module less around some."""
        firsts = sorted({path[0] for path, _, _ in self.items if len(path) > 1})
        first = self.random.choice(firsts) if firsts else ""
        self.take([(p[1:] if p[0] == first and len(p) > 1 else p, key, header) for p, key, header in self.items])

    def shuffle(self) -> None:
        """Another order."""
        self.random.shuffle(self.items)

    def drop_layers(self) -> None:
        """Fewer blocks, numbered anew."""
        self._renumber(
            lambda old: dict(
                map(reversed, enumerate(sorted(self.random.sample(old, self.random.randint(1, len(old) - 1)))))
            )
        )

    def leave_gaps(self) -> None:
        """Numbers with gaps."""
        scale, shift = self.random.randint(2, 3), self.random.randint(0, 2)
        self._renumber(lambda old: {n: scale * n + shift for n in old})

    def _renumber(self, new_numbers: Any) -> None:
        rows: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for path, _, _ in self.items:
            for depth, segment in enumerate(path[:-1]):
                if segment.isdecimal():
                    rows[path[:depth]].add(int(segment))
        several = [prefix for prefix, found in rows.items() if len(found) > 1]
        if not several:
            return
        at = self.random.choice(several)
        new, depth, out = new_numbers(sorted(rows[at])), len(at), []
        for path, key, header in self.items:
            if path[:depth] == at and len(path) > depth + 1 and path[depth].isdecimal():
                if int(path[depth]) in new:
                    out.append(((*at, str(new[int(path[depth])]), *path[depth + 1 :]), key, header))
            else:
                out.append((path, key, header))
        self.take(out)

    def add_decoys(self) -> None:
        """Modules of known shapes that are new."""
        for _ in range(self.random.randint(1, 3)):
            module = self.random.choice(self.modules() or [()])
            name = (*module[:-1], self.random.choice(NONSENSE))
            if module and not any(path[: len(name)] == name for path, _, _ in self.items):
                self.items += [((*name, p[-1]), "", header) for p, _, header in self.items if p[:-1] == module]

    def drop_module(self) -> None:
        """One module less."""
        if len(self.modules()) > 2:
            module = self.random.choice(self.modules())
            self.items = [item for item in self.items if item[0][:-1] != module]

    def rename_leaves(self) -> None:
        """Other names for weight and bias."""
        new = self.random.choice(
            ({"weight": "gamma", "bias": "beta"}, {"weight": "w", "bias": "b"}, {"weight": "kernel"})
        )
        self.take([((*path[:-1], new.get(path[-1], path[-1])), key, header) for path, key, header in self.items])


_CHANGES: dict[str, Any] = {
    name: getattr(Changed, name)
    for name in (
        "rename_to_nonsense", "rename_to_synonyms", "wrap", "nest", "unwrap", "shuffle", "drop_layers", "leave_gaps",
        "add_decoys", "drop_module", "rename_leaves",
    )
}  # fmt: skip


def changes(seeds: range) -> Iterator[tuple[Schema, Changed]]:
    """Yield structures with a random change of each."""
    every = structures()
    for seed in seeds:
        random = Random(seed)
        start = random.choice(every)
        yield start, Changed(start, random)
