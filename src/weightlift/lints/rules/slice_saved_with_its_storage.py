"""slice-saved-with-its-storage: a small part of a tensor is saved at the size of the whole.

## What it does
Finds a slice of a tensor, or a piece of `split`, `chunk` or `unbind`, that is handed to `torch.save` or `pickle`
without a copy.

## Why is this bad
A slice is a view: it shares the storage of the tensor that it is taken from, and torch saves storages whole. Two rows
of a tensor of 1000 x 1000 floats make a file of 4 MB and not of 9 KB, and take as much memory once loaded. A tensor
that is split into a hundred files makes each of them as large as the tensor. What was cut off is still in the file,
for anyone to read. torch's notes on serialization tell to clone what is smaller than its storage
(https://docs.pytorch.org/docs/stable/notes/serialization.html#saving-and-loading-tensors-preserves-views).

## Example
```python
embeddings = torch.zeros(1000, 1000)
torch.save(embeddings[:2], "two.pt")
```

## Use instead
```python
embeddings = torch.zeros(1000, 1000)
torch.save(embeddings[:2].clone(), "two.pt")
```

## Fix
Safe: `.clone()` at the slice, or where the name that holds it is saved. The same values are saved.

## What is left alone
What may be a copy: an index that is a list, a mask or a tensor, `contiguous()`, `cpu()`, `to(...)`. `x[0]`, which
mostly takes the only item of a batch. Two or more parts of the same tensor in one file, also those that a loop has put
there: they share what is saved once. Anything that is not certain to be a tensor, as lists and arrays of NumPy save
what they show.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..rewrites import method_called
from ..saves import SAVES_AND_DUMPS, parts, saved_by
from ..source_file import SourceFile
from ..tensors import whole_of
from ..values import Fix, Found

NODES = (ast.Call,)
CALLS = SAVES_AND_DUMPS
EVERY = (b"torch",)
GRADE = "safe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the slices that are saved."""
    saved = saved_by(file, node)
    if saved is None:
        return
    inside = parts(file, saved)
    cut = [(part, whole) for part in inside if (whole := whole_of(file, part)) is not None]
    names = [file.text(whole) for _, whole in cut] + [file.text(part) for part in inside]
    for part, whole in cut:
        if _is_one_of_many(part, node, file):
            continue
        name = file.text(whole)
        if names.count(name) == 1:
            fix = Fix("safe", "save a copy of the slice", (file.edit(part, method_called("clone")),))
            yield Found(part, f"the whole storage of {_short(name)} is saved with this part of it", fix)


def _is_one_of_many(part: ast.expr, save: ast.Call, file: SourceFile) -> bool:
    """Whether a loop puts part after part of a tensor into what is saved once behind it."""
    loop = file.loop(part)
    return loop is not None and loop not in file.ancestors(save)


def _short(name: str) -> str:
    return name if len(name) <= 40 and "\n" not in name else "the tensor"
