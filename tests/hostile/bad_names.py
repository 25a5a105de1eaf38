"""Names made to harm the terminal, the page or the file that they are shown or written in."""

from __future__ import annotations

from bad_files import NOTHING, Table, torch_file
from builders import FOUR_FLOATS, dict_of, integer, pickled, tensor, text

TABLE = Table()
ODD = ("\x1b[2J\x1b]0;title\x07w", "[bold red]x[/]", "<script>alert(1)</script>", "a\nb", "\u202egnp.exe", "a\u200bb",
       "nul\0nul", "\u2066x\u2069", "\x9b31m", "a\rb", "\u2028", "\ue000", "weightlift", "format", "")  # fmt: skip


def entries(*names: str) -> bytes:
    return torch_file(pickled(dict_of(*((name, tensor()) for name in names))))


@TABLE.add(weights=dict.fromkeys(ODD, FOUR_FLOATS))
def names_that_speak_to_the_terminal() -> bytes:
    return entries(*ODD)


@TABLE.add(weights={"x" * 1_000_000: FOUR_FLOATS})
def a_name_of_a_million_letters() -> bytes:
    return entries("x" * 1_000_000)


@TABLE.add(weights={"a\ud800": FOUR_FLOATS}, extract=("UnsupportedError", "lone surrogate"))
def a_lone_surrogate() -> bytes:
    return entries("a\ud800")


@TABLE.add(weights={"__metadata__": FOUR_FLOATS}, extract=("UnsupportedError", "'__metadata__', which safetensors"))
def the_name_that_safetensors_keeps() -> bytes:
    return entries("__metadata__")


@TABLE.add(weights={"a -> b": FOUR_FLOATS, "{i}": FOUR_FLOATS, "**": FOUR_FLOATS, "x # y": FOUR_FLOATS})
def names_that_look_like_rules() -> bytes:
    return entries("a -> b", "{i}", "**", "x # y")


@TABLE.add(weights=NOTHING, extract=("NoStateDictError", "no state dict"))
def one_as_a_number_and_as_text() -> bytes:
    return torch_file(pickled(b"}(" + integer(1) + tensor() + text("1") + tensor() + b"u"))


@TABLE.add(weights=NOTHING, extract=("AmbiguousStateDictError", "none is plainly the weights"))
def a_flat_name_beside_a_nested_one() -> bytes:
    inner = dict_of(("b", dict_of(("w", tensor()))))
    other = dict_of(("w", tensor((2,), (1,))))
    return torch_file(pickled(dict_of(("a", inner), ("a.b", other))))


@TABLE.add(weights={"../../etc/passwd": FOUR_FLOATS, "/etc/passwd": FOUR_FLOATS, "C:\\x": FOUR_FLOATS})
def names_that_look_like_paths() -> bytes:
    return entries("../../etc/passwd", "/etc/passwd", "C:\\x")
