"""own-state-dict-filled-up: weights without a place are dropped, and every key matches.

## What it does
Finds a model that is loaded with its own state dict, into which those weights were put whose keys it has: in a loop
with `if key in own`, or by `own.update({k: v for k, v in weights.items() if k in own})`.

## Why is this bad
The dict has all keys of the model and no other, so that `load_state_dict` has nothing to say: it returns `<All keys
matched successfully>` also if not a single key was in both. A renamed layer, or a prefix that the file has and the
model has not, is enough for the model to keep its random weights without a word. A condition about the shape as well
(`and v.shape == own[k].shape`) hides those that do not fit.

## Example
```python
own = model.state_dict()
own.update({k: v for k, v in weights.items() if k in own})
model.load_state_dict(own)
```

## Use instead
```python
missing, unexpected = model.load_state_dict(weights, strict=False)
if unexpected or not all(key.startswith("head.") for key in missing):
    raise RuntimeError(f"missing: {missing}; unexpected: {unexpected}")
```

Weights of another shape raise there. What is not to be loaded is taken out by its name:
```python
weights = {k: v for k, v in weights.items() if not k.startswith("head.")}
```

## What is left alone
Code that does anything else with the keys: an `else`, a message in the loop, the picked weights or the state dict used
once more (`len(picked)`, `set(own) - set(picked)`). Keys that are renamed one by one. `own.update` of
everything, as `load_state_dict` raises for keys that are too many. There is no fix: which keys may be missing is not to
be seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import key_of
from ..source_file import SourceFile, method
from ..values import Found

NODES = (ast.Call,)
WORDS = (b"load_state_dict(",)
EVERY = (b".state_dict()", b" in ", b".items()")


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that have nothing to say about what was dropped before."""
    model = method(node, "load_state_dict")
    own = node.args[0] if len(node.args) == 1 else None
    if model is None or key_of(model) is None or not isinstance(own, ast.Name):
        return
    taken = file.value(own)
    owner = method(taken, "state_dict")
    if (
        owner is None
        or taken is None
        or key_of(owner) != key_of(model)
        or file.function(taken) is not file.function(node)
    ):
        return
    uses = [each for each in file.nodes[ast.Name] if each.id == own.id and file.function(each) is file.function(node)]
    roots = {file.statement(taken), file.statement(node)}
    fillings = {root for use in uses for root in _filling(use, file)}
    if fillings and all(use is own or not (roots | fillings).isdisjoint(file.ancestors(use)) for use in uses):
        dropped = "weights under other keys were dropped before"
        yield Found(
            node, f"`{own.id}` is the state dict of {key_of(model)} itself, so that every key matches; {dropped}"
        )


def _filling(use: ast.Name, file: SourceFile) -> list[ast.stmt]:
    """Return the statements that put into a dict what it has keys for, if the use of its name is part of such."""
    loop = file.loop(use)
    if isinstance(loop, ast.For) and _is_loop(loop, use.id):
        return [loop]
    call = next((each for each in file.ancestors(use) if isinstance(each, ast.Call)), None)
    if call is None or method(call, "update") is not use or len(call.args) != 1 or not file.is_discarded(call):
        return []
    picked = call.args[0]
    made = file.value(picked)
    if not isinstance(made, ast.DictComp) or not any(_asks(test, use.id, ast.In) for test in _tests(made)):
        return []
    statement = file.statement(call)
    if isinstance(picked, ast.Name):
        again = [
            each
            for each in file.nodes[ast.Name]
            if each.id == picked.id and each.lineno > (made.end_lineno or 0) and each is not picked
        ]
        if any(file.function(each) is file.function(call) for each in again):
            return []
    return [statement, file.statement(made)]


def _is_loop(loop: ast.For, own: str) -> bool:
    """Whether a loop does nothing but `if k in own: own[k] = ...`."""
    body = loop.body
    if loop.orelse or not body or not isinstance(body[0], ast.If) or body[0].orelse:
        return False
    first, inside = body[0], body[0].body
    if _asks(first.test, own, ast.In):
        return len(body) == 1 and all(_puts(each, own) for each in inside)
    left_out = _asks(first.test, own, ast.NotIn) and len(inside) == 1 and isinstance(inside[0], ast.Continue)
    return left_out and len(body) > 1 and all(_puts(each, own) for each in body[1:])


def _puts(statement: ast.stmt, own: str) -> bool:
    target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
    return isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id == own


def _tests(made: ast.DictComp) -> list[ast.expr]:
    return made.generators[0].ifs if len(made.generators) == 1 else []


def _asks(test: ast.expr, own: str, how: type[ast.cmpop]) -> bool:
    """Whether a condition asks if a key is in a dict, or in its keys, with other conditions or without."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And if how is ast.In else ast.Or):
        return any(_asks(each, own, how) for each in test.values)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], how):
        return False
    holder = test.comparators[0]
    holder = method(holder, "keys") or holder
    return isinstance(test.left, ast.Name) and isinstance(holder, ast.Name) and holder.id == own
