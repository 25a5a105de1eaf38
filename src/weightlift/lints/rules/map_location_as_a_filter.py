"""map-location-as-a-filter: map_location says where tensors go, and not which.

## What it does
Finds a `map_location` that is meant to pick what is loaded: a function that takes its argument for the file or for the
checkpoint, a list of keys, the key of an entry, a model or its state dict.

## Why is this bad
Everything in the file is loaded whatever `map_location` is. A function is called once for each storage, the bytes of
one tensor, with that storage and the name of its device, and returns a storage or None
([torch.load](https://docs.pytorch.org/docs/stable/generated/torch.load.html)). One that loads again or looks for a
`state_dict` in it raises (`'UntypedStorage' object has no attribute 'seek'`), or its answer is not used where it means
to pick. A list or a model raises TypeError. A dict maps devices to devices, so that keys that are none are ignored
without a word.

## Example
```python
def only_the_state_dict(storage, location):
    loaded = torch.load(storage, map_location=location)
    return loaded["state_dict"]

weights = torch.load("checkpoint.pt", map_location=only_the_state_dict)
```

## Use instead
```python
weights = torch.load("checkpoint.pt", map_location="cpu", mmap=True)["state_dict"]
```

With `mmap=True` the tensors that are not used are never read from the disk.

## Fix
With plain torch there is none: which entry is meant is not to be seen. With `--to weightlift`, where a function
speaks of a `state_dict`, or what it loads goes into a model, the load becomes
`weightlift.open(path).state_dict().to_torch()`: the weights alone, whether the file holds a state dict, a checkpoint
with one in it or a whole model, and nothing is run. Unsafe, as what was loaded until now, if it did not raise, was all
of the file. Where several state dicts may be meant it raises and lists them.

## What is left alone
Functions that use the storage as one (`lambda storage, loc: storage.cuda(1)`), those that are imported or passed on,
and dicts of devices. A `map_location` that is passed by position, in a file that never says the word.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..map_functions import fault, function_behind
from ..source_file import SourceFile
from ..torch_loads import map_location
from ..values import Found
from ..with_weightlift import opened

NODES = (ast.Call,)
WORDS = (b"map_location",)
EVERY = (b"torch", b"load")
GRADE = "unsafe"


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the loads that are given something else than a place."""
    given = map_location(node, file)
    wrong = fault(given, file) if given is not None else None
    if wrong is not None:
        function = function_behind(given, file) if given is not None else None
        inside = list(ast.walk(function)) if function is not None else []
        speaks = any("state_dict" in (getattr(each, "attr", None), getattr(each, "value", None)) for each in inside)
        fix = opened(node, file, as_weights=speaks) if inside else None
        yield Found(node, f"map_location says where tensors go, not which are loaded: {wrong}", fix)
