"""unguarded-key-replace: a prefix is taken out wherever it stands in a key.

## What it does
Finds `k.replace("module.", "")` and `k.replace("model.", "")` where `k` goes over the keys of a state dict and nothing
has asked how the key begins.

## Why is this bad
`str.replace` takes the text out of the middle of a key too, and out of the end of a longer name: `submodule.weight`
becomes `subweight`, `base_model.fc.weight` becomes `base_fc.weight`. Two keys may become one, and the second one
overwrites the first. With `strict=False` nothing is raised, and the weights are not loaded.

## Example
```python
weights = {k.replace("module.", ""): v for k, v in state_dict.items()}
```

## Use instead
```python
weights = {k.removeprefix("module."): v for k, v in state_dict.items()}
```
or, in place and with the versions in `_metadata` kept:
```python
torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state_dict, "module.")
```

## Fix
Unsafe: `k.removeprefix("module.")`. Where a part of the model was wrapped by itself, `encoder.module.weight`, or twice,
the middle was meant too.

With `--to weightlift`, `{k.replace("module.", ""): v for k, v in weights.items()}` becomes
`weightlift.StateDict.of(weights).strip_prefix("module.").to_torch()`, which raises for a key without the prefix and
keeps the versions; straight into a model, with nothing done with the result, it becomes `weightlift.load(model, path)`,
which knows such prefixes and raises for all that does not fit. Unsafe.

## What is left alone
Other texts: what stands before the dot of `module.` and `model.` is part of many longer names, what a converter of one
known architecture replaces is not. A name that is made only to ask about it. Keys that were looked at: `startswith` or
a match anywhere before in the same function, a condition about the key, a flag that says how the model was saved (`if
used_data_parallel:`), a model that the function itself wraps, keys that were picked by a condition, and the `except`
branch after the keys as they are have been tried.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..keys_of_state_dicts import looked_at, source_of_key
from ..reads import reads_of
from ..rewrites import replaced_by
from ..source_file import SourceFile, is_constant, method
from ..values import Fix, Found
from ..with_weightlift import stripped

NODES = (ast.Call,)
WORDS = (b'replace("mod', b"replace('mod")
EVERY = (b"torch",)
GRADE = "unsafe"

_PREFIXES = ("module.", "model.")
_EATEN = {"module.": "submodule.weight", "model.": "base_model.weight"}


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls that take a prefix out of the whole of a key."""
    key = method(node, "replace")
    if not isinstance(key, ast.Name) or len(node.args) not in (2, 3) or node.keywords:
        return
    prefix = next((each for each in _PREFIXES if is_constant(node.args[0], each)), None)
    if prefix is None or not is_constant(node.args[1], ""):
        return
    source = source_of_key(file, key)
    if source is None or looked_at(file, node, key, source) or _is_only_asked_about(node, file):
        return
    eaten = _EATEN[prefix]
    above = file.parent(node)
    ours = (
        stripped(above, file.text(node.args[0]), file)
        if isinstance(above, ast.DictComp) and above.key is node
        else None
    )
    fix = ours or Fix(
        "unsafe",
        "call removeprefix",
        (file.edit(node, replaced_by("{k}.removeprefix({p})", k="func.value", p="args.0.value")),),
    )
    yield Found(
        node, f"takes {prefix!r} out of the middle of a key too: {eaten!r} becomes {eaten.replace(prefix, '')!r}", fix
    )


def _is_only_asked_about(node: ast.Call, file: SourceFile) -> bool:
    """Whether no key is renamed: what comes out stands only in the tests of branches, or is not used."""
    assign = file.parent(node)
    if not isinstance(assign, ast.Assign) or not isinstance(assign.targets[0], ast.Name):
        return False
    return all(_is_tested(read, file) for read in reads_of(file, assign.targets[0]))


def _is_tested(read: ast.expr, file: SourceFile) -> bool:
    inner: ast.AST = read
    for above in file.ancestors(read):
        if isinstance(above, ast.If | ast.IfExp | ast.While):
            return inner is above.test
        if isinstance(above, ast.stmt):
            return False
        inner = above
    return False
