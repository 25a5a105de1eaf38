"""incomplete-training-checkpoint: what is resumed from it does not go on where it was.

## What it does
Finds a `torch.save` of a checkpoint that is made to resume from, and that leaves out the optimizer, the learning rate
scheduler, the gradient scaler or the random state that the script has.

A checkpoint is made to resume from if the state of an optimizer is in it, or if it holds a count such as `epoch` from
which the same file goes on counting: read back from a checkpoint, it is where a `range` begins, or has a name such as
`start_epoch`.

## Why is this bad
Nothing is raised on resuming. A new optimizer has lost its momentum and its averages. A new scheduler counts from
nought: a `StepLR` that should drop the rate at step 6 drops it at step 7, a cosine over 8 steps that is resumed at half
of the rate is at a third of it in the end, and not near zero. A new `GradScaler` starts at a scale of 65536 and skips
steps until it fits. A script that seeds itself draws the random numbers of its first epochs once more.

## Example
```python
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
for epoch in range(9):
    optimizer.step()
    scheduler.step()
    torch.save({"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
```

## Use instead
```python
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
for epoch in range(9):
    optimizer.step()
    scheduler.step()
    checkpoint = {
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    torch.save(checkpoint, "last.pt")
```

## What is left alone
A checkpoint of weights alone. Whatever else in the file may save what is missing: any `.state_dict()` of that name, the
whole object in the checkpoint, or handing it to a function that saves. What is itself loaded (`load_state_dict`), as it
raises where its state was not saved. A scheduler that is told the epoch, by `step(epoch)`, `last_epoch=` or an
assignment. Dicts that are not all to be seen (`**more`, `update`, handed to a function). The random state counts only
in a script that seeds torch and asks for deterministic algorithms, and that speaks nowhere of a state of random numbers
or of `set_epoch`. There is no fix: the code that resumes has to change too. With `--to weightlift` the
message names `weightlift.CheckpointStore`, which saves all that a `weightlift.TrainState` is given and resumes it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..bindings import key_of, scope_of
from ..saves import entries, saved_by
from ..source_file import SourceFile, argument, method
from ..values import Found

NODES = (ast.Call,)
WORDS = (b".step(",)
EVERY = (b"state_dict", b"save")

_USED = {"step": ("optimizer", "scheduler"), "update": ("scaler",)}
_COUNTS = ("epoch", "step", "iter", "iteration", "global_step", "epochs", "start_epoch", "n_iter")
_BEGINNINGS = ("start", "begin", "resume", "first", "initial", "last")
_SAVES_ALL = (b"save_state(", b"register_for_checkpointing", b".prepare(")
_RANDOM = (b"rng_state", b"rng", b"set_epoch(", b"getstate(", b"get_state(")


def check(node: ast.Call, file: SourceFile) -> Iterator[Found]:
    """Yield the saves that leave out what a script needs to go on."""
    saved = saved_by(file, node, torch_only=True)
    inside = entries(file, saved) if saved is not None else None
    if inside is None or any(word in file.data for word in _SAVES_ALL):
        return
    owners = [owner for _, value in inside for owner in _state_of(value)]
    if not any(file.holds(owner) in ("module", None) for owner in owners):
        return
    with_optimizer = any(_is_optimizer(owner, file) for owner in owners)
    if not with_optimizer and not any(name in _COUNTS and _is_read_back(name, file) for name, _ in inside):
        return
    missing = _missing(node, [value for _, value in inside], file)
    if _repeats_itself(file) and (with_optimizer or missing):
        missing.append("the random state")
    if missing:
        ours = "; weightlift.CheckpointStore saves and resumes all of a run" if file.settings.to == "weightlift" else ""
        yield Found(node, f"what resumes from this checkpoint has lost {_listed(missing)}{ours}")


def _state_of(value: ast.expr) -> list[ast.expr]:
    """Return what `.state_dict()` is called on within a value."""
    return [owner for each in ast.walk(value) if (owner := method(each, "state_dict")) is not None]


def _is_optimizer(owner: ast.expr, file: SourceFile) -> bool:
    name = key_of(owner) or ""
    return file.holds(owner) == "optimizer" or (file.holds(owner) is None and "optim" in name.rpartition(".")[2])


def _is_read_back(name: str, file: SourceFile) -> bool:
    """Whether the file takes an entry of this name out of something that it loaded, and goes on counting from it."""
    return any(
        isinstance(each.slice, ast.Constant)
        and each.slice.value == name
        and isinstance(each.ctx, ast.Load)
        and file.holds(each.value) == "loaded"
        and _is_gone_on_from(each, file)
        for each in file.nodes.get(ast.Subscript, ())
    )


def _is_gone_on_from(count: ast.Subscript, file: SourceFile) -> bool:
    """Whether a count is where a loop begins, by itself or by the name that it is given."""
    if any(file.calls(above, "range") for above in file.ancestors(count)):
        return True
    statement = file.statement(count)
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    keys = {key for target in targets for each in ast.walk(target) if (key := key_of(each)) is not None}
    if any(word in key.rpartition(".")[2].lower() for key in keys for word in _BEGINNINGS):
        return True
    loops = [call for call in file.nodes[ast.Call] if file.calls(call, "range")]
    loops += [loop.test for loop in file.nodes.get(ast.While, ())]
    loops += [each.target for each in file.nodes.get(ast.AugAssign, ())]
    return any(key_of(each) in keys for loop in loops for each in ast.walk(loop))


def _missing(node: ast.Call, inside: list[ast.expr], file: SourceFile) -> list[str]:
    """Return the names of what is used in training where the checkpoint is made, and saved nowhere in the file."""
    kept = _kept(inside, file)
    found: list[str] = []
    for call in file.nodes[ast.Call]:
        owner = method(call, *_USED)
        key = key_of(owner) if owner is not None else None
        if owner is None or key is None or key in found or key.rpartition(".")[2] in kept:
            continue
        kind = file.holds(owner)
        if kind not in _USED[call.func.attr] or not _is_in_sight(owner, key, node, file):
            continue
        if kind == "scheduler" and _is_told_the_epoch(key, file):
            continue
        found.append(key)
    return sorted(found)


def _kept(inside: list[ast.expr], file: SourceFile) -> set[str]:
    """Return the last names of all that may be saved by something in the file."""
    names = {key_of(each) for value in inside for each in ast.walk(value)}
    for attribute in file.nodes[ast.Attribute]:
        if attribute.attr in ("state_dict", "load_state_dict"):  # what is loaded was saved, or it raises
            names.add(key_of(attribute.value))
    for call in file.nodes[ast.Call]:
        function = key_of(call.func) or ""
        if any(word in function.lower() for word in ("save", "checkpoint", "ckpt", "state")):
            given = (*call.args, *(keyword.value for keyword in call.keywords))
            names |= {key_of(each) for value in given for each in ast.walk(value)}
    return {name.rpartition(".")[2] for name in names if name}


def _is_in_sight(owner: ast.expr, key: str, node: ast.Call, file: SourceFile) -> bool:
    """Whether a name that is used somewhere means the same object where the checkpoint is made."""
    if key.startswith("self."):
        return file.class_of(owner) is not None and file.class_of(owner) is file.class_of(node)
    bindings = file.flow.in_sight(owner)
    scopes = [scope_of(file, node)]
    while scopes[-1] is not file.tree:
        scopes.append(scope_of(file, scopes[-1]))
    return bool(bindings) and bindings[0].scope in scopes


def _is_told_the_epoch(key: str, file: SourceFile) -> bool:
    """Whether a scheduler gets to know where it is without its own state."""
    made = [binding.value for binding in file.flow.bindings.get(key, ()) if isinstance(binding.value, ast.Call)]
    if any(argument(call, -1, "last_epoch") is not None for call in made):
        return True
    if f"{key}.last_epoch" in file.flow.bindings:
        return True
    by_metric = any((file.qualified(call.func) or "").endswith("ReduceLROnPlateau") for call in made)
    steps = [call for call in file.nodes[ast.Call] if key_of(method(call, "step") or call) == key]
    return not by_metric and any(call.args or call.keywords for call in steps)


def _repeats_itself(file: SourceFile) -> bool:
    """Whether a script seeds torch and asks to be deterministic, and leaves it at that."""
    if any(word in file.data for word in _RANDOM):
        return False
    calls = file.nodes[ast.Call]
    seeds = [call for call in calls if file.calls(call, "torch.manual_seed", "torch.random.manual_seed")]
    asked = any(file.calls(call, "torch.use_deterministic_algorithms") for call in calls) or any(
        file.qualified(target) == "torch.backends.cudnn.deterministic"
        for assign in file.nodes.get(ast.Assign, ())
        for target in assign.targets
    )
    return asked and bool(seeds) and not any(file.loop(call) for call in seeds)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
