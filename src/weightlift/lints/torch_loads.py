"""The functions that load what torch saved, and what a call of one is handed: the file, the place for its tensors."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .source_file import argument, is_constant, method

if TYPE_CHECKING:
    from .source_file import SourceFile

LOADS = ("torch.load", "torch.serialization.load")
MAP_LOCATION = {
    "torch.load": 1,
    "torch.serialization.load": 1,
    "torch.jit.load": 1,
    "torch.hub.load_state_dict_from_url": 2,
    "torch.utils.model_zoo.load_url": 2,
}
"""Where `map_location` stands among the parameters of what takes one."""

_TEMPORARY = ("tempfile.TemporaryFile", "tempfile.SpooledTemporaryFile")

UNPICKLERS = frozenset({"pickle", "_pickle", "cPickle", "pickle5", "dill", "cloudpickle", "torch.serialization.pickle"})
"""Modules that load without limits, as torch takes them for `pickle_module`."""


def is_other_unpickler(node: ast.expr | None, file: SourceFile) -> bool:
    """Whether something is passed as `pickle_module` that is none of those, and may well allow less."""
    made = file.value(node) if node is not None else None
    return node is not None and not is_constant(made, None) and file.qualified(node) not in UNPICKLERS


def map_location(call: ast.AST | None, file: SourceFile) -> ast.expr | None:
    """Return what a call that loads is given as `map_location`; None for nothing, and for any other call."""
    if not isinstance(call, ast.Call) or not file.calls(call, *MAP_LOCATION):
        return None
    return argument(call, MAP_LOCATION[file.qualified(call.func) or ""], "map_location")


def is_in_memory(node: ast.expr | None, file: SourceFile) -> bool:
    """Whether a file is one that the same program wrote: a buffer or a temporary file that starts empty.

    So is a buffer of the bytes of a tensor, which another process of the program has sent.
    """
    if node is None:
        return False
    made: list[ast.expr] = []
    for binding in file.flow.reaching(node):
        owner = binding.owner
        if isinstance(owner, ast.With) and binding.value is None:
            made.extend(item.context_expr for item in owner.items)
        elif binding.value is not None:
            made.append(binding.value)
    made = made or [node]
    return all(
        file.calls(each, *_TEMPORARY) or (file.calls(each, "io.BytesIO", "BytesIO") and _is_filled_here(each, file))
        for each in made
    )


def _is_filled_here(buffer: ast.expr, file: SourceFile) -> bool:
    given = argument(buffer, 0, "initial_bytes") if isinstance(buffer, ast.Call) else None
    made = file.value(given) if given is not None else None
    return given is None or method(made, "numpy", "tobytes") is not None


def quoted(text: str, call: ast.AST, file: SourceFile) -> str:
    """Return a string literal in the quotes that the code around it uses."""
    around = file.text(call)
    return f"'{text}'" if "'" in around and '"' not in around else f'"{text}"'
