"""map-location-lambda: a function is passed where the name of a device is meant.

## What it does
Finds `map_location=lambda storage, loc: storage`, `lambda storage, loc: storage.cpu()` and
`lambda storage, loc: "cpu"`.

## Why is this bad
Old tutorials write this to load onto the CPU. `map_location="cpu"` does the same and says so, and works where functions
do not: torch 2.13 raises for a function where `torch.load` reads a `.safetensors` file, with `torch.jit.load`,
and for tensors of some backends and subclasses (`Callable map_location not supported`, torch/_utils.py). A lambda that
returns the device and not the storage raises TypeError for every file that holds a tensor.

## Example
```python
weights = torch.load("model.pt", map_location=lambda storage, loc: storage)
```

## Use instead
```python
weights = torch.load("model.pt", map_location="cpu")
```

## Fix
Safe: torch reads every storage into memory on the CPU before it asks where it is to go, so that the storage that the
lambda gives back is the one that `"cpu"` gives. A device that a lambda returned is passed itself: the call raised.

## What is left alone
Lambdas that do something else (`lambda s, l: s.cuda(i)`), functions with a name, a lambda that is kept in a variable,
and `map_location` of functions that are not torch's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import replaced_by
from ..source_file import SourceFile, method
from ..torch_loads import MAP_LOCATION, map_location, quoted
from ..values import Fix, Found

NODES = (ast.Lambda,)
CALLS = tuple(MAP_LOCATION)
EVERY = (b"torch", b"load", b"lambda")
GRADE = "safe"


def check(node: ast.Lambda, file: SourceFile) -> Iterator[Found]:
    """Yield the lambdas that are a device in many words."""
    call = _call_of(node, file)
    arguments = node.args
    names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    if call is None or len(names) != 2 or arguments.defaults or arguments.kwonlyargs:
        return
    body = node.body
    stored = method(body, "cpu") if isinstance(body, ast.Call) and not (body.args or body.keywords) else body
    if isinstance(stored, ast.Name) and stored.id == names[0]:
        edit = file.edit(node, replaced_by(quoted("cpu", call, file)))
        yield Found(node, 'this lambda is map_location="cpu"', Fix("safe", 'pass "cpu"', (edit,)))
    elif file.calls(body, "torch.device") or (isinstance(body, ast.Constant) and isinstance(body.value, str)):
        if any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(body)):
            return
        fix = Fix("safe", "pass the device", (file.edit(node, replaced_by("{device}", device="body")),))
        yield Found(node, "this lambda returns a device where torch takes a storage, and raises TypeError", fix)


def _call_of(node: ast.expr, file: SourceFile) -> ast.Call | None:
    """Return the call of torch that a lambda is the `map_location` of, perhaps on one side of a condition."""
    above = file.parent(node)
    while isinstance(above, ast.IfExp | ast.keyword):
        if isinstance(above, ast.IfExp):
            if node is above.test:
                return None
            node = above
        above = file.parent(above)
    return above if isinstance(above, ast.Call) and map_location(above, file) is node else None
