"""The code in a TorchScript archive: a program of its own, read here as text and never run.

`torch.jit.load` compiles it and runs the `__setstate__` of its classes; the rest runs when the module
is called. It cannot import Python, only call operators. Those that touch files, and those that are not
torch's own, are told; so is what takes operators by another way than their full name.

Follows torch/csrc/jit/frontend/lexer.h: spaces, comments and lines that go on may stand between any two words.
"""

from __future__ import annotations

import re

from .gathered import Gathered
from .values import Evidence

_FILES = {b"save", b"load", b"from_file"}
_OWN = {
    b"aten",
    b"prim",
    b"prims",
    b"quantized",
    b"_quantized",
    b"prepacked",
    b"mkldnn",
    b"sparse",
    b"onednn",
    b"inductor",
}
_ONCE_MORE = b"autograd"  # `torch.autograd` is `torch` by another name
_LONGEST = 16 << 20
_MOST_TEXTS = 1_000_000
_MOST_NAMES = 200_000
_MOST_PARTS = 8
# Texts and comments, in which a name is none. All is possessive: whatever stands there is gone over once. A text
# without its end goes to that of its line, or of the program; torch compiles neither.
_ASIDE = re.compile(
    rb"'''(?:[^'\\]++|\\.|'(?!''))*+(?:'''|\\?\Z)"
    rb'|"""(?:[^"\\]++|\\.|"(?!""))*+(?:"""|\\?\Z)'
    rb"|'(?:[^'\\\n]++|\\.)*+(?:['\n]|\\?\Z)"
    rb'|"(?:[^"\\\n]++|\\.)*+(?:["\n]|\\?\Z)'
    rb"|\#[^\n]*+",
    re.DOTALL,
)
_NAME = re.compile(rb"(torch|ops)(?!\w)((?:[\s\\]*+\.[\s\\]*+\w*+){0,%d}+)" % _MOST_PARTS)
_PART = re.compile(rb"[^\s\\.]+")
_BEFORE = b".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"  # then it is part of another name
_DECLARED = re.compile(rb"[ \t]*:")


def scan_code(text: bytes, where: str, gathered: Gathered) -> None:
    """Tell the operators in the code that reach outside of tensors."""
    if len(text) > _LONGEST or sum(text.count(mark) for mark in (b"'", b'"', b"#")) > _MOST_TEXTS:
        gathered.unreadable("limit", where, f"a program of {len(text)} bytes is more than is looked at")
        return
    code = _ASIDE.sub(lambda found: b" " * len(found[0]), text)
    told: set[bytes] = set()
    for count, found in enumerate(_NAME.finditer(code)):
        if count == _MOST_NAMES:
            gathered.unreadable("limit", where, f"a program of more than {_MOST_NAMES} operators", found.start())
            return
        at = found.start()
        if found[0] in told or (at and code[at - 1] in _BEFORE):
            continue
        if not found[2] and _DECLARED.match(code, found.end()):  # an attribute that is called so
            continue
        told.add(found[0])
        _tell(found[1], _PART.findall(found[2]), text, at, where, gathered)


def _tell(root: bytes, parts: list[bytes], text: bytes, at: int, where: str, gathered: Gathered) -> None:
    """Tell what is wrong with one name, by its parts."""
    names = [part.decode("ascii", "replace") for part in parts]
    library = parts[0] if root == b"ops" and parts else b"aten"
    reaching = [name for name, part in zip(names, parts, strict=True) if part in _FILES]
    line = text[at : at + 200].partition(b"\n")[0].decode("utf-8", "replace")
    if reaching and library == b"aten":
        called = f"torch.{reaching[0]}" if root == b"torch" else f"ops.aten.{reaching[0]}"
        message = f"the program calls {called}, which reads or writes a file"
        gathered.add(Evidence("dangerous-operator", "danger", where, message, at, call=line))
    elif library not in _OWN:
        message = f"the program calls operators of {names[0]!r}, which are not torch's own"
        gathered.add(Evidence("unknown-operator", "warning", where, message, at))
    elif len(parts) < (1 if root == b"torch" else 2) or parts[-1] == _ONCE_MORE or len(parts) >= _MOST_PARTS:
        message = f"the program takes {'.'.join([root.decode(), *names])}, by which it can call any operator"
        gathered.add(Evidence("unknown-operator", "warning", where, message, at))
