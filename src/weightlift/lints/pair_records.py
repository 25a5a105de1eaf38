"""What one file saves and loads with torch, as values that outlive its tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from ..typed import TYPE_CHECKING
from ..values import dataclass
from .bindings import key_of
from .path_keys import path_key
from .source_file import argument, method

if TYPE_CHECKING:
    from .source_file import SourceFile

Place = tuple[int, int, int, int]
_NUMBERS = frozenset({"int", "float", "str", "bool", "len"})


@dataclass(frozen=True, slots=True)
class Saved:
    """A `torch.save`, or a call of the function that is one. Places count as those of an `Edit`.

    `key` is what is known of the path (see `path_keys`), `kind` what is saved (see `kinds`), `is_plain` that it is a
    state dict or a dict of such and numbers, `value` its source text, `made_by` that of what it was made by.
    """

    path: str
    key: str | None
    place: Place
    value_place: Place
    kind: str | None
    is_plain: bool
    value: str
    made_by: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A `torch.load`: `target` is the name that its result is assigned to, `statement_place` the whole statement."""

    path: str
    key: str | None
    place: Place
    statement_place: Place
    target: str | None


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that saves or loads what it is handed: where in its parameters the path and the value stand."""

    name: str
    path: tuple[int, str]
    value: tuple[int, str] | None
    default_key: str | None
    loaded: Loaded | None


@dataclass(frozen=True, slots=True)
class Records:
    """Everything that one file saves and loads, and the functions of it that do so for others."""

    saves: tuple[Saved, ...]
    loads: tuple[Loaded, ...]
    helpers: tuple[Helper, ...]


def records(file: SourceFile) -> Records:
    """Return what a file saves and loads."""
    saves: list[Saved] = []
    loads: list[Loaded] = []
    helpers: list[Helper] = []
    for call in file.nodes.get(ast.Call, ()):
        if file.calls(call, "torch.save", "torch.serialization.save"):
            value, path = argument(call, 0, "obj"), argument(call, 1, "f")
            helper = _helper(file, call, path, value)
            if helper is not None:
                helpers.append(helper)
            elif value is not None:
                saves.append(saved(file, call, value, path_key(file, path)))
        elif file.calls(call, "torch.load", "torch.serialization.load"):
            path = argument(call, 0, "f")
            made = _loaded(file, call, path_key(file, path))
            helper = _helper(file, call, path, None, made)
            if helper is not None:
                helpers.append(helper)
            else:
                loads.append(made)
    return Records(tuple(saves), tuple(loads), tuple(helpers))


def calls_of(
    file: SourceFile, helpers: Mapping[str, Sequence[Helper]]
) -> Iterator[tuple[Helper, ast.Call, str | None]]:
    """Yield the calls of helpers, by their names, in a file with the keys of the paths that they pass."""
    for call in file.nodes.get(ast.Call, ()):
        func = call.func
        name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
        for helper in helpers.get(name, ()):
            path = argument(call, *helper.path)
            yield helper, call, helper.default_key if path is None else path_key(file, path)


def saved(file: SourceFile, call: ast.Call, value: ast.expr, key: str | None) -> Saved:
    """Return the record of a call that saves a value."""
    made = file.value(value)
    return Saved(
        file.path,
        key,
        file.range(call),
        file.range(value),
        file.holds(value),
        is_plain(file, value),
        file.text(value),
        file.text(made) if made is not None and made is not value else None,
    )


def is_plain(file: SourceFile, node: ast.AST, depth: int = 0) -> bool:
    """Whether `weights_only=True` takes a value: a state dict, or a dict of such and of numbers.

    The state of a scheduler may hold functions, so that it is not.
    """
    if depth > 8:
        return False
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | int | float | bool | None)
    if isinstance(node, ast.Dict):
        return None not in node.keys and all(is_plain(file, value, depth + 1) for value in node.values)
    if isinstance(node, ast.BinOp):
        return is_plain(file, node.left, depth + 1) and is_plain(file, node.right, depth + 1)
    if isinstance(node, ast.Call):
        owner = method(node, "state_dict")
        if owner is not None:
            return file.holds(owner) in ("module", "optimizer", "scaler") or _named_for_a_module(owner)
        return file.qualified(node.func) in _NUMBERS or (method(node, "item") is not None and not node.args)
    if key_of(node) is not None:
        values = file.values(node)
        if values is not None:
            return all(is_plain(file, value, depth + 1) for value in values)
        return _counts(file, node)
    return False


def _named_for_a_module(owner: ast.expr) -> bool:
    """Whether what has a state dict is called what models and optimizers are called, as where it is a parameter."""
    last = (key_of(owner) or "").rpartition(".")[2].lower()
    return last in ("model", "net", "network", "module", "encoder", "decoder", "optimizer", "optim")


def _counts(file: SourceFile, node: ast.AST) -> bool:
    """Whether a name is the counter of loops over `range`."""
    bindings = file.flow.reaching(node)
    loops = [binding.owner for binding in bindings if isinstance(binding.owner, ast.For)]
    return bool(loops) and len(loops) == len(bindings) and all(file.calls(loop.iter, "range") for loop in loops)


def _loaded(file: SourceFile, call: ast.Call, key: str | None) -> Loaded:
    statement = file.statement(call)
    targets = statement.targets if isinstance(statement, ast.Assign) and statement.value is call else []
    target = key_of(targets[0]) if len(targets) == 1 else None
    return Loaded(file.path, key, file.range(call), file.range(statement), target)


def _helper(
    file: SourceFile, call: ast.Call, path: ast.expr | None, value: ast.expr | None, loaded: Loaded | None = None
) -> Helper | None:
    """Return the function around a call as a helper, if it is handed the path (and the value) as parameters."""
    function = file.function(call)
    if function is None or path is None:
        return None
    at = _parameter(file, function, path)
    if at is None:
        return None
    arguments = function.args
    last = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    defaults = {arg.arg: default for arg, default in zip(last, arguments.defaults, strict=False)}
    default = path_key(file, defaults[at[1]]) if at[1] in defaults else None
    return Helper(function.name, at, _parameter(file, function, value), default, loaded)


def _parameter(
    file: SourceFile, function: ast.FunctionDef | ast.AsyncFunctionDef, node: ast.expr | None
) -> tuple[int, str] | None:
    """Return where a name stands in the parameters of the function whose parameter it is: -1 by keyword alone."""
    if not isinstance(node, ast.Name) or [each.kind for each in file.flow.reaching(node)] != ["parameter"]:
        return None
    positional = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    if positional[:1] in (["self"], ["cls"]):
        del positional[0]
    return (positional.index(node.id) if node.id in positional else -1, node.id)
