"""state-dicts-compared: == does not compare tensors.

## What it does
Finds `a.state_dict() == b.state_dict()`, the same with `!=`, and unittest's `assertEqual`, `assertDictEqual` and
`assertNotEqual` of two state dicts.

## Why is this bad
Comparing dicts asks each pair of values for the truth of `==`, which for tensors is a tensor: with more than one
element it raises `RuntimeError: Boolean value of Tensor with more than one value is ambiguous`. Where it does not
raise, no weights of more than one element were compared: the names differ, or the very same tensors are in both dicts
(a shallow copy, `keep_vars=True`), which counts as equal whatever they hold.

## Example
```python
assert model.state_dict() == restored.state_dict()
```

## Use instead
```python
torch.testing.assert_close(model.state_dict(), restored.state_dict(), rtol=0, atol=0)
```

## Fix
Unsafe, since what raised or said too little now says something: an assertion becomes `torch.testing.assert_close`
without tolerance, and `==` between two names becomes a comparison of the names and `torch.equal` of each tensor. With
`--to weightlift` every form becomes `weightlift.StateDict.of(a).equals(b)`, which also looks at types.

## What is left alone
State dicts of optimizers, schedulers, loops and other things that need not hold tensors: one side has to be certainly
that of a module: it is made in the file, or annotated, or used like one. `assertEqual` of torch's own test class, which
compares tensors, and of classes that the file does not show to be unittest's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..aliases import alias
from ..kinds import class_definition
from ..rewrites import assertion_as_call, replaced_by
from ..source_file import SourceFile, method
from ..values import Fix, Found, Rewrite

NODES = (ast.Compare, ast.Call)
WORDS = (b".state_dict(",)
EVERY = (b"torch",)
GRADE = "unsafe"

_EQUAL = ("assertEqual", "assertDictEqual", "assertEquals")
_CASES = ("unittest.TestCase", "unittest.case.TestCase", "unittest.IsolatedAsyncioTestCase")
_CLOSE = "torch.testing.assert_close({one}, {other}, rtol=0, atol=0)"
_EACH = "{one}.keys() == {other}.keys() and all(torch.equal({one}[key], {other}[key]) for key in {one})"
_OURS = "weightlift.StateDict.of({one}).equals({other})"


def check(node: ast.Compare | ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the comparisons that ask for the truth of a tensor."""
    if isinstance(node, ast.Compare):
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            one, other = node.left, node.comparators[0]
            if _are_weights(one, other, file):
                yield Found(node, _message("==" if isinstance(node.ops[0], ast.Eq) else "!="), _of_compare(node, file))
    elif _is_assertion(node) and _are_weights(node.args[0], node.args[1], file) and _is_in_a_test_case(node, file):
        yield Found(node, _message(node.func.attr), _of_method(node, file))  # type: ignore[attr-defined]


def _is_assertion(node: ast.Call) -> bool:
    return len(node.args) == 2 and getattr(method(node, *_EQUAL, "assertNotEqual"), "id", "") == "self"


def _message(how: str) -> str:
    return f"{how} asks for the truth of whole tensors: it raises, or says something without having compared them"


def _are_weights(one: ast.expr, other: ast.expr, file: SourceFile) -> bool:
    """Whether both sides are state dicts and one of them is certainly a module's."""
    sides = _weights(one, file), _weights(other, file)
    return "module" in sides and None not in sides


def _weights(side: ast.expr, file: SourceFile) -> str | None:
    """Return `module` for the state dict of one, `other` for another or for what was loaded, else None."""
    found = alias(file, side)
    if found is None:
        return "other" if file.holds(side) in ("state_dict", "loaded") else None
    return "module" if file.holds(found.owner) == "module" else "other"


def _is_in_a_test_case(node: ast.AST, file: SourceFile) -> bool:
    inside = file.class_of(node)
    for _ in range(8):
        if inside is None:
            return False
        if any(file.qualified(base) in _CASES for base in inside.bases):
            return True
        inside = next(filter(None, (class_definition(file, base) for base in inside.bases)), None)
    return False


def _of_compare(node: ast.Compare, file: SourceFile) -> Fix | None:
    equal = isinstance(node.ops[0], ast.Eq)
    above = file.parent(node)
    parts = {"one": "left", "other": "comparisons.0.comparator"}
    if file.settings.to == "weightlift":
        return _fix(
            "compare with StateDict.equals", node, replaced_by(_negated(_OURS, negated=not equal), **parts), file
        )
    if equal and isinstance(above, ast.Assert) and above.msg is None:
        call = assertion_as_call(_CLOSE, **parts)
        return Fix("unsafe", "call torch.testing.assert_close", (file.edit(above, call, imports=("torch",)),))
    if not (isinstance(node.left, ast.Name) and isinstance(node.comparators[0], ast.Name)):
        return None
    alone = isinstance(above, ast.Assert | ast.If | ast.While | ast.Return | ast.Assign)
    each = _negated(f"({_EACH})", negated=True) if not equal else _EACH if alone else f"({_EACH})"
    return _fix("compare each tensor", node, replaced_by(each, **parts), file)


def _of_method(node: ast.Call, file: SourceFile) -> Fix | None:
    parts = {"one": "args.0.value", "other": "args.1.value"}
    equal = node.func.attr in _EQUAL  # type: ignore[attr-defined]
    if file.settings.to == "weightlift":
        called = "self.assertTrue" if equal else "self.assertFalse"
        return _fix("compare with StateDict.equals", node, replaced_by(f"{called}({_OURS})", **parts), file)
    return _fix("call torch.testing.assert_close", node, replaced_by(_CLOSE, **parts), file) if equal else None


def _negated(text: str, *, negated: bool) -> str:
    return f"not {text}" if negated else text


def _fix(title: str, node: ast.expr, rewrite: Rewrite, file: SourceFile) -> Fix:
    needed = "weightlift" if file.settings.to == "weightlift" else "torch"
    return Fix("unsafe", title, (file.edit(node, rewrite, imports=(needed,)),))
