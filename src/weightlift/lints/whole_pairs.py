"""A model that is saved whole, and all that loads it: rewritten together to go by the state dict, or not at all."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .bindings import key_of
from .kinds import class_definition
from .path_keys import path_key
from .rewrites import loaded_into, method_called, replaced_by, with_keyword
from .source_file import argument, is_constant, is_open, method
from .torch_loads import LOADS

if TYPE_CHECKING:
    from .source_file import SourceFile
    from .values import Edit

_MOVES = frozenset({"to", "cuda", "half", "double", "bfloat16", "add_module", "append", "register_parameter", "apply"})
"""After one of these a model made again is not like the one that was saved."""


def by_state_dict(call: ast.Call, file: SourceFile) -> tuple[Edit, ...]:
    """Return the edits of a `torch.save` of a model and of each load of that file; none where one cannot be had."""
    saved = argument(call, 0, "obj")
    if saved is None or file.project is None or file.holds(saved) != "module":
        return ()
    if not file.calls(call, "torch.save", "torch.serialization.save"):
        return ()
    loads = file.project.loads_of(call, file)
    edits = [file.edit(saved, method_called("state_dict"))]
    for load in loads or ():
        node = next((each for each in file.nodes[ast.Call] if file.range(each) == load.place), None)
        if load.path != file.path or node is None or not _reads_only(node, call, file):
            return ()
        edit = _load_of_state_dict(node, saved, file)
        if edit is None:
            return ()
        edits.append(edit)
    return tuple(edits) if loads else ()


def _reads_only(load: ast.Call, save: ast.Call, file: SourceFile) -> bool:
    """Whether a load reads what this save writes and nothing else, and says no more than where it goes."""
    path = path_key(file, argument(save, 1, "f"))
    if path is None or "?" in path or "{}" in path or path_key(file, argument(load, 0, "f")) != path:
        return False
    if is_open(load) or argument(load, 2, "pickle_module") is not None:
        return False
    writers = file.project.saves_of(load, file) if file.project is not None else None
    return writers is not None and len(writers) == 1


def _load_of_state_dict(load: ast.Call, saved: ast.expr, file: SourceFile) -> Edit | None:
    attribute = file.parent(load)
    outer = file.parent(attribute) if isinstance(attribute, ast.Attribute) else None
    if isinstance(outer, ast.Call) and method(outer, "state_dict") is load and not (outer.args or outer.keywords):
        return file.edit(
            outer, lambda node: with_keyword("weights_only", "True")(replaced_by("{l}", l="func.value")(node))
        )
    statement = file.statement(load)
    if not isinstance(statement, ast.Assign) or statement.value is not load or len(statement.targets) != 1:
        return None
    target, made = key_of(statement.targets[0]), _made_by(saved, file)
    location = argument(load, 1, "map_location")
    if target is None or made is None or not (location is None or is_constant(location, "cpu")):
        return None
    if "eval" in file.flow.used_as(saved) and not {"eval", "train"} & file.flow.used_as(statement.targets[0]):
        return None
    return file.edit(statement, loaded_into(target, made))


def _made_by(saved: ast.expr, file: SourceFile) -> str | None:
    """Return the call that makes a model like the one that is saved, wherever in the file it is made."""
    key, made = key_of(saved), file.value(saved)
    if key is None or not isinstance(made, ast.Call) or file.calls(made, *LOADS) or file.holds(made) != "module":
        return None
    if file.flow.used_as(saved) & _MOVES or any(each.startswith(f"{key}.") for each in file.flow.bindings):
        return None
    passed = [*made.args, *(keyword.value for keyword in made.keywords)]
    if is_open(made) or not all(isinstance(each, ast.Constant) for each in passed):
        return None
    owner = class_definition(file, made.func)
    seen_everywhere = owner is not None and file.parent(owner) is file.tree
    return file.text(made) if seen_everywhere or (file.qualified(made.func) or "").startswith("torch.nn.") else None
