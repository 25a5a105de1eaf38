"""What a call writes to a file by pickling it, and the values that this is put together from."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of
from .source_file import argument, method

if TYPE_CHECKING:
    from .source_file import SourceFile

_SAVES = ("torch.save", "torch.serialization.save")
_PICKLES = tuple(f"{module}.{name}" for module in ("pickle", "dill", "cloudpickle") for name in ("dump", "dumps"))
SAVES_AND_DUMPS = (*_SAVES, *_PICKLES, "joblib.dump")
"""What writes objects as they are, to a file or into bytes."""
_DICTS = ("dict", "collections.OrderedDict")


def saved_by(file: SourceFile, call: ast.Call, *, torch_only: bool = False) -> ast.expr | None:
    """Return the object that a call of torch.save, or of a pickle, writes; None if it is no such call."""
    if file.calls(call, *_SAVES) or (not torch_only and file.calls(call, *_PICKLES, "joblib.dump")):
        return argument(call, 0, "value" if file.calls(call, "joblib.dump") else "obj")
    return None


def entries(file: SourceFile, node: ast.expr) -> list[tuple[str | None, ast.expr]] | None:
    """Return the keys and values of a dict that is written down where it is used or before; None if it is no such.

    Values that are stored under a key later on, `state["epoch"] = 3`, are among them. None also where something else
    may have put more into it.
    """
    made = file.value(node)
    found = _written(file, made) if made is not None else None
    if found is None or key_of(node) is None:
        return found
    if _is_handed_on(file, node):
        return None
    return found + stored_later(file, node)


def stored_later(file: SourceFile, node: ast.expr) -> list[tuple[str | None, ast.expr]]:
    """Return what is stored under keys of the dict that a name holds, in the same scope and before it is used here."""
    key, scope = key_of(node), scope_of(file, node)
    found: list[tuple[str | None, ast.expr]] = []
    for assign in file.nodes.get(ast.Assign, ()):
        target = assign.targets[0]
        if (
            isinstance(target, ast.Subscript)
            and key is not None
            and key_of(target.value) == key
            and assign.lineno < node.lineno
            and scope_of(file, assign) is scope
        ):
            name = target.slice.value if isinstance(target.slice, ast.Constant) else None
            found.append((name if isinstance(name, str) else None, assign.value))
    return found


def parts(file: SourceFile, node: ast.expr, depth: int = 0) -> list[ast.expr]:
    """Return the expressions that a saved object is put together from: the values of a dict, the items of a list."""
    made = file.value(node) or node
    inside = _written(file, made)
    if inside is not None and depth < 3:
        inside = inside + (stored_later(file, node) if key_of(node) else [])
        return [part for _, value in inside for part in parts(file, value, depth + 1)]
    if isinstance(made, ast.List | ast.Tuple) and depth < 3:
        return [part for value in made.elts for part in parts(file, value, depth + 1)]
    if key_of(node) and file.holds(node) in ("state_dict", "loaded") and depth < 3:
        return [node, *(part for _, value in stored_later(file, node) for part in parts(file, value, depth + 1))]
    return [node]


def _written(file: SourceFile, made: ast.expr) -> list[tuple[str | None, ast.expr]] | None:
    if isinstance(made, ast.Dict):
        if any(key is None for key in made.keys):
            return None
        names = [key.value if isinstance(key, ast.Constant) else None for key in made.keys]
        return [(n if isinstance(n, str) else None, value) for n, value in zip(names, made.values, strict=True)]
    if isinstance(made, ast.Call) and file.calls(made, *_DICTS) and not made.args:
        if any(keyword.arg is None for keyword in made.keywords):
            return None
        return [(keyword.arg, keyword.value) for keyword in made.keywords]
    return None


def _is_handed_on(file: SourceFile, node: ast.expr) -> bool:
    """Whether a dict goes, before it is used here, where more may be put into it."""
    key, scope = key_of(node), scope_of(file, node)
    for call in file.nodes.get(ast.Call, ()):
        if call.lineno > node.lineno or scope_of(file, call) is not scope or saved_by(file, call) is not None:
            continue
        owner = method(call, "update", "setdefault", "__setitem__")
        if any(each is not None and key_of(each) == key for each in (owner, *call.args)):
            return True
    return False
