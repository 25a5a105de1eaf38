"""Conversions recovered from their values alone: each match gives its targets exactly, by the operations it names."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import pytest

from weightlift.dtypes import DTYPES
from weightlift.mapping.infer.by_values import by_values
from weightlift.mapping.infer.match import EVIDENCE, Match
from weightlift.mapping.infer.replay import replays, rule_of
from weightlift.mapping.plan import Plan
from weightlift.sources import Memory
from weightlift.tensors.lazy import Storage, Tensor, contiguous

from mapbench import FOLDER, Pair, carried_out

PAIRS = sorted(path.stem for path in FOLDER.glob("*.json")) if FOLDER.is_dir() else []
MADE = 6707
"""Targets of the recorded conversions that are made of source elements; one more is computed from two sources."""

rng = np.random.default_rng(7)


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Lazy tensors of some arrays; one array under two names is one storage."""
    storages: dict[int, Storage] = {}
    for array in arrays.values():
        data = Memory(np.ascontiguousarray(array).tobytes())
        storages.setdefault(id(array), Storage(str(len(storages)), data.size, data))
    return {
        name: contiguous(DTYPES[str(array.dtype)], array.shape, storages[id(array)]) for name, array in arrays.items()
    }


def random(*shape: int, dtype: object = np.float32) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def found(source: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray]) -> list[tuple[object, ...]]:
    """What is found, as (sources, targets, operations); every match is checked to be from values and sure."""
    matches = by_values(tensors(source), tensors(target))
    assert {(match.evidence, match.doubt) for match in matches} <= {("value", "")}
    return [(" ".join(match.sources), " ".join(match.targets), match.ops) for match in matches]


def one(made: np.ndarray, **source: np.ndarray) -> tuple[object, object]:
    """The sources and operations of one target, beside decoys of equal shapes."""
    decoys = {f"decoy.{name}": random(*array.shape, dtype=array.dtype) for name, array in source.items()}
    ((sources, _, ops),) = found({**decoys, **source}, {"made": made})
    return sources, ops


def test_values_are_the_strongest_evidence():
    """No other evidence outweighs values."""
    assert EVIDENCE[-1] == "value"


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16, np.int8])
def test_one_source_is_found_in_every_order_of_its_elements(dtype):
    """Copies, other shapes, turned dimensions and layouts by head are told from values, also where many are equal."""
    a, b = random(48, 20, dtype=dtype), random(8, 6, 3, 3, dtype=dtype)
    if dtype is np.int8:
        a, b = (rng.integers(-100, 100, item.shape).astype(dtype) for item in (a, b))
    assert one(a, a=a) == ("a", "")
    assert one(a.reshape(48, 20, 1), a=a) == ("a", "reshape(48, 20, 1)")
    assert one(a.T, a=a) == ("a", "t")
    assert one(b.transpose(2, 3, 1, 0), b=b) == ("b", "permute(2, 3, 1, 0)")
    heads = a.reshape(4, 3, 4, 20).swapaxes(0, 1).reshape(48, 20)
    assert one(heads, a=a) == ("a", 'rearrange("(a b c) d -> (b a c) d", a=4, b=3, c=4)')
    assert one(heads.T, a=a) == ("a", 'rearrange("(a b c) d -> d (b a c)", a=4, b=3, c=4)')
    rotary = a.reshape(4, 6, 2, 20).swapaxes(1, 2).reshape(48, 20)
    assert one(rotary, a=a) == ("a", 'rearrange("(a b c) d -> (a c b) d", a=4, b=6, c=2)')
    flax = a.reshape(6, 8, 20).transpose(2, 0, 1)
    assert one(flax, a=a) == ("a", "reshape(6, 8, 20) | permute(2, 0, 1)")
    assert one(flax.transpose(1, 2, 0).reshape(48, 20), flax=flax) == ("flax", "permute(1, 2, 0) | reshape(48, 20)")


def test_a_vector_is_found_in_the_layout_of_heads_although_elements_are_equal():
    """One layout alone gives these values, so it is the one."""
    a = random(96, dtype=ml_dtypes.bfloat16)
    a[5] = a[50]
    made = a.reshape(8, 3, 4).swapaxes(0, 1).reshape(96)
    assert one(made, a=a) == ("a", 'rearrange("(a b c) -> (b a c)", a=8, b=3, c=4)')


def test_rows_in_no_layout_are_named_one_by_one():
    """A vocabulary in another order is told row by row."""
    a = random(6, 4)
    assert one(a[[5, 0, 3, 1, 2, 4]], a=a) == ("a", "rows([5, 0, 3, 1, 2, 4])")


def test_a_fused_tensor_is_found_in_its_parts():
    """A fused projection is split in order, by unequal sizes, from turned weights, and from a layout by head."""
    a = random(48, 20)
    q, k, v = np.split(a, 3)
    assert found({"a": a}, {"q": q, "k": k, "v": v}) == [("a", "q k v", "split(0)")]
    assert found({"a": a}, {"v": v, "q": q, "k": k}) == [("a", "q k v", "split(0)")]
    q, k, v = np.split(a, [32, 40])
    assert found({"a": a}, {"q": q, "k": k, "v": v}) == [("a", "q k v", "split(0, [32, 8, 8])")]
    assert found({"a": a.T}, {"q": q, "k": k, "v": v}) == [("a", "q k v", "split(1, [32, 8, 8]) | t")]
    q, k, v = (a.reshape(4, 3, 4, 20)[:, i].reshape(16, 20) for i in range(3))
    ops = 'rearrange("(a b c) d -> (b a c) d", a=4, b=3, c=4) | split(0)'
    assert found({"a": a}, {"q": q, "k": k, "v": v}) == [("a", "q k v", ops)]


def test_a_fused_vector_is_found_in_its_parts_although_elements_are_equal():
    """Short types hold the same number in many places; runs of them are told apart."""
    a, b = random(600, dtype=ml_dtypes.bfloat16), random(600, dtype=ml_dtypes.bfloat16)
    q, k, v = np.split(a, 3)
    assert found({"b": b, "a": a}, {"q": q, "k": k, "v": v}) == [("a", "q k v", "split(0)")]
    big = random(6144, dtype=ml_dtypes.bfloat16)
    q, k, v = big.reshape(256, 3, 8).swapaxes(0, 1).reshape(3, 2048)
    ops = 'rearrange("(a b c) -> (b a c)", a=256, b=3, c=8) | split(0)'
    assert found({"b": b, "a": big}, {"q": q, "k": k, "v": v}) == [("a", "q k v", ops)]


def test_parts_are_found_in_a_fused_tensor():
    """Parts that are joined are found in order, along any dimension, turned, and in a layout by head."""
    q, k, v = random(16, 20), random(16, 20), random(16, 20)
    parts = {"v": v, "k": k, "q": q}
    assert found(parts, {"a": np.concatenate([q, k, v])}) == [("q k v", "a", "cat(0)")]
    assert found(parts, {"a": np.concatenate([q, k, v], 1)}) == [("q k v", "a", "cat(1)")]
    assert found(parts, {"a": np.concatenate([q, k, v]).T}) == [("q k v", "a", "cat(0) | t")]
    by_head = np.stack([part.reshape(4, 4, 20) for part in (q, k, v)], 1).reshape(48, 20)
    ops = 'cat(0) | rearrange("(a b c) d -> (b a c) d", a=3, b=4, c=4)'
    assert found(parts, {"a": by_head}) == [("q k v", "a", ops)]


def test_a_part_alone_is_a_slice():
    """What is made of a part of a source, the rest of which is nowhere, is cut out."""
    a = random(1, 9, 6)
    assert one(a[:, 1:5], a=a) == ("a", "slice(1, 1, 5)")
    assert one(a[0, 3], a=a) == ("a", "slice(1, 3, 4) | reshape(6)")


def test_experts_are_found_stacked_and_taken_apart():
    """Experts that are stacked, fused and stacked, or taken apart are found in order."""
    gate, up = ([random(6, 4) for _ in range(3)] for _ in range(2))
    apart = {f"{i}.{name}": side[i] for i in range(3) for name, side in (("gate", gate), ("up", up))}
    both = np.stack([np.concatenate(pair) for pair in zip(gate, up, strict=True)])
    names = "0.gate 0.up 1.gate 1.up 2.gate 2.up"
    assert found(apart, {"up": np.stack(up)}) == [("0.up 1.up 2.up", "up", "stack(0)")]
    assert found(apart, {"up": np.stack([w.T for w in up])})[0][0] == "0.up 1.up 2.up"
    assert found(apart, {"both": both}) == [(names, "both", "cat(0) | stack(0)")]
    assert found(apart, {"both": both.transpose(0, 2, 1)}) == [(names, "both", "cat(0) | t | stack(0)")]
    split = {f"{i}.up": part for i, part in enumerate(up)}
    assert found({"up": np.stack(up)}, split) == [("up", "0.up 1.up 2.up", "unstack(0)")]
    assert found({"both": both}, apart) == [("both", names, "unstack(0) | split(0)")]
    assert found({"both": both.transpose(0, 2, 1)}, apart) == [("both", names, "unstack(0) | split(1) | t")]


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float8_e4m3fn"])
def test_values_are_found_after_rounding(name):
    """A target in a narrower type is found by what the source's values are in that type."""
    a, b = random(12, 8), random(12, 8)
    dtype = getattr(ml_dtypes, name, None) or np.dtype(name)
    target = {"one": b.T.astype(dtype), "two": a.astype(dtype)}
    assert found({"a": a, "b": b}, target) == [("b", "one", "t"), ("a", "two", "")]


def test_a_tied_tensor_is_found_for_each_of_its_names():
    """Two targets of the same values have the same source, and a source of two names is no riddle."""
    a = random(8, 6)
    assert found({"a": a}, {"embed": a, "head": a.copy()}) == [("a", "embed", ""), ("a", "head", "")]
    assert found({"b": a, "a": a}, {"a": a}) == [("a", "a", "")]


def test_names_choose_between_equal_values():
    """What is all ones on both sides is told apart by names, and has their evidence."""
    ones, a = np.ones(8, np.float32), random(8, 8)
    source = {f"encoder.{i}.{leaf}": ones for i in range(2) for leaf in ("norm.weight",)}
    source = {**{name: np.ones(8, np.float32) for name in source}, "encoder.0.proj.weight": a}
    target = {name.replace("encoder", "layers"): array for name, array in source.items()}
    matches = by_values(tensors(source), tensors(target))
    assert {match.targets[0].replace("layers", "encoder"): match.sources[0] for match in matches} == {
        name: name for name in source
    }
    by_target = {match.targets[0]: match for match in matches}
    assert by_target["layers.0.proj.weight"].evidence == "value"
    assert by_target["layers.1.norm.weight"].evidence != "value"


def test_neighbours_choose_between_equal_values():
    """Of counters that are all the same, the one beside the weights of which the others are made is taken."""
    source, target = {}, {}
    for i, j in ((0, 3), (1, 1), (2, 2), (3, 0)):
        weight = random(4, 4)
        source |= {f"a.{i}.weight": weight, f"a.{i}.count": np.array(100)}
        target |= {f"b.{j}.weight": weight, f"b.{j}.count": np.array(100)}
    matches = {match.targets: (match.sources, match.doubt) for match in by_values(tensors(source), tensors(target))}
    assert matches["b.3.count",] == (("a.0.count",), "")
    assert matches["b.0.count",] == (("a.3.count",), "")


def test_equal_values_that_names_do_not_tell_apart_are_doubtful():
    """A choice between equal sources that nothing settles is a match in doubt that names them."""
    a = random(4, 4)
    matches = by_values(tensors({"x1": a, "y2": a.copy()}), tensors({"z": a}))
    assert [(match.targets, match.doubt) for match in matches] == [(("z",), "the same values are in x1, y2")]
    twice = np.concatenate([a, a])
    (match,) = by_values(tensors({"x": twice, "w": random(3)}), tensors({"z": a}))
    assert match.doubt == "the same values are twice in x"


def test_zeros_in_a_fused_tensor_are_no_evidence():
    """Where parts are zeros, as many zeros elsewhere do not make another tensor a source without a doubt."""
    q, v, zeros = random(8), random(8), np.zeros(8, np.float32)
    source = {"x.q.b": q, "x.k.b": zeros, "x.v.b": zeros.copy(), "y.qkv.b": np.concatenate([zeros, zeros, v])}
    target = {"m.qkv.b": np.concatenate([q, zeros, zeros]), "n.v.b": v}
    for match in by_values(tensors(source), tensors(target)):
        assert match.doubt or set(match.sources) <= (
            {"y.qkv.b"} if match.targets == ("n.v.b",) else {*list(source)[:3]}
        )


def test_values_of_no_source_have_no_match():
    """New, computed and unreadable tensors are left out."""
    a = random(4, 4)
    assert found({"a": a}, {"new": random(4, 4), "computed": a + 1, "empty": np.zeros((0, 3), np.float32)}) == []


def test_a_match_replays_only_with_the_right_operations():
    """A match is held against every value of its targets."""
    a = random(4, 4)
    source, target = tensors({"a": a}), tensors({"b": a.T})
    assert replays(Match(("a",), ("b",), "t", "value"), source, target)
    assert not replays(Match(("a",), ("b",), "", "value"), source, target)
    assert not replays(Match(("a",), ("b",), "permute(7)", "value"), source, target)


# ---- recorded conversions ----


def converted(pair: Pair) -> dict[str, Tensor]:
    """The target of a recorded conversion, by its numbers; what is not made of the source has numbers of its own."""
    arrays, start = {}, 1 << 30
    for name, (shape, dtype) in pair.target.items():
        if pair.truth[name]["op"] in ("none", "computed"):
            arrays[name] = np.arange(start, start + np.prod(shape, dtype=int)).reshape(shape)
            start += arrays[name].size
        else:
            arrays[name] = pair.expected(name)
        arrays[name] = arrays[name].astype(f"<i{dtype.bits // 8}").view(dtype.numpy)
    return tensors(arrays)


needs_pairs = pytest.mark.skipif(not PAIRS, reason="no recorded conversions: set WEIGHTLIFT_MAPBENCH")


@needs_pairs
@pytest.mark.parametrize("name", PAIRS)
def test_a_recorded_conversion_is_recovered(name):
    """Every target of a recorded conversion is recovered from values, with its sources, and no other is."""
    pair = Pair.load(name)
    target = converted(pair)
    first = {key: group[0] for group in pair.record["source_aliases"] for key in group}
    recovered = set()
    for match in by_values(pair.source, target):
        assert (match.evidence, match.doubt) == ("value", "")
        sides = (pair.source, match.sources), (target, match.targets)
        rule, (before, after) = rule_of(match, *([side[key] for key in keys] for side, keys in sides))
        made = Plan.of(rule).check({new: pair.source[key] for new, key in zip(before, match.sources, strict=True)}).made
        for new, key in zip(after, match.targets, strict=True):
            assert made[new].value.tobytes() == pair.expected(key).tobytes(), key
            names = [[first.get(one, one) for one in side] for side in (match.sources, pair.truth[key]["from"])]
            assert names[0] == names[1], key
        recovered |= set(match.targets)
    assert recovered == {key for key, op in pair.truth.items() if op["op"] not in ("none", "computed")}


@needs_pairs
@pytest.mark.parametrize("name", ["gptneox_hf_to_litgpt", "levit128s_timm_to_hf", "qwen3moe_hf4_to_hf5_fused"])
def test_a_recorded_conversion_is_recovered_from_rounded_numbers(name):
    """Weights in bfloat16, which repeat, of a source in float32, and counters that are all the same, are told apart."""
    pair = Pair.load(name)
    source = {
        key: random(*shape) if dtype == "float32" else np.full(shape, 100, dtype)
        for key, shape, dtype in pair.record["source"]
    }
    target = {key: carried_out(op, source) for key, op in pair.truth.items()}
    target = {key: value.astype(ml_dtypes.bfloat16) if value.dtype == "f" else value for key, value in target.items()}
    matches = by_values(tensors(source), tensors(target))
    assert {match.doubt for match in matches} == {""}
    made_of = {key: list(match.sources) for match in matches for key in match.targets}
    assert made_of == {key: op["from"] for key, op in pair.truth.items()}


@needs_pairs
def test_the_recorded_conversions_are_as_many_as_is_said():
    """The number of targets that are recovered is the one of the record."""
    ops = [op["op"] for name in PAIRS for op in Pair.load(name).truth.values()]
    assert (len(PAIRS), sum(op not in ("none", "computed") for op in ops)) == (41, MADE)
