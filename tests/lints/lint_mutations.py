"""Source files and notebooks changed at random, in the ways that files differ in the wild."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from random import Random

Mutation = Callable[[str, Random], str]


def mutated(sources: list[str], rng: Random) -> bytes:
    """Return one of the sources with a few changes, as bytes in some encoding with some line ends."""
    text = rng.choice(sources)
    if rng.random() < 0.2:
        other = rng.choice(sources)
        text = _lines(text, rng)[0] + _lines(other, rng)[1]
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        text = rng.choice(_OF_TEXT)(text, rng)
    data = rng.choice(_ENCODINGS)(text, rng)
    for _ in range(rng.choice([0, 0, 0, 0, 1])):
        data = rng.choice(_OF_BYTES)(data, rng)
    return data


def notebook_of(text: str, rng: Random) -> str:
    """Return a notebook whose code cells have a source in them, cut in pieces at statements, laid out somehow."""
    lines = text.splitlines(keepends=True)
    tops = [i for i, line in enumerate(lines) if i and re.match(r"[a-z@]", line)]
    cuts = sorted(rng.sample(tops, min(len(tops), rng.randrange(4))))
    cells = []
    for begin, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        part = lines[begin:end]
        for _ in range(rng.choice([0, 0, 1, 2])):
            part.insert(
                rng.choice([0, len(part)]), rng.choice(["%time\n", "!pip install x\n", "x?\n", "%%bash\n", "\n"])
            )
        if rng.random() < 0.3 and part:
            part[-1] = part[-1].rstrip("\n")
        cell = {"cell_type": "code", "metadata": {"source": "m.state_dict(x)"}, "outputs": [], "source": part}
        if rng.random() < 0.3:
            cell["source"] = "".join(part)
        if rng.random() < 0.1:
            del cell[rng.choice(["cell_type", "metadata", "outputs", "source"])]
        if rng.random() < 0.1:
            cell[rng.choice(["source", "cell_type"])] = rng.choice([None, 3, {}, [1], [["x"]], "", []])
        cells.append(cell)
        if rng.random() < 0.3:
            cells.append({"cell_type": "markdown", "source": ["torch.load é\n"]})
    rng.shuffle(cells) if rng.random() < 0.1 else None
    document = {"metadata": {"cells": [{"source": "x"}]}, "cells": cells, "nbformat": 4}
    layout = rng.choice(
        [{"indent": 1}, {}, {"indent": "\t"}, {"indent": 2, "ensure_ascii": False}, {"separators": (",", ":")}]
    )
    made = json.dumps(document, **layout) + rng.choice(["", "\n", "\r\n", "  "])
    if rng.random() < 0.1:
        made = made.replace("\n", "\r\n")
    return _damaged(made, rng) if rng.random() < 0.1 else made


def _lines(text: str, rng: Random) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines) + 1)
    return "".join(lines[:at]), "".join(lines[at:])


def _damaged(text: str, rng: Random) -> str:
    begin = rng.randrange(len(text) + 1)
    return text[:begin] + rng.choice(["", "{", "]", '"', "\0", "é", "\\", "(" * 300]) + text[begin + rng.randrange(9) :]


def _cut(text: str, rng: Random) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _without_a_line(text: str, rng: Random) -> str:
    before, after = _lines(text, rng)
    return before + after.partition("\n")[2]


def _line_twice(text: str, rng: Random) -> str:
    before, after = _lines(text, rng)
    line, end, rest = after.partition("\n")
    return before + (line + end) * rng.choice([2, 2, 30]) + rest


def _in_a_block(text: str, rng: Random) -> str:
    heads = [
        "if True:",
        "def f(model, *args, **kw):",
        "class Net(torch.nn.Module):\n    def forward(self, x):",
        "async def f():",
        "for epoch in range(3):",
        "while True:",
        "try:",
        "with x as y:",
        "match x:\n    case [a, *b]:",
    ]
    head = rng.choice(heads)
    depth = 1 + head.count("\n")
    body = "".join("    " * depth + line if line.strip() else line for line in text.splitlines(keepends=True))
    tail = "\nfinally:\n    pass\n" if head == "try:" else "\n"
    return f"{head}\n{body}{tail}"


def _tabs(text: str, rng: Random) -> str:
    return re.sub(r"(?m)^(?: {4})+", lambda found: "\t" * (len(found[0]) // 4), text)


def _form_feeds(text: str, rng: Random) -> str:
    before, after = _lines(text, rng)
    return before + "\f" + after


def _comments(text: str, rng: Random) -> str:
    return re.sub(
        r"([(,]) ?(?=[\w\"'])", lambda found: found[1] + "  # why, é ☃\n" if rng.random() < 0.1 else found[0], text
    )


def _wide(text: str, rng: Random) -> str:
    return re.sub(
        r"(?m)^( *)(?=m\w*\.|torch\.)", lambda found: found[1] + rng.choice(["x = 'é☃😀'; ", "é = 1; ", ""]), text
    )


def _parentheses(text: str, rng: Random) -> str:
    depth = rng.choice([1, 3, 60])
    return re.sub(
        r"torch\.load\([^()]*\)",
        lambda found: "(" * depth + found[0] + ")" * depth if rng.random() < 0.5 else found[0],
        text,
    )


def _one_line(text: str, rng: Random) -> str:
    return re.sub(r"(?m)^(\w[^#\n:({\[]*\([^#\n:]*\))(?: *#.*)?\n(?=\w[^#\n:]*\)$)", r"\1; ", text)


def _continued(text: str, rng: Random) -> str:
    return re.sub(r"(?m)^( *\w+) = (?=\w)", r"\1 = \\\n    ", text)


def _renamed(text: str, rng: Random) -> str:
    name = rng.choice(["th", "t", "é"])
    return text.replace("import torch\n", f"import torch as {name}\n").replace("torch.", f"{name}.")


def _in_a_string(text: str, rng: Random) -> str:
    return re.sub(
        r"torch\.load\(\w+\)", lambda found: "f'{" + found[0] + "}'" if rng.random() < 0.5 else found[0], text
    )


def _walrus(text: str, rng: Random) -> str:
    return re.sub(r"torch\.load\(\w+\)", lambda found: f"(w := {found[0]})" if rng.random() < 0.5 else found[0], text)


def _huge_line(text: str, rng: Random) -> str:
    before, after = _lines(text, rng)
    return f"{before}x = [{'1, ' * rng.choice([1000, 4000])}]\n{after}"


def _deep(text: str, rng: Random) -> str:
    before, after = _lines(text, rng)
    depth = rng.choice([50, 150, 400, 3000])
    kinds = [
        "[" * depth + "]" * depth,
        "-" * depth + "1",
        "a" + ".b" * depth,
        "a" + "(b)" * depth,
        "a" + " + 1" * depth,
    ]
    kinds += ["lambda: " * depth + "1", "a if b else " * depth + "c", "not " * depth + "a"]
    return f"{before}x = {rng.choice(kinds)}\n{after}"


def _ends(text: str, rng: Random) -> str:
    return rng.choice(
        ["", text.rstrip("\n"), text + "\n\n\n", text + "    ", text + "\\", text + "# no end", "\n" + text]
    )


_OF_TEXT: list[Mutation] = [
    *(_cut, _without_a_line, _line_twice, _in_a_block, _in_a_block, _tabs, _form_feeds, _comments, _comments, _wide),
    *(_wide, _parentheses, _one_line, _continued, _renamed, _in_a_string, _walrus, _huge_line, _deep, _ends, _damaged),
]
_ENCODINGS: list[Callable[[str, Random], bytes]] = [
    lambda text, rng: text.encode(),  # noqa: ARG005 - like the others
    lambda text, rng: text.encode(),  # noqa: ARG005
    lambda text, rng: b"\xef\xbb\xbf" + text.encode(),  # noqa: ARG005
    lambda text, rng: text.replace("\n", "\r\n").encode(),  # noqa: ARG005
    lambda text, rng: text.replace("\n", "\r").encode(),  # noqa: ARG005
    lambda text, rng: re.sub("\n", lambda _: rng.choice(["\n", "\r\n", "\n", "\r"]), text).encode(),
    lambda text, rng: ("# coding: latin-1\n# é\n" + text).encode("latin-1", "replace"),  # noqa: ARG005
    lambda text, rng: ("# -*- coding: cp1252 -*-\n'€'\n" + text).encode("cp1252", "replace"),  # noqa: ARG005
    lambda text, rng: ("# coding: none\n" + text).encode(),  # noqa: ARG005
    lambda text, rng: text.encode("utf-16"),  # noqa: ARG005
]
_OF_BYTES: list[Callable[[bytes, Random], bytes]] = [
    lambda data, rng: _with(data, rng, b"\0"),
    lambda data, rng: _with(data, rng, b"\xff"),
    lambda data, rng: _with(data, rng, bytes([rng.randrange(256)])),
    lambda data, rng: data[: rng.randrange(len(data) + 1)],
]


def _with(data: bytes, rng: Random, more: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + more + data[at:]


def parses(data: bytes) -> bool:
    """Whether bytes are Python."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True
