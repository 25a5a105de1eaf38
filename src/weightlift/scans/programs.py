"""The code in a TorchScript archive: a program of its own, read here as text and never run.

`torch.jit.load` compiles it and runs the `__setstate__` of its classes; the rest runs when the module
is called. It cannot import Python, only call operators. Those that touch files, and those that are not
torch's own, are told.
"""

from __future__ import annotations

from .gathered import Gathered
from .values import Evidence

_FILES = ("torch.save(", "torch.from_file(", "torch.load(", "ops.aten.save(", "ops.aten.from_file(")
_MOST_OPERATORS = 500_000
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
    import re  # which few files need

    told = set(_OWN)
    for number, found in enumerate(re.finditer(rb"ops\.([A-Za-z_]\w*)\.", text)):
        if number == _MOST_OPERATORS:
            message = f"more than {number} calls of operators; those from byte {found.start()} on are not looked at"
            gathered.unreadable("limit", where, message, found.start())
            break
        library = found[1][:96]
        if library not in told:
            told.add(library)
            message = f"the program calls operators of {library.decode()!r}, which are not torch's own"
            gathered.add(Evidence("unknown-operator", "warning", where, message, found.start()))
