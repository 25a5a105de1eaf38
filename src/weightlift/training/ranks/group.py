"""What ranks say to each other: plain JSON over a process group of our own, and errors that reach all of them.

The group is separate from that of the training, on the CPU (gloo), so that its messages meet no others, and so
that it can be taken down: when one rank dies, the first to notice closes its connections, and all the others hear
of it at once instead of waiting for the timeout. torch.distributed.checkpoint sends its plans over the same group;
those it pickles, from one process of the run to another, and never into a file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ...errors import UnsupportedError, WeightliftError, WriteError, printable
from ...typed import Any

_GROUPS: list[tuple[Any, Any]] = []  # (the process group of the run, ours beside it), one at most


def are_on(parts: Mapping[str, Any]) -> bool:
    """Whether a run is one of several ranks, or its weights are in shards. Imports nothing."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return False
    return bool(distributed.get_world_size() > 1) or _has_shards(parts)


def _has_shards(parts: Mapping[str, Any]) -> bool:
    from ..save import modules_of

    return any(is_sharded(each) for module in modules_of(parts).values() for each in module.parameters())


def is_sharded(value: Any) -> bool:
    """Whether a value is a DTensor, a tensor of which this rank has a block."""
    return any(
        cls.__name__ == "DTensor" and cls.__module__.startswith("torch.distributed.") for cls in type(value).__mro__
    )


class Group:
    """The ranks of a run: which one this is, how many there are, and what they tell each other."""

    def __init__(self, handle: Any) -> None:
        import torch.distributed as dist

        self.handle = handle
        self.rank: int = dist.get_rank(handle)
        self.size: int = dist.get_world_size(handle)

    def gather(self, message: Any) -> list[Any]:
        """Return what every rank says, in the order of the ranks. All have to call it."""
        import torch
        import torch.distributed as dist

        raw = torch.frombuffer(bytearray(json.dumps(message, allow_nan=False).encode("ascii")), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with talking():
            dist.all_gather(sizes, torch.tensor([len(raw)]), group=self.handle)
            longest = max(int(size) for size in sizes)
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(raw)] = raw
            heard = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
            dist.all_gather(heard, padded, group=self.handle)
        return [json.loads(bytes(each[: int(size)].tolist())) for each, size in zip(heard, sizes, strict=True)]

    def agree(self, problem: WeightliftError | None, *, message: Any = None) -> list[Any]:
        """Return what every rank says, if none of them has a problem.

        Raises:
            The own problem; or an error of the same class as that of the first rank that has one, with its number.
        """
        told = self.gather([None if problem is None else [type(problem).__name__, str(problem)], message])
        if problem is not None:
            raise problem
        for rank, (trouble, _) in enumerate(told):
            if trouble is not None:
                raise error_of(trouble[0], f"rank {rank}: {trouble[1]}")
        return [said for _, said in told]


def error_of(name: str, text: str) -> WeightliftError:
    """Return one of our errors by the name of its class, with what another rank said."""
    from ... import errors

    kind: Any = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, WeightliftError)):
        kind = WriteError
    made: WeightliftError = kind(printable(text))
    return made


@contextmanager
def group_of_run(where: str) -> Iterator[Group]:
    """Yield the ranks of the run; whatever goes wrong between them comes out as one of our errors.

    Raises:
        WriteError: a rank has died or does not answer within the timeout of the process group.
        UnsupportedError: there is no gloo here.
    """
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with talking():
            handle = _handle()
        yield Group(handle)
    except CheckpointException as error:  # a BaseException: `except Exception` of a training loop would miss it
        raise _failure(error).at(where) from None
    except WeightliftError as error:
        raise error if where in error.where else error.at(where) from None
    except BaseException:  # of this rank alone, such as a state_dict() that fails: the others must not wait for it
        _take_down()
        raise


@contextmanager
def talking() -> Iterator[None]:
    """Around what ranks do together: what gloo, stores and collectives raise becomes one error.

    Raises:
        WriteError: a rank has died or does not answer; our group is taken down.
    """
    try:
        yield
    except RuntimeError as error:
        _take_down()
        reason = str(error).partition("\n")[0]
        raise WriteError(
            f"another rank has died or does not answer ({reason:.200})",
            expected="all ranks to make the same call",
            remedy="the previous checkpoint is whole: start all ranks again and resume",
        ) from None


def _handle() -> Any:
    """Return our group beside the one of the run, made by all ranks at the first call."""
    import torch.distributed as dist

    run = dist.group.WORLD
    if _GROUPS and _GROUPS[0][0] is run:
        return _GROUPS[0][1]
    if not dist.is_gloo_available():
        raise UnsupportedError("torch without gloo", expected="gloo, over which ranks agree on a checkpoint")
    timeout = getattr(dist.distributed_c10d._get_default_store(), "timeout", None)  # noqa: SLF001 - that of the run
    _GROUPS[:] = [(run, dist.new_group(backend="gloo", timeout=timeout))]
    return _GROUPS[0][1]


def _take_down() -> None:
    """Close the connections of our group, so that every rank that waits for this one hears of it now."""
    import torch.distributed as dist

    while _GROUPS:
        _, handle = _GROUPS.pop()
        with suppress(Exception):
            dist.destroy_process_group(handle)


def _failure(error: Any) -> WeightliftError:
    """Return one error for what torch.distributed.checkpoint gathered from the ranks."""
    failures = sorted(error.failures.items())
    rank, (first, _) = failures[0]
    more = f" (and {len(failures) - 1} more ranks)" if len(failures) > 1 else ""
    if isinstance(first, WeightliftError):
        return error_of(type(first).__name__, f"rank {rank}: {first}{more}")
    return WriteError(f"rank {rank}: {type(first).__name__}: {str(first)[:300]}{more}")
