"""`weightlift convert BUNDLE DIR`"""

from __future__ import annotations

import json
import os
import sys

from ...actions.convert import Conversion, convert
from ...errors import SourceError, UnsupportedError, plural, printable
from ...typed import TYPE_CHECKING
from ...writers.hashing import DEFAULT_HASH, HASH_NAMES
from ..text import human_bytes
from .progress import progress_line
from .signals import ended_by_signals

if TYPE_CHECKING:
    import argparse

PLAIN = ("path", "out")
SUMMARY = "Bring a pickled training bundle (weights, optimizer, scheduler ...) into a checkpoint directory."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("path", metavar="BUNDLE", help="a checkpoint, or a folder of Hugging Face's Trainer")
    parser.add_argument("out", metavar="DIR", help="the checkpoint directory to write")
    parser.add_argument("--without", action="append", metavar="PART", help="leave this part out: optimizer")
    parser.add_argument(
        "--names",
        action="append",
        metavar="FILE",
        help="the optimizer's parameters, one name a line in the order of its groups; PART=FILE for one of several",
    )
    parser.add_argument("--hash", choices=HASH_NAMES, help=f"of files and tensors (default: {DEFAULT_HASH})")


def run(arguments: argparse.Namespace) -> int:
    """Convert and say what was written: 0, or 1 where something could not be carried over."""
    names = _names(arguments.names or ())
    with ended_by_signals(), progress_line(f"converting {arguments.path}") as progress:
        done = convert(
            arguments.path,
            arguments.out,
            without=arguments.without or (),
            names=names,
            hash=arguments.hash or DEFAULT_HASH,
            progress=progress,
        )
    if arguments.json:
        print(_json(done))
    else:
        for line in _lines(done):
            print(printable(line))
        for note in done.notes:
            print(printable(f"note: {note}"), file=sys.stderr)
        for lost in done.left:
            print(printable(f"not carried over: {lost}"), file=sys.stderr)
    return 1 if done.left else 0


def _names(given: list[str] | tuple[str, ...]) -> dict[str, list[str]] | list[str] | None:
    """Return the names in the files: a list, or part -> list."""
    if not given:
        return None
    parts: dict[str, list[str]] = {}
    for text in given:
        part, equals, file = text.partition("=")
        if not equals or os.path.exists(text):
            part, file = "", text
        if part in parts or (parts and "" in {part, *parts}):
            raise UnsupportedError(f"--names {text}", expected="one file, or PART=FILE for each optimizer")
        parts[part] = _read(file)
    return parts.get("", parts)


def _read(file: str) -> list[str]:
    try:
        with open(file, encoding="utf-8") as held:
            return [line.strip() for line in held if line.strip()]
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror})", where=file) from None
    except UnicodeDecodeError:
        raise SourceError("is no text", expected="one name a line", where=file) from None


def _lines(done: Conversion) -> list[str]:
    rows = [
        (part.name, part.kind, plural(part.tensors, "tensor"), human_bytes(part.nbytes), f"from {part.origin}")
        for part in done.parts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    step = f", step {done.written.manifest.step}" if done.written.manifest.step is not None else ""
    parts = f"{plural(len(rows), 'part')} of a {done.maker} bundle"
    return [
        f"{done.written.path}: {parts}{step}, {human_bytes(done.written.nbytes)}",
        *(
            "  " + "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]])
            for row in rows
        ),
        f"next: {done.next_call}",
    ]


def _json(done: Conversion) -> str:
    body = {
        "source": done.source,
        "maker": done.maker,
        "path": done.written.path,
        "nbytes": done.written.nbytes,
        "step": done.written.manifest.step,
        "parts": [
            {"name": p.name, "kind": p.kind, "from": p.origin, "tensors": p.tensors, "nbytes": p.nbytes}
            for p in done.parts
        ],
        "notes": list(done.notes),
        "left": list(done.left),
        "next": done.next_call,
    }
    return json.dumps({"schema": 1, "kind": "converted", **body}, indent=1)
