"""The code in a TorchScript archive: a program of its own, read here as text and never run.

`torch.jit.load` compiles it and runs the `__setstate__` of its classes; the rest runs when the module
is called. It cannot import Python, only call operators. Those that touch files, and those that are not
torch's own, are told.
"""

from __future__ import annotations

from .gathered import Gathered
from .values import Evidence

_FILES = ("torch.save(", "torch.from_file(", "torch.load(", "ops.aten.save(", "ops.aten.from_file(")
_OWN = (
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
)


def is_code(name: str) -> bool:
    """Whether a member is TorchScript code: `<prefix>/code/...py`."""
    return name.endswith(".py") and "/code/" in f"/{name}"


def scan_code(text: bytes, where: str, gathered: Gathered) -> None:
    """Tell the operators in the code that reach outside of tensors."""
    for called in _FILES:
        at = text.find(called.encode())
        if at >= 0:
            line = text[at : at + 200].partition(b"\n")[0].decode("utf-8", "replace")
            message = f"the program calls {called[:-1]}, which reads or writes a file"
            gathered.add(Evidence("dangerous-operator", "danger", where, message, at, call=line))
    at = text.find(b"ops.")
    while at >= 0:
        library = text[at + 4 : at + 100].partition(b".")[0]
        if _is_name(library) and library not in _OWN:
            name = library.decode("ascii", "replace")
            message = f"the program calls operators of {name!r}, which are not torch's own"
            gathered.add(Evidence("unknown-operator", "warning", where, message, at))
        at = text.find(b"ops.", at + 4)


def _is_name(text: bytes) -> bool:
    return text.isascii() and text.decode("ascii").isidentifier()
