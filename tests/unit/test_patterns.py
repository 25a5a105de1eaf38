"""Patterns over names: what fits, what is bound, what is spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightlift.errors import PatternError
from weightlift.patterns import Names, Pattern, as_pattern


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("layers.1.**", ["layers.1.w", "layers.1.a.b", "layers.1"], ["layers.10.w", "x.layers.1.w"]),
        ("**.weight", ["weight", "a.weight", "a.b.weight"], ["a.weights", "weight.a"]),
        ("*.weight", ["a.weight"], ["weight", "a.b.weight"]),
        ("a.**.b", ["a.b", "a.x.b", "a.x.y.b"], ["a.xb", "ab"]),
        ("h.*_proj", ["h.q_proj", "h._proj"], ["h.q.k_proj"]),
        ("a+b", ["a+b"], ["aab"]),
        ("h.{i}.w", ["h.0.w", "h.12.w"], ["h.01.w", "h.x.w", "h.1.2.w"]),
        ("h.{2*i+1}.w", ["h.1.w", "h.3.w"], ["h.0.w", "h.2.w"]),
        ("{i}.x.{i}", ["1.x.1"], ["1.x.2"]),
        ("l{i}_{t}", ["l3_w"], ["lx_w"]),
        ("{q,k,v}.w", ["q.w", "v.w"], ["o.w"]),
        ("{0..2}.w", ["0.w", "2.w"], ["3.w"]),
        ("`my {i}`.{i}.**", ["my {i}.3.w", "my {i}.3"], ["my 3.3.w", "`my {i}`.3"]),
        ("a`**`", ["a**"], ["a", "ab"]),
        ("`a%0Ab%25`", ["a\nb%"], ["a%0Ab%25"]),
    ],
)
def test_patterns_are_anchored_at_segments(pattern, fits, misses):
    """A pattern fits whole names, segment by segment."""
    assert all(Pattern(pattern).match(name) is not None for name in fits)
    assert not any(Pattern(pattern).match(name) for name in misses)


def test_binding_and_spelling():
    """What one pattern binds, another spells."""
    found = Pattern("layer.{i}.attn.{query,key}.{t}").match("layer.3.attn.key.bias")
    assert found == {"i": 3, "#0": 1, "t": "bias"}
    assert Pattern("h.{2*i+1}.{q,k}_proj.{t}").spell(found) == "h.7.k_proj.bias"
    assert Pattern("{t}").spell({"t": "w"}) == "w"


@pytest.mark.parametrize(
    "text", ["", " a", "a.{", "a.{b c}", "{0*i}", "a**", "x.{}", "a`b", "`50%`", "`%ff`", "{`a b`,c}"]
)
def test_meaningless_patterns_are_refused(text):
    """A pattern that means nothing is an error where it is written."""
    with pytest.raises(PatternError):
        Pattern(text)


@given(
    st.integers(0, 99),
    st.integers(1, 5),
    st.integers(-3, 5),
    st.sampled_from(["w", "b"]),
    st.lists(st.sampled_from(["a", "b0"])),
)
def test_spelling_is_the_inverse_of_matching(i, scale, shift, leaf, tail):
    """A spelled name fits its pattern and gives back the values."""
    sign = f"{shift:+d}" if shift else ""
    made = Pattern(f"x.{{{scale}*i{sign}}}.**.{{t}}.{{w,b}}")
    values = {"i": i, "**": "".join("." + t for t in tail), "t": "t1", "#0": "wb".index(leaf)}
    if scale * i + shift >= 0:
        assert made.match(made.spell(values)) == values


segments = st.sampled_from(["a", "b1", "1", "12", "0", "h", "a.b", "1.2", "x2"])
holes = st.sampled_from(["{i}", "{t}", "**", "{a,b1}", "{0..3}", "{2*i+1}", "*", "{a.1,1.b}", "{k:int}"])
pieces = st.one_of(segments, holes, st.tuples(segments, holes).map("".join), st.tuples(holes, segments).map("".join))


@given(
    st.lists(pieces, min_size=1, max_size=4).map(".".join),
    st.lists(st.lists(segments, min_size=1, max_size=4).map(".".join), max_size=12, unique=True),
)
def test_many_names_are_searched_as_one_by_one(text, names):
    """What is ruled out by its skeleton would not have fitted."""
    try:
        wanted = Pattern(text)
    except PatternError:
        return
    fitting = [(name, binding) for name in names if (binding := wanted.match(name)) is not None]
    assert Names(names).matching(wanted) == fitting


names = st.text(max_size=12) | st.text(" .,{}[]#\"`'%*:|!->=ab01\n\0\1\2", max_size=12)


@given(names, names)
def test_a_name_spelled_as_a_pattern_fits_itself_alone(name, other):
    """Whatever a name is made of, it can be spelled as a pattern that fits it and no other, on one line."""
    spelled = as_pattern(name)
    assert Pattern(spelled).match(name) == {}
    assert Pattern(spelled).spell({}) == name
    assert Names([name]).matching(Pattern(spelled)) == [(name, {})]
    assert name == other or Pattern(spelled).match(other) is None
    assert spelled.isprintable()


@pytest.mark.parametrize("name", ["h.0.attn.weight", "a/b-c.kernel:0", "módulo.w"])
def test_an_ordinary_name_is_its_own_pattern(name):
    """Nothing is quoted that need not be."""
    assert as_pattern(name) == name
