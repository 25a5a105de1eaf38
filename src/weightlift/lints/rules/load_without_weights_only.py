"""load-without-weights-only: before torch 2.6 a load runs whatever code the file holds.

## What it does
Finds `torch.load(...)` without `weights_only`, in code that has to run with a torch older than 2.6 (`--torch-min`).

## Why is this bad
Until torch 2.6 the default was `weights_only=False`: the file is unpickled without limits and can run any code.
The same line is safe with one torch and not with another.

## Example
```python
weights = torch.load("model.pt")
```

## Use instead
```python
weights = torch.load("model.pt", weights_only=True)
```

## Fix
Unsafe, and offered only where the project itself saves that file and what it saves is a state dict: anything else in
the file may be refused by `weights_only=True`.

## What is left alone
Calls with `**kwargs`, which may pass it, and with a `pickle_module`, which is another rule's. A buffer in memory that
the program itself filled (`io.BytesIO()`, or the bytes of a tensor, which another of its processes has sent). What is
left to do where torch does not know the argument: the `except TypeError` of a load that passes it. With `--torch-min 2.6`
or newer, which is the default, this rule has nothing to say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import with_keyword
from ..source_file import SourceFile, argument, is_open
from ..torch_loads import LOADS, is_in_memory
from ..values import Fix, Found, Settings

NODES = (ast.Call,)
WORDS = (b"load(", b"torch.load", b"load as ")
EVERY = (b"torch",)
GRADE = "unsafe"


def wanted(settings: Settings) -> bool:
    """Whether the code has to run where the default is not safe."""
    return settings.torch_min < (2, 6)


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads whose safety depends on the torch that runs them."""
    if not file.calls(node, *LOADS) or is_open(node):
        return
    if argument(node, -1, "weights_only") is not None or argument(node, 2, "pickle_module") is not None:
        return
    if is_in_memory(argument(node, 0, "f"), file) or _is_for_old_torch(node, file):
        return
    fix = None
    if file.project is not None and file.project.loads_a_state_dict(node, file):
        edits = (file.edit(node, with_keyword("weights_only", "True")),)
        fix = Fix("unsafe", "pass weights_only=True", edits)
    oldest = ".".join(map(str, file.settings.torch_min))
    yield Found(node, f"torch {oldest} runs any code that the file holds; pass weights_only", fix)


def _is_for_old_torch(node: ast.Call, file: SourceFile) -> bool:
    """Whether a load is what is tried after one with `weights_only` has raised TypeError."""
    handler = file.enclosing(node, ast.ExceptHandler)
    tried = file.parent(handler) if handler is not None else None
    if handler is None or not isinstance(tried, ast.Try) or "TypeError" not in _names(handler.type):
        return False
    calls = (each for statement in tried.body for each in ast.walk(statement) if isinstance(each, ast.Call))
    return any(file.calls(call, *LOADS) and argument(call, -1, "weights_only") is not None for call in calls)


def _names(node: ast.expr | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node is not None else set()
