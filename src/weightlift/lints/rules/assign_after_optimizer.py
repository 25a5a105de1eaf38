"""assign-after-optimizer: the optimizer goes on with parameters that the model no longer has.

## What it does
Finds `model.load_state_dict(..., assign=True)` after an optimizer was built from the parameters of that model.

## Why is this bad
With `assign=True` the model gets new parameters in the place of those that it has. The optimizer keeps the old ones:
`optimizer.step()` raises nothing, and the model does not learn. torch says of `assign` that the optimizer must be
created after such a load, unless `torch.__future__.set_swap_module_params_on_conversion(True)` is set
(https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict).

## Example
```python
optimizer = torch.optim.Adam(model.parameters())
model.load_state_dict(weights, assign=True)
```

## Use instead
```python
model.load_state_dict(weights, assign=True)
optimizer = torch.optim.Adam(model.parameters())
```

## Fix
Unsafe: `assign=True` is taken away, so that the weights are copied into the parameters that the optimizer has. They
then keep the dtype and the device of the model, and a model on the meta device cannot be loaded in this way.

## What is left alone
An optimizer that is built again after the load, or in another branch; a model that is made anew between the two; a file
that speaks of `set_swap_module_params_on_conversion`. Across methods of a class only an optimizer that `__init__`
builds is counted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import Binding, key_of
from ..rewrites import without_keyword
from ..source_file import SourceFile, argument, is_constant, method
from ..values import Fix, Found

NODES = (ast.Call,)
WORDS = (b"assign",)
EVERY = (b"load_state_dict", b"parameters()")
GRADE = "unsafe"

_BLOCKS = ("body", "orelse", "handlers", "finalbody")


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that leave an optimizer with parameters of nobody."""
    model = method(node, "load_state_dict")
    key = key_of(model) if model is not None else None
    if model is None or key is None or not is_constant(argument(node, 2, "assign"), value=True):
        return
    if b"set_swap_module_params_on_conversion" in file.data:
        return
    for bindings in file.flow.bindings.values():
        for binding in bindings:
            if _is_left_behind(binding, bindings, node, model, key, file):
                by_keyword = any(keyword.arg == "assign" for keyword in node.keywords)
                fix = Fix("unsafe", "copy the weights", (file.edit(node, without_keyword("assign")),))
                message = f"assign=True gives {key} new parameters, and {binding.key} goes on with the old ones"
                yield Found(node, message, fix if by_keyword else None)
                return


def _is_left_behind(
    binding: Binding, others: list[Binding], load: ast.Call, model: ast.expr, key: str, file: SourceFile
) -> bool:
    """Whether a binding makes an optimizer of a model's parameters, before the load and for good."""
    if not isinstance(binding.value, ast.Call) or file.holds(binding.value) != "optimizer":
        return False
    built, loading = file.function(binding.owner), file.function(load)
    owner = _parameters_of(binding.value, key, file)
    if owner is None:
        return False
    if built is loading:
        again = any(other.at > (load.lineno, load.col_offset) and other.scope is binding.scope for other in others)
        same = _same_value(file, owner, model)
        return (
            binding.at < (load.lineno, load.col_offset) and not again and same and not _apart(binding.owner, load, file)
        )
    if built is None or built.name != "__init__" or not (binding.key.startswith("self.") and key.startswith("self.")):
        return False
    own = file.class_of(load)
    if own is None or file.class_of(built) is not own:
        return False
    whose = key_of(owner) or key
    of_class = [other for other in file.flow.bindings.get(whose, ()) if file.class_of(other.owner) is own]
    again = any(file.class_of(other.owner) is own and other is not binding for other in others)
    return not again and len(of_class) == 1


def _parameters_of(built: ast.Call, key: str, file: SourceFile) -> ast.expr | None:
    """Return the model in `model.parameters()` that an optimizer is built from: that of the key, or one around it."""
    for argument_ in (*built.args, *(keyword.value for keyword in built.keywords)):
        given = file.value(argument_) or argument_
        for each in ast.walk(given):
            owner = method(each, "parameters", "named_parameters")
            name = key_of(owner) if owner is not None else None
            if name is not None and (key == name or key.startswith(f"{name}.")):
                return owner
    return None


def _same_value(file: SourceFile, one: ast.expr, other: ast.expr) -> bool:
    """Whether the root of both names was not given another value in between."""
    keys = key_of(one)
    while key_of(other) != keys and isinstance(other, ast.Attribute):
        other = other.value
    return file.flow.reaching(one) == file.flow.reaching(other)


def _apart(one: ast.AST, other: ast.AST, file: SourceFile) -> bool:
    """Whether two nodes stand in different branches of one statement."""
    around = {one, *file.ancestors(one)}
    also = {other, *file.ancestors(other)}
    for shared in around & also:
        if isinstance(shared, ast.If | ast.Try):
            blocks = [block for name in _BLOCKS for block in [getattr(shared, name, [])]]
            homes = [
                [i for i, block in enumerate(blocks) if any(s in nodes for s in block)] for nodes in (around, also)
            ]
            if homes[0] and homes[1] and homes[0] != homes[1]:
                return not isinstance(shared, ast.Try)
    return False
