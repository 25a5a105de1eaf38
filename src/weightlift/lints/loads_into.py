"""Whether what is loaded goes into a model or an optimizer, as far as the function that loads it shows."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of
from .saves import parts, saved_by
from .source_file import method

if TYPE_CHECKING:
    from .source_file import SourceFile

_NO_WEIGHTS = ("quant", "sched", "scaler", "warmup", "lr_")


def loaded_into(load: ast.Call, file: SourceFile) -> bool:
    """Whether a `load_state_dict` of something with weights takes what is loaded, or what it becomes."""
    above = _load_state_dict_around(load, file)
    if above is not None:
        return _has_weights(above, file)
    statement = file.statement(load)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    key, scope = key_of(statement.targets[0]), scope_of(file, load)
    return (
        key is not None
        and "quant" not in key.lower()
        and any(
            _has_weights(call, file) and _is_given(call, key, statement, file)
            for call in file.nodes[ast.Call]
            if method(call, "load_state_dict") is not None and scope_of(file, call) is scope
        )
    )


def saves_weights(file: SourceFile) -> bool:
    """Whether a file saves the state of a model or an optimizer as it lies on its device."""
    for call in file.nodes[ast.Call]:
        saved = saved_by(file, call, torch_only=True)
        if saved is not None and any(_is_a_state(part, file) for part in parts(file, saved)):
            return True
    return False


def _is_a_state(part: ast.expr, file: SourceFile) -> bool:
    made = file.value(part) or part
    moved = any(method(each, "cpu", "numpy") is not None for each in ast.walk(made))
    owner = method(made, "state_dict")
    return not moved and (file.holds(made) == "state_dict" if owner is None else _is_of_weights(owner, file))


def _load_state_dict_around(load: ast.AST, file: SourceFile) -> ast.Call | None:
    inner = load
    for above in file.ancestors(load):
        if isinstance(above, ast.stmt):
            return None
        if isinstance(above, ast.Call) and method(above, "load_state_dict") is not None and inner is not above.func:
            return above
        inner = above
    return None


def _has_weights(call: ast.Call, file: SourceFile) -> bool:
    owner = method(call, "load_state_dict")
    return owner is not None and _is_of_weights(owner, file)


def _is_of_weights(owner: ast.expr, file: SourceFile) -> bool:
    if file.holds(owner) in ("scheduler", "scaler"):
        return False
    name = (key_of(owner) or "").rpartition(".")[2].lower()
    return not any(word in name for word in _NO_WEIGHTS)


def _is_given(call: ast.Call, key: str, statement: ast.Assign, file: SourceFile) -> bool:
    """Whether a call is given the value that a statement has made."""
    for argument in call.args:
        for each in ast.walk(argument):
            if key_of(each) == key and any(binding.owner is statement for binding in file.flow.reaching(each)):
                return True
    return False
