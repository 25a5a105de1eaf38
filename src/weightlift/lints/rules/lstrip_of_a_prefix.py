"""lstrip-of-a-prefix: lstrip cuts off characters and not a prefix.

## What it does
Finds `key.lstrip("module.")`, where a prefix is meant, and its mirror `key.rstrip(".weight")`, `path.rstrip(".pth")`.

## Why is this bad
The argument of `str.lstrip` is a set of characters, ["not a prefix"][1]: every leading character that is one of them
goes. `"module.encoder.weight".lstrip("module.")` is `"ncoder.weight"`, and `"module.layer1.bias".lstrip("module.")` is
`"ayer1.bias"`. Which keys survive depends on how they begin, so that a model may load today and lose a layer once one
is renamed; with `strict=False` nothing is said.

[1]: https://docs.python.org/3/library/stdtypes.html#str.lstrip

## Example
```python
weights = {key.lstrip("module."): value for key, value in checkpoint.items()}
```

## Use instead
```python
weights = {key.removeprefix("module."): value for key, value in checkpoint.items()}
```

## Fix
`removeprefix` or `removesuffix` (Python 3.9), which leave alone what is not the prefix, and cut it off where it is.
Unsafe, as `lstrip` may have been right by luck where they are not: they cut once, so that of a prefix that stands there
twice (`module.module.fc.weight`) one is left, where `lstrip` left `fc.weight`, no letter of `fc` being in the prefix.

## What is left alone
Sets of characters that are no prefix: `lstrip("./")`, `lstrip("0123.")`, `lstrip("www.")`. `lstrip` counts as one of a
prefix if its argument ends with a dot behind at least three different letters, is a well-known one without a dot
(`"module"`, `"model"`, `"_orig_mod"`), or is made of a variable and a dot: `f"{name}."`, `name + "."`. `rstrip` counts
if its argument is the name of a parameter behind a dot or what checkpoints end with. pandas' `.str.lstrip` is left
alone, and so are files that speak neither of torch nor of checkpoints, state dicts or weights.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..rewrites import method_renamed
from ..source_file import SourceFile, method
from ..values import Fix, Found

NODES = (ast.Call,)
WORDS = (b".lstrip(", b'.rstrip(".', b".rstrip('.")
EVERY = (b"strip(",)
PATTERN = rb"""\.[lr]strip\(\s*(?:[^\s)"'.]|\.\w|["'][^"'\\]*[A-Za-z])"""
"""Something that is not in quotes, or has a letter between them."""
GRADE = "unsafe"

_OF_WEIGHTS = (b"torch", b"state_dict", b"checkpoint", b"ckpt", b"weights", b"safetensors")
_PREFIX = re.compile(r"\.?[A-Za-z_]\w*(\.\w+)*\.")
_BARE = ("module", "model", "_orig_mod")
_SUFFIX = re.compile(
    r"(\.\w+)*\.(weights?|bias|pth|pth\.tar|pt|ckpt|safetensors|running_mean|running_var|num_batches_tracked)"
)


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls that cut off letters where a prefix is meant."""
    owner = method(node, "lstrip", "rstrip")
    if owner is None or len(node.args) != 1 or node.keywords or getattr(owner, "attr", "") == "str":
        return
    if not any(word in file.data for word in _OF_WEIGHTS):
        return
    right = method(node, "rstrip") is not None
    given = file.value(node.args[0])
    if given is None or not (_is_suffix(given) if right else _is_prefix(given)):
        return
    name, meant = ("rstrip", "removesuffix") if right else ("lstrip", "removeprefix")
    fix = Fix("unsafe", f"call {meant}", (file.edit(node, method_renamed(meant)),))
    side = "trailing" if right else "leading"
    letters = f"any of {_letters(given)}" if isinstance(given, ast.Constant) else "any of those that it is given"
    yield Found(node, f"{name}() cuts off every {side} character that is {letters}; {meant}() is meant", fix)


def _is_prefix(given: ast.expr) -> bool:
    if isinstance(given, ast.Constant):
        text = given.value
        if not isinstance(text, str):
            return False
        return text in _BARE or (_PREFIX.fullmatch(text) is not None and len(set(text) - set("._")) > 2)
    if isinstance(given, ast.JoinedStr) and isinstance(given.values[0], ast.FormattedValue):
        return _is_a_dot(given.values[-1])
    return isinstance(given, ast.BinOp) and isinstance(given.op, ast.Add) and _is_a_dot(given.right)


def _is_suffix(given: ast.expr) -> bool:
    text = given.value if isinstance(given, ast.Constant) else None
    return isinstance(text, str) and _SUFFIX.fullmatch(text) is not None


def _is_a_dot(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "."


def _letters(given: ast.Constant) -> str:
    return "".join(dict.fromkeys(str(given.value)))
