"""Repeated blocks as one row, truthfully."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from weightlift.blocks import compress


def templates(*names, value=None):
    return [(row.template, row.count) for row in compress((name, value) for name in names)]


def test_layers_become_one_row():
    """Names that differ in one number only are one row with its range."""
    assert templates(*(f"h.{i}.w" for i in range(32))) == [("h.{0..31}.w", 32)]


def test_different_values_are_not_merged():
    """Names with different shapes stay rows of their own."""
    rows = compress([("h.0.w", 1), ("h.1.w", 2)])
    assert [row.template for row in rows] == ["h.0.w", "h.1.w"]


def test_gap_is_shown():
    """A missing number is visible in the range."""
    assert templates("h.0.w", "h.1.w", "h.2.w", "h.5.w") == [("h.{0..2,5}.w", 4)]


def test_two_axes_merge_only_as_a_full_grid():
    """Two numbers make one row only where every combination is there."""
    full = [f"s.{i}.b.{j}.w" for i, j in product(range(2), range(3))]
    assert templates(*full) == [("s.{0,1}.b.{0..2}.w", 6)]
    assert templates(*full[:-1]) == [("s.0.b.{0..2}.w", 3), ("s.1.b.{0,1}.w", 2)]


def test_zero_padded_numbers_are_text():
    """A segment like 01 is not the number 1."""
    assert templates("h.01.w", "h.1.w") == [("h.01.w", 1), ("h.1.w", 1)]


def test_rows_keep_the_order_of_first_appearance():
    """Rows stand where their first name stood."""
    assert templates("a.0", "b", "a.1", "c") == [("a.{0,1}", 2), ("b", 1), ("c", 1)]


def expand(template):
    """The names that a template stands for."""
    joined = template
    if "{" not in joined:
        return [joined]
    start, end = joined.index("{"), joined.index("}")
    numbers = []
    for piece in joined[start + 1 : end].split(","):
        low, _, high = piece.partition("..")
        numbers += range(int(low), int(high or low) + 1)
    return [name for n in numbers for name in expand(joined[:start] + str(n) + joined[end + 1 :])]


@given(
    st.lists(
        st.tuples(st.sampled_from(["h.{}.w", "s.{}.b.{}.w", "x"]), st.integers(0, 4), st.integers(0, 3), st.booleans()),
        max_size=40,
    )
)
def test_rows_stand_for_exactly_the_names_given(choices):
    """Expanding every row gives back each name once, with its own value."""
    names = {template.format(i, j): value for template, i, j, value in choices}
    rows = compress(names.items())
    expanded = [(name, row.value) for row in rows for name in expand(row.template)]
    assert sorted(expanded) == sorted(names.items())
    assert sum(row.count for row in rows) == len(names)
