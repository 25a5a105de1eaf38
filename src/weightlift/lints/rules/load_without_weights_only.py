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
the file may be refused by `weights_only=True`. With `--to weightlift`, where that is not to be seen and the result, or
an entry of it, goes into a model, it becomes `weightlift.open(path).state_dict().to_torch()`, which runs nothing of the
file with any torch. Unsafe as well: the tensors are on the CPU, and a name for the weights that the file does not have
raises.

## What is left alone
Calls with `**kwargs`, which may pass it, and with a `pickle_module`, which is another rule's. With `--torch-min 2.6`
or newer, which is the default, this rule has nothing to say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import with_keyword
from ..source_file import SourceFile, argument, is_open
from ..torch_loads import LOADS
from ..values import Fix, Found, Settings
from ..with_weightlift import opened

NODES = (ast.Call,)
CALLS = LOADS
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
    fix = None
    if file.project is not None and file.project.loads_a_state_dict(node, file):
        edits = (file.edit(node, with_keyword("weights_only", "True")),)
        fix = Fix("unsafe", "pass weights_only=True", edits)
    fix = fix or opened(node, file)
    oldest = ".".join(map(str, file.settings.torch_min))
    yield Found(node, f"torch {oldest} runs any code that the file holds; pass weights_only", fix)
