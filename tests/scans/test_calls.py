"""A call as text: nested, bounded, whatever stands in it."""

from __future__ import annotations

import pytest

from weightlift.pickles import Global, Object
from weightlift.scans.calls import call_text


def called(fn, *args, **kwargs):
    made = Object(fn, args, is_call=True, offset=0)
    made.kwargs = kwargs
    return made


SYSTEM = Global("posix", "system")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (called(SYSTEM, "echo hi"), "posix.system('echo hi')"),
        (called(SYSTEM, b"\xff", 1, None, x=[1.5]), "posix.system(b'\\xff', 1, None, x=[1.5])"),
        (
            called(
                called(Global("builtins", "getattr"), called(Global("builtins", "__import__"), "os"), "system"), "id"
            ),
            "builtins.getattr(builtins.__import__('os'), 'system')('id')",
        ),
        (called(SYSTEM, {"a": (SYSTEM,)}), "posix.system({'a': (posix.system,)})"),
        (called(SYSTEM, "\x1b[2J\ud800"), "posix.system('\\x1b[2J\\ud800')"),
    ],
)
def test_texts(value, text):
    """Calls read as Python; nothing in them reaches a terminal as a control character."""
    assert call_text(value) == text


def test_monstrous_calls():
    """A call that contains itself, is too deep or too long is cut."""
    inside = [SYSTEM]
    inside.append(inside)
    assert call_text(called(SYSTEM, inside)) == "posix.system([posix.system, ...])"
    deep = called(SYSTEM, "x")
    for _ in range(20_000):
        deep = called(SYSTEM, deep)
    assert "..." in call_text(deep)
    shared = ("a", "b")
    for _ in range(60):
        shared = (shared, shared)
    for value in (shared, "x" * 10**6, list(range(10**6)), dict.fromkeys(range(1000), "y" * 100)):
        assert len(call_text(called(SYSTEM, value))) <= 300
