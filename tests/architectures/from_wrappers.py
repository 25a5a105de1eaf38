"""What torch puts around a module: parallelism, compilation, averaging, tracing, checkpointing."""

from __future__ import annotations

import tempfile

import own_modules as own
import torch
import torch.fx
from table import Row
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim import swa_utils


def _net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def _distributed():
    if not torch.distributed.is_initialized():
        store = f"file://{tempfile.mkdtemp()}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(_net())


def _averaged():
    net = _net()
    averaged = swa_utils.AveragedModel(net, use_buffers=True)
    averaged.update_parameters(net)
    return averaged


def _checkpointed():
    return nn.Sequential(
        checkpoint_wrapper(nn.Sequential(nn.Linear(3, 3), checkpoint_wrapper(nn.Linear(3, 3)))), nn.Linear(3, 2)
    )


ROWS = [
    Row("torch: DataParallel", lambda: nn.DataParallel(_net())),
    Row("torch: DistributedDataParallel", _distributed),
    Row("torch: torch.compile (OptimizedModule)", lambda: torch.compile(_net())),
    Row("torch: swa_utils.AveragedModel", _averaged),
    Row("torch: fx GraphModule", lambda: torch.fx.symbolic_trace(own.Traced())),
    Row("torch: checkpoint_wrapper", _checkpointed),
    Row(
        "torch: AveragedModel with an EMA function",
        lambda: swa_utils.AveragedModel(_net(), multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)),
        refused="the averaging function is a local function",
    ),
    Row(
        "torch: scripted module",
        lambda: torch.jit.script(nn.Linear(2, 2)),
        refused="torch.jit.save is the way to save it",
    ),
]
