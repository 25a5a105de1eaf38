"""state-dict-override-without-keywords: the module cannot be a part of another.

## What it does
Finds a `state_dict` method of a module class that cannot be called with `destination=`, `prefix=` and `keep_vars=`.

## Why is this bad
A parent asks each child for its state with these three keywords: `Module.state_dict` calls
`module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)`
([source](https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn/modules/module.py)). A method that does not take them
works on its own, and raises `TypeError: state_dict() got an unexpected keyword argument 'destination'` as soon as the
module is a child, also that of `DistributedDataParallel`, `nn.DataParallel` or `torch.compile`.

## Example
```python
class Encoder(nn.Module):
    def state_dict(self):
        return super().state_dict()
```

## Use instead
```python
class Encoder(nn.Module):
    def state_dict(self, *args, **kwargs):
        return super().state_dict(*args, **kwargs)
```
To change what is saved, `register_state_dict_post_hook`, `_save_to_state_dict` or `get_extra_state` need no override.

## What is left alone
Methods that take `**kwargs`, classes that the file does not show to be modules, properties, class methods and
overloads, and methods that only raise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..overrides import KEYWORDS, only_raises, overridden
from ..source_file import SourceFile
from ..values import Found

NODES = (ast.FunctionDef,)
WORDS = (b"def state_dict(",)


def check(node: ast.FunctionDef, file: SourceFile) -> Iterator[Found]:
    """Yield the methods that a parent module cannot call."""
    if overridden(node, file) is None or only_raises(node):
        return
    missing = lacking(node)
    if missing:
        names = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        yield Found(node, f"cannot take {names}, by keyword, which a parent module passes: TypeError as its child")


def lacking(node: ast.FunctionDef) -> list[str]:
    """Return the keywords of `Module.state_dict` that a method does not take."""
    if node.args.kwarg is not None:
        return []
    taken = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
    return [name for name in KEYWORDS if name not in taken]
