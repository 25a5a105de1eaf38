"""Random plans there and back: what exact operations do, their inverses undo; two plans are one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weightlift.dtypes import DTYPES
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems
from weightlift.sources import Memory
from weightlift.tensors.computed import Lazy
from weightlift.tensors.lazy import Storage, Tensor, product

TYPES = ["float32", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"]
WIDER = {"float16": "float64", "bfloat16": "float32", "uint8": "int32", "bool": "float32"}

Shape = tuple[int, ...]


def lazy(draw: Any, dtype: str, shape: Shape, seed: int) -> Tensor:
    """A tensor of random bytes with its dimensions stored in any order."""
    kind = DTYPES[dtype]
    data = np.random.default_rng(seed).bytes(kind.nbytes(product(shape)))
    if dtype == "bool":
        data = bytes(byte & 1 for byte in data)
    if dtype in ("float16", "bfloat16"):  # no NaNs: a cast there and back may change what they carry
        data = bytes(byte & 0xBF if i % 2 else byte for i, byte in enumerate(data))
    stride, step = [0] * len(shape), 1
    for axis in draw(st.permutations(range(len(shape)))):
        stride[axis], step = step, step * max(1, shape[axis])
    return Tensor(kind, shape, tuple(stride), 0, Storage(str(seed), len(data), Memory(data)))


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@st.composite
def operations(draw, shape: Shape, dtype: str):
    """(text of exact operations on one tensor, shape and type after them)."""
    out = []
    for _ in range(draw(st.integers(0, 3))):
        rank = len(shape)
        kinds = ["permute", "reshape", "rows", "pad", "rearrange"]
        kinds += ["t"] * (rank == 2) + ["cast"] * (dtype in WIDER)
        kind = draw(st.sampled_from(kinds))
        if kind == "t":
            out.append("t")
            shape = shape[::-1]
        elif kind == "permute":
            order = draw(st.permutations(range(rank)))
            out.append(f"permute({', '.join(map(str, order))})")
            shape = tuple(shape[d] for d in order)
        elif kind == "reshape":
            shape = draw(st.sampled_from([(product(shape),), (1, *shape), (*shape, 1), (product(shape), 1)]))
            out.append(f"reshape({', '.join(map(str, shape))})")
        elif kind == "rows":
            order = draw(st.permutations(range(shape[0])))
            out.append(f"rows({list(order)})")
        elif kind == "pad":
            dim, low, high = draw(st.integers(-rank, rank - 1)), draw(st.integers(0, 2)), draw(st.integers(0, 2))
            out.append(f"pad({dim}, {low}, {high})")
            shape = tuple(n + low + high if d == dim % rank else n for d, n in enumerate(shape))
        elif kind == "rearrange":
            names = [f"x{d}" for d in range(rank)]
            left = f"(a {names[0]})" if shape[0] % 2 == 0 else f"({names[0]} a)"
            size = 2 if shape[0] % 2 == 0 else 1
            right = " ".join([*names[1:], "(", names[0], "a", ")"])
            out.append(f'rearrange("{" ".join([left, *names[1:]])} -> {right}", a={size})')
            shape = (*shape[1:], shape[0])
        else:
            dtype = WIDER[dtype]
            out.append(f"cast({dtype})")
    return " | ".join(out), shape, dtype


@st.composite
def rules(draw, n: int):
    """A rule of exact operations on names of its own, and the tensors that it takes."""
    dtype, shape = draw(st.sampled_from(TYPES)), draw(shapes)
    kind = draw(st.sampled_from(["plain", "block", "cat", "split", "stack", "unstack", "stack all", "several"]))
    seed = draw(st.integers(0, 10**6))
    if kind in ("plain", "block"):
        ops, _, _ = draw(operations(shape, dtype))
        text = f"s{n}.w -> t{n}.w" if kind == "plain" else f"s{n}.{{i}}.{{t}} -> t{n}.{{2*i+1}}.x_{{t}}"
        names = [f"s{n}.w"] if kind == "plain" else [f"s{n}.{i}.{t}" for i in range(2) for t in ("a", "b")]
        made = {name: lazy(draw, dtype, shape, seed + k) for k, name in enumerate(names)}
        return text + (f" : {ops}" if ops else ""), made
    if kind in ("cat", "several"):
        dim = draw(st.integers(-len(shape), len(shape) - 1))
        sizes = draw(st.lists(st.integers(1, 3), min_size=3, max_size=3))
        parts = [tuple(k if d == dim % len(shape) else m for d, m in enumerate(shape)) for k in sizes]
        whole = tuple(sum(sizes) if d == dim % len(shape) else m for d, m in enumerate(shape))
        ops, _, _ = draw(operations(whole, dtype))
        left = f"s{n}.{{q,k,v}}" if kind == "cat" else ", ".join(f"s{n}.{t}" for t in "qkv")
        made = {
            f"s{n}.{t}": lazy(draw, dtype, part, seed + k) for k, (t, part) in enumerate(zip("qkv", parts, strict=True))
        }
        return f"{left} -> t{n}.qkv : {' | '.join(filter(None, [f'cat({dim})', ops]))}", made
    dim = draw(st.integers(0, len(shape) - 1))
    if kind == "split":
        whole = tuple(m * 3 if d == dim else m for d, m in enumerate(shape))
        return f"s{n}.qkv -> t{n}.{{q,k,v}} : split({dim})", {f"s{n}.qkv": lazy(draw, dtype, whole, seed)}
    if kind == "unstack":
        whole = (*shape[:dim], 3, *shape[dim:])
        return f"s{n}.all -> t{n}.{{i}}.w : unstack({dim}, i)", {f"s{n}.all": lazy(draw, dtype, whole, seed)}
    if kind == "stack":
        made = {f"s{n}.{i}.w": lazy(draw, dtype, shape, seed + i) for i in range(3)}
        return f"s{n}.{{i}}.w -> t{n}.all : stack({dim}, i)", made
    made = {f"s{n}.{i}.{e}.w": lazy(draw, dtype, shape, seed + 3 * i + e) for i in range(2) for e in range(3)}
    return f"s{n}.{{i}}.{{e}}.w -> t{n}.{{i}}.all : stack({dim}, e)", made


@st.composite
def plans(draw):
    """A plan of several rules in any order, with comments, and its source."""
    lines, source = [], {}
    for n in range(draw(st.integers(1, 3))):
        text, made = draw(rules(n))
        lines.append(text + draw(st.sampled_from(["", "  # as it was", '   # "said"'])))
        source |= made
    if draw(st.booleans()):
        lines.insert(0, "# a comment of its own")
    keys = draw(st.permutations(list(source)))
    return Plan.of("\n".join(draw(st.permutations(lines)))), {key: source[key] for key in keys}


def carried_out(plan: Plan, source: dict[str, Lazy]) -> dict[str, Lazy]:
    found = plan.check(source)
    assert [str(problem) for problem in found.problems] == []
    return {key: made.value for key, made in found.made.items()}


def values(tensors: dict[str, Lazy]) -> dict[str, tuple[str, Shape, bytes]]:
    return {key: (value.dtype.name, tuple(value.shape), value.tobytes()) for key, value in tensors.items()}


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(plans())
def test_the_inverse_undoes_a_plan(given_plan):
    """Where every operation is exact, the inverse of a plan gives back every source byte for byte."""
    plan, source = given_plan
    back = plan.invert(source)
    there = carried_out(plan, source)
    assert values(carried_out(back, there)) == values(source)


@many
@given(plans())
def test_the_inverse_of_the_inverse_is_the_plan(given_plan):
    """A plan that is turned round twice does the same."""
    plan, source = given_plan
    there = carried_out(plan, source)
    try:
        again = plan.invert(source).invert(there)
    except PlanProblems as error:  # what undoes a pad or a cast cannot itself be undone
        assert all("has no inverse" in problem.message for problem in error.problems)  # noqa: PT017
        assert "pad" in str(plan) or "cast" in str(plan)
        return
    assert values(carried_out(again, source)) == values(there)


@st.composite
def followed(draw):
    """A plan, at times with ties, and a second one on what it makes: single tensors renamed, dropped, tied and cut."""
    plan, source = draw(plans())
    (first, *others) = plan.rules
    if draw(st.booleans()) and str(first.sources[0]) in source and len(first.sources) == 1:
        plan = Plan.of("\n".join([str(first), f"{first.sources[0]} => t.tied : tie", *map(str, others)]))
    lines = []
    for k, (key, value) in enumerate(carried_out(plan, source).items()):
        ops, _, _ = draw(operations(tuple(value.shape), value.dtype.name)) if draw(st.booleans()) else ("", (), "")
        kind = draw(st.sampled_from(["map", "map", "drop", "tie", "copy", "cut"]))
        if kind == "drop":
            lines.append(f'{key} -> drop "not needed"')
        elif kind == "cut":
            lines.append(f"{key}[0:1] -> u.{k}.w !lossy")
        elif kind == "copy":
            lines.append(f"{key} -> u.{k}.w, u.{k}.v : {ops + ' | ' if ops else ''}copy")
        else:
            lines.append(f"{key} -> u.{k}.w" + (f" : {ops}" if ops else ""))
            lines += [f"{key} => u.{k}.tied : tie"] * (kind == "tie")
    return plan, Plan.of("\n".join(lines)), source


@many
@given(followed())
def test_two_plans_composed_are_one_after_the_other(given_plans):
    """A composed plan makes in one pass what the two make one after the other, or says what cannot be composed."""
    one, two, source = given_plans
    expected = values(carried_out(two, carried_out(one, source)))
    try:
        both = one.compose(two, source)
    except PlanProblems as error:
        assert all(problem.code == "no-composition" for problem in error.problems)  # noqa: PT017
        return
    assert values(carried_out(both, source)) == expected


def test_what_is_initialised_is_not_lost_in_composing():
    """New tensors of the second plan stay new; those of the first, which nobody can follow, are told of."""
    source = {"a": np.zeros(3, np.float32)}
    two = Plan.of('x -> y\ninit -> head.** "new"')
    both = Plan.of("a -> x").compose(two, source)
    target = dict.fromkeys(("y", "head.w"), ((3,), DTYPES["float32"]))
    assert list(both.check(source, target).initialised) == ["head.w"]
    with pytest.raises(PlanProblems, match="the second plan cannot say what becomes of it"):
        Plan.of('a -> x\ninit -> z "new"').compose(Plan.of("x -> y"), source)


SPLIT = "a -> x, y, z : split(0)"


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("a -> e\na => h : tie", "e -> x\nh -> y", "a -> x\na => y : tie"),
        ("a -> e\na => h : tie", 'e -> drop "n"\nh -> y : t', "a -> y : t"),
        ("a -> a", "a -> b\na => c : tie", "a -> b\na => c : tie"),
        ("a -> a", "a -> b, c : copy", "a -> b, c : copy"),
        ("a -> e : t\na => h : tie", "e -> x\nh -> y", None),
        ("a -> a : t", "a -> b\na => c : tie", "a -> b, c : t | copy"),
        ("a -> e\na => h : tie", "e -> x\nh -> y : t", None),
        (SPLIT, 'x -> u\ny, z -> drop "n"', "a[0:2] -> u !lossy"),
        (SPLIT, "x -> u : t\ny -> v\nz -> w", "a[0:2] -> u : t\na[2:4] -> v\na[4:6] -> w"),
        (SPLIT, "z -> u\ny -> v\nx -> w", "a -> w, v, u : split(0)"),
        ("a -> x, y : split(1)", "x -> u\nx => v : tie\ny -> w", "a[:, 0:1] -> u, v : copy\na[:, 1:2] -> w"),
        ("a -> a", "a -> x, y : split(0)", "a -> x, y : split(0)"),
        ("a -> a : t", "a -> x, y : split(0)", "a -> x, y : t | split(0)"),
        ("a -> {i}.x : unstack(1, i)", '0.x -> u\n1.x -> drop "n"', None),
        ("a[0:2] -> e !lossy", "e -> x : t", "a[0:2] -> x : t !lossy"),
        ("a -> e : t", "e[0:1] -> x !lossy", None),
        ('a -> e : rearrange("(h w) c->h w c", h=2)', "e -> x", 'a -> x : rearrange("(h w) c->h w c", h=2)'),
    ],
)  # fmt: skip
def test_what_two_plans_are_in_one_pass(first, second, both):
    """Ties stay ties, single parts are cut out of the source, and what no rule says is told; never less is made."""
    source = {"a": np.arange(12, dtype=np.float32).reshape(6, 2)}
    one, two = Plan.of(first), Plan.of(second)
    if both is None:
        with pytest.raises(PlanProblems) as caught:
            one.compose(two, source)
        assert {problem.code for problem in caught.value.problems} == {"no-composition"}
        return
    made = one.compose(two, source)
    assert "\n".join(map(str, made.rules)) == both
    assert values(carried_out(made, source)) == values(carried_out(two, carried_out(one, source)))


def test_odd_names_are_composed_as_they_are():
    """Names are spelled as patterns in the plan of two."""
    source = {"my {x}": np.zeros(3, np.float32), "a b.0": np.zeros(2, np.float32)}
    one = Plan.of("`my {x}` -> `h#`\n** -> ** except `my {x}`")
    made = one.compose(Plan.of('`h#` -> `init`\n`a b`.{i} -> drop "not needed"'), source)
    assert str(made.rules[0]) == "`my {x}` -> `init`"
    assert list(made.check(source).made) == ["init"]
    assert list(made.check(source).dropped) == ["a b.0"]


@many
@given(plans())
def test_an_inverse_composed_with_its_plan_is_the_identity(given_plan):
    """A plan and its inverse in one pass leave every name and value as it was, where they can be composed."""
    plan, source = given_plan
    try:
        same = plan.compose(plan.invert(source), source)
    except PlanProblems as error:
        assert all(problem.code == "no-composition" for problem in error.problems)  # noqa: PT017
        return
    assert values(carried_out(same, source)) == values(source)


@many
@given(plans())
def test_order_of_rules_and_sources_does_not_matter(given_plan):
    """Neither the order of the lines nor of the source's names changes what is made."""
    plan, source = given_plan
    turned = Plan.of("\n".join(str(rule) for rule in reversed(plan.rules)))
    assert values(carried_out(turned, dict(reversed(source.items())))) == values(carried_out(plan, source))


@given(plans())
def test_applied_to_a_file_it_is_the_same(tmp_path_factory, given_plan):
    """A file that a plan is applied to holds what the plan makes."""
    import weightlift as wl

    plan, source = given_plan
    out = tmp_path_factory.mktemp("plan") / "out.safetensors"
    plan.apply(out, source)
    assert values(dict(wl.open(out).state_dict())) == values(carried_out(plan, source))


TEXT = '''# what this is for
plan = 1   # the version

[dims]
heads = 2

[[block]]
target = "blocks."     # where they go
source = "layers."
rules = """
# attention
  {i}.q.{t} -> {i}.query.{t}      # renamed

{i}.k.w -> {i}.key.w : rearrange("(h d) c -> (d h) c", h=heads)
"""

[[block]]
rules = \'\'\'
head.** -> drop "a # in a reason"   # gone
\'\'\'
# the end
'''


def test_saving_keeps_the_text(tmp_path):
    """A plan that is loaded and saved is the same text: comments, blanks, order and quotes."""
    path = tmp_path / "a.plan.toml"
    path.write_text(TEXT, encoding="utf-8")
    plan = Plan.load(path)
    plan.save(tmp_path / "b.plan.toml")
    assert (tmp_path / "b.plan.toml").read_text(encoding="utf-8") == TEXT
    again = Plan.load(tmp_path / "b.plan.toml")
    assert again == plan
    assert [str(rule) for rule in again.rules] == [
        "{i}.q.{t} -> {i}.query.{t}",
        '{i}.k.w -> {i}.key.w : rearrange("(h d) c -> (d h) c", h=heads)',
        'head.** -> drop "a # in a reason"',
    ]


def test_the_inverse_keeps_comments_and_order():
    """Every line of the inverse stands where the line was that it undoes, with the comments."""
    source = {
        key: Tensor(DTYPES["uint8"], (4, 1), (1, 1), 0, Storage("0", 4, Memory(b"abcd")))
        for key in ("layers.0.q.w", "layers.0.k.w", "head.w")
    }
    back = Plan.parse(TEXT).invert(source)
    here, there = TEXT.split("\n"), back.text.split("\n")
    assert len(here) == len(there)
    assert [line for line in there if line.startswith("#")] == [line for line in here if line.startswith("#")]
    assert [str(rule) for rule in back.rules] == [
        "{i}.query.{t} -> {i}.q.{t}",
        '{i}.key.w -> {i}.k.w : rearrange("(d h) c -> (h d) c", c=1, d=2, h=2)',
        'init -> head.** "a # in a reason"',
    ]
    assert (back.rules[0].sources[0].pattern.text, back.rules[0].targets[0].pattern.text) == (
        "blocks.{i}.query.{t}", "layers.{i}.q.{t}",
    )  # fmt: skip


def test_what_blocks_an_inverse_is_told_whole():
    """Every rule that has no inverse is named with its line and why, all at once."""
    data = Tensor(DTYPES["float32"], (4, 4), (4, 1), 0, Storage("0", 64, Memory(bytes(64))))
    rules = [
        "a -> a : slice(0, 0, 2) !lossy", "b -> b : t", "c -> c : resize(grid, to=[1, 1]) !lossy",
        "d -> d : cast(float16) !lossy",
    ]  # fmt: skip
    plan = Plan.of("\n".join(rules))
    with pytest.raises(PlanProblems) as caught:
        plan.invert(dict.fromkeys("abcd", data))
    blocked = [plan.rules[i] for i in (0, 2, 3)]
    assert [problem.line for problem in caught.value.problems] == [rule.line for rule in blocked]
    for rule in blocked:
        assert f"line {rule.line}: " in str(caught.value)
        assert f"{rule.ops[0]} has no inverse" in str(caught.value)
