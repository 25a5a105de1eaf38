"""What is found without rules: right where it is sure, and unsure where names and shapes do not say."""

from __future__ import annotations

import os

import pytest

import weightlift as wl
from weightlift.mapping.infer.find import find
from weightlift.mapping.infer.infer import inferred_plan
from weightlift.mapping.infer.match import Match
from weightlift.mapping.resolve import Resolution
from weightlift.tensors.lazy import Storage, contiguous, product

from mapbench import FOLDER, Pair
from structures import (
    Changed,
    Schema,
    changes,
    converted_vision_transformer,
    layer,
    norm,
    schema,
    stages,
    two_towers,
    vision_transformer,
)  # fmt: skip

CASES = int(os.environ.get("WEIGHTLIFT_CASES", "300"))


def wrong(matches: list[Match], truth: dict[str, str]) -> list[Match]:
    """Matches that are sure and are not true."""
    return [m for m in matches if not m.doubt and (m.ops or m.sources != (truth[m.targets[0]],) or len(m.targets) > 1)]


def checked(source: Schema, target: Schema, **given: object) -> Resolution:
    """What the plan that is found does."""
    weights = {
        key: contiguous(dtype, shape, Storage(key, 4 * product(shape))) for key, (shape, dtype) in source.items()
    }
    return inferred_plan(source, target, **given).check(weights, target)


def told(resolution: Resolution) -> set[str]:
    return {problem.code for problem in resolution.problems}


def doubts(source: Schema, target: Schema) -> dict[str, str]:
    """Target -> why it is unsure."""
    return {key: match.doubt for match in find(source, target) for key in match.targets if match.doubt}


def made(source: Schema, target: Schema) -> dict[str, tuple[str, ...]]:
    """Target -> its sources, where that is sure."""
    return {key: match.sources for match in find(source, target) for key in match.targets if not match.doubt}


@pytest.mark.parametrize("block", range(10))
def test_what_is_sure_is_right(block):
    """However a structure is renamed, nested, reordered, thinned out or filled up: no match is sure and wrong."""
    each = CASES // 10
    for start, changed in changes(range(block * each, (block + 1) * each)):
        assert not wrong(find(start, changed.schema), changed.truth), (changed.log, changed.random)


@pytest.mark.parametrize("name", ["wrap", "shuffle", "rename_to_synonyms"])
@pytest.mark.parametrize("start", [vision_transformer(), two_towers(), stages()], ids=["vit", "two towers", "stages"])
def test_pure_renames_are_found_whole(name, start):
    """Where nothing but names, wrappers or the order changed, everything is found and sure."""
    from random import Random

    for seed in range(20):
        changed = Changed.__new__(Changed)
        changed.random, changed.items = Random(seed), [(tuple(k.split(".")), k, h) for k, h in start.items()]
        getattr(changed, name)()
        assert {key: keys[0] for key, keys in made(start, changed.schema).items()} == changed.truth


def test_the_plan_is_short_and_complete():
    """A transformer of another library is a plan of some ten lines, fused projections too, and nothing is left open."""
    source, target = vision_transformer(), converted_vision_transformer()
    plan = inferred_plan(source, target)
    assert len(plan.rules) <= 14
    assert told(checked(source, target)) == set()
    assert (
        "blocks.{i}.attn.qkv.{t} -> vit.encoder.layer.{i}.attention.attention.{query,key,value}.{t} : split(0)"
        in plan.text
    )


def test_order_is_no_evidence():
    """Sorted names, as a safetensors file has them, give the same."""
    source, target = vision_transformer(), converted_vision_transformer()
    assert made(dict(sorted(source.items())), dict(sorted(target.items()))) == made(source, target)


def test_fewer_blocks_are_a_choice():
    """Which blocks of a deeper model are meant is never chosen silently."""
    for source, target in (
        (vision_transformer(12), vision_transformer(6)),
        (vision_transformer(6), vision_transformer(12)),
    ):
        sure = made(source, target)
        assert not [key for key in sure if key.startswith("blocks")]
        assert "norm.weight" in sure
        assert "unsure" in told(checked(source, target))


def test_blocks_that_count_backwards():
    """Where the widths show that one side numbers its blocks from the other end, they are paired so."""
    widths = (64, 32, 16, 8)
    one = schema(
        *(part for i, w in enumerate(widths) for part in layer(f"up.{i}.conv", w, w) + norm(f"up.{i}.norm", w))
    )
    two = schema(*(part for i, w in enumerate(widths) for part in layer(f"up_blocks.{3 - i}.conv", w, w)
                   + norm(f"up_blocks.{3 - i}.norm", w)))  # fmt: skip
    assert made(one, two)["up_blocks.0.conv.weight"] == ("up.3.conv.weight",)


def test_equal_shapes_without_names_are_unsure():
    """What only the order tells is proposed, and said to be unsure."""
    one = schema(*layer("a.x", 8, 8), *layer("a.y", 8, 8))
    two = schema(*layer("a.foo", 8, 8), *layer("a.bar", 8, 8))
    assert made(one, two) == {}
    assert set(doubts(one, two)) == set(two)


def test_a_square_among_transposed_ones_is_unsure():
    """A square matrix does not show whether it is transposed as the others of its block are."""
    one = schema(
        ("h.0.fc.weight", (8, 32)), ("h.0.out.weight", (8, 8)), ("h.1.fc.weight", (8, 32)), ("h.1.out.weight", (8, 8))
    )
    two = schema(
        ("h.0.fc.weight", (32, 8)), ("h.0.out.weight", (8, 8)), ("h.1.fc.weight", (32, 8)), ("h.1.out.weight", (8, 8))
    )
    found = {match.targets[0]: match for match in find(one, two)}
    assert found["h.0.fc.weight"].ops == "t"
    assert not found["h.0.fc.weight"].doubt
    assert found["h.0.out.weight"].ops == "t"
    assert "a square shows nothing" in found["h.0.out.weight"].doubt


def test_rotary_projections_under_other_names_are_unsure():
    """Libraries order the rows of rotary projections differently; where no position embedding is, they are unsure."""
    one = schema(*(p for n in "qkvo" for p in layer(f"layers.0.attention.w{n}", 8, 8)), *layer("layers.0.ff.w1", 32, 8))
    two = schema(
        *(p for n in "qkvo" for p in layer(f"layers.0.self_attn.{n}_proj", 8, 8)), *layer("layers.0.mlp.up", 32, 8)
    )
    assert set(doubts(one, two)) == {f"layers.0.self_attn.{n}_proj.{t}" for n in "qk" for t in ("weight", "bias")}


def test_a_new_head_stays_as_it_is():
    """A head for another number of classes is dropped and initialised, both to be settled by somebody."""
    source = vision_transformer()
    target = {key: header for key, header in source.items() if not key.startswith("head")} | schema(
        *layer("head", 7, 32)
    )
    plan = inferred_plan(source, target)
    assert 'head.** -> drop "nothing in the target is made of it"  !unsure' in plan.text
    assert 'init -> head.** "nothing in the source makes it"  !unsure' in plan.text
    assert told(checked(source, target)) == {"unsure"}


def test_tied_names_of_the_target_follow():
    """A name that is one tensor with another in the target is tied to what makes that one."""
    source = schema(("wte.weight", (100, 8)), *layer("fc", 8, 8))
    target = schema(("model.wte.weight", (100, 8)), *layer("model.fc", 8, 8), ("lm_head.weight", (100, 8)))
    plan = inferred_plan(source, target, target_ties=[("model.wte.weight", "lm_head.weight")])
    assert "wte.weight => lm_head.weight : tie" in plan.text


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([], []),
        (["a"], []),
        (["a", "a.b", "a.c"], ["m.a", "m.a.b", "m.a.c"]),
        ([".a", "b.", "..", ""], ["m..a", "m.b.", "m...", "m."]),
        (["my head.w", "{i}.w", "a,b.w", "h#.w", "*.w"], ["m.my head.w", "m.{i}.w", "m.a,b.w", "m.h#.w", "m.*.w"]),
    ],
)
def test_odd_names(source, target):
    """Names that are empty, begin others or have signs of the language are found, and the plan says just them."""
    one, two = (schema(*((name, (i + 2, 3)) for i, name in enumerate(names))) for names in (source, target))
    assert told(checked(one, two)) <= {"unsure"}
    if len(source) == len(target):
        assert made(one, two) == {new: (old,) for old, new in zip(source, target, strict=True)}


def test_a_number_may_be_one_element():
    """A scalar and a tensor of one element are reshaped into each other, and back."""
    one, two = schema(("scale", (1,)), *layer("fc", 3, 2)), schema(("m.scale", ()), *layer("m.fc", 3, 2))
    assert told(checked(one, two)) == told(checked(two, one)) == set()


def test_a_plan_by_example():
    """A converted sibling shows fused layouts, transposed squares and names of one tensor; the plan gives it."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    rows, square = torch.randn(2 * 3 * 4, 8), torch.randn(8, 8)
    query, key, value = rows.reshape(2, 3, 4, 8).permute(1, 0, 2, 3).reshape(3, 8, 8)
    old = wl.StateDict.of({"att.qkv": rows, "att.out": square, "emb": torch.randn(5, 8), "unused": torch.randn(3)})
    converted = {"q": query.clone(), "k": key.clone(), "v": value.clone(), "o": square.t().clone()}
    new = wl.StateDict.of({**converted, "wte": old["emb"].torch(), "head": old["emb"].torch()})
    plan = wl.plan(old, new, by="values")
    assert "emb => head : tie" in plan.text
    assert plan.text.count("!unsure ") == 1  # in the head
    assert 'unused -> drop "nothing in the target is made of it"  !unsure' in plan.text
    assert wl.Plan.parse(plan.text.replace("!unsure", "")).state_dict(old).equals(new)


def test_an_unsure_plan_is_not_carried_out():
    """A model is left as it is while lines are unsettled, and loads once they are."""
    torch = pytest.importorskip("torch")
    old = torch.nn.ModuleDict({"x": torch.nn.Linear(4, 4), "y": torch.nn.Linear(4, 4)})
    new = torch.nn.ModuleDict({"foo": torch.nn.Linear(4, 4), "bar": torch.nn.Linear(4, 4)})
    before = {key: value.clone() for key, value in new.state_dict().items()}
    plan = wl.plan(old, new)
    with pytest.raises(wl.WeightliftError, match="lines are not settled"):
        plan.apply(new, wl.StateDict.from_module(old))
    assert all(torch.equal(value, before[key]) for key, value in new.state_dict().items())
    wl.Plan.parse(plan.text.replace("!unsure", "")).apply(new, wl.StateDict.from_module(old))
    assert torch.equal(new["foo"].weight, old["x"].weight)


@pytest.mark.parametrize("name", [path.stem for path in sorted(FOLDER.glob("*.json"))] if FOLDER.is_dir() else [])
@pytest.mark.parametrize("ordered", [True, False], ids=["in order", "sorted"])
def test_a_recorded_conversion(name, ordered):
    """Every sure line makes exactly the recorded elements, and nothing but what is unsure keeps a plan from running."""
    pair = Pair.load(name)
    source = pair.source if ordered else dict(sorted(pair.source.items()))
    headers = {key: (tensor.shape, tensor.dtype) for key, tensor in source.items()}
    found = inferred_plan(headers, pair.target, source_ties=pair.record["source_aliases"]).check(source, pair.target)
    assert told(found) <= {"unsure"}
    for key, made in found.made.items():
        if "unsure" not in made.rule.flags:
            assert pair.truth[key]["op"] not in ("none", "computed"), key
            assert made.value.tobytes() == pair.expected(key).tobytes(), key
