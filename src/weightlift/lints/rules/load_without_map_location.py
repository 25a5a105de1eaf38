"""load-without-map-location: tensors go where they were when they were saved.

## What it does
Finds `torch.load` without `map_location`.

**Off by default** (`--select WL308` turns it on): whether a file was saved from a GPU is not in the code. Of 30
findings taken at random from 43 packages, 18 load data sets, tables or schedulers that never were on one.

## Why is this bad
Each tensor goes back to the device that it was saved from. Where that device is missing, the load raises
(`RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False`). Where it is
there, everything lies in its memory a second time beside the model, and in a job of many processes all of them load
onto the one GPU that saved. An active `torch.device` context or default device does not change this.

## Example
```python
model.load_state_dict(torch.load("model.pt"))
```

## Use instead
```python
model.load_state_dict(torch.load("model.pt", map_location="cpu"))
```

## Fix
Safe, where what is loaded goes straight into `load_state_dict` of a module or an optimizer of torch: they copy the
values to the device where their own parameters are, wherever these were loaded to. Elsewhere none: the code may count
on the device.

## What is left alone
Calls with `**kwargs`, which may pass it, and a buffer in memory that the program itself filled (`io.BytesIO()`).
`load_state_dict(..., assign=True)` is found, and not fixed, as it keeps the tensors that were loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import with_keyword
from ..source_file import SourceFile, argument, is_open, method
from ..torch_loads import LOADS, is_in_memory, quoted
from ..values import Fix, Found

NODES = (ast.Call,)
CALLS = LOADS
EVERY = (b"torch",)
GRADE = "safe"
ON_BY_DEFAULT = False


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that leave it to the file where its tensors go."""
    if not file.calls(node, *LOADS) or is_open(node) or argument(node, 1, "map_location") is not None:
        return
    if is_in_memory(argument(node, 0, "f"), file):
        return
    fix = None
    if _is_copied(node, file):
        edit = file.edit(node, with_keyword("map_location", quoted("cpu", node, file)))
        fix = Fix("safe", 'pass map_location="cpu"', (edit,))
    yield Found(
        node, "without map_location tensors go to the device that they were saved from, which may be missing", fix
    )


def _is_copied(node: ast.AST, file: SourceFile) -> bool:
    """Whether what is loaded, or an entry of it, is copied into a module or an optimizer and not kept."""
    above = file.parent(node)
    while isinstance(above, ast.Subscript) and above.value is node:
        node, above = above, file.parent(above)
    owner = method(above, "load_state_dict")
    if owner is None or not isinstance(above, ast.Call) or is_open(above) or above.args[:1] != [node]:
        return False
    keeps = argument(above, 2, "assign")
    return keeps is None and file.holds(owner) in ("module", "optimizer")
