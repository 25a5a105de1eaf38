"""positional-super-state-dict: an override hands its arguments on by position, which is deprecated.

## What it does
Finds `super().state_dict(destination, prefix, keep_vars)` and `nn.Module.state_dict(self, destination, prefix,
keep_vars)` in a module class.

## Why is this bad
It is how overrides had to be written once. `Module.state_dict` warns with a `FutureWarning`: "Positional args are
being deprecated, use kwargs instead", and [keyword arguments will be enforced](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict).
The order is destination, prefix, keep_vars. Passing `destination=` on by keyword is right: that is how a module's
weights reach the dict of its parent.

## Example
```python
class Encoder(nn.Module):
    def state_dict(self, destination=None, prefix="", keep_vars=False):
        return super().state_dict(destination, prefix, keep_vars)
```

## Use instead
```python
class Encoder(nn.Module):
    def state_dict(self, destination=None, prefix="", keep_vars=False):
        return super().state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
```

## Fix
Safe: the same values under the names of the parameters that they already were for. Not offered with more than three
positions, with `**kwargs`, or with a keyword that is there already.

## What is left alone
`super().state_dict(*args, **kwargs)`. Classes that the file does not show to be modules, unless a `keep_vars` is passed
on, which only modules have. Classes whose base in the same file has a `state_dict` of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..kinds import is_module_class
from ..overrides import KEYWORDS, inherits_a_state_dict, is_class_of_modules, mentions
from ..rewrites import positional_as_keywords
from ..source_file import SourceFile, method
from ..values import Fix, Found

NODES = (ast.Call,)
WORDS = (b".state_dict(",)
PATTERN = rb"\.state_dict\(\s*[^\s)]"
GRADE = "safe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls of the base's state_dict that pass something by position."""
    owner = method(node, "state_dict")
    inside = file.class_of(node) if owner is not None else None
    if owner is None or inside is None or any(isinstance(arg, ast.Starred) for arg in node.args):
        return
    first = 0 if file.calls(owner, "super") else 1
    if first and not (node.args and _is_self(node.args[0]) and is_module_class(file, owner)):
        return
    given = len(node.args) - first
    certain = first or is_class_of_modules(file, inside) or mentions(node, "keep_vars")
    if given < 1 or not certain or inherits_a_state_dict(file, inside):
        return
    names = ("self", *KEYWORDS) if first else KEYWORDS
    yield Found(
        node,
        "the base's state_dict() takes its arguments by position no longer for long: pass keywords",
        _fix(node, file, names, first, given),
    )


def _fix(node: ast.Call, file: SourceFile, names: tuple[str, ...], first: int, given: int) -> Fix | None:
    """Return the fix that names what is passed by position; None where that is not certain to be the same."""
    keywords = {keyword.arg for keyword in node.keywords}
    if given > len(KEYWORDS) or None in keywords or keywords & set(KEYWORDS[:given]):
        return None
    return Fix("safe", "pass keywords", (file.edit(node, positional_as_keywords(names, first=first)),))


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
