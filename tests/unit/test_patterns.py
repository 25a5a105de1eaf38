"""Patterns over names."""

from __future__ import annotations

import pytest

from weightlift.patterns import matcher


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("layers.1.**", ["layers.1.w", "layers.1.a.b", "layers.1"], ["layers.10.w", "x.layers.1.w"]),
        ("**.weight", ["weight", "a.weight", "a.b.weight"], ["a.weights", "weight.a"]),
        ("*.weight", ["a.weight"], ["weight", "a.b.weight"]),
        ("a.**.b", ["a.b", "a.x.b", "a.x.y.b"], ["a.xb", "ab"]),
        ("h.*_proj", ["h.q_proj", "h._proj"], ["h.q.k_proj"]),
        ("a+b", ["a+b"], ["aab"]),
    ],
)
def test_patterns_are_anchored_at_segments(pattern, fits, misses):
    """A pattern fits whole names, segment by segment."""
    assert all(map(matcher(pattern), fits))
    assert not any(map(matcher(pattern), misses))
