"""unguarded-key-slice: characters are cut off every key, whether the prefix is there or not.

## What it does
Finds `k[7:]` and `k[len("module."):]` where `k` goes over the keys of a state dict and nothing has asked how the key
begins.

## Why is this bad
The slice is right for the one file that it was written for, saved from `DataParallel` or the like. A key without the
prefix loses its own first letters: `conv1.weight` becomes `eight`. With `strict=False` nothing is raised, and the
model keeps its random weights.

## Example
```python
weights = {k[7:]: v for k, v in state_dict.items()}
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
`k[len(prefix):]` becomes `k.removeprefix(prefix)` where the prefix is known to be a string: safe, as keys with the
prefix come out as before, and the others are no longer cut. `k[7:]` becomes `k.removeprefix("module.")`: unsafe, as
the seven letters may be another prefix. Any other number is left to you.

With `--to weightlift`, `{k[7:]: v for k, v in weights.items()}` becomes
`weightlift.StateDict.of(weights).strip_prefix("module.").to_torch()`, which raises for a key without the prefix and
keeps the versions; straight into a model, with nothing done with the result, it becomes `weightlift.load(model, path)`,
which knows such prefixes and raises for all that does not fit. Unsafe.

## What is left alone
Whatever may have made sure of the keys: `startswith` or a match anywhere before in the same function, a condition or
an `assert` about the key, a flag that says how the model was saved (`if used_data_parallel:`), a model that the
function itself wraps in `DataParallel`, keys that were picked by a condition, and the `except` branch after the keys as
they are have been tried. A state dict that the function is handed, as whoever calls it may have looked, unless the
function loads what it makes itself. Slices of anything that is not known, or named, as a state dict's key.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..keys_of_state_dicts import looked_at, source_of_key
from ..rewrites import replaced_by
from ..source_file import SourceFile, method
from ..values import Fix, Found
from ..with_weightlift import stripped

NODES = (ast.Subscript,)
_LENGTHS = range(3, 25)
"""Slices of fewer letters are about something else than a prefix."""

EVERY = (b"state_dict",)
PATTERN = rb"\[\s*(?:len\s*\([^\[\]]*\)|" + "|".join(map(str, _LENGTHS)).encode() + rb")\s*:\s*\]"
GRADE = "safe"

_OF_MODULE = len("module.")
_PREFIX = "slice.0.slice.lower.args.0.value"


def check(node: ast.Subscript, file: SourceFile) -> Iterator[Found]:
    """Yield the slices that cut something off a key unseen."""
    cut = node.slice
    if not isinstance(cut, ast.Slice) or cut.lower is None or cut.upper is not None or cut.step is not None:
        return
    if not isinstance(node.value, ast.Name) or not (_is_number(cut.lower) or _measured(cut.lower)):
        return
    source = source_of_key(file, node.value)
    if source is None or _is_handed_in(source, file) or looked_at(file, node, node.value, source):
        return
    what = "as many characters as the prefix has" if _measured(cut.lower) else f"{file.text(cut.lower)} characters"
    yield Found(node, f"cuts {what} off every key, also off those without the prefix", _fix(node, cut.lower, file))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value in _LENGTHS


def _measured(node: ast.expr) -> ast.expr | None:
    """Return the prefix whose length is taken."""
    is_len = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
    return node.args[0] if is_len and len(node.args) == 1 else None  # type: ignore[attr-defined]


def _is_handed_in(source: ast.expr, file: SourceFile) -> bool:
    """Whether a state dict comes from outside of the function, and what is made of it goes outside again."""
    bindings = file.flow.reaching(source)
    function = file.function(source)
    if not any(binding.kind == "parameter" for binding in bindings) or function is None:
        return False
    loads = (call for call in file.nodes[ast.Call] if method(call, "load_state_dict") is not None)
    return not any(file.function(call) is function for call in loads)


def _fix(node: ast.Subscript, lower: ast.expr, file: SourceFile) -> Fix | None:
    prefix = _measured(lower)
    if prefix is not None:
        if file.holds(prefix) != "string":
            return None
        rewrite = replaced_by("{k}.removeprefix({p})", k="value", p=_PREFIX)
        return Fix("safe", "call removeprefix", (file.edit(node, rewrite),))
    if isinstance(lower, ast.Constant) and lower.value == _OF_MODULE:
        above = file.parent(node)
        if isinstance(above, ast.DictComp) and above.key is node and (ours := stripped(above, '"module."', file)):
            return ours
        rewrite = replaced_by('{k}.removeprefix("module.")', k="value")
        return Fix("unsafe", "remove the prefix 'module.'", (file.edit(node, rewrite),))
    return None
