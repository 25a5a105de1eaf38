"""Finding state dicts in a tree, and the rule for which of several is plainly the weights.

The rule, in order:
1. A state dict whose every tensor is also in another, larger one is a part of it and set aside.
2. If one is left, and not under a name for something else, it is the weights.
3. If exactly one of the rest stands under a name for weights (`state_dict`, `model` ...) and every
   other one under a name for something else (`optimizer`, `normalizer`, `rng_state` ...), it is.
4. Otherwise none is: the caller has to choose. An EMA beside a model, a generator beside a
   discriminator, or two models are never decided here.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import LimitError
from .limits import DEFAULT_LIMITS, Limits
from .modules import is_module, module_state_dict
from .paths import Path, exact_name, path_name
from .pickles import Dict, Global, Object
from .pickles.script_objects import script_state
from .state_dict import StateDict
from .tensors import Composite, Tensor
from .tensors.arrays import Array
from .tensors.computed import Computed
from .tree import tensors_in, walk
from .typed import Any
from .values import dataclass

WEIGHTS_NAMES = frozenset(
    """
    state_dict model_state_dict model_state model module net network weights params parameters state
    net_state_dict network_state_dict model_weights policy.pth
    """.split()  # noqa: SIM905 - a list of words reads best as words
) | {""}
"""Last part of a path that says: these are the weights."""

OTHER_NAMES = frozenset(
    """
    optimizer optimizers optimizer_states optimizer_state_dict optim opt scheduler schedulers lr_scheduler
    lr_schedulers scaler grad_scaler amp rng rng_state rng_states random normalizer normalizers data_scaler
    features_scaler criterion loss loss_fn metrics callbacks loops hparams hyper_parameters hyperparameters
    rank args config cfg history training_history trainer_args train_args stats sampler dataloader extra_state
    optimizer_history last_optimizer_state task_state policy.optimizer.pth pytorch_variables.pth
    """.split()  # noqa: SIM905
)
"""Any part of a path that says: this belongs to the training, not to the model."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A state dict somewhere in the tree. `kind` is "module" or "mapping"."""

    name: str
    path: Path
    kind: str
    class_name: str
    state_dict: StateDict


def is_state_dict(value: Any) -> bool:
    """Whether a dict maps names to tensors: more of them than of numbers and texts, and of nothing else."""
    if not isinstance(value, dict) or not value:
        return False
    tensors = plain = 0
    for key, item in value.items():
        if not isinstance(key, str):
            return False
        if isinstance(item, Tensor | Composite | Computed) or (isinstance(item, Array) and item.is_tensor):
            tensors += 1
        elif script_state(item) is not None or (isinstance(item, tuple) and key.endswith("_packed_params")):
            tensors += 1  # packed parameters of a quantised module: tensors, one level down
        elif isinstance(item, bool | int | float | str):
            plain += 1  # `alpha` of an adapter, a step count
        elif not _may_stand_beside_tensors(key, item):
            return False
    return tensors > plain


def _may_stand_beside_tensors(key: str, item: Any) -> bool:
    """Entries of a real state dict that are no tensors: extra state, and what quantised modules add."""
    last = key.rpartition(".")[2]
    if last == "_extra_state" or (last == "bias" and item is None):
        return True
    if last in ("dtype", "weight_dtype", "weight_qscheme"):
        return item is None or (isinstance(item, Global) and item.module == "torch")
    return last == "op_type" and isinstance(item, str)


def is_optimizer_state(value: Any) -> bool:
    """Whether a value is an optimizer's state dict, or a pickled optimizer."""
    held = value.attributes if isinstance(value, Object) else value
    return isinstance(held, dict) and "param_groups" in held and isinstance(held.get("state"), dict)


def find_candidates(
    root: Any,
    limits: Limits = DEFAULT_LIMITS,
    module_reader: Callable[[Object, str], StateDict | None] | None = None,
) -> list[Candidate]:
    """Return every state dict in the tree, outermost first; none of them is looked into further."""
    found: list[tuple[Path, str, Any]] = []

    def enter(path: Path, value: Any) -> bool:
        if is_module(value) or (module_reader and isinstance(value, Object) and module_reader(value, "") is not None):
            found.append((path, "module", value))
        elif is_state_dict(value):
            found.append((path, "mapping", value))
        else:
            return not is_optimizer_state(value)
        return False

    limits = limits.running()
    for _ in walk(root, limits=limits, enter=enter, leaves=False):
        pass
    counts: dict[str, int] = {}
    for path, _, _ in found:
        counts[path_name(path)] = counts.get(path_name(path), 0) + 1
    out = []
    entries = 0
    for path, kind, value in found:
        entries += len(value) if kind == "mapping" else 0
        if entries > limits.tensors:
            raise LimitError(f"more than {limits.tensors} entries of state dicts", remedy="raise Limits.tensors")
        name = path_name(path) if counts[path_name(path)] == 1 else exact_name(path)
        if kind == "module":
            made = module_reader(value, name) if module_reader else None
            state_dict = made if made is not None else module_state_dict(value, name, limits)
            class_name = value.class_name
            if not len(state_dict):
                continue  # a loss function, an activation: a module without weights
        else:
            state_dict, class_name = _from_mapping(value, name), getattr(value, "class_name", "dict")
        out.append(Candidate(name, path, kind, class_name, state_dict))
    return out


def _from_mapping(value: dict[Any, Any], name: str) -> StateDict:
    entries = {key: item.tensor() if isinstance(item, Array) else item for key, item in value.items()}
    metadata = value.attributes.get("_metadata") if isinstance(value, Dict) else None
    return StateDict(entries, name=name, versions=metadata if isinstance(metadata, dict) else None)


def choose(candidates: list[Candidate]) -> tuple[Candidate | None, list[Candidate]]:
    """Return (the one that is plainly the weights, or None; the others), by the rule above."""
    left = _without_parts(candidates)
    if len(left) > 1:
        weights = [c for c in left if _last(c) in WEIGHTS_NAMES and not _is_other(c)]
        if len(weights) != 1 or not all(_is_other(c) for c in left if c is not weights[0]):
            return None, candidates
        left = weights
    if not left or _is_other(left[0]):
        return None, candidates
    return left[0], [c for c in candidates if c is not left[0]]


def _last(candidate: Candidate) -> str:
    return next((part for part in reversed(candidate.path) if isinstance(part, str)), "")


def _is_other(candidate: Candidate) -> bool:
    return any(isinstance(part, str) and part.lower() in OTHER_NAMES for part in candidate.path)


def _without_parts(candidates: list[Candidate]) -> list[Candidate]:
    """Set aside every candidate whose tensors are all in another one (of two equals, the later)."""
    views = [_views(candidate) for candidate in candidates]
    out = []
    for i, candidate in enumerate(candidates):
        is_part = any(
            views[i] < other or (views[i] == other and j < i) for j, other in enumerate(views) if j != i and views[i]
        )
        if not is_part:
            out.append(candidate)
    return out


def _views(candidate: Candidate) -> set[object]:
    held = (tensor for value in candidate.state_dict.values() for tensor in tensors_in(value))
    return {id(t) if isinstance(t, Composite) else t.view for t in held if t.numel}
