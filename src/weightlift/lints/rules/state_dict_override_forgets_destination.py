"""state-dict-override-forgets-destination: the module vanishes from its parent's checkpoint.

## What it does
Finds a `state_dict` method of a module class that takes `destination`, or `**kwargs`, never looks at it, and returns a
dict of its own.

## Why is this bad
A parent hands its children the dict that it fills, as `destination=`, and throws away what they return
([source](https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn/modules/module.py)). What a child writes into another
dict is not in the parent's state dict: the checkpoint is written without those weights and nothing is raised before
somebody loads it. The same happens below `DistributedDataParallel` and every other wrapper.

## Example
```python
class Adapter(nn.Module):
    def state_dict(self, destination=None, prefix="", keep_vars=False):
        return {"scale": self.scale}
```

## Use instead
```python
class Adapter(nn.Module):
    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        weights = super().state_dict(*args, destination=destination, prefix=prefix, keep_vars=keep_vars)
        del weights[prefix + "frozen"]
        return weights
```

## What is left alone
Methods that pass `destination` or `**kwargs` on or use it in any other way, that return nothing or an empty dict (a
module that wants to be left out), that only raise, and classes that the file does not show to be modules. A method
that passes `destination` on and returns a selection of the result is not found either: nothing vanishes, its parent
gets everything, and only the selection is lost.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..overrides import only_raises, overridden
from ..source_file import SourceFile
from ..values import Found
from .state_dict_override_without_keywords import lacking

NODES = (ast.FunctionDef,)
WORDS = (b"def state_dict(",)


def check(node: ast.FunctionDef, file: SourceFile) -> Iterator[Found]:
    """Yield the methods whose weights do not reach the dict of the parent."""
    if overridden(node, file) is None or lacking(node) or only_raises(node):
        return
    names = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
    taken = "destination" if "destination" in names or node.args.kwarg is None else node.args.kwarg.arg
    inside = list(ast.walk(node))
    if any(_reads(each, taken, file) for each in inside) or not any(_gives_a_dict(each, file) for each in inside):
        return
    what = taken if taken == "destination" else f"**{taken}, with the parent's destination,"
    yield Found(node, f"{what} is not used, so the parent's checkpoint is without what this returns")


def _reads(node: ast.AST, name: str | None, file: SourceFile) -> bool:
    """Whether a node reads the parameter, and not what the name was given instead; `locals()` reads all."""
    if isinstance(node, ast.Call):
        return file.calls(node, "locals")
    if not isinstance(node, ast.Name) or node.id != name or not isinstance(node.ctx, ast.Load):
        return False
    return any(binding.kind == "parameter" for binding in file.flow.reaching(node))


def _gives_a_dict(node: ast.AST, file: SourceFile) -> bool:
    """Whether a node returns something that may have weights in it."""
    if not isinstance(node, ast.Return) or node.value is None or isinstance(node.value, ast.Constant):
        return False
    given = file.value(node.value) or node.value
    empty = (isinstance(given, ast.Dict) and not given.keys) or (
        isinstance(given, ast.Call)
        and not (given.args or given.keywords)
        and file.calls(given, "dict", "collections.OrderedDict")
    )
    return not empty or given is not node.value  # a name that is filled later
