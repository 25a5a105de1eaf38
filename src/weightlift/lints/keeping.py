"""Whether what a name is given is kept while the training that changes it goes on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of
from .reads import base_of, keys_in, names_in, reads_of
from .source_file import method

if TYPE_CHECKING:
    from .source_file import SourceFile

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_IMPROVING = ("best", "improv", "better", "lowest", "highest")
_STEPS = ("step", "backward", "fit", "training_step", "train_step")
_MOVES = ("to", "cuda", "cpu", "half", "float", "double", "bfloat16", "to_empty", "type")
"""Methods of a module that may give it new tensors, so that what was kept is a copy after all."""


def while_training(file: SourceFile, node: ast.AST, target: ast.expr, owner: ast.expr) -> bool:
    """Whether `target`, given the state of `owner` at `node`, is still used after the owner has been trained on."""
    where = file.statement(node)
    if any("best" in name.lower() for name in names_in(owner)):
        return False  # the copy of a model that was made for it
    loops = list(_loops_that_share(file, where, owner))
    if loops and not _is_left(file, where):
        if isinstance(node, ast.Call) or _is_entry_of_this_turn(target, loops[0]):
            return _is_collected(file, target, loops)
        branch = _improving_branch(file, where, target, loops[-1])
        if branch is not None and _is_used_outside(file, target, branch):
            return True
    if isinstance(node, ast.Call):
        return False
    return _is_kept_between_calls(file, where, target, owner) or _is_loaded_back(file, where, target, owner)


def _loops_that_share(file: SourceFile, where: ast.stmt, owner: ast.expr) -> Iterator[ast.AST]:
    """Yield the loops of the same function, innermost first, whose turns all have the same owner."""
    roots = set(keys_in(owner))
    for above in file.ancestors(where):
        if isinstance(above, (*_FUNCTIONS, ast.ClassDef)):
            return
        if isinstance(above, _LOOPS):
            if not roots or any(_is_bound_in(file, root, above) for root in roots):
                return
            yield above


def _is_bound_in(file: SourceFile, key: str, block: ast.AST) -> bool:
    """Whether a name, or the attribute of `self`, is given a value in a block or by a method that it calls."""
    for binding in file.flow.bindings.get(key, ()):
        above = {binding.owner, *file.ancestors(binding.owner)}
        if block in above:
            return True
        function = file.function(binding.owner) if "." in key else None
        if function is not None and function.name != "__init__" and _calls(file, block, function):
            return True
    return False


def _calls(file: SourceFile, block: ast.AST, function: ast.AST, depth: int = 0) -> bool:
    """Whether a block calls a method of its class, by way of others too."""
    inside = file.class_of(function)
    methods = {each.name: each for each in getattr(inside, "body", ()) if isinstance(each, ast.FunctionDef)}
    for each in ast.walk(block):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
            called = methods.get(each.attr)
            if called is function or (called and depth < 3 and _calls(file, called, function, depth + 1)):
                return True
    return False


def _is_left(file: SourceFile, where: ast.stmt) -> bool:
    """Whether the loop is left right behind a statement, in the same block."""
    block = _block(file, where)
    return any(isinstance(each, ast.Break | ast.Return | ast.Raise) for each in block[block.index(where) :])


def _block(file: SourceFile, where: ast.stmt) -> list[ast.stmt]:
    above = file.parent(where)
    for name in ("body", "orelse", "finalbody"):
        block = getattr(above, name, None)
        if isinstance(block, list) and where in block:
            return block
    return [where]


def _improving_branch(
    file: SourceFile, where: ast.stmt, target: ast.expr, loop: ast.AST | None
) -> list[ast.stmt] | None:
    """Return the branch of an `if` that is taken when things have become better, where a statement stands in one."""
    inner: ast.AST = where
    for above in file.ancestors(where):
        if above is loop or isinstance(above, (*_FUNCTIONS, ast.ClassDef)):
            return None
        if isinstance(above, ast.If) and inner is not above.test:
            if key_of(target) is not None and _asks_for(above.test, target):
                return None  # what stands in for it where nothing was kept
            branch = above.body if inner in above.body else above.orelse
            tested = [name.lower() for name in names_in(above.test)]
            says_so = any(word in name for name in tested for word in _IMPROVING)
            if says_so or _is_best(target) or _changes_its_test(above.test, branch):
                return branch
        inner = above
    return None


def _asks_for(test: ast.expr, target: ast.expr) -> bool:
    """Whether a test is only that there is nothing yet: `x is None`, `not x`."""
    asked = test.operand if isinstance(test, ast.UnaryOp) else getattr(test, "left", None)
    negative = isinstance(test, ast.UnaryOp) or (isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is))
    return negative and asked is not None and key_of(asked) == key_of(target)


def _changes_its_test(test: ast.expr, branch: list[ast.stmt]) -> bool:
    """Whether a branch gives a value to what its test compares by size: `if a > b: b = a`."""
    compared = {
        key
        for each in ast.walk(test)
        if isinstance(each, ast.Compare) and isinstance(each.ops[0], ast.Lt | ast.Gt | ast.LtE | ast.GtE)
        for side in (each.left, *each.comparators)
        if (key := key_of(side)) is not None
    }
    return any(
        key_of(target) in compared
        for statement in branch
        for each in ast.walk(statement)
        if isinstance(each, ast.Assign)
        for target in each.targets
    )


def _is_best(target: ast.expr) -> bool:
    return any("best" in name.lower() for name in names_in(target))


def _is_used_outside(file: SourceFile, target: ast.expr, branch: list[ast.stmt]) -> bool:
    """Whether what is kept is read anywhere but in the branch that keeps it; an attribute that is not, by others."""
    inside = {each for statement in branch for each in ast.walk(statement)}
    reads = list(reads_of(file, target))
    return any(read not in inside for read in reads) or (not reads and key_of(base_of(target)) != _name(target))


def _name(target: ast.expr) -> str | None:
    base = base_of(target)
    return base.id if isinstance(base, ast.Name) else None


def _is_entry_of_this_turn(target: ast.expr, loop: ast.AST) -> bool:
    """Whether a target is the entry of a dict or list that belongs to this turn of a loop: `kept[epoch]`."""
    if not isinstance(target, ast.Subscript) or not isinstance(loop, ast.For):
        return False
    turns = set(names_in(loop.target))
    return bool(turns & set(names_in(target.slice)))


def _is_collected(file: SourceFile, target: ast.expr, loops: list[ast.AST]) -> bool:
    """Whether a loop trains and what it collects is read behind it."""
    for loop in loops:
        inside = set(ast.walk(loop))
        base = base_of(target)
        if not _trains(inside) or (key_of(base) and _is_bound_in_body(file, base, loop)):
            continue
        if any(read not in inside for read in reads_of(file, target)):
            return True
    return False


def _is_bound_in_body(file: SourceFile, base: ast.expr, loop: ast.AST) -> bool:
    return any(loop in file.ancestors(each.owner) for each in file.flow.bindings.get(key_of(base) or "", ()))


def _trains(nodes: set[ast.AST]) -> bool:
    return any(method(each, *_STEPS) is not None or _is_call_of_training(each) for each in nodes)


def _is_call_of_training(node: ast.AST) -> bool:
    """Whether a node calls something named for training with arguments: `train_epoch(model, ...)`, not `.train()`."""
    if not isinstance(node, ast.Call) or not (node.args or node.keywords):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.startswith(("train_", "fit_")) or (name in ("train", "fit") and isinstance(node.func, ast.Name))


def _is_kept_between_calls(file: SourceFile, where: ast.stmt, target: ast.expr, owner: ast.expr) -> bool:
    """Whether a method keeps the best in an attribute: `if score > self.best: self.best_state = model.state_dict()`."""
    key = key_of(base_of(target)) or ""
    function = file.function(where)
    if not key.startswith("self.") or not _is_best(target) or function is None or file.loop(where) is not None:
        return False
    if any(_is_bound_in(file, root, function) for root in keys_in(owner) if root not in _parameters(function)):
        return False
    branch = _improving_branch(file, where, target, None)
    return branch is not None and not _is_left_for_good(branch) and _is_used_outside(file, target, branch)


def _is_left_for_good(branch: list[ast.stmt]) -> bool:
    return isinstance(branch[-1], ast.Raise)


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    args = function.args
    return {each.arg for each in (*args.posonlyargs, *args.args, *args.kwonlyargs)}


def _is_loaded_back(file: SourceFile, where: ast.stmt, target: ast.expr, owner: ast.expr) -> bool:
    """Whether a name is only ever loaded into the owner again, behind steps of training."""
    key = key_of(owner)
    if not isinstance(target, ast.Name) or key is None:
        return False
    scope = scope_of(file, where)
    if any(each.at > (where.lineno, where.col_offset) for each in _bindings(file, key, scope)):
        return False
    reads = list(reads_of(file, target))
    loads = [read for read in reads if _loads_into(file, read, key)]
    if not loads or not all(read in loads or _only_keeps(file, read) for read in reads):
        return False
    reached = [load for load in loads if any(each.owner is where for each in file.flow.reaching(load))]
    return any(_trained_between(file, where, load, key) for load in reached)


def _bindings(file: SourceFile, key: str, scope: ast.AST) -> list:  # type: ignore[type-arg]
    return [each for each in file.flow.bindings.get(key, ()) if each.scope is scope]


def _loads_into(file: SourceFile, read: ast.expr, key: str) -> bool:
    call = file.parent(read)
    owner = method(call, "load_state_dict")
    return owner is not None and key_of(owner) == key and call.args[:1] == [read]  # type: ignore[union-attr]


def _only_keeps(file: SourceFile, read: ast.expr) -> bool:
    """Whether a read leaves the dict and its tensors as they are: saving, copying, returning, testing it."""
    above = file.parent(read)
    if isinstance(above, ast.Call):
        return file.calls(above, "torch.save", "copy.deepcopy", "len", "print")
    return isinstance(above, ast.Return | ast.If | ast.Compare)


def _trained_between(file: SourceFile, where: ast.stmt, load: ast.expr, key: str) -> bool:
    """Whether steps are taken between two places, and the weights not moved elsewhere."""
    loops = [above for above in file.ancestors(load) if isinstance(above, _LOOPS) and where not in ast.walk(above)]
    scope = scope_of(file, where)
    stepped = False
    for call in file.nodes.get(ast.Call, ()):
        around = any(loop in file.ancestors(call) for loop in loops)
        between = (where.lineno, where.col_offset) < (call.lineno, call.col_offset) < (load.lineno, load.col_offset)
        if not (between or around) or scope_of(file, call) is not scope:
            continue
        moved = method(call, *_MOVES)
        if moved is not None and key_of(moved) == key:
            return False
        stepped = stepped or method(call, "step", "backward", "fit") is not None
    return stepped
