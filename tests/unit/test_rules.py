"""The parser of rule lines: what a line means, and where it is wrong, by line, column and caret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightlift.errors import PatternError, PlanError
from weightlift.mapping.plan import Plan
from weightlift.mapping.rules import FLAGS, Rule, parse_rule
from weightlift.patterns import as_pattern


def rule(text: str, **dims: int) -> Rule:
    found = parse_rule(text, 1, dims)
    assert found is not None
    return found


def texts(terms) -> list[str]:
    return [str(term) for term in terms]


@pytest.mark.parametrize("text", ["", "   ", "# a comment", "   # a -> b"])
def test_blank_lines_and_comments_say_nothing(text):
    """A line without a rule is no rule."""
    assert parse_rule(text, 1, {}) is None


def test_a_comment_ends_a_line():
    """What follows a # is left out, but within a reason it belongs to it."""
    found = rule('a -> drop "no # pooler"  # really')
    assert found.reason == "no # pooler"
    assert found.text == 'a -> drop "no # pooler"'


def test_a_map():
    """Sources, targets and operations stand in their order."""
    found = rule("h.{i}.{q,k,v}.{t}, x -> qkv.{i}.{t}, y : t | cat(0, e) | pad(0, 1, n)", n=3)
    assert found.kind == "map"
    assert texts(found.sources) == ["h.{i}.{q,k,v}.{t}", "x"]
    assert texts(found.targets) == ["qkv.{i}.{t}", "y"]
    assert [str(call) for call in found.ops] == ["t", "cat(0, e)", "pad(0, 1, 3)"]


def test_the_other_kinds():
    """A tie has its own arrow and word; drop and init have a reason."""
    assert rule("a => b : tie").kind == "tie"
    dropped = rule('a.**, b -> drop "not needed"')
    assert (dropped.kind, texts(dropped.sources), dropped.targets, dropped.reason) == (
        "drop", ["a.**", "b"], (), "not needed",
    )  # fmt: skip
    made = rule('init -> a.**, b "new layers"')
    assert (made.kind, made.sources, texts(made.targets), made.reason) == ("init", (), ["a.**", "b"], "new layers")


def test_everything_at_the_end_of_a_line():
    """Flags, optional, except and a reason may follow in any order."""
    found = rule('a.** -> drop !lossy except a.x.** !unsure optional except a.y "because"')
    assert found.flags == {"lossy", "unsure"}
    assert found.optional
    assert [p.text for p in found.excepts] == ["a.y", "a.x.**"]
    assert found.reason == "because"
    assert texts(found.sources) == ["a.**"]
    assert rule("a.** -> b.** optional !lossy except a.x").sides == ("a.**", "b.**")


@pytest.mark.parametrize("flag", FLAGS)
def test_flags(flag):
    """Every flag of the language is taken."""
    assert rule(f"a -> b !{flag}").flags == {flag}


def test_parts_of_tensors():
    """A slice names the leading dimensions; an open end is the tensor's own."""
    found = rule("a[0:10, :] -> b[2:12], c[ :4,1: ] : rest=init !partial")
    assert [term.spans for term in (*found.sources, *found.targets)] == [
        ((0, 10), (None, None)), ((2, 12),), ((None, 4), (1, None)),
    ]  # fmt: skip
    assert texts(found.targets) == ["b[2:12]", "c[:4, 1:]"]
    assert found.rest == "init"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-3", -3), ("2.5", 2.5), ("2 * n + 1", 9), ("n // 3", 1), ("n - 5", -1), ("[n, 2]", [4, 2]),
        ("e", "e"),
        ('"(a b) -> a b"', "(a b) -> a b"), ("n", 4), ("-n", -4), ("0.5 ", 0.5),
    ],
)  # fmt: skip
def test_values_of_arguments(text, value):
    """Arguments are numbers, names that dims gives and sums of them, lists, texts, and other names as texts."""
    (call,) = rule(f"a -> b : scale({text})", n=4).ops
    assert call.args == (value,)
    assert rule(f"a -> b : resize(grid, to={text})", n=4).ops[0].named == {"to": value}


def test_marks_within_texts_and_braces_part_nothing():
    """A | in a text and a comma in braces or brackets do not end a piece."""
    found = rule('{a,b}.w[0:1, 0:2] -> c : rearrange("a | b -> b a") | cat(0)')
    assert len(found.sources) == 1
    assert [call.name for call in found.ops] == ["rearrange", "cat"]


WRONG = [
    ("a b", 1, "a line without an arrow; expected source -> target"),
    ("a->b", 1, "a line without an arrow"),
    ("a -> b : tie", 3, "a tie; expected `a => b : tie`"),
    ("a => b", 3, "a tie; expected `a => b : tie`"),
    ("a -> drop", 10, 'drop without a reason; expected drop ... "why"'),
    ("init -> a", 10, 'init without a reason; expected init ... "why"'),
    ("a -> b !lossless", 8, "!lossless; expected one of !lossy"),
    ("a -> b, ", 8, "an empty place; expected a pattern"),
    ("a,, b -> c", 3, "an empty place; expected a pattern"),
    (" -> b", 1, ""),
    ("a -> b : t |", 13, "an empty place; expected an operation"),
    ("a -> b : | t", 10, "an empty place; expected an operation"),
    ("a -> b : transpose", 10, "'transpose'; expected one of t, permute"),
    ("a -> b : t | turn(0)", 14, "'turn(0)'; expected one of t, permute"),
    ("a -> b : cat(0", 10, "'cat(0' is no operation"),
    ("a -> b : scale(1or 2)", 10, "'scale(1or 2)' is no operation"),
    ("a -> b : cat(__import__('os'))", 14, "expected a number, a name, a text or a list"),
    ("a -> b : cat(x.y)", 14, "expected a number, a name, a text or a list"),
    ("a -> b : cat(n + 1)", 14, "'n' is no number"),
    ("a -> b : cat(2 ** 9)", 14, "expected a number, a name, a text or a list"),
    ("a -> b : rest=keep", 10, "rest=keep; expected rest=init"),
    ("a[0] -> b", 3, "expected start:stop for each leading dimension"),
    ("a[-1:] -> b", 3, "expected start:stop for each leading dimension"),
    ("a{ -> b", 2, "brace"),
    ("h.{i.w -> b", 3, "brace"),
    ("h.{2**i}.w -> b", 3, "is no hole"),
    ("h.{0*i}.w -> b", 3, "always the same number"),
    ("a -> h.{i%2}", 8, "is no hole"),
    ("x, h.{i%2} -> a", 6, "is no hole"),
    ("h.x** -> b", 1, "** as a whole segment"),
    ("a.** -> b.** except h.{i%2}", 23, "is no hole"),
    ("a -> b: t", 8, "a space in 'b: t'; expected ` : ` before operations"),
    ("a -> b :", 7, "a space in 'b :'"),
    ("a -> b -> c", 7, "a space in 'b -> c'"),
    ("a -> b except", 7, "a space in 'b except'"),
    ("a -> my head", 8, "backticks around a name with spaces"),
    ('a -> drop "x" : t', 10, "a space in 'drop \"x\"'"),
    ('a -> drop : t "x"', 11, 'operations beside drop; expected drop ... "why"'),
    ('a => drop : tie "x"', 11, "operations beside drop"),
    ('init -> a : t "x"', 11, "operations beside init"),
    ('a[0:2] -> drop "x"', 1, "a part of a tensor beside drop"),
    ('init -> a.** except a.b "x"', 14, "except beside init"),
    ('a -> b "why"', 7, '"why" beside no drop or init; expected a comment: # why'),
    ("a -> b : rest=init", 10, "rest=init of a whole target; expected a part: name[start:stop]"),
    ("a -> b[0:2], c : rest=init", 18, "rest=init of a whole target"),
]


@pytest.mark.parametrize(("text", "column", "message"), WRONG, ids=[case[0] for case in WRONG])
def test_a_line_that_means_nothing(text, column, message):
    """The error of a wrong line has its line, its column, what was expected, and the line with a caret."""
    with pytest.raises(PatternError) as caught:
        Plan.of(f"x1 -> y1\n{text}\nx2 -> y2")
    line = Plan.of("x1 -> y1\nx -> y").rules[1].line
    shown = str(caught.value).split("\n")
    assert message in shown[0]
    assert shown[0].startswith(f"line {line}, column {column}: ")
    assert shown[-2] == f"    {text.rstrip()}"
    assert shown[-1] == "    " + " " * (column - 1) + "^"
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_very_deep_argument_is_refused():
    """Thousands of brackets are an error of the line, not of the interpreter."""
    with pytest.raises(PatternError):
        rule(f"a -> b : cat({'(' * 10_000}0{')' * 10_000})")


def test_a_block_puts_prefixes_before_names():
    """A block's prefixes stand before every name of its rules, and in exceptions; lines count in the file."""
    rules = '"""\n\n# first\na.{t}, b -> c.{t} except a.x\n"""'
    text = f'plan = 1\n\n[[block]]\nsource = "m.enc."\ntarget = "blocks."\nrules = {rules}\n'
    (found,) = Plan.parse(text).rules
    assert texts(found.sources) == ["m.enc.a.{t}", "m.enc.b"]
    assert texts(found.targets) == ["blocks.c.{t}"]
    assert [p.text for p in found.excepts] == ["m.enc.a.x"]
    assert found.line == 9
    assert text.split("\n")[found.line - 1] == found.text


def test_lines_of_several_blocks():
    """Every rule knows its line in the file, in whatever block it stands."""
    first = "plan = 1\n[dims]\nn = 2\n[[block]]\nrules = '''\na -> b : scale(n)\n'''\n"
    text = first + '[[block]]\nrules = """x -> y\nz -> w"""\n'
    plan = Plan.parse(text)
    assert [(r.line, r.text) for r in plan.rules] == [(6, "a -> b : scale(n)"), (9, "x -> y"), (10, "z -> w")]
    assert plan.rules[0].ops[0].args == (2,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plan = 2\n", "plan = 2; expected plan = 1"),
        ("x = 1\n", "plan = None; expected plan = 1"),
        ("plan = 1\nfoo = 1\n", "foo in the plan; expected source, target, dims and [[block]]"),
        ("plan = 1\n[dims]\nn = 0\n", "expected names with whole numbers"),
        ("plan = 1\n[dims]\nn = true\n", "expected names with whole numbers"),
        ("plan = 1\n[[block]]\nsource = 'a'\n", "a block with source"),
        ("plan = 1\n[[block]]\nrules = 'a -> b'\nfoo = 1\n", "a block with foo, rules"),
        ("plan = [", "no TOML"),
    ],
)
def test_a_document_that_is_no_plan(text, message):
    """Fields that a plan does not have, or of another kind, are errors of a plan."""
    with pytest.raises(PlanError) as caught:
        Plan.parse(text)
    assert message in str(caught.value)


def test_a_plan_file_that_cannot_be_read(tmp_path):
    """Errors of a plan file name the file."""
    with pytest.raises(PlanError, match=r"nowhere.toml: cannot be read"):
        Plan.load(tmp_path / "nowhere.toml")
    path = tmp_path / "bad.toml"
    path.write_text('plan = 1\n[[block]]\nrules = """\na b\n"""\n', encoding="utf-8")
    with pytest.raises(PatternError, match=r"bad.toml: line 4, column 1: a line without an arrow"):
        Plan.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match=r"bad.toml: cannot be read"):
        Plan.load(path)


odd_names = st.text(" .,{}[]#\"`'%*:|!->=ab01\n", max_size=8) | st.sampled_from(
    ["init", "drop", "a -> b", "a optional"]
)


@given(odd_names, odd_names, odd_names)
def test_any_name_can_stand_in_a_rule(source, target, but):
    """A name spelled as a pattern means that name wherever a pattern may stand, in a reason too."""
    a, b, c = map(as_pattern, (source, target, but))
    found = rule(f"{a}[0:2] -> {b}, {b} : t !lossy except {c}  # of {source!r}")
    (left,), right = found.sources, found.targets
    assert left.pattern.match(source) == {}
    assert left.spans == ((0, 2),)
    assert [term.pattern.spell({}) for term in right] == [target, target]
    assert found.excepts[0].match(but) == {}
    assert [str(call) for call in found.ops] == ["t"]
    assert rule(f'{a} -> drop "as {b}"').reason == f"as {b}"
    assert rule(f'init -> {b} "new"').targets[0].pattern.spell({}) == target
    assert rule(f"{a} => {b} : tie").kind == "tie"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a -> drop "x" "y"', "two reasons; expected one"),
        ("a -> b : slice(0, 1, 2, **more)", "expected each argument by one name"),
        ('a -> b : rearrange("(x y) -> x y", x=2, x=3)', "expected each argument by one name"),
    ],
)
def test_nothing_is_said_twice(text, message):
    """Where of two reasons or arguments one would be passed over, both are refused."""
    with pytest.raises(PatternError, match=message):
        rule(text)
