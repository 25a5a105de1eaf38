"""Where the tensors of a checkpoint go on this rank: new memory, laid out as the live weights are laid out now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...errors import PlanError
from ...formats.joined import blocks_of
from ...formats.step import Step
from ...tensors.torch_states import empty_like, unwrapped
from ...typed import Any
from ..parts.several import items_of
from .group import is_sharded

_MOST_NAMES = 6


def leaves(name: str, part: Any, document: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield (name, live part, document) of a part, or of each one in a list or dict of parts."""
    if document.get("kind") != "several":
        yield name, part, document
        return
    items = document.get("items") or {}
    for key, item in items_of(part).items():
        if key in items:
            yield from leaves(f"{name}/{key}", item, items[key])


def targets_of(
    step: Step, parts: list[tuple[str, Any, Mapping[str, Any]]], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return name -> new tensor for what torch's planner is to read: blocks, and what is sharded here.

    `parameters` are the live ones by name. Whatever is read by all ranks alike is left out.

    Raises:
        PlanError: another element type than the live weight has, which loading would narrow silently; or a state
        that has not the shape of its sharded weight. By name.
    """
    blocks = blocks_of(step.manifest.tensors)
    made: dict[str, Any] = {}
    for name, part, document in parts:
        if document.get("kind") == "module":
            wanted = _of_module(step, name, part)
        elif document.get("kind") == "optimizer":
            wanted = _of_optimizer(step, name, document, parameters)
        else:
            wanted = {}
        for key, (live, dtype) in wanted.items():
            if is_sharded(live) or key in blocks:
                made[key] = empty_like(live, dtype)
    return made


def _of_module(step: Step, name: str, part: Any) -> dict[str, tuple[Any, Any]]:
    """Return name in the checkpoint -> (live tensor, element type)."""
    found: dict[str, tuple[Any, Any]] = {}
    others: list[str] = []
    for key, live in unwrapped(part).state_dict(keep_vars=True).items():
        saved = step.tensors.get(f"{name}/{key}")
        if saved is None or not hasattr(live, "untyped_storage") or not hasattr(saved, "dtype"):
            continue  # names are compared when the part is filled
        if saved.dtype.name != str(live.dtype).removeprefix("torch."):
            others.append(f"{key!r} is {live.dtype} and was saved as {saved.dtype}".replace("torch.", ""))
        elif tuple(live.shape) != tuple(saved.shape):
            others.append(f"{key!r} is {list(live.shape)} and was saved as {list(saved.shape)}")
        else:
            found[f"{name}/{key}"] = (live, saved.dtype)
    if others:
        more = f"; and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
        raise PlanError(
            "; ".join(others[:_MOST_NAMES]) + more,
            expected="the same type and shape: values are not cast on the way to many ranks",
            remedy="build the model as it was saved, and cast it after resuming",
            where=name,
        )
    return found


def _of_optimizer(
    step: Step, name: str, document: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    owners = document.get("state") or {}
    begin = f"{name}/"
    for key, saved in step.tensors.items():
        if not key.startswith(begin) or not hasattr(saved, "dtype"):
            continue
        owner = key.removeprefix(begin).rpartition("/")[0]
        while owner and owner not in owners:
            owner = owner.rpartition("/")[0]
        live = parameters.get(owner)
        if live is None:
            continue  # told by name when the part is filled
        if tuple(saved.shape) == tuple(live.shape):
            found[key] = (live, saved.dtype)
        elif is_sharded(live) and saved.numel > 1:
            raise PlanError(
                f"{key!r} is {list(saved.shape)}, and its weight {list(live.shape)} is sharded here",
                expected="state of the shape of its weight, which is sharded as that is",
                remedy="resume where the weights are whole",
                where=name,
            )
    return found
