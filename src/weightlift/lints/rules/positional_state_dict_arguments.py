"""positional-state-dict-arguments: arguments by position are deprecated.

## What it does
Finds `module.state_dict(destination, prefix, keep_vars)` with arguments that are passed by position.

## Why is this bad
`Module.state_dict` warns with a `FutureWarning`: "Positional args are being deprecated, use kwargs instead", and [its documentation](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict)
announces that "keyword arguments will be enforced in future releases". The order is destination, prefix, keep_vars.

The keyword `destination=` itself is not deprecated: modules pass it on to their children. The documentation asks users
to avoid it, as it "is not designed for end-users".

## Example
```python
weights = model.state_dict(None, "encoder.")
```

## Use instead
```python
weights = model.state_dict(destination=None, prefix="encoder.")
```

## Fix
Safe: the same values under the names of the parameters that they already were for. Not offered with more than three
positions, with `**kwargs`, or with a keyword that is there already.

With `--to weightlift` an empty dict and the lines right below that write modules into it, each under its prefix, become
`weightlift.StateDict.from_modules(encoder=encoder, decoder=decoder).to_torch()`. Unsafe: the names and versions are
those that one module with these two in it has, and the values are copies and no longer the tensors of the modules.

## What is left alone
`*args` that are passed on. Methods of things that are not certainly modules: Lightning's loops have a
`state_dict(destination, prefix)` of their own. A call counts as one of a module if the file shows that it is one, or if
it passes on a `keep_vars`, which only modules have. A class of the file with a `state_dict` of its own may want
positions. `super().state_dict(...)` is [WL202](WL202.md)'s, what was loaded is [WL101](WL101.md)'s.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..destinations import together
from ..kinds import class_definition
from ..overrides import KEYWORDS, has_own_state_dict, is_class_of_modules, mentions
from ..rewrites import positional_as_keywords
from ..source_file import SourceFile, method
from ..values import Fix, Found

NODES = (ast.Call,)
WORDS = (b".state_dict(",)
GRADE = "safe"

_CHILDREN = ("children", "modules")
_NAMED_CHILDREN = ("named_children", "named_modules")


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls of a module's state_dict that pass something by position."""
    owner = method(node, "state_dict")
    if owner is None or not node.args or any(isinstance(arg, ast.Starred) for arg in node.args):
        return
    if _is_loaded(node, file) or not (_is_module(owner, file) or _passes_keep_vars(node, owner, file)):
        return
    yield Found(
        node,
        "state_dict() takes its arguments by position no longer for long: destination, prefix and keep_vars",
        together(node, file) or keywords_fix(node, file),
    )


def keywords_fix(node: ast.Call, file: SourceFile) -> Fix | None:
    """Return the fix that names what is passed by position; None where that is not certain to be the same."""
    names = KEYWORDS[: len(node.args)]
    given = {keyword.arg for keyword in node.keywords}
    if len(node.args) > len(KEYWORDS) or None in given or given & set(names):
        return None
    return Fix("safe", "pass keywords", (file.edit(node, positional_as_keywords(KEYWORDS)),))


def _is_loaded(node: ast.Call, file: SourceFile) -> bool:
    """Whether all that is passed is what torch.load returned: a load_state_dict that is misspelt."""
    given = node.args[0]
    while isinstance(given, ast.Subscript):
        given = given.value
    return len(node.args) == 1 and file.holds(given) == "loaded"


def _is_module(owner: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is a module with torch's own method."""
    if isinstance(owner, ast.Name) and owner.id == "self":
        inside = file.class_of(owner)
        return inside is not None and is_class_of_modules(file, inside) and not has_own_state_dict(file, inside)
    if _goes_over_children(owner, file):
        return True
    return file.holds(owner) == "module" and not _has_its_own(owner, file)


def _has_its_own(owner: ast.expr, file: SourceFile) -> bool:
    for value in file.values(owner) or ():
        definition = class_definition(file, value.func) if isinstance(value, ast.Call) else None
        if definition is not None and has_own_state_dict(file, definition):
            return True
    return False


def _passes_keep_vars(node: ast.Call, owner: ast.expr, file: SourceFile) -> bool:
    """Whether a call passes a `keep_vars` on, to something that has no method of the file's."""
    if file.calls(owner, "super") or (isinstance(owner, ast.Name) and owner.id == "self"):
        return False
    return mentions(node, "keep_vars") and not _has_its_own(owner, file) and not _is_class(owner, file)


def _is_class(owner: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is written like a class: `nn.Module.state_dict(self, ...)`."""
    name = str(file.qualified(owner) or getattr(owner, "id", "")).rpartition(".")[2]
    return name[:1].isupper()


def _goes_over_children(owner: ast.expr, file: SourceFile) -> bool:
    """Whether a name is the target of a loop over the children of a module."""
    bindings = file.flow.reaching(owner) if isinstance(owner, ast.Name) else []
    return bool(bindings) and all(_is_child(binding.owner, binding.key) for binding in bindings)


def _is_child(loop: ast.AST, name: str) -> bool:
    if not isinstance(loop, ast.For | ast.comprehension):
        return False
    target = loop.target
    if isinstance(target, ast.Tuple):
        last = target.elts[-1]
        over = method(loop.iter, *_NAMED_CHILDREN) is not None or _is_modules(loop.iter, "items")
        return over and len(target.elts) == 2 and isinstance(last, ast.Name) and last.id == name
    return method(loop.iter, *_CHILDREN) is not None or _is_modules(loop.iter, "values")


def _is_modules(node: ast.expr, name: str) -> bool:
    """Whether a node is `X._modules.items()` or the like."""
    return getattr(method(node, name), "attr", None) == "_modules"
