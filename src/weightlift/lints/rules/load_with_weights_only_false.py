"""load-with-weights-only-false: a load runs whatever code its file holds.

## What it does
Finds `torch.load(..., weights_only=False)`, and the same of `torch.hub.load_state_dict_from_url` and
`torch.utils.model_zoo.load_url`.

## Why is this bad
A file of `torch.save` is a zip with a pickle in it, and a pickle is a program: with `weights_only=False` torch hands it
to Python's `pickle`, which imports and calls whatever it names, before anything is returned. Whoever can put the file
where it is read (a download, a shared folder, a model hub) can run code as you. `weights_only=True`, the default of
`torch.load` from torch 2.6 on, takes tensors, containers, numbers and strings, and refuses the rest.

Often the argument is there because a load failed once: what was saved was a whole model, or the numpy scalars and
`Namespace` of a training run. Save the state dict, or allow those very classes with
[`torch.serialization.safe_globals`](https://docs.pytorch.org/docs/stable/notes/serialization.html#weights-only).

## Example
```python
checkpoint = torch.load("checkpoint.pt", weights_only=False)
```

## Use instead
```python
checkpoint = torch.load("checkpoint.pt", weights_only=True)
```

## Fix
Unsafe, and offered only where the project itself saves that file, and saves a state dict (or a dict of such and of
numbers) wherever it does: then `weights_only=True` reads the same. A file from elsewhere may lie at that path, and
another one of the same name would be refused.

With `--to weightlift`, where that is not to be seen and the result, or an entry of it, goes into a model, the load
becomes `weightlift.open(path).state_dict().to_torch()`: it reads the weights of any torch file, also those of a whole
model, and runs nothing of it. Unsafe, since the tensors are on the CPU and not where the file says; a model that they
are loaded into copies them to where it is.

## What is left alone
A value that the text does not settle (`weights_only=args.trusted`), and a branch that is taken only by who asks for it
(`if trusted:`). A buffer in memory that the program itself filled (`buffer = io.BytesIO()`). A load with a
`pickle_module` of one's own, which may allow less.
`torch.hub.load_state_dict_from_url` without the argument, though `False` is its default still in torch 2.13.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..reads import names_in
from ..rewrites import with_keyword
from ..source_file import SourceFile, argument, is_constant
from ..torch_loads import LOADS, is_in_memory, is_other_unpickler
from ..values import Fix, Found
from ..with_weightlift import opened

NODES = (ast.Call,)
CALLS = (*LOADS, "torch.hub.load_state_dict_from_url", "torch.utils.model_zoo.load_url")
EVERY = (b"torch", b"load", b"weights_only", b"False")
GRADE = "unsafe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that are told to unpickle without limits."""
    given = argument(node, -1, "weights_only")
    if given is None or not is_constant(file.value(given), value=False):
        return
    if not file.calls(node, *CALLS):
        return
    unpickler = argument(node, 2, "pickle_module") if file.calls(node, *LOADS) else None
    if is_in_memory(argument(node, 0, "f"), file) or is_other_unpickler(unpickler, file):
        return
    if _is_asked_for(node, file):
        return
    fix = None
    if is_constant(given, value=False) and file.project is not None and file.project.loads_a_state_dict(node, file):
        fix = Fix("unsafe", "pass weights_only=True", (file.edit(node, with_keyword("weights_only", "True")),))
    message = "weights_only=False runs whatever code the file holds"
    if fix:
        message = f"{message}; this project saves a state dict there, which needs none"
    yield Found(node, message, fix or opened(node, file))


def _is_asked_for(node: ast.Call, file: SourceFile) -> bool:
    """Whether a load stands in a branch that asks whether the file is trusted."""
    branches = (above for above in file.ancestors(node) if isinstance(above, ast.If | ast.IfExp))
    return any("trust" in name.lower() for branch in branches for name in names_in(branch.test))
