"""load-without-map-location: weights go where they were when they were saved, which may be missing.

## What it does
Finds `torch.load` without `map_location`, of weights, in a program that saves weights itself and is meant to run
without a GPU too: what is loaded goes into a `load_state_dict`, the same file has a `torch.save` of a state dict, and
it asks `torch.cuda.is_available()` (or that of another kind of device) to choose where things go.

## Why is this bad
Each tensor goes back to the device that it was saved from. Where that device is missing, the load raises
(`RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False`): weights that
were trained where the program found a GPU cannot be loaded where it finds none. Where there is one, everything lies in
its memory a second time beside the model, and in a job of many processes all of them load onto the one GPU that saved.
An active `torch.device` context or default device does not change this.

## Example
```python
device = "cuda" if torch.cuda.is_available() else "cpu"
model = Net().to(device)
torch.save(model.state_dict(), "model.pt")
model.load_state_dict(torch.load("model.pt"))
```

## Use instead
```python
device = "cuda" if torch.cuda.is_available() else "cpu"
model = Net().to(device)
torch.save(model.state_dict(), "model.pt")
model.load_state_dict(torch.load("model.pt", map_location="cpu"))
```

## Fix
Safe, where what is loaded goes straight into `load_state_dict` of a module or an optimizer of torch: they copy the
values to the device where their own parameters are, wherever these were loaded to. Elsewhere none: the code may count
on the device.

## What is left alone
Whatever is not seen to go into a `load_state_dict`: data sets, tables and caches were never on a GPU (of 53 findings of
`torch.load` without `map_location` anywhere, 32 were such). The state of a scheduler or a scaler, quantized weights.
Weights that come from elsewhere: those that are published, or saved as `v.cpu()`, load on any machine. A load in a
branch that asks for the GPU (`if torch.cuda.is_available():`), and files that never ask whether there is one, or only
to fail if there is none. Calls with `**kwargs`, which may pass it, and a buffer in memory that the program itself
filled (`io.BytesIO()`). `load_state_dict(..., assign=True)` is found, and not fixed, as it keeps what was loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..devices import asks_for_a_device, is_downloaded, may_do_without
from ..loads_into import loaded_into, saves_weights
from ..rewrites import with_keyword
from ..source_file import SourceFile, argument, is_open, method
from ..torch_loads import LOADS, is_in_memory, quoted
from ..values import Fix, Found

NODES = (ast.Call,)
CALLS = LOADS
EVERY = (b"torch", b"is_available", b"load_state_dict", b"save")
GRADE = "safe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads of weights that leave it to the file where its tensors go."""
    if not file.calls(node, *LOADS) or is_open(node) or argument(node, 1, "map_location") is not None:
        return
    if is_in_memory(argument(node, 0, "f"), file) or asks_for_a_device(node, file) or not may_do_without(file):
        return
    if loaded_into(node, file) and saves_weights(file) and not is_downloaded(argument(node, 0, "f"), file):
        fix = None
        if _is_copied(node, file):
            edit = file.edit(node, with_keyword("map_location", quoted("cpu", node, file)))
            fix = Fix("safe", 'pass map_location="cpu"', (edit,))
        yield Found(node, "weights that were saved from a GPU cannot be loaded without one; pass map_location", fix)


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
