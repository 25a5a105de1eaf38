r"""A trace as a list of calls: `123 pwrite64(3<\x2f\x61>, "\x62", 1, 9) = 1` becomes a `Call`.

Under `-xx` every string and path is in hexadecimal, so commas and brackets in the text are strace's own.
Calls are in the order in which they returned; what failed changed nothing and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .record import MARKS

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_PATH = re.compile(r"<((?:\\x[0-9a-f]{2})*)>")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded: `args` as strace wrote them; `data` its strings, joined; `result` what it returned."""

    pid: int
    name: str
    args: tuple[str, ...]
    result: int

    @property
    def data(self) -> bytes:
        """The bytes in its arguments, one buffer after another, as many as the call wrote."""
        found = _HEX.findall(" ".join(self.args))
        if any(cut for _, cut in found):
            raise ValueError(f"{self.name}: strace cut its data off")
        return b"".join(_unhex(text) for text, _ in found)[: self.result]

    def number(self, index: int) -> int:
        """Return an argument as a number; a descriptor without the path beside it."""
        return int(self.args[index].split("<")[0], 0)

    def path(self, index: int, folder: int | None = None) -> str:
        """Return the path in an argument, below the folder that another argument is a descriptor of."""
        text = _unhex(_HEX.fullmatch(self.args[index])[1]).decode("utf-8", "surrogateescape")  # type: ignore[index]
        if folder is None or text.startswith("/"):
            return text
        return _unhex(_PATH.search(self.args[folder])[1]).decode("utf-8", "surrogateescape") + "/" + text  # type: ignore[index]

    def __str__(self) -> str:
        """The call with its names readable and its data as a length."""
        return f"{self.name}({', '.join(_readable(text) for text in self.args)})"


def parse(lines: Iterable[str]) -> Iterator[Call]:
    """Yield the calls of a trace; a mark is a call named `mark` whose one argument is the name."""
    unfinished: dict[str, str] = {}
    for line in lines:
        pid, _, text = line.rstrip("\n").partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if text.startswith("<... "):
            text = unfinished.pop(pid) + text.partition("resumed>")[2]
        match = _LINE.match(f"{pid} {text}")
        if match is None:
            continue  # a signal, an exit
        name, args, result = match[2], tuple(_split(match[3])), match[4]
        if name.startswith("mkdir") and args and MARKS.encode().hex() in args[-2].replace("\\x", ""):
            yield Call(int(pid), "mark", (_readable(args[-2]).rpartition("/")[2].strip('"'),), 0)
        elif result != "?" and int(result) >= 0:
            yield Call(int(pid), name, args, int(result))


def _split(text: str) -> Iterator[str]:
    """Yield the arguments: what commas outside all brackets divide."""
    depth, start = 0, 0
    for match in re.finditer(r'"[^"]*"|[\[{(]|[\]})]|, ', text):
        if match[0] in "[{(":
            depth += 1
        elif match[0] in "]})":
            depth -= 1
        elif match[0] == ", " and not depth:
            yield text[start : match.start()]
            start = match.end()
    if text:
        yield text[start:]


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _readable(text: str) -> str:
    """Return an argument for people."""

    def short(match: re.Match[str]) -> str:
        data = _unhex(match[1])
        return (
            f'"{data.decode()}"' if len(data) < 300 and data.isascii() and b"\0" not in data else f"{len(data)} bytes"
        )

    return _HEX.sub(short, _PATH.sub(lambda match: f"<{_unhex(match[1]).decode(errors='replace')}>", text))
