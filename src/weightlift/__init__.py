"""weightlift: the weights out of any PyTorch checkpoint, without running its code.

Names are imported when they are first used, so that `import weightlift` costs next to nothing.
"""

from __future__ import annotations

from .typed import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .actions.convert import convert as convert
    from .actions.extract import extract as extract
    from .actions.inspect import inspect as inspect
    from .actions.lint import Lint as Lint
    from .actions.lint import lint as lint
    from .actions.load import load as load
    from .actions.open import open_checkpoint as open
    from .actions.plan import plan as plan
    from .actions.scan import Scan as Scan
    from .actions.scan import scan as scan
    from .checkpoint import Checkpoint as Checkpoint
    from .errors import UnsafeError as UnsafeError
    from .errors import WeightliftError as WeightliftError
    from .findings import Finding as Finding
    from .limits import Limits as Limits
    from .mapping.plan import Plan as Plan
    from .state_dict import StateDict as StateDict
    from .tensors import Composite as Composite
    from .tensors import Tensor as Tensor
    from .training.keep import Keep as Keep
    from .training.resume import resume as resume
    from .training.save import save as save
    from .training.state import TrainState as TrainState
    from .training.store import CheckpointStore as CheckpointStore

_PLACES = {
    "open": ("actions.open", "open_checkpoint"),
    "inspect": ("actions.inspect", "inspect"),
    "convert": ("actions.convert", "convert"),
    "extract": ("actions.extract", "extract"),
    "load": ("actions.load", "load"),
    "plan": ("actions.plan", "plan"),
    "lint": ("actions.lint", "lint"),
    "Lint": ("actions.lint", "Lint"),
    "scan": ("actions.scan", "scan"),
    "Scan": ("actions.scan", "Scan"),
    "save": ("training.save", "save"),
    "resume": ("training.resume", "resume"),
    "TrainState": ("training.state", "TrainState"),
    "CheckpointStore": ("training.store", "CheckpointStore"),
    "Keep": ("training.keep", "Keep"),
    "Checkpoint": ("checkpoint", "Checkpoint"),
    "StateDict": ("state_dict", "StateDict"),
    "Plan": ("mapping.plan", "Plan"),
    "Tensor": ("tensors", "Tensor"),
    "Composite": ("tensors", "Composite"),
    "Finding": ("findings", "Finding"),
    "Limits": ("limits", "Limits"),
    "UnsafeError": ("errors", "UnsafeError"),
    "WeightliftError": ("errors", "WeightliftError"),
}

__all__ = ["__version__", *_PLACES]  # noqa: PLE0604 - the table above is the list


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
