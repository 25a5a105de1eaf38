"""whole-model-loaded: a load expects an object and not weights.

## What it does
Finds what `torch.load` returned, or an entry of it, that is used as a model: `torch.load(path).eval()`,
`torch.load(path).state_dict()`, and the same by way of a name. The methods are `eval`, `train`, `state_dict`,
`load_state_dict`, `parameters`, `named_parameters`, `named_modules` and `zero_grad`.

## Why is this bad
Only a file that somebody saved a whole object to can be read like this. From torch 2.6 on `torch.load` refuses such a
file by default (`UnpicklingError: Weights only load failed`). With `weights_only=False` it runs whatever code the file
holds, and it needs the classes where they were when it was saved. A file that holds a state dict raises too:
`AttributeError: 'collections.OrderedDict' object has no attribute 'eval'`.

`torch.load(path).state_dict()` does not read less than the whole model: everything is built first.

## Example
```python
model = torch.load("model.pt", weights_only=False).eval()
```

## Use instead
```python
model = Net()
model.load_state_dict(torch.load("model.pt"))
model.eval()
```

## Fix
Unsafe, and offered only for `torch.load(path).state_dict()` where the project itself saves that file, and saves a state
dict wherever it does: the call raises today, and what is loaded is what it asks for.

With `--to weightlift` every `torch.load(path).state_dict()` becomes `weightlift.open(path).state_dict().to_torch()`,
and so does `loaded = torch.load(path)` of which nothing but `loaded.state_dict()` is taken. The weights of a whole
model come out of the file without its classes, and none of its code runs. Unsafe, since a `state_dict` method of the
model's own does not run either, and since the tensors are on the CPU.

## What is left alone
Code that looks first (`if hasattr(loaded, "state_dict")`, `isinstance(loaded, nn.Module)`, in a `try`) copes with files
of both sorts. Methods that tensors have as well, such as `to` and `cuda`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import key_of
from ..rewrites import replaced_by
from ..source_file import SourceFile, argument, is_constant, is_open, method
from ..torch_loads import LOADS, is_in_memory
from ..values import Fix, Found
from ..with_weightlift import opened

NODES = (ast.Call,)
WORDS = (b".eval(", b".train(", b"state_dict(", b"parameters(", b"named_modules(", b"zero_grad(")
EVERY = (b"torch", b"load(")
GRADE = "unsafe"

_OF_MODELS = (
    "eval",
    "train",
    "state_dict",
    "load_state_dict",
    "parameters",
    "named_parameters",
    "named_modules",
    "zero_grad",
)
_SAME = ("to", "cuda", "cpu", "float", "half", "double", "bfloat16")
"""Methods that give what they are called on, of models and of tensors."""


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls of a model's methods on what was loaded."""
    owner = method(node, *_OF_MODELS)
    if owner is None:
        return
    load = _load_behind(owner, file)
    if load is None or is_in_memory(argument(load, 0, "f"), file) or _is_looked_at(node, owner, file):
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    fix = None
    bare = owner is load and name == "state_dict" and not (node.args or node.keywords)
    if bare and file.project is not None and file.project.loads_a_state_dict(load, file):
        fix = Fix("unsafe", "take what is loaded", (file.edit(node, replaced_by("{load}", load="func.value")),))
    message = f"{name}() needs a whole model in the file: {_what_happens(load, file)}"
    yield Found(node, message, fix or opened(load, file))


def _load_behind(owner: ast.expr, file: SourceFile) -> ast.Call | None:
    """Return the load that an expression is the result of, or an entry or a moved copy of it."""
    for _ in range(8):
        if isinstance(owner, ast.Subscript):
            owner = owner.value
        elif (moved := method(owner, *_SAME)) is not None:
            owner = moved
        elif file.calls(owner, *LOADS) and isinstance(owner, ast.Call):
            return owner
        else:
            made = file.value(owner)
            if made is None or made is owner:
                return None
            owner = made
    return None


def _is_looked_at(node: ast.AST, owner: ast.expr, file: SourceFile) -> bool:
    """Whether something around asks what was loaded, or takes it if it is not what it should be."""
    while isinstance(owner, ast.Subscript | ast.Call):
        owner = owner.value if isinstance(owner, ast.Subscript) else owner.func
    key = key_of(owner)
    for above in file.ancestors(node):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
        if isinstance(above, ast.Try) and above.handlers:
            return True
        asks = ast.walk(above.test) if isinstance(above, ast.If | ast.IfExp) and key is not None else ()
        if any(key_of(each) == key for each in asks):
            return True
    return False


def _what_happens(load: ast.Call, file: SourceFile) -> str:
    weights_only = argument(load, -1, "weights_only")
    if is_constant(weights_only, value=True):
        return "weights_only=True refuses one"
    unlimited = weights_only is not None or is_open(load) or argument(load, 2, "pickle_module") is not None
    if unlimited or file.settings.torch_min < (2, 6):
        return "reading one runs its code, and needs its classes where they were"
    return "torch 2.6 and newer refuse one by default"
