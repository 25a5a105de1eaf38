"""What is given as `map_location` and cannot say where tensors go."""

from __future__ import annotations

import ast
import re

from ..typed import TYPE_CHECKING
from .source_file import is_constant, method
from .torch_loads import LOADS

if TYPE_CHECKING:
    from .source_file import SourceFile

_Function = ast.FunctionDef | ast.Lambda
_KEY_OF_A_CHECKPOINT = re.compile(r"\w*state_dict\w*|models?|weights|(\w+\.)+(weight|bias)|optimizer|epoch", re.ASCII)
_OF_DICTS = ("items", "keys", "values", "get", "pop", "state_dict", "load_state_dict", "parameters")


def fault(node: ast.expr, file: SourceFile) -> str | None:
    """Return what is wrong with a `map_location` that is to pick what is loaded; None where nothing certain is."""
    function = function_behind(node, file)
    if function is not None:
        return _fault_of_function(function, file)
    made = file.value(node)
    if made is None:
        made = node
    if isinstance(made, ast.List | ast.Set | ast.Tuple | ast.ListComp | ast.SetComp | ast.GeneratorExp):
        return "torch calls it as a function and raises TypeError"
    if isinstance(made, ast.Constant):
        is_key = isinstance(made.value, str) and _KEY_OF_A_CHECKPOINT.fullmatch(made.value)
        return f"{made.value!r} is no device" if is_key else None
    if isinstance(made, ast.Dict):
        keys = [key.value for key in made.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        if keys and len(keys) == len(made.keys) and all(_KEY_OF_A_CHECKPOINT.fullmatch(key) for key in keys):
            return f"a dict maps devices to devices, and {keys[0]!r} is none"
        return None
    held = file.holds(node)
    if held == "module":
        return "torch calls the model with each storage"
    if held == "state_dict":
        return "torch looks up names of devices in the state dict and finds none"
    return None


def function_behind(node: ast.expr, file: SourceFile) -> _Function | None:
    """Return the function of this file that an expression stands for."""
    made = file.value(node)
    if isinstance(made, ast.Lambda):
        return made
    bindings = file.flow.in_sight(node) if isinstance(node, ast.Name) else []
    owner = bindings[0].owner if len(bindings) == 1 else None
    return owner if isinstance(owner, ast.FunctionDef) else None


def _fault_of_function(function: _Function, file: SourceFile) -> str | None:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    if required > 2 or (len(positional) < 2 and arguments.vararg is None):
        return "torch calls it with two arguments, a storage and its device"
    if not positional:
        return None
    storage = positional[0].arg
    body = function.body if isinstance(function.body, list) else [function.body]
    nodes = [node for statement in body for node in ast.walk(statement)]
    if any(isinstance(node, ast.Name) and node.id == storage and isinstance(node.ctx, ast.Store) for node in nodes):
        return None
    if any(_loads_again(node, storage, file) for node in nodes):
        return f"`{storage}` is the storage of one tensor and no file to load"
    if any(_takes_for_a_checkpoint(node, storage) for node in nodes):
        return f"`{storage}` is the storage of one tensor and not what the file holds"
    return None


def _loads_again(node: ast.AST, storage: str, file: SourceFile) -> bool:
    return isinstance(node, ast.Call) and file.calls(node, *LOADS) and bool(node.args) and _is(node.args[0], storage)


def _takes_for_a_checkpoint(node: ast.AST, storage: str) -> bool:
    """Whether a node asks of a storage what only a state dict, a checkpoint or a model has."""
    if isinstance(node, ast.Subscript):
        return _is(node.value, storage) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    if isinstance(node, ast.Compare):
        asks = isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(node.left, ast.Constant)
        return asks and _is(node.comparators[0], storage)
    if not isinstance(node, ast.Call):
        return False
    owner = method(node, *_OF_DICTS)
    if owner is not None:
        return _is(owner, storage)
    if isinstance(node.func, ast.Name) and len(node.args) == 2 and _is(node.args[0], storage):
        asked = node.args[1]
        if node.func.id in ("hasattr", "getattr"):
            return is_constant(asked, "state_dict")
        return node.func.id == "isinstance" and isinstance(asked, ast.Name) and asked.id in ("dict", "OrderedDict")
    return False


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
