"""strict-false-result-discarded: keys that did not match go unseen.

## What it does
Finds `model.load_state_dict(..., strict=False)` whose result is not looked at, where the weights are seen to come from
somewhere else than the model: from a file, or from the `state_dict()` of another model.

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
A result that is assigned, also to `_`, returned, printed or passed on. Weights that the function is handed, as whoever
calls it may have looked. Where there is nothing to be told: a model that gets back what was taken of itself
(`copy.deepcopy(model.state_dict())`, a dict over its own `named_parameters()`), or a dict whose keys are written out.

A function that compares the keys itself, which shows in a variable named for the `missing` or `unexpected` ones, in an
`if key not in model.state_dict()` or a `set(weights)` that is compared; that has it done (`check_keys(weights)`,
`matching(weights, model.state_dict())`); that takes the `len` of those that it has picked; or that says so when it has
tried a strict load before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import key_of
from ..origins import is_from_elsewhere
from ..own_keys import are_looked_at, is_its_own
from ..source_file import SourceFile, argument, is_constant, method
from ..values import Found
from ..with_weightlift import loaded

NODES = (ast.Call,)
EVERY = (b"load_state_dict", b"False")
GRADE = "unsafe"

_OTHERS = ("optimizer", "scheduler", "scaler")
"""What has no `strict`."""


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls whose result would have said what was not loaded."""
    model = method(node, "load_state_dict")
    if model is None or not file.is_discarded(node) or not is_constant(argument(node, 1, "strict"), value=False):
        return
    if file.holds(model) in _OTHERS or (key_of(model) or "").rpartition(".")[2].startswith("opt"):
        return
    given = argument(node, 0, "state_dict")
    if given is None or not is_from_elsewhere(file, given):
        return
    if not (is_its_own(file, model, given) or are_looked_at(file, node, model, given)):
        message = "strict=False returns the keys that did not match, and the result is thrown away"
        yield Found(node, message, loaded(node, given, file))
