"""metadata-lost-by-comprehension: a state dict forgets the versions of its modules.

## What it does
Finds `{k: v for k, v in model.state_dict().items()}` that is then loaded or saved, also over what `torch.load` gave.

## Why is this bad
`Module.state_dict()` returns an `OrderedDict` with an attribute `_metadata`: the version of the format of each module.
A comprehension makes a plain dict without it (and so do `dict(sd)`, `OrderedDict(sd)` and `sd.copy()`; `copy.copy` and
`copy.deepcopy` keep it). When such a dict is loaded, every module takes it for one of the oldest format. Of torch's own
modules, BatchNorm then fills in a missing `num_batches_tracked` without a word, and quantized modules fail. A module
with a `_version` and a `_load_from_state_dict` of its own may convert weights that are new already, a second time.

## Example
```python
torch.save({k: v.cpu() for k, v in model.state_dict().items()}, "model.pt")
```

## Use instead
```python
weights = model.state_dict()
for k in weights:
    weights[k] = weights[k].cpu()
torch.save(weights, "model.pt")
```
`state_dict()` returns a dict of its own each time, so that the model is not touched. To take a prefix away,
`torch.nn.modules.utils.consume_prefix_in_state_dict_if_present` renames keys and metadata.

## What is left alone
This rule is off by default, select it with `--select WL407`: what it finds does lose the metadata, but in most models
every module is of version 1, or loads the same without. State dicts of optimizers, which have no such attribute; what
was loaded and is saved again; dicts that are merged into another before they are loaded; a comprehension over what a
comprehension made; a file that deals with `_metadata` itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import key_of, scope_of
from ..keys_of_state_dicts import possible_kinds, possible_values
from ..saves import parts, saved_by
from ..source_file import SourceFile, method
from ..values import Found

NODES = (ast.DictComp,)
WORDS = (b".load_state_dict(", b"save(", b"save as ", b"torch.save")
EVERY = (b"state_dict",)
ON_BY_DEFAULT = False

_NOT_MODULES = ("optimizer", "scheduler", "scaler")


def check(node: ast.DictComp, file: SourceFile) -> Iterator[Found]:
    """Yield the comprehensions that make a state dict without the versions of one that has them."""
    source = method(node.generators[0].iter, "items", "keys") or node.generators[0].iter
    if len(node.generators) != 1 or not _has_metadata(source, file) or b"_metadata" in file.data:
        return
    use = _used(node, file)
    if use == "saved" and "loaded" in possible_kinds(file, source):
        return  # a whole checkpoint, or weights that were saved without already
    if use is not None:
        yield Found(node, f"the dict that is {use} has lost _metadata, the versions of the modules")


def _has_metadata(source: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is what a module's state_dict() gave, or what was loaded from a file."""
    if isinstance(source, ast.Subscript):
        return "loaded" in possible_kinds(file, source.value) and _is_of_a_model(source.slice)
    if any(isinstance(value, ast.DictComp) for value in possible_values(file, source)):
        return False  # it was lost before
    if "loaded" in possible_kinds(file, source):
        return True  # what goes on to load_state_dict is a state dict
    owner = method(file.value(source), "state_dict")
    return owner is not None and file.holds(owner) not in _NOT_MODULES


def _is_of_a_model(key: ast.expr) -> bool:
    """Whether an entry of a checkpoint is named as one of a model's weights."""
    name = key.value if isinstance(key, ast.Constant) else None
    return isinstance(name, str) and any(word in name for word in ("model", "state_dict", "net", "weights", "ema"))


def _used(node: ast.DictComp, file: SourceFile) -> str | None:
    """Return what becomes of the dict: `loaded` or `saved`."""
    name = None
    assign = file.parent(node)
    if isinstance(assign, ast.Assign) and len(assign.targets) == 1:
        name = key_of(assign.targets[0])
    scope = scope_of(file, node)
    for call in file.nodes[ast.Call]:
        saved = saved_by(file, call, torch_only=True)
        if saved is not None:
            given, use = parts(file, saved), "saved"
        elif method(call, "load_state_dict") is not None and call.args:
            given, use = [call.args[0]], "loaded"
        else:
            continue
        if node in given:
            return use
        if name is not None and scope_of(file, call) is scope:
            same = [each for each in given if key_of(each) == name]
            if any(binding.value is node for each in same for binding in file.flow.reaching(each)):
                return use
    return None
