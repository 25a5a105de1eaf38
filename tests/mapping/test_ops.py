"""Every operation of the rule language against numpy and torch, on every plain type and any strides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from weightlift.dtypes import DTYPES
from weightlift.errors import OverflowingError
from weightlift.mapping.plan import Plan
from weightlift.mapping.report import report_of
from weightlift.sources import Source
from weightlift.state_dict import StateDict
from weightlift.tensors import Tensor
from weightlift.tensors.computed import Computed
from weightlift.tensors.from_live import lazy_values
from weightlift.tensors.lazy import Storage, contiguous

from strategies import PLAIN_DTYPES, element_bytes, name_of

PLAIN = [dtype for dtype in PLAIN_DTYPES if name_of(dtype) in DTYPES] + [torch.float8_e5m2, torch.float8_e4m3fn]
every_type = pytest.mark.parametrize("dtype", PLAIN, ids=name_of)


def made_of(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    values = torch.arange(math.prod(shape)).reshape(shape)
    return (values % 2).to(dtype) if dtype is torch.bool else (values % 15).to(dtype)


def strided(tensor: torch.Tensor, kind: str) -> torch.Tensor:
    """The same values in another place: turned round, with gaps, behind others."""
    if kind == "contiguous" or not tensor.dim():
        return tensor
    if kind == "transposed":
        axes = list(reversed(range(tensor.dim())))
        return tensor.permute(axes).contiguous().permute(axes)
    wide = torch.zeros([2 * n + 1 for n in tensor.shape], dtype=tensor.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in tensor.shape)]
    view.copy_(tensor)
    return view


every_stride = pytest.mark.parametrize("kind", ["contiguous", "transposed", "gaps"])


def carried_out(rule: str, **sources: torch.Tensor) -> dict[str, bytes]:
    """Bytes of each target, by a rule without problems; shapes and types hold for the lazy values."""
    found = Plan.of(rule).check(StateDict.of({key.replace("__", "."): value for key, value in sources.items()}))
    assert [str(problem) for problem in found.problems] == []
    return {key: made.value for key, made in found.made.items()}


def assert_is(made: Tensor | Computed, expected: torch.Tensor) -> None:
    assert tuple(made.shape) == tuple(expected.shape)
    assert made.dtype.name == name_of(expected.dtype)
    assert made.tobytes() == element_bytes(expected)
    array = made.numpy()
    assert array.shape == tuple(expected.shape)
    assert array.tobytes() == element_bytes(expected)


ONE_TO_ONE = {
    "t": ((2, 3), lambda a: a.t()),
    "permute(2, 0, 1)": ((2, 3, 4), lambda a: a.permute(2, 0, 1)),
    "permute([1, 0])": ((2, 3), lambda a: a.permute(1, 0)),
    "reshape(3, 4)": ((2, 6), lambda a: a.reshape(3, 4)),
    "reshape(-1)": ((2, 3, 2), lambda a: a.reshape(-1)),
    "reshape(2, -1, 1)": ((4, 3), lambda a: a.reshape(2, -1, 1)),
    'rearrange("(h d) c -> (d h) c", h=2)': (
        (6, 2), lambda a: torch.stack([a[h * 3 + d] for d in range(3) for h in range(2)])
    ),
    'rearrange("(q h d) c -> (h q d) c", q=3, h=2)': (
        (12, 2), lambda a: torch.stack([a[q * 4 + h * 2 + d] for h in range(2) for q in range(3) for d in range(2)])
    ),
    'rearrange("a b c -> c (a b)")': ((2, 3, 4), lambda a: a.permute(2, 0, 1).reshape(4, 6)),
    'rearrange("(a b) -> b a", a=3)': ((6,), lambda a: a.reshape(3, 2).t()),
    'rearrange("a -> a ()")': ((4,), lambda a: a[:, None]),
    "rows([2, 0, 0]) !lossy": ((3, 2), lambda a: torch.stack([a[2], a[0], a[0]])),
    "rows([1, 0, 2])": ((3, 2), lambda a: torch.stack([a[1], a[0], a[2]])),
    "slice(0, 1, 3) !lossy": ((4, 2), lambda a: a[1:3]),
    "slice(-1, 0, 0) !lossy": ((4, 2), lambda a: a[:, 0:0]),
    "pad(1, 2, 1)": ((2, 3), lambda a: torch.cat([a.new_zeros(2, 2), a, a.new_zeros(2, 1)], 1)),
    "pad(0, 0, 3)": ((2,), lambda a: torch.cat([a, a.new_zeros(3)])),
    "t | reshape(-1) | reshape(2, 3)": ((2, 3), lambda a: a.t().reshape(-1).reshape(2, 3)),
    "copy": ((2, 3), lambda a: a),
}  # fmt: skip


@every_type
@every_stride
@pytest.mark.parametrize("ops", ONE_TO_ONE)
def test_one_tensor_becomes_one(ops, kind, dtype):
    """Operations on one tensor give what torch gives, whatever the type and the strides."""
    shape, expected = ONE_TO_ONE[ops]
    if dtype in (torch.float8_e5m2, torch.float8_e4m3fn) and ops.startswith("pad"):
        pytest.skip("torch concatenates no float8 with new zeros")
    values = made_of(dtype, *shape)
    assert_is(carried_out(f"a -> b : {ops}", a=strided(values, kind))["b"], expected(values))


@every_type
@every_stride
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cat_and_split(dim, kind, dtype):
    """cat joins in the order of the rule, split parts in the order of the targets."""
    a, b = made_of(dtype, 2, 2), made_of(dtype, 2, 2).flip(0)
    whole = torch.cat([a, b], dim)
    assert_is(carried_out(f"a, b -> c : cat({dim})", a=strided(a, kind), b=strided(b, kind))["c"], whole)
    parts = carried_out(f"c -> a, b : split({dim})", c=strided(whole, kind))
    assert_is(parts["a"], a)
    assert_is(parts["b"], b)


@every_type
@every_stride
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_stack_and_unstack(dim, kind, dtype):
    """stack makes a new dimension of the order, unstack takes it apart."""
    a, b = made_of(dtype, 2, 3), made_of(dtype, 2, 3).flip(0)
    whole = torch.stack([a, b], dim)
    assert_is(carried_out(f"x.{{a,b}} -> c : stack({dim})", x__a=strided(a, kind), x__b=strided(b, kind))["c"], whole)
    parts = carried_out(f"c -> x.{{a,b}} : unstack({dim})", c=strided(whole, kind))
    assert_is(parts["x.a"], a)
    assert_is(parts["x.b"], b)


def test_cat_of_unequal_parts():
    """Parts of different sizes are joined as they are, and parted by sizes that are written."""
    a, b, c = torch.rand(4, 2), torch.rand(1, 2), torch.rand(2, 2)
    assert_is(carried_out("{q,k,v}.w -> w : cat(0)", q__w=a, k__w=b, v__w=c)["w"], torch.cat([a, b, c]))
    parts = carried_out("w -> {q,k,v}.w : split(0, [4, 1, 2])", w=torch.cat([a, b, c]))
    assert [parts[f"{name}.w"].tobytes() for name in "qkv"] == [element_bytes(x) for x in (a, b, c)]


def test_unstack_by_an_index():
    """An index that stands on the right side only is made by unstack, and joined by its name."""
    whole = torch.rand(3, 2)
    parts = carried_out("all -> h.{i}.w : unstack(0, i)", all=whole)
    assert [parts[f"h.{i}.w"].tobytes() for i in range(3)] == [element_bytes(row) for row in whole]
    back = carried_out("h.{i}.w -> all : stack(0, i)", h__0__w=whole[0], h__1__w=whole[1], h__2__w=whole[2])
    assert_is(back["all"], whole)


def test_two_axes_are_joined_by_name():
    """Experts along `e` and gate and up along their order are joined one after the other."""
    values = {f"e.{e}.{w}": torch.rand(2, 3) for e in range(3) for w in ("w1", "w3")}
    made = carried_out(
        "e.{e}.{w1,w3} -> all : stack(0, e) | cat(1)", **{k.replace(".", "__"): v for k, v in values.items()}
    )
    expected = torch.cat([torch.stack([values[f"e.{e}.{w}"] for e in range(3)]) for w in ("w1", "w3")], 1)
    assert_is(made["all"], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=name_of)
@every_stride
def test_scale_and_add(dtype, kind):
    """scale and add give what torch gives, in the tensor's own type."""
    values = torch.linspace(-3, 3, 6).to(dtype).reshape(2, 3)
    assert_is(carried_out("a -> b : scale(0.5)", a=strided(values, kind))["b"], values * 0.5)
    assert_is(carried_out("a -> b : add(-1)", a=strided(values, kind))["b"], values - 1)
    dims = Plan.of("a -> b : scale(2 * n) | add(n // 2)", dims={"n": 3}).check(StateDict.of({"a": values}))
    assert_is(dims.made["b"].value, values * 6 + 1)


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("here", [*FLOATS, torch.int64, torch.uint8, torch.bool], ids=name_of)
@pytest.mark.parametrize("there", [*FLOATS, torch.int32], ids=name_of)
def test_cast(here, there):
    """cast rounds as torch does."""
    values = torch.tensor([0, 1, 3.14159, 100.49]).to(here)
    assert_is(carried_out(f"a -> b : cast({name_of(there)}) !lossy", a=values)["b"], values.to(there))


@pytest.mark.parametrize("to", [(4, 4), (2, 5), (7, 3), (3, 3), (1, 1), (6, 6)])
@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("lead", [(), (1,), (2,)])
def test_resize(to, prefix, lead):
    """resize of a square grid is torch's bilinear interpolation; positions before the grid stay."""
    table = torch.rand(*lead, prefix + 9, 5)
    kept, grid = table[..., :prefix, :], table[..., prefix:, :].reshape(-1, 3, 3, 5).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.interpolate(grid.double(), to, mode="bilinear", align_corners=False, antialias=False)
    flat = wanted.permute(0, 2, 3, 1).reshape(*lead, to[0] * to[1], 5).float()
    made = carried_out(f"a -> b : resize(grid, to=[{to[0]}, {to[1]}], prefix={prefix}) !lossy", a=table)["b"]
    expected = torch.cat([kept, flat], -2)
    assert tuple(made.shape) == tuple(expected.shape)
    assert np.allclose(made.numpy(), expected.numpy(), rtol=1e-6, atol=1e-7)
    assert made.numpy()[..., :prefix, :].tobytes() == element_bytes(kept)


@pytest.mark.parametrize(
    ("shape", "ops"),
    [
        ((0, 3), "t"),
        ((0,), "reshape(0, 4)"),
        ((2, 0), "permute(1, 0)"),
        ((2, 0), "cast(float64)"),
        ((0, 2), "scale(2)"),
    ],
)
def test_tensors_without_elements(shape, ops):
    """Operations on no elements give no elements."""
    made = carried_out(f"a -> b : {ops}", a=torch.zeros(shape))["b"]
    assert made.tobytes() == b""
    assert 0 in made.shape


def test_a_scalar():
    """A tensor without dimensions can be reshaped, stacked and cast."""
    a = torch.tensor(2.5)
    assert_is(carried_out("a -> b : reshape(1, 1)", a=a)["b"], a.reshape(1, 1))
    assert_is(carried_out("a, b -> c : stack(0)", a=a, b=a + 1)["c"], torch.stack([a, a + 1]))
    assert_is(carried_out("a -> b : cast(float16) !lossy", a=a)["b"], a.half())


# ---- errors ----

WRONG = [
    ("t", (2, 3, 4), "t of [2, 3, 4]: t of [2, 3, 4]; expected two dimensions"),
    ("permute(0, 0)", (2, 3), "order [0, 0] of a tensor of 2 dimensions"),
    ("permute(0)", (2, 3), "order [0] of a tensor of 2 dimensions"),
    ("permute(a, b)", (2, 3), "expected whole numbers, or names that dims gives"),
    ("reshape(4)", (2, 3), "[2, 3] into [4]; expected 6 elements"),
    ("reshape(-1, -1)", (2, 3), "at most one -1"),
    ("reshape(-1, 4)", (2, 3), "a multiple of 4 elements"),
    ("reshape(-2, -3)", (2, 3), "sizes of 0 or more"),
    ('rearrange("a -> a")', (2, 3), "has 1 dimensions on the left; expected 2"),
    ('rearrange("a b -> a")', (2, 3), "each axis once on both sides"),
    ('rearrange("a b")', (2, 3), 'expected "left -> right"'),
    ('rearrange("(a b) c -> a b c")', (2, 3), "all but one of a group given"),
    ('rearrange("(a b) c -> a b c", a=4)', (2, 3), "a whole number of times"),
    ('rearrange("(a b) c -> a b c", a=heads)', (2, 3), "a whole number, or a name that dims gives"),
    ('rearrange("(a c -> a c")', (2, 3), "( without )"),
    ("rearrange", (2, 3), "rearrange("),
    ("cat(0)", (2, 3), "nothing to join"),
    ("cat(0, e)", (2, 3), "nothing runs along {e}"),
    ("stack", (2, 3), "stack; expected stack(0)"),
    ("split(0)", (2, 3), "split without several targets"),
    ("unstack(0)", (2, 3), "an index or {a,b} on the right"),
    ("rows([3])", (3, 2), "indices below (3,)"),
    ("rows([-1])", (3, 2), "indices below (3,)"),
    ("rows([0])", (), "rows of []"),
    ("slice(0, 2, 5)", (3, 2), "2:5 of dimension 0, which has 3"),
    ("slice(0, 2, 1)", (3, 2), "2:1 of dimension 0"),
    ("slice(2, 0, 1)", (3, 2), "dimension 2 of a tensor of 2; expected -2 to 1"),
    ("pad(0, -1, 0)", (3, 2), "0 or more before and after"),
    ("pad(5, 1, 0)", (3, 2), "dimension 5 of a tensor of 2"),
    ("scale(x)", (3, 2), "expected one number"),
    ("scale", (3, 2), "expected one number"),
    ("add(1, 2)", (3, 2), "expected one number"),
    ("cast(float33)", (3, 2), "expected a dtype of torch"),
    ("cast", (3, 2), "expected a dtype of torch"),
    ("resize(grid, to=[2, 2])", (5, 2), "5 positions after the first 0; expected a square grid"),
    ("resize(grid, to=[2])", (4, 2), "to=[rows, columns]"),
    ("resize(4)", (4, 2), "resize(grid, to="),
]


@pytest.mark.parametrize(("ops", "shape", "message"), WRONG, ids=[f"{ops} of {list(shape)}" for ops, shape, _ in WRONG])
def test_arguments_that_do_not_fit(ops, shape, message):
    """An operation that cannot be carried out is a problem with the rule's line, the operation and the shape."""
    plan = Plan.of(f"a -> b : {ops} !lossy")
    (problem,) = plan.check(StateDict.of({"a": torch.zeros(shape)})).problems
    assert problem.code == "ops"
    assert problem.line == plan.rules[0].line
    assert message in str(problem)
    assert str(plan.rules[0].ops[0]) in str(problem)


@pytest.mark.parametrize(
    ("ops", "b", "message"),
    [
        ("cat(0)", torch.zeros(2, 4), "float32 [2, 4] beside float32 [2, 3]; expected the same but in dimension 0"),
        ("cat(0)", torch.zeros(2, 3).half(), "float16 [2, 3] beside float32 [2, 3]"),
        ("cat(2)", torch.zeros(2, 3), "dimension 2 of a tensor of 2"),
        ("stack(0)", torch.zeros(3, 3), "equal shapes and dtypes to stack"),
        ("stack(3)", torch.zeros(2, 3), "expected -3 to 2"),
        ("t", torch.zeros(2, 3), "several sources"),
    ],
)
def test_tensors_that_cannot_be_joined(ops, b, message):
    """What is joined has to fit; a rule of several sources needs a word that joins them."""
    found = Plan.of(f"a, b -> c : {ops}").check(StateDict.of({"a": torch.zeros(2, 3), "b": b}))
    assert [problem.code for problem in found.problems] == ["ops"]
    assert message in str(found.problems[0])


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ("split(0, [1, 1])", "4 rows into [1, 1]; expected 2 sizes that add up to 4"),
        ("split(0, [5, -1])", "expected 2 sizes that add up to 4"),
        ("split(0, [4])", "expected 2 sizes"),
        ("split(1)", "3 rows into [1, 1]"),
        ("unstack(0)", "4 parts for 2 targets"),
        ("split(5)", "dimension 5 of a tensor of 2"),
    ],
)
def test_tensors_that_cannot_be_parted(ops, message):
    """What is parted has to come out even, or in sizes that are written."""
    found = Plan.of(f"a -> b, c : {ops}").check(StateDict.of({"a": torch.zeros(4, 3)}))
    assert [problem.code for problem in found.problems] == ["ops"]
    assert message in str(found.problems[0])


@pytest.mark.parametrize(
    ("ops", "lossy"),
    [
        ("slice(0, 0, 1)", True), ("resize(grid, to=[1, 1])", True), ("rows([0, 1])", True),
        ("rows([3, 2, 1, 0])", False),
        ("cast(float16)", True), ("cast(float64)", False), ("pad(0, 1, 1)", False), ("t", False),
    ],
)  # fmt: skip
def test_what_loses_values_is_marked(ops, lossy):
    """An operation that loses values needs !lossy on its line, and one that does not needs nothing."""
    source = StateDict.of({"a": torch.zeros(4, 3)})
    assert Plan.of(f"a -> b : {ops} !lossy").check(source).problems == []
    found = [str(problem) for problem in Plan.of(f"a -> b : {ops}").check(source).problems]
    assert ["loses values; expected !lossy" in text for text in found] == [True] * lossy


# ---- laziness ----


class Counted(Source):
    """Zeros that count how many of them were read."""

    name = "counted"

    def __init__(self, nbytes: int) -> None:
        self.size = nbytes
        self.read = 0

    def _read(self, offset: int, nbytes: int) -> bytes:  # noqa: ARG002
        self.read += nbytes
        return bytes(nbytes)


VIEWS = {
    "t": "b", "permute(1, 0)": "b", "slice(0, 1, 3) !lossy": "b", "reshape(2, -1)": "b", "split(0)": "{b,c}",
    "unstack(1)": "{b,c}", "copy": "{b,c}", "t | slice(0, 0, 1) | t !lossy": "b",
}  # fmt: skip


@pytest.mark.parametrize("ops", VIEWS)
def test_views_stay_views(ops):
    """What only moves elements is a view of the stored tensor: nothing is read, and nothing is computed later."""
    data = Counted(4 * 4 * 2)
    source = contiguous(DTYPES["float32"], (4, 2), Storage("0", data.size, data))
    found = Plan.of(f"a -> {VIEWS[ops]} : {ops}").check({"a": source})
    assert found.problems == []
    assert all(isinstance(m.value, Tensor) and m.value.storage is source.storage for m in found.made.values())
    assert data.read == 0


@pytest.mark.parametrize(
    "ops", [*ONE_TO_ONE, "scale(2)", "add(1)", "cast(float16) !lossy", "resize(grid, to=[2, 2]) !lossy"]
)
def test_checking_reads_nothing(ops):
    """No operation reads a byte before its values are asked for."""
    shape = ONE_TO_ONE[ops][0] if ops in ONE_TO_ONE else (4, 2)
    data = Counted(4 * math.prod(shape))
    Plan.of(f"a -> b : {ops}").check({"a": contiguous(DTYPES["float32"], shape, Storage("0", data.size, data))})
    assert data.read == 0


def test_a_part_reads_a_part():
    """The rows of a slice are all that is read."""
    data = Counted(4 * 100 * 2)
    source = {"a": contiguous(DTYPES["float32"], (100, 2), Storage("0", data.size, data))}
    found = Plan.of("a -> b : slice(0, 10, 12) !lossy").check(source)
    assert len(found.made["b"].value.tobytes()) == 16
    assert data.read == 16


def test_a_concatenation_of_rows_streams():
    """cat(0) and stack(0) hold no whole result: they take no more memory than a part that is written alone."""
    data = Counted(4 * 100)
    part = contiguous(DTYPES["float32"], (10, 10), Storage("0", data.size, data))
    alone = Plan.of("** -> **").check({"a": part, "b": part}).peak_nbytes
    for ops in ("cat(0)", "stack(0)"):
        assert Plan.of(f"a, b -> c : {ops}").check({"a": part, "b": part}).peak_nbytes == alone
    assert Plan.of("a, b -> c : cat(1)").check({"a": part, "b": part}).peak_nbytes > alone


@pytest.mark.parametrize(
    "call",
    ["pad(0, 1)", "slice(0, 1)", "slice", "pad", "resize(grid, prefix=x)", "resize(grid, to=[2, 2], prefix=-5)",
     "resize(grid, 3)", "t(5)", "cast(float64, 3, x=1)", "pad(0, 1, 1, value=3)", "rows()", "rows", "copy(2)",
     "permute()", "cat", "cat(x)", "split(0, 2)", "scale(2, by=3)", "scale([2])", "add(1e999)"],
)  # fmt: skip
def test_calls_with_other_arguments_than_they_take(call):
    """Too few, too many, or of another kind: a problem of the plan that shows the call, never a crash."""
    source = {"a": np.ones((4, 4), dtype=np.float32)}
    (problem, *_) = Plan.of(f"a -> b : {call} !lossy").check(source).problems
    assert problem.code == "ops"
    assert call.replace("1e999", "inf").removesuffix("()") in problem.message
    assert "expected" in problem.message


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("call", ["scale(0.5)", "add(1)"])
def test_arithmetic_is_for_floats(dtype, call):
    """A scaled integer would be cut off without a word."""
    (problem,) = Plan.of(f"a -> b : {call}").check({"a": np.ones(3, dtype=dtype)}).problems
    assert "expected floating point values" in problem.message


@pytest.mark.parametrize("call", ["scale(1000)", "add(60000)"])
def test_arithmetic_that_overflows(call):
    """What becomes infinite is an error, unless the rule allows it; what was infinite stays."""
    source = {"a": np.array([60000, np.inf, np.nan, 1], dtype=np.float16)}
    with pytest.raises(OverflowingError, match="1 values do not fit into float16"):
        Plan.of(f"a -> b : {call}").state_dict(source)["b"].numpy()
    allowed = Plan.of(f"a -> b : {call} !overflow").state_dict(source)["b"].numpy()
    assert np.isinf(allowed[:2]).all()
    assert np.isfinite(allowed[3])


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ('a -> b : rearrange("(h three d) c -> (three h d) c", three=3, d=4)', "h = 2"),
        ('a -> b : t | rearrange("c (h d) -> h d c", h=2)', "d = 12"),
        ('a -> b : rearrange("(h d) c -> d h c", h=2, d=12)', ""),
        ('a -> b : rearrange("r c -> c r")', ""),
        ('{a,a2} -> b : rearrange("(h d) c -> d (h c)", d=12) | cat(1)', "h = 2 or 1"),
    ],
)
def test_sizes_that_follow_from_the_shape_are_told(rule, note):
    """The report tells what a rearrangement took the axes to be, where the rule leaves it to the shape."""
    source = {"a": np.zeros((24, 5), np.float32), **({"a2": np.zeros((12, 5), np.float32)} if "a2" in rule else {})}
    found = Plan.of(rule).check(source)
    assert not found.problems
    (line,) = report_of(found, lazy_values(source), None).lines
    assert line.note.partition(") (")[2].partition(")")[0] == note
    assert line.note.replace(f" ({note})", "") == " | ".join(map(str, Plan.of(rule).rules[0].ops))
