"""best-state-without-a-copy: the kept weights go on being trained.

## What it does
Finds a state dict that is kept while training goes on, and not copied: the best one so far, one to come back to, a list
of snapshots. `state_dict().copy()`, `dict(state_dict())`, `{k: v for k, v in state_dict().items()}` and the same with
`v.detach()` or `v.data` are no copies of the weights either. `v.cpu()` is one on a GPU only: on a model that is on the
CPU already it may be none, and there the rule says so.

## Why is this bad
What `state_dict()` returns ["contains references to the module's parameters and buffers"][1], and optimizers write into
these in place. The best weights are those of the last step by the time that they are loaded or saved, and nothing says
so. [torch's tutorial on saving][2] warns of it.

[1]: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict
[2]: https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html

## Example
```python
for epoch in range(epochs):
    loss = train(model)
    if loss < best_loss:
        best_loss, best = loss, model.state_dict()
model.load_state_dict(best)
```

## Use instead
```python
for epoch in range(epochs):
    loss = train(model)
    if loss < best_loss:
        best_loss, best = loss, copy.deepcopy(model.state_dict())
model.load_state_dict(best)
```

## Fix
`copy.deepcopy` around what is kept. Unsafe: it takes as much memory again as the weights, and the program's results
change, which is the point.

## What is left alone
A state dict that is only used where it was taken (saved at once), one taken right before the loop is left, one of a
module that each turn of the loop makes anew, those of schedulers and scalers, and copies: `copy.deepcopy`, `v.clone()`,
a loop that puts something else under every key.
Whether something is kept is judged by its name (`best...`), by the comparison that it hangs on (`loss < best_loss`,
which it changes), by loading it back into the same model behind a `step()`, or by collecting it in a training loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .. import keeping
from ..aliases import Alias, entries_are_replaced, parts
from ..rewrites import wrapped
from ..source_file import SourceFile, method
from ..values import Fix, Found

NODES = (ast.Assign, ast.AnnAssign, ast.Call)
WORDS = (b".state_dict(",)
EVERY = (b"torch",)
GRADE = "unsafe"


def check(node: ast.Assign | ast.AnnAssign | ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the values that are kept and refer to weights that are still trained."""
    for target, value in _kept(node, file):
        if entries_are_replaced(file, target):
            continue
        for part, alias in parts(file, value):
            if keeping.while_training(file, node, target, alias.owner):
                yield Found(part, _message(alias), _fix(part, file))


def _kept(node: ast.Assign | ast.AnnAssign | ast.Call, file: SourceFile) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield what is given a value, and the value: the list itself for what is appended to it."""
    if isinstance(node, ast.Call):
        kept = method(node, "append")
        if kept is not None and len(node.args) == 1 and file.is_discarded(node):
            yield kept, node.args[0]
    elif node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Tuple):
                yield target, node.value
            elif isinstance(node.value, ast.Tuple) and len(node.value.elts) == len(target.elts):
                yield from zip(target.elts, node.value.elts, strict=True)


def _message(alias: Alias) -> str:
    if alias.always:
        return "what is kept are the weights that training goes on changing; copy them"
    return "this may be no copy of weights that are on that device already: training goes on changing them"


def _fix(part: ast.expr, file: SourceFile) -> Fix | None:
    """Return the fix, unless `copy` is something else than the module in this file."""
    for binding in file.flow.bindings.get("copy", ()):
        names = binding.owner.names if isinstance(binding.owner, ast.Import) else []
        if not any(alias.name == "copy" for alias in names):
            return None
    return Fix("unsafe", "copy it with copy.deepcopy", (file.edit(part, wrapped("copy.deepcopy"), imports=("copy",)),))
