"""What a call writes to a file as it is, objects and all: by torch.save, or by what pickles in the same way."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .source_file import argument
from .torch_loads import is_in_memory

if TYPE_CHECKING:
    from .source_file import SourceFile

SAVES = {
    "torch.save": ("obj", "f"),
    "torch.serialization.save": ("obj", "f"),
    "pickle.dump": ("obj", "file"),
    "_pickle.dump": ("obj", "file"),
    "dill.dump": ("obj", "file"),
    "cloudpickle.dump": ("obj", "file"),
    "joblib.dump": ("value", "filename"),
}
"""The names of what is saved and where to, of each function that saves whole objects."""


def saved_of_kind(call: ast.Call, kinds: tuple[str, ...], file: SourceFile) -> list[tuple[str | None, str]]:
    """Return the values of these kinds that a call saves: how each is spelled, and its key where it is in a dict.

    A buffer in memory is no file.
    """
    if not file.calls(call, *SAVES):
        return []
    names = SAVES[file.qualified(call.func) or ""]
    saved = argument(call, 0, names[0])
    if saved is None or is_in_memory(argument(call, 1, names[1]), file):
        return []
    return [(key, file.text(value)) for key, value in _parts(saved, file) if file.holds(value) in kinds]


def _parts(saved: ast.expr, file: SourceFile) -> list[tuple[str | None, ast.expr]]:
    """Return what is saved, or what is in the dict, tuple or list that is saved."""
    made = file.value(saved) or saved
    if isinstance(made, ast.Dict):
        return [
            (repr(key.value) if isinstance(key, ast.Constant) else None, value)
            for key, value in zip(made.keys, made.values, strict=True)
        ]
    if isinstance(made, ast.Tuple | ast.List):
        return [(None, value) for value in made.elts]
    return [(None, saved)]


def in_words(saved: list[tuple[str | None, str]]) -> str:
    """Return what is saved as a message names it: `model`, `model (under 'model')`."""
    return " and ".join(f"`{text}`" + (f" (under {key})" if key else "") for key, text in saved)
