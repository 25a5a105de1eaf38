"""whole-optimizer-saved: an optimizer comes back with parameters that are nobody's.

## What it does
Finds an optimizer, or a learning-rate scheduler, that is saved as it is and not as its state dict, alone or in a dict,
by `torch.save`, or by `dump` of pickle, dill, cloudpickle or joblib.

## Why is this bad
An optimizer holds the very parameters that it updates, and a scheduler holds its optimizer. Saved whole, they take
copies of the parameters along (the file of an Adam is half as large again as that of its state dict). Loaded, they
hold those copies: `step()` moves them, and the model that you train does not move, without a word. The file can only
be read by running its code: from torch 2.6 on `torch.load` refuses it by default. A `LambdaLR` with a lambda cannot be
saved whole at all, and its state dict can.

## Example
```python
torch.save(optimizer, "optimizer.pt")
```

## Use instead
```python
torch.save(optimizer.state_dict(), "optimizer.pt")

optimizer = torch.optim.Adam(model.parameters())
optimizer.load_state_dict(torch.load("optimizer.pt"))
```

## What is left alone
An `opt` that is a dict or a namespace of options: only what is made by torch.optim, annotated as such, or used as one
(`param_groups`; `zero_grad` with `step`) is an optimizer. A buffer in memory (`io.BytesIO()`), and `pickle.dumps`.
There is no fix, since what loads the file has to be given an optimizer to load into.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..saved_values import SAVES, in_words, saved_of_kind
from ..source_file import SourceFile
from ..values import Found

NODES = (ast.Call,)
CALLS = tuple(SAVES)
EVERY = (b"torch",)


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls that save an optimizer or a scheduler whole."""
    if optimizers := saved_of_kind(node, ("optimizer",), file):
        what = in_words(optimizers)
        yield Found(node, f"{what} is saved whole, with copies of the parameters; save its state_dict()")
    if schedulers := saved_of_kind(node, ("scheduler",), file):
        yield Found(node, f"{in_words(schedulers)} is saved whole, with its optimizer; save its state_dict()")
