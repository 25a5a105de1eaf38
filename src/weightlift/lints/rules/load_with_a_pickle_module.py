"""load-with-a-pickle-module: a load is not safe by default, also from torch 2.6 on.

## What it does
Finds `torch.load(..., pickle_module=pickle)`, and the same with dill, cloudpickle and the other names of these.

## Why is this bad
From torch 2.6 on `torch.load` takes nothing but weights by default, but not when a `pickle_module` is passed: then the
default is `weights_only=False` as it was before (`_default_to_weights_only` in torch/serialization.py), and the module
that is passed runs whatever code the file holds. Nothing at the call says so. `pickle_module=pickle` is what torch
uses anyway, so that the argument does nothing but that.

Together with `weights_only=True` the call always raises: `RuntimeError: Can not safely load weights when explicit
pickle_module is specified`.

## Example
```python
weights = torch.load("model.pt", pickle_module=pickle)
```

## Use instead
```python
weights = torch.load("model.pt", weights_only=True)
```

## Fix
Safe, where `weights_only=True` is passed as well: the call has never returned anything, and without `pickle_module` it
does. Unsafe, where the project itself saves that file, and saves a state dict wherever it does: `pickle_module` is
taken away, which leaves the safe default.

## What is left alone
`pickle_module=None`, which is the default; a module that is a parameter of the function; a module or class of one's
own, which may well be there to allow less than `pickle` does. With `weights_only=False` the call says what it does,
and WL302 finds it. A buffer in memory that the program itself filled (`buffer = io.BytesIO()`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import without_keyword
from ..source_file import SourceFile, argument, is_constant
from ..torch_loads import LOADS, UNPICKLERS, is_in_memory
from ..values import Fix, Found

NODES = (ast.Call,)
CALLS = LOADS
EVERY = (b"torch",)
WORDS = (b"pickle", b"dill")
GRADE = "safe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that are handed a module that unpickles without limits."""
    given = argument(node, 2, "pickle_module")
    if given is None or not file.calls(node, *LOADS) or file.qualified(given) not in UNPICKLERS:
        return
    weights_only = argument(node, -1, "weights_only")
    by_keyword = argument(node, -1, "pickle_module") is not None
    if is_constant(weights_only, value=True):
        edit = file.edit(node, without_keyword("pickle_module"))
        fix = Fix("safe", "pass no pickle_module", (edit,)) if by_keyword else None
        yield Found(node, "weights_only=True with a pickle_module always raises RuntimeError", fix)
        return
    if not (weights_only is None or is_constant(weights_only, None)) or is_in_memory(argument(node, 0, "f"), file):
        return
    fix = None
    if by_keyword and file.project is not None and file.project.loads_a_state_dict(node, file):
        edit = file.edit(node, without_keyword("pickle_module"))
        fix = Fix("unsafe", "pass no pickle_module", (edit,))
    module = file.text(given)
    yield Found(node, f"with a pickle_module weights_only is False by default: {module} runs what the file holds", fix)
