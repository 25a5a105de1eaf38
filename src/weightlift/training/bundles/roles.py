"""What a value of a bundle is, told by its content and, where content says nothing, by the name it stands under."""

from __future__ import annotations

from ...checkpoint import Checkpoint
from ...modules import is_module, module_state_dict
from ...paths import Index, Path
from ...pickles import Object
from ...selection import OTHER_NAMES, WEIGHTS_NAMES, is_optimizer_state, is_state_dict
from ...tensors import Tensor
from ...typed import Any

AVERAGES = frozenset(
    """
    ema model_ema ema_model state_dict_ema ema_state_dict model_ema_state_dict ema_model_state_dict ema_state
    ema_params ema_weights swa swa_model swa_state_dict averaged_model average_model model_average
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Names of an average of the weights, which no optimizer trains."""

SCHEDULERS = frozenset(
    """
    scheduler schedulers lr_scheduler lr_schedulers scheduler_state_dict lr_scheduler_state_dict sched lr_sched
    scheduler_state lr_scheduler_state param_schedulers warmup_scheduler
    """.split()  # noqa: SIM905
)
SCALERS = frozenset("scaler amp_scaler grad_scaler scaler_state_dict amp amp_state_dict".split())  # noqa: SIM905
_SCALE = {"scale", "growth_factor", "backoff_factor", "growth_interval"}
_SCHEDULE = ({"last_epoch"}, {"num_bad_epochs", "best"}, {"_schedulers"})
"""Keys of a scheduler of torch: of most, of ReduceLROnPlateau, of those that hold others."""


def is_weights(value: Any, checkpoint: Checkpoint) -> bool:
    """Whether a value is a state dict, or a whole module that has weights: a loss function has none."""
    if is_state_dict(value):
        return True
    reader = checkpoint.module_reader
    if isinstance(value, Object) and reader is not None and (made := reader(value, "")) is not None:
        return len(made) > 0
    return is_module(value) and len(module_state_dict(value, limits=checkpoint.limits)) > 0


def is_weights_at(value: Any, path: Path, checkpoint: Checkpoint) -> bool:
    """Whether a value is weights to be trained: tensors by name under `rng_states`, a module in `args` are not."""
    return (
        not any(word(part) in OTHER_NAMES for part in path) and not is_scaler(value) and is_weights(value, checkpoint)
    )


def is_optimizer(value: Any) -> bool:
    """Whether a value is what `optimizer.state_dict()` gives; a pickled optimizer object is not."""
    return isinstance(value, dict) and is_optimizer_state(value)


def is_scaler(value: Any) -> bool:
    """Whether a dict is the state of a gradient scaler."""
    return isinstance(value, dict) and set(value) >= _SCALE


def is_scheduler(value: Any, path: Path) -> bool:
    """Whether a dict is the state of a scheduler: by its content, or by its name where it stands in no other dict."""
    name = last_word(path)
    if not isinstance(value, dict) or "sched" not in name:
        return False
    is_outermost = sum(not isinstance(part, Index) for part in path) == 1
    return (is_outermost and name in SCHEDULERS) or any(set(value) >= keys for keys in _SCHEDULE)


def is_stateful(value: Any, path: Path) -> bool:
    """Whether a value goes into something with `load_state_dict`."""
    if is_scaler(value) or is_scheduler(value, path):
        return True
    return isinstance(value, dict) and not value and last_word(path) in SCALERS


def word(part: Any) -> str:
    """Return a step of a path as the word that names are told by."""
    return part.lower() if isinstance(part, str) else ""


def last_word(path: Path) -> str:
    """Return the last step of a path that is a name."""
    return next((word(part) for part in reversed(path) if isinstance(part, str)), "")


def is_average(path: Path) -> bool:
    """Whether a path says that an average of the weights stands there."""
    return any(word(part) in AVERAGES for part in path)


def is_named_weights(path: Path) -> bool:
    """Whether a path says that the weights of the model stand there."""
    return last_word(path) in WEIGHTS_NAMES and not is_average(path)


def is_generator_state(value: Any) -> bool:
    """Whether a value is the state of a generator of torch: bytes in a row."""
    return isinstance(value, Tensor) and value.dtype.name == "uint8" and len(value.shape) == 1
