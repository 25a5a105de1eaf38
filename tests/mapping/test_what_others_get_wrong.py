"""What converters and loaders get wrong, each as a test named for it. Nothing here reads a value before it is right."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.dtypes import DTYPES
from weightlift.errors import PlanError
from weightlift.mapping.plan import Plan
from weightlift.mapping.report import report_of
from weightlift.mapping.resolve import PlanProblems, Resolution
from weightlift.sources import Source
from weightlift.state_dict import StateDict
from weightlift.tensors.lazy import Storage, contiguous


class Unreadable(Source):
    """Bytes that nobody may ask for: everything is checked from headers."""

    name = "unreadable"
    size = 1 << 40

    def _read(self, offset: int, nbytes: int) -> bytes:
        raise AssertionError(f"{nbytes} bytes were read at {offset}")


def tensors(names: str, dtype: str = "float32", **shapes: tuple[int, ...]):
    """Source tensors by name, (2, 2) where no shape is given; dots are spelled `__` in keywords."""
    wanted = dict.fromkeys(names.split(), (2, 2)) | {k.replace("__", "."): v for k, v in shapes.items()}
    return {k: contiguous(DTYPES[dtype], v, Storage(k, 1 << 40, Unreadable())) for k, v in wanted.items()}


def schema(names: str, dtype: str = "float32", **shapes: tuple[int, ...]):
    return {key: (value.shape, value.dtype) for key, value in tensors(names, dtype, **shapes).items()}


def told(plan: Plan, source, target=None, ties=()) -> list[tuple[str, str]]:
    """(code, rule) of each problem: the rule as it is written, "" where none is to blame."""
    lines = plan.text.split("\n")
    return [(p.code, lines[p.line - 1] if p.line else "") for p in plan.check(source, target, ties).problems]


def sources(found: Resolution) -> dict[str, tuple[str, ...]]:
    assert found.problems == []
    return {key: made.sources for key, made in found.made.items()}


def test_gamma_and_weight_become_one_name():
    """Two sources for one target (gamma -> weight beside a weight) are an error that names both and their lines."""
    plan = Plan.of("norm.gamma -> norm.weight\nnorm.weight -> norm.weight")
    found = plan.check(tensors("norm.gamma norm.weight"), schema("norm.weight"))
    assert [problem.code for problem in found.problems] == ["made-twice"]
    first, second = (rule.line for rule in plan.rules)
    (text,) = map(str, found.problems)
    assert text.startswith(f"line {second}: 'norm.weight' is made of 'norm.weight' and already of 'norm.gamma'")
    assert f"(line {first})" in text


def test_one_rule_makes_one_target_twice():
    """A rule that drops what tells its sources apart is an error, even where their shapes are equal."""
    plan = Plan.of("{gamma,weight} -> weight")
    assert told(plan, tensors("gamma weight"), schema("weight")) == [
        ("ops", "{gamma,weight} -> weight"), ("missing", "")
    ]  # fmt: skip


def test_a_rename_overwrites_another_key():
    """Renaming onto a name that another rule leaves as it is overwrites nothing."""
    plan = Plan.of("a.** -> b.**\nb.** -> b.**")
    assert told(plan, tensors("a.w b.w")) == [("made-twice", "b.** -> b.**")]
    with pytest.raises(PlanProblems, match=r"'b.w' is made of 'b.w' and already of 'a.w'"):
        plan.check(tensors("a.w b.w")).raise_problems()


def test_a_rule_never_fires():
    """A rule that fits nothing is an error, with the nearest names; `optional` allows it."""
    source, target = tensors("layers.0.attention.weight"), schema("layers.0.attn.weight")
    dead = "layers.{i}.attentoin.weight -> layers.{i}.attn.weight"
    found = Plan.of(dead).check(source, target)
    assert [problem.code for problem in found.problems] == ["dead-rule", "unused", "missing"]
    assert "did you mean 'layers.0.attention.weight'?" in str(found.problems[0])
    right = "layers.{i}.attention.weight -> layers.{i}.attn.weight"
    assert told(Plan.of(f"{right}\n{dead} optional"), source, target) == []


@pytest.mark.parametrize("order", [1, -1])
def test_renames_do_not_chain(order):
    """norm0 -> norm1 and norm1 -> norm2 in one pass move each tensor once, in whatever order they stand."""
    rules = ["h.{i}.norm0.{t} -> h.{i}.norm1.{t}", "h.{i}.norm1.{t} -> h.{i}.norm2.{t}"][::order]
    found = Plan.of("\n".join(rules)).check(tensors("h.0.norm0.w h.0.norm1.w"), schema("h.0.norm1.w h.0.norm2.w"))
    assert sources(found) == {"h.0.norm1.w": ("h.0.norm0.w",), "h.0.norm2.w": ("h.0.norm1.w",)}


def test_names_can_be_swapped():
    """a -> b and b -> a in one pass swap two tensors."""
    assert sources(Plan.of("a -> b\nb -> a").check(tensors("a b"), schema("a b"))) == {"b": ("a",), "a": ("b",)}


@pytest.mark.parametrize("order", [1, -1])
def test_rules_overlap(order):
    """A source that two rules claim is an error whichever stands first: no rule silently wins."""
    rules = ["layers.{i}.** -> blocks.{i}.**", "layers.0.norm.w -> stem.w"][::order]
    found = Plan.of("\n".join(rules)).check(tensors("layers.0.norm.w layers.1.w"))
    assert [problem.code for problem in found.problems] == ["claimed-twice"]
    assert "rules may not overlap" in str(found.problems[0])


def test_except_settles_an_overlap():
    """What another rule takes is left out by `except`."""
    plan = Plan.of("layers.{i}.** -> blocks.{i}.** except layers.0.norm.w\nlayers.0.norm.w -> stem.w")
    found = plan.check(tensors("layers.0.norm.w layers.1.w"), schema("stem.w blocks.1.w"))
    assert sources(found) == {"blocks.1.w": ("layers.1.w",), "stem.w": ("layers.0.norm.w",)}


def test_a_report_merges_layers_of_different_shapes():
    """Layers of another shape or element type have rows of their own; only equal and complete ones are merged."""
    shapes = {f"h__{i}__w": (2, 2) for i in range(6)} | {"h__3__w": (4, 2)}
    source = tensors("", **shapes)
    plan = Plan.of("** -> **")
    report = report_of(plan.check(source), source, None)
    rows = [(target, about) for _, target, _, about in report.rows()]
    assert ("h.3.w", "4 x 2 float32") in rows
    merged = dict(rows)
    assert not any("0..5" in target for target in merged)
    assert sum(int(about.partition("  x")[2].split()[0]) if "  x" in about else 1 for about in merged.values()) == 6


def test_a_report_merges_layers_of_different_sources():
    """Layers that are made of others than their neighbours' are not merged with them."""
    source = tensors("a.0.w a.1.w a.2.w a.3.w")
    plan = Plan.of("a.0.w -> b.0.w\na.1.w -> b.2.w\na.2.w -> b.1.w\na.3.w -> b.3.w")
    report = report_of(plan.check(source), source, None)
    spelled = {target: made for _, target, made, _ in report.rows()}
    assert spelled["b.1.w"] == "a.2.w"
    assert spelled["b.2.w"] == "a.1.w"


def test_layer_1_is_not_layer_10():
    """`layers.1` fits layer 1, never layer 10 or 11."""
    names = " ".join(f"layers.{i}.w" for i in range(12))
    found = Plan.of('layers.1.** -> first.**\n** -> drop "rest" except layers.1.**').check(tensors(names))
    assert sources(found) == {"first.w": ("layers.1.w",)}
    assert len(found.dropped) == 11


def test_a_gap_between_indices():
    """Stacking layers 0, 1, 3 is an error that names the layer that is missing; nothing is closed up."""
    plan = Plan.of("layers.{i}.w -> all.w : stack(0, i)")
    found = plan.check(tensors("layers.0.w layers.1.w layers.3.w"))
    assert [problem.code for problem in found.problems] == ["ops"]
    assert "{i} is 0, 1, 3; expected every number from 0; 2 is missing" in str(found.problems[0])


def test_numbers_are_in_the_order_of_their_value():
    """Twelve layers are stacked 0, 1, 2 ... 11, not 0, 1, 10, 11, 2, whatever order the file has them in."""
    names = " ".join(f"layers.{i}.w" for i in sorted(range(12), key=str))
    made = Plan.of("layers.{i}.w -> all.w : stack(0, i)").check(tensors(names)).made["all.w"]
    assert made.sources == tuple(f"layers.{i}.w" for i in range(12))
    assert [part.storage.key for part in made.value.inputs] == list(made.sources)


def test_a_square_transpose_is_written():
    """A square weight is copied as it is; only `t` turns it, since its shape cannot say which is meant."""
    weight = torch.arange(4.0).reshape(2, 2)
    source, model = StateDict.of({"c.weight": weight}), nn.Linear(2, 2, bias=False)
    Plan.of("c.weight -> weight").apply(model, source)
    assert torch.equal(model.weight, weight)
    Plan.of("c.weight -> weight : t").apply(model, source)
    assert torch.equal(model.weight, weight.T)
    load(model, {"weight": weight})
    assert torch.equal(model.weight, weight)


def test_an_oblong_transpose_is_not_inferred_either():
    """A shape that would fit turned round is still an error."""
    plan = Plan.of("w -> w")
    assert told(plan, tensors("", w=(2, 3)), schema("", w=(3, 2))) == [("shape", "w -> w")]
    assert told(Plan.of("w -> w : t"), tensors("", w=(2, 3)), schema("", w=(3, 2))) == []


def test_equal_sizes_are_not_broadcast():
    """A vector, a row and a scalar of a size are three shapes."""
    for shape in [(2,), (1, 2), (2, 1), (1, 1), (), (1, 2, 2), (4,)]:
        assert told(Plan.of("w -> w"), tensors("", w=shape), schema("w")) == [("shape", "w -> w")], shape


def test_a_source_is_not_used():
    """A source that no rule speaks of is an error, by its name."""
    found = Plan.of("a -> a").check(tensors("a pooler.weight"), schema("a"))
    assert [str(problem) for problem in found.problems] == ["1 source is not used: 'pooler.weight'"]


def test_a_target_is_not_made():
    """A target that no rule makes is an error, by its name: it would keep random values."""
    found = Plan.of("a -> a").check(tensors("a"), schema("a head.bias"))
    assert [str(problem) for problem in found.problems] == ["1 target is not made: 'head.bias'"]


def test_a_target_that_is_not_there():
    """A name that the target does not have is an error, with the nearest one that it has."""
    found = Plan.of("a -> head.wieght").check(tensors("a"), schema("head.weight"))
    assert "the target has no 'head.wieght'; did you mean 'head.weight'?" in str(found.problems[0])


@pytest.mark.parametrize("right", ["{q,k}.w", "q.w, k.w"])
def test_two_targets_for_one_source(right):
    """One source for two targets needs a word: split, or copy where both are to have all of it."""
    source, target = tensors("w"), schema("q.w k.w")
    assert told(Plan.of(f"w -> {right}"), source, target) == [("ops", f"w -> {right}"), ("missing", "")]
    assert sources(Plan.of(f"w -> {right} : copy").check(source, target)) == {"q.w": ("w",), "k.w": ("w",)}


def test_two_rules_take_one_source():
    """Two rules for one source are an overlap, not two targets."""
    plan = Plan.of("w -> q.w\nw -> k.w")
    assert told(plan, tensors("w"), schema("q.w k.w")) == [("claimed-twice", "w -> k.w"), ("missing", "")]


def test_ragged_grids():
    """Experts that not every layer has make no grid: an error, and no hole that is closed up."""
    names = "h.0.e.0.w h.0.e.1.w h.1.e.0.w"
    plan = Plan.of("h.{i}.e.{e}.w -> all.w : stack(0, e) | stack(0, i)")
    assert told(plan, tensors(names)) == [("ops", plan.rules[0].text)]
    (problem,) = plan.check(tensors(names)).problems
    assert "3 sources for a grid of 2 x 2" in str(problem)


def test_rows_of_a_stack_of_different_lengths():
    """Layers with different numbers of experts are stacked each by its own, and then meet their own target's shape."""
    names = "h.0.e.0.w h.0.e.1.w h.1.e.0.w"
    plan = Plan.of("h.{i}.e.{e}.w -> h.{i}.w : stack(0, e)")
    target = schema("", h__0__w=(2, 2, 2), h__1__w=(2, 2, 2))
    assert told(plan, tensors(names), target) == [("shape", plan.rules[0].text)]


def test_tied_targets_made_of_different_sources():
    """Names that are one tensor in the target may not be made of two: the last one would win."""
    plan = Plan.of("embed -> embed\nhead -> head")
    source, target, ties = tensors("embed head"), schema("embed head"), [("embed", "head")]
    assert told(plan, source, target, ties) == [("tied-apart", "head -> head")]
    (problem,) = plan.check(source, target, ties).problems
    assert "'embed' and 'head' are one tensor in the target" in str(problem)
    tied = Plan.of('embed -> embed\nembed => head : tie\nhead -> drop "the same as embed"')
    assert told(tied, source, target, ties) == []


def test_tied_targets_made_of_one_tensor():
    """Two names of one tensor on both sides are no problem, in another element type neither."""
    shared = tensors("embed")
    source, ties = shared | {"head": shared["embed"]}, [("embed", "head")]
    for dtype in ("float32", "float16"):
        assert told(Plan.of("** -> **"), source, schema("embed head", dtype), ties) == []


def test_a_source_is_tied_and_the_target_is_not():
    """Two names of one tensor in the source make two tensors where the target has two."""
    weight = torch.rand(2, 2)
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    load(model, {"a.weight": weight, "b.weight": weight}, assign=True)
    with torch.no_grad():
        model["a"].weight.zero_()
    assert torch.equal(model["b"].weight, weight)


@pytest.mark.parametrize(
    ("here", "there", "narrows"),
    [
        ("float32", "float16", True), ("float32", "bfloat16", True), ("bfloat16", "float16", True),
        ("float16", "bfloat16", True), ("int64", "int32", True), ("int64", "float32", True), ("float32", "int32", True),
        ("int8", "uint8", True), ("uint8", "int8", True), ("float32", "float64", False), ("bfloat16", "float32", False),
        ("int32", "int64", False), ("uint8", "int16", False), ("int16", "float32", False), ("bool", "float32", False),
        ("float32", "complex64", False), ("float64", "complex64", True),
    ],
)  # fmt: skip
def test_narrowing_is_flagged(here, there, narrows):
    """A cast is always in the report; one that cannot hold every value is called narrowing."""
    source, target = tensors("w", here), schema("w", there)
    found = Plan.of("w -> w !lossy").check(source, target)
    (line,) = report_of(found, source, target).lines
    assert found.problems == []
    assert line.status == "cast"
    assert line.note == f"{here} -> {there}{' (narrows)' if narrows else ''}"
    assert found.made["w"].narrows is narrows


def test_a_cast_beside_an_operation_is_flagged_too():
    """Narrowing is in the report of a transformed tensor as well."""
    source, target = tensors("w"), schema("w", "float16")
    (line,) = report_of(Plan.of("w -> w : t").check(source, target), source, target).lines
    assert (line.status, line.note) == ("transformed", "t float32 -> float16 (narrows)")


def test_something_is_dropped_or_made_up_without_a_reason():
    """drop and init need their reason in the line itself."""
    for rule in ("a -> drop", "init -> a"):
        with pytest.raises(PlanError, match="without a reason"):
            Plan.of(rule)


def test_a_part_is_taken_without_saying_so():
    """Rows that are left out of a source or a target need !partial, and the word for the rest."""
    source, target = tensors("", w=(4, 2)), schema("", w=(4, 2))
    plan = Plan.of("w[0:2] -> w[0:2]")
    assert {code for code, _ in told(plan, source, target)} >= {"unmarked-partial", "partial"}
    assert told(Plan.of("w[0:2] -> w[0:2] : rest=init !partial"), source, target) == []


def test_parts_of_a_target_overlap():
    """Two rules may make parts of one target, and not the same rows."""
    source, target = tensors("", a=(2, 2), b=(2, 2)), schema("", w=(4, 2))
    assert told(Plan.of("a -> w[0:2] !partial\nb -> w[2:4] !partial"), source, target) == []
    both = [code for code, _ in told(Plan.of("a -> w[0:2] !partial\nb -> w[1:3] !partial"), source, target)]
    assert both == ["made-twice"]


def test_every_problem_is_told_at_once():
    """One check tells every problem, each with its line, and the error has them all."""
    rules = ["a -> a", "nothing -> nowhere", "b -> b : t", "c -> c : reshape(3)", "d -> wrong", "e -> a"]
    source = tensors("a c d e f", b=(2, 3))
    target = schema("a b c d g")
    plan = Plan.of("\n".join(rules))
    assert told(plan, source, target) == [
        ("dead-rule", rules[1]),
        ("shape", rules[2]),
        ("ops", rules[3]),
        ("no-such-target", rules[4]),
        ("made-twice", rules[5]),
        ("unused", ""),
        ("missing", ""),
    ]
    with pytest.raises(PlanProblems) as caught:
        plan.check(source, target).raise_problems()
    text = str(caught.value)
    assert text.startswith("the plan has 7 problems\n")
    assert len(text.splitlines()) == 8
    for rule in plan.rules[1:]:
        assert f"  line {rule.line}: " in text


def test_a_name_in_a_message_cannot_write_to_the_terminal():
    """Control characters in a file's names are escaped in problems."""
    found = Plan.of("a -> a").check(tensors("a x\x1b[2Jy"), schema("a"))
    with pytest.raises(PlanProblems) as caught:
        found.raise_problems()
    assert "\x1b" not in str(caught.value)
    assert "x\\x1b[2Jy" in str(caught.value)


def test_the_report_of_a_failed_load_cannot_write_to_the_terminal():
    """Control characters in a file's names are escaped in the report of a load."""
    with pytest.raises(PlanError) as caught:
        load(nn.Linear(2, 2), {"x\x1b[2Jy": torch.rand(2), "weight": torch.rand(2, 2), "bias": torch.rand(2)})
    assert "\x1b" not in str(caught.value)
