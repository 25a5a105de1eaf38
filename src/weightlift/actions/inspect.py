"""`inspect`: what is inside a checkpoint, as data. Reads no tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice

from ..checkpoint import Checkpoint, Progress
from ..errors import plural, shown, worded
from ..findings import Finding
from ..limits import DEFAULT_LIMITS, Limits
from ..paths import path_name
from ..pickles import Blob, Global, Object
from ..pickles.known_globals import Verdict, verdict_of
from ..selection import Candidate, choose, is_optimizer_state
from ..tensors import Composite, Tensor
from ..tensors.arrays import Array
from ..tensors.computed import Computed
from ..tensors.lazy import AnyTensor
from ..tree import tensors_in, walk
from ..typed import Any
from ..values import dataclass, replace
from .open import errors_name, open_checkpoint
from .producer import producers


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the file, or one entry of a state dict that is none. Sizes are bytes."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    role: str = "tensor"
    layout: str = "strided"
    tied_to: str = ""
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """One state dict: what it holds, and totals with tied weights counted once."""

    name: str
    kind: str
    class_name: str
    entries: tuple[Entry, ...]
    numel: int
    parameters: int
    """Elements of parameters where the file says which tensors are parameters, else 0."""
    nbytes: int
    dtypes: dict[str, tuple[int, int, int]]
    """dtype -> (tensors, elements, bytes)"""
    ties: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Something else in the file: its path, its kind, and what there is to say about it."""

    path: str
    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Safety:
    """What a plain `torch.load` would import and call, judged by the table of known globals."""

    verdict: Verdict
    unknown: tuple[str, ...]
    dangerous: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that `inspect` tells."""

    path: str
    size: int
    format: str
    details: dict[str, Any]
    producers: tuple[str, ...]
    state_dicts: tuple[Summary, ...]
    chosen: str | None
    """Name of the state dict that `extract` takes by itself; None where there is none or a choice."""
    contents: tuple[Content, ...]
    other_tensors: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    safety: Safety
    globals: tuple[str, ...] = ()
    verified: bool | None = None
    """Whether every byte was read and is as its checksums say; None where that was not asked."""


def inspect(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    verify: bool = False,
    progress: Progress | None = None,
) -> Inspection:
    """Return what is inside a file. No tensor is read and no code of the file runs.

    With `verify` every byte is read once and held against the checksums that the format has; see
    `Checkpoint.verify`. `progress` is then called with (bytes read, bytes in all).

    Raises:
        Everything that opening raises; TensorError for a tensor that does not fit its storage.
    """
    with errors_name(path):
        checkpoint = open_checkpoint(path, limits=limits)
        found = describe(checkpoint, os.fspath(path))
        return _verified(found, checkpoint.verify(progress)) if verify else found


def _verified(found: Inspection, more: Sequence[Finding]) -> Inspection:
    damaged = any(finding.severity in ("warning", "danger") for finding in more)
    new = tuple(finding for finding in more if finding not in found.findings)
    return replace(found, findings=found.findings + new, verified=not damaged)


def _size(checkpoint: Checkpoint) -> int:
    """Return the bytes of the file; of a directory of ours those of all its files: the source is its manifest."""
    beside = checkpoint.details.get("nbytes", 0) if checkpoint.format == "step" else 0
    return checkpoint.source.size + beside


def describe(checkpoint: Checkpoint, path: str) -> Inspection:
    """Return what there is to tell about an opened checkpoint."""
    candidates = checkpoint.candidates
    for candidate in candidates:
        candidate.state_dict.check()
    chosen, _ = choose(candidates)
    return Inspection(
        path=path,
        size=_size(checkpoint),
        format=checkpoint.format,
        details=_plain(checkpoint.details),
        producers=tuple(producers(checkpoint)),
        state_dicts=tuple(_summary(candidate) for candidate in candidates),
        chosen=chosen.name if chosen else None,
        contents=tuple(_contents(checkpoint)),
        other_tensors=tuple(_others(checkpoint)),
        findings=tuple(checkpoint.findings),
        safety=_safety(checkpoint),
        globals=tuple(str(named) for named in checkpoint.globals),
    )


def _entry(key: str, value: Any, tied_to: str = "") -> Entry:
    if isinstance(value, Tensor):
        return Entry(key, value.dtype.name, value.shape, value.nbytes, value.role, tied_to=tied_to, absent=value.absent)
    if isinstance(value, Composite):
        dtype = value.dtype.name if value.dtype else value.class_name
        layout = value.layout
        return Entry(key, dtype, value.shape, value.nbytes, value.role, layout, tied_to, value.absent)
    if isinstance(value, Computed):  # put together of blocks
        return Entry(key, value.dtype.name, value.shape, value.nbytes, "tensor", tied_to=tied_to, absent=value.absent)
    return Entry(key, "", (), sum(t.nbytes for t in tensors_in(value)), "value", type(value).__name__)


def _summary(candidate: Candidate) -> Summary:
    state_dict = candidate.state_dict
    ties = tuple(state_dict.ties)
    tensors = {key: value for key, value in state_dict.items() if isinstance(value, Tensor | Composite | Computed)}
    first = {key: keys[0] for keys in ties for key in keys[1:]}
    dtypes: dict[str, tuple[int, int, int]] = {}
    for key, value in state_dict.items():
        for tensor in tensors_in(value) if key not in first else ():
            name = tensor.class_name if isinstance(tensor, Composite) and not tensor.dtype else str(tensor.dtype)
            count, numel, nbytes = dtypes.get(name, (0, 0, 0))
            dtypes[name] = (count + 1, numel + tensor.numel, nbytes + tensor.nbytes)
    return Summary(
        name=candidate.name,
        kind=candidate.kind,
        class_name=candidate.class_name,
        entries=tuple(_entry(key, value, first.get(key, "")) for key, value in state_dict.items()),
        numel=sum(numel for _, numel, _ in dtypes.values()),
        parameters=sum(
            tensor.numel
            for key, tensor in tensors.items()
            if candidate.kind == "module"
            and not isinstance(tensor, Computed)
            and tensor.role == "parameter"
            and key not in first
        ),
        nbytes=sum(nbytes for _, _, nbytes in dtypes.values()),
        dtypes=dict(sorted(dtypes.items(), key=lambda item: -item[1][2])),
        ties=ties,
    )


def _others(checkpoint: Checkpoint) -> list[Entry]:
    """The tensors that belong to no state dict: optimizer moments, normalisers, arrays."""
    known = {id(v) for c in checkpoint.candidates for v in c.state_dict.values()}
    weights = {c.path for c in checkpoint.candidates}
    beside = walk(
        checkpoint.tree, limits=checkpoint.limits.running(), enter=lambda path, _: path not in weights, leaves=False
    )
    return [
        _entry(path_name(path), value)
        for path, value in beside
        if isinstance(value, Tensor | Composite | Computed) and id(value) not in known
    ]


def _contents(checkpoint: Checkpoint) -> list[Content]:
    """What stands beside the weights: the top of the tree, and optimizers wherever they are."""
    tree = checkpoint.tree
    limits = checkpoint.limits.running()
    held = tree.attributes if isinstance(tree, Object) else tree
    if not isinstance(held, dict) or any(not c.path for c in checkpoint.candidates):
        return []
    weights = {c.path[0] for c in checkpoint.candidates if c.path}
    out = []
    for key, value in held.items():
        if key in weights and any(c.path == (key,) for c in checkpoint.candidates):
            continue
        out.append(Content(path_name((key,)), *_kind_and_about(value)))
        if isinstance(value, dict | list) and not is_optimizer_state(value):
            out += [
                Content(path_name((key, *path)), *_kind_and_about(inner))
                for path, inner in walk(
                    value, limits=limits, enter=lambda _, v: not is_optimizer_state(v), leaves=False
                )
                if path and is_optimizer_state(inner)
            ]
    return out


_OPTIMIZERS = (
    # state of one parameter -> which optimizers keep it, most particular first
    ("exp_avg_sq_row", "Adafactor"),
    ("max_exp_avg_sq", "Adam with AMSGrad"),
    ("exp_avg_sq", "Adam or AdamW"),
    ("exp_inf", "Adamax"),
    ("square_avg", "RMSprop or Adadelta"),
    ("momentum_buffer", "SGD with momentum"),
    ("sum", "Adagrad"),
    ("exp_avg", "Lion or similar"),
)


def _optimizer(value: Any) -> str:
    held = value.attributes if isinstance(value, Object) else value
    states = [state for state in held["state"].values() if isinstance(state, dict)]
    fields = {name for state in states for name in state}
    kind = next((name for mark, name in _OPTIMIZERS if mark in fields), "without moments")
    if isinstance(value, Object):
        kind = value.class_name
    tensors = [t for state in states for t in state.values() if isinstance(t, Tensor | Composite | Computed)]
    groups = held["param_groups"]
    count = len(groups) if isinstance(groups, list) else 0
    size = f"{plural(len(tensors), 'tensor')}, {_nbytes(tensors):,} bytes"
    return f"{kind}; {plural(len(states), 'parameter')} in {plural(count, 'group')}, {size}"


def _nbytes(tensors: Sequence[AnyTensor | Computed]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _kind_and_about(value: Any) -> tuple[str, str]:
    if is_optimizer_state(value):
        return "optimizer", _optimizer(value)
    if isinstance(value, Tensor):
        return "tensor", f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Composite):
        return "tensor", f"{value.layout} {value.dtype} {list(value.shape)}"
    if isinstance(value, Array):
        return "array", f"{value.dtype!r} {list(value.shape)}"
    if isinstance(value, dict):
        return getattr(value, "class_name", "dict"), _listed(len(value), "entries", value)
    if isinstance(value, list | tuple | set | frozenset):
        return type(value).__name__, f"{len(value)} items"
    if isinstance(value, Object):
        fields = value.attributes or value.pairs
        return value.class_name, _listed(len(fields) or len(value.args), "fields", fields) + " (not built)"
    if isinstance(value, Global):
        return "class or function", str(value)
    if isinstance(value, bytes | bytearray | Blob):
        return "bytes", f"{len(value):,} bytes"
    return type(value).__name__, shown(value, 200)


def _listed(count: int, what: str, names: Mapping[Any, Any]) -> str:
    listed = ", ".join((key[:30] if isinstance(key, str) else shown(key, 30)) for key in islice(names, 6))
    return f"{count} {what}" + (f": {listed}{' ...' if len(names) > 6 else ''}" if listed else "")


def _safety(checkpoint: Checkpoint) -> Safety:
    verdicts = {str(named): verdict_of(named) for named in checkpoint.globals}
    unknown = tuple(sorted((n for n, verdict in verdicts.items() if verdict == "unknown"), key=_is_of_torch))
    dangerous = tuple(name for name, verdict in verdicts.items() if verdict == "dangerous")
    return Safety("dangerous" if dangerous else "unknown" if unknown else "clean", unknown, dangerous)


_MOST_DETAILS = 500_000  # a vocabulary is among them; lists that share their items can spell far more
_LONGEST_INTEGER = 1 << 256


def _plain(value: Any) -> Any:
    """Return details as JSON can hold them."""
    left = _MOST_DETAILS

    def plain(value: Any, depth: int) -> Any:
        nonlocal left
        if isinstance(value, dict | list | tuple) and depth < 8:
            left -= len(value)
            if left < 0:
                return f"{len(value)} items, not listed"
            if isinstance(value, dict):
                return {worded(key): plain(item, depth + 1) for key, item in value.items()}
            return [plain(item, depth + 1) for item in value]
        if isinstance(value, int) and not -_LONGEST_INTEGER < value < _LONGEST_INTEGER:
            return shown(value)
        return value if isinstance(value, bool | int | float | str | None) else shown(value, 1000)

    return plain(value, 0)


def _is_of_torch(name: str) -> bool:
    return name.startswith("torch.")
