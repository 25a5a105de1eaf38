"""model-and-optimizer-pickled-apart: they come back as strangers.

## What it does
Finds a whole optimizer that is saved by `torch.save`, `pickle`, `dill`, `cloudpickle` or `joblib` while its model is
saved by another call of the same function, or beside it as a state dict.

## Why is this bad
An optimizer holds the parameters of its model, and pickling it pickles them with it. Loaded, it has copies of its own:
`optimizer.step()` moves these copies and raises nothing, and the model does not learn. Only what goes into one pickle
together comes back together.

## Example
```python
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(model.parameters())
torch.save(model, "model.pt")
torch.save(optimizer, "optimizer.pt")
```

## Use instead
```python
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(model.parameters())
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint.pt")
```
and, to resume, build the model, then the optimizer from its parameters, then load both state dicts.

## What is left alone
A model and an optimizer as wholes in one pickle, which stay connected (and run whatever code the file holds when it is
loaded); `dump` of a `Pickler` object, which remembers across calls what it has written; a model that this function does
not save. There is no fix: the code that loads has to change with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..saves import SAVES_AND_DUMPS, parts, saved_by
from ..source_file import SourceFile, method
from ..values import Found

NODES = (ast.Call,)
CALLS = SAVES_AND_DUMPS
EVERY = (b"torch",)


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the optimizers that are pickled without the model that they belong to."""
    saved = saved_by(file, node)
    if saved is None:
        return
    inside = parts(file, saved)
    optimizers = [part for part in inside if file.holds(part) == "optimizer"]
    if not optimizers or any(file.holds(part) == "module" for part in inside):
        return
    beside = any(_is_of_a_model(part, file) for part in inside)
    if beside or _saves_a_model_elsewhere(node, file):
        what = "its model is saved as a state dict" if beside else "its model is saved by another call"
        message = f"{what}: once loaded, the optimizer steps copies of the parameters and not the model's"
        yield Found(optimizers[0] if _stands_in(optimizers[0], node, file) else node, message)


def _saves_a_model_elsewhere(node: ast.Call, file: SourceFile) -> bool:
    function = file.function(node)
    for call in file.nodes[ast.Call]:
        if call is node or file.function(call) is not function:
            continue
        saved = saved_by(file, call)
        if saved is not None and any(
            file.holds(part) == "module" or _is_of_a_model(part, file) for part in parts(file, saved)
        ):
            return True
    return False


def _is_of_a_model(part: ast.expr, file: SourceFile) -> bool:
    """Whether a part is the state dict of a model."""
    owner = method(file.value(part) or part, "state_dict")
    return owner is not None and file.holds(owner) == "module"


def _stands_in(part: ast.expr, node: ast.Call, file: SourceFile) -> bool:
    return any(above is node for above in file.ancestors(part))
