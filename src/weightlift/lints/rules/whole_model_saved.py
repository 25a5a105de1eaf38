"""whole-model-saved: a file of weights that only the code of today can read.

## What it does
Finds a module that is saved as it is and not as its state dict, alone or in a dict, by `torch.save`, or by `dump` of
pickle, dill, cloudpickle or joblib.

## Why is this bad
What is saved is the object: the weights, every attribute, and the *names* of the classes, without their code. The file
is read by importing those names and putting the attributes back. Move or rename the class or its module, and it raises
(`AttributeError: Can't get attribute 'Net' on <module 'models'>`); give `__init__` one more attribute, and the model
loads and fails later, as `__init__` is not run. And reading it means running its code: from torch 2.6 on `torch.load`
refuses it by default. A state dict holds names and tensors, and is read by any of these.

## Example
```python
torch.save(model, "model.pt")
```

## Use instead
```python
torch.save(model.state_dict(), "model.pt")

model = Net()
model.load_state_dict(torch.load("model.pt"))
```

## Fix
Unsafe, and offered for `torch.save` only together with everything in the project that loads the file: each load must
stand in the same file and be `torch.load(path).state_dict()`, which loses its `.state_dict()`, or `m = torch.load(p)`
of a model whose class and whose arguments, all constants, are to be seen: then it is made again and loaded into. Files
that were saved before are not read by the new code, which is why this is not safe. `--to weightlift` adds no fix, as
what loads has to change in a way that is not to be seen; the message then names `weightlift.save(path, model=model)`,
which writes a checkpoint without pickle for `weightlift.load(model, path)` and `weightlift.resume`.

## What is left alone
What the text does not make certain to be a module (a parameter of the function that nothing is called on). A buffer in
memory (`io.BytesIO()`), and `pickle.dumps`: what is sent to another process of the same code. `torch.jit.save`,
`torch.export.save` and `torch.package` save the code too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..saved_values import in_words, saved_of_kind
from ..source_file import SourceFile
from ..values import Fix, Found
from ..whole_pairs import by_state_dict

NODES = (ast.Call,)
WORDS = (b"save(", b"dump(", b"save (", b"dump (")
EVERY = (b"torch",)
GRADE = "unsafe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the calls that save a module whole."""
    if modules := saved_of_kind(node, ("module",), file):
        edits = by_state_dict(node, file)
        fix = Fix("unsafe", "save the state dict, and load it into a model", edits) if edits else None
        ours = ", or call weightlift.save(path, model=...)" if file.settings.to == "weightlift" else ""
        message = f"{in_words(modules)} is saved whole, tied to its classes; save its state_dict(){ours}"
        yield Found(node, message, fix)
