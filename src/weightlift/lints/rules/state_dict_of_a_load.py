"""state-dict-of-a-load: the weights just loaded are thrown away.

## What it does
Finds `model.state_dict(torch.load(path))`, where `load_state_dict` is meant.

## Why is this bad
The first parameter of `Module.state_dict` is `destination`: the dict that it writes into. The loaded weights are
overwritten with those that the model has, nothing is raised, and the model goes on with its random weights.

## Example
```python
model.state_dict(torch.load("model.pt"))
```

## Use instead
```python
model.load_state_dict(torch.load("model.pt"))
```

## Fix
Safe, where the result is not used: the call can only have been meant to load. Where the result is assigned, it is left
to you, since `load_state_dict` returns which keys did not match and no state dict.

## What is left alone
A dict that was not loaded (recursion passes one on), and `self.state_dict(...)` in a class with a method of its own of
that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import method_renamed
from ..source_file import SourceFile, method
from ..torch_loads import LOADS
from ..values import Fix, Found

NODES = (ast.Call,)
WORDS = (b".state_dict(", b".state_dict (")
CALLS = LOADS
EVERY = (b"torch",)
GRADE = "safe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls of `state_dict` that are handed what was loaded."""
    owner = method(node, "state_dict")
    if owner is None or len(node.args) != 1 or not _is_loaded(node.args[0], file) or _is_own_method(owner, file):
        return
    fix = Fix("safe", "call load_state_dict", (file.edit(node, method_renamed("load_state_dict")),))
    yield Found(
        node,
        "state_dict() writes the model's own weights over what was loaded; load_state_dict() is meant",
        fix if file.is_discarded(node) else None,
    )


def _is_loaded(node: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is what torch.load returned, or an entry of it."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return file.holds(node) == "loaded"


def _is_own_method(owner: ast.expr, file: SourceFile) -> bool:
    inside = file.class_of(owner) if isinstance(owner, ast.Name) and owner.id == "self" else None
    methods = inside.body if inside else []
    return any(isinstance(each, ast.FunctionDef) and each.name == "state_dict" for each in methods)
