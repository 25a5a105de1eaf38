"""strict-false-result-discarded: keys that did not match go unseen.

## What it does
Finds `model.load_state_dict(..., strict=False)` whose result is not looked at.

## Why is this bad
With `strict=False`, weights that find no place and places that get no weights are returned and not raised. If the
result is thrown away, a renamed layer is enough for a model to keep its random weights without a word.

## Example
```python
model.load_state_dict(weights, strict=False)
```

## Use instead
```python
missing, unexpected = model.load_state_dict(weights, strict=False)
if unexpected or not all(key.startswith("head.") for key in missing):
    raise RuntimeError(f"missing: {missing}; unexpected: {unexpected}")
```

## Fix
With plain torch there is none: which keys may be missing is not to be seen. With `--to weightlift`, where a load is in
sight, it becomes `weightlift.load(model, path)`, or `weightlift.load(model, weights)` where the load stands elsewhere.
Unsafe, since it is strict: it raises for what it does not know a place for, lists it, and has then loaded nothing; what
may be missing is said by `missing=` or in a plan.

## What is left alone
A result that is assigned, also to `_`, returned, printed or passed on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..source_file import SourceFile, argument, is_constant, method
from ..values import Found
from ..with_weightlift import loaded

NODES = (ast.Call,)
EVERY = (b"load_state_dict", b"False")
GRADE = "unsafe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls whose result would have said what was not loaded."""
    if (
        method(node, "load_state_dict") is not None
        and file.is_discarded(node)
        and is_constant(argument(node, 1, "strict"), value=False)
    ):
        given = argument(node, 0, "state_dict")
        fix = loaded(node, given, file) if given is not None else None
        yield Found(node, "strict=False returns the keys that did not match, and the result is thrown away", fix)
