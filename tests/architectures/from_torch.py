"""Modules of `torch.nn` itself."""

from __future__ import annotations

import own_modules as own
import torch
from table import Row
from torch import nn
from torch.nn import utils
from torch.nn.utils import prune


def _ran(module, *inputs):
    module(*inputs)
    return module


def _half_lazy():
    module = nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(3))
    module[0](torch.randn(2, 5))
    return module


def _pruned():
    module = nn.Sequential(nn.Linear(6, 6), nn.Conv1d(2, 3, 3))
    prune.l1_unstructured(module[0], "weight", 0.5)
    prune.random_structured(module[1], "weight", amount=1, dim=0)
    return module


def _norms():
    every = [
        nn.BatchNorm1d(4),
        nn.BatchNorm2d(4),
        nn.BatchNorm3d(4),
        nn.SyncBatchNorm(4),
        nn.BatchNorm1d(4, affine=False),
    ]
    every += [nn.BatchNorm1d(4, track_running_stats=False), nn.InstanceNorm1d(4), nn.InstanceNorm2d(4, affine=True)]
    every += [nn.InstanceNorm3d(4, affine=True, track_running_stats=True), nn.LayerNorm(4), nn.GroupNorm(2, 4)]
    every += [nn.RMSNorm(4), nn.LocalResponseNorm(2)]
    return nn.Sequential(*every)


def _old_norms():
    return nn.Sequential(
        utils.weight_norm(nn.Linear(5, 4)),
        utils.weight_norm(nn.Conv1d(2, 3, 3), dim=None),
        utils.spectral_norm(nn.Conv2d(3, 4, 3)),
        utils.spectral_norm(nn.ConvTranspose2d(3, 4, 3)),
        utils.weight_norm(nn.LSTM(4, 4), "weight_hh_l0"),
    )


def _hooked():
    module = nn.Linear(3, 3)
    module.register_state_dict_post_hook(own.drop_bias)
    return module


def _convolutions():
    kinds = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
    grouped = nn.Conv2d(4, 8, 3, groups=2, bias=False).to(memory_format=torch.channels_last)
    return nn.Sequential(*(kind(2, 4, 3) for kind in kinds), grouped, nn.PReLU(4), nn.Bilinear(2, 3, 4))


_NO_VALUES = "lazy parameters that never ran have no values; they are named in a note and left out"
_PARAMETRIZED = "torch refuses to pickle parametrized modules"

ROWS = [
    Row("torch.nn: containers of modules and parameters", own.Containers),
    Row("torch.nn: persistent and other buffers, nn.Buffer", own.Buffers),
    Row("torch.nn: tied weights, a module under two names, views", own.Tied),
    Row("torch.nn: every element type", own.Dtypes),
    Row("torch.nn: norms", _norms),
    Row("torch.nn: convolutions", _convolutions),
    Row(
        "torch.nn: RNN, LSTM, GRU",
        lambda: nn.ModuleList(
            [
                nn.RNN(4, 3, 2, nonlinearity="relu"),
                nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2),
                nn.GRU(4, 3, 1, bias=False),
            ]
        ),
    ),
    Row(
        "torch.nn: LSTM in half precision after a run",
        lambda: _ran(nn.LSTM(4, 3).bfloat16(), torch.randn(2, 1, 4).bfloat16()),
    ),
    Row("torch.nn: recurrent cells", lambda: nn.ModuleList([nn.RNNCell(3, 4), nn.LSTMCell(3, 4), nn.GRUCell(3, 4)])),
    Row(
        "torch.nn: MultiheadAttention",
        lambda: nn.ModuleList(
            [
                nn.MultiheadAttention(8, 2),
                nn.MultiheadAttention(8, 2, bias=False, add_bias_kv=True, kdim=4, vdim=6),
            ]
        ),
    ),
    Row("torch.nn: Transformer", lambda: nn.Transformer(8, 2, 2, 2, 16)),
    Row("torch.nn: TransformerEncoder", lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)),
    Row(
        "torch.nn: Embedding, EmbeddingBag",
        lambda: nn.ModuleList(
            [
                nn.Embedding(7, 4, padding_idx=0),
                nn.EmbeddingBag(7, 4, mode="sum", sparse=True),
                nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10]),
            ]
        ),
    ),
    Row("torch.nn: old weight_norm and spectral_norm", _old_norms),
    Row("torch.nn: pruned layers", _pruned),
    Row(
        "torch.nn: lazy modules after a run",
        lambda: _ran(
            nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3)),
            torch.randn(2, 3, 6, 6),
        ),
    ),
    Row(
        "torch.nn: gradients and frozen parameters",
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(False)),
    ),
    Row("torch.nn: lazy modules, one of them never run", _half_lazy, needs_class=_NO_VALUES),
    Row("torch.nn: get_extra_state", lambda: own.ExtraState(3, 3), needs_class="get_extra_state is code of the class"),
    Row(
        "torch.nn: a class that overrides state_dict",
        lambda: own.Renaming(3, 3),
        needs_class="state_dict is code of the class",
    ),
    Row("torch.nn: a state dict hook of the user", _hooked, needs_class="the hook is code of the user"),
    Row(
        "torch.nn: new weight_norm", lambda: utils.parametrizations.weight_norm(nn.Linear(3, 3)), refused=_PARAMETRIZED
    ),
    Row(
        "torch.nn: new spectral_norm",
        lambda: utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        refused=_PARAMETRIZED,
    ),
    Row("torch.nn: orthogonal", lambda: utils.parametrizations.orthogonal(nn.Linear(3, 3)), refused=_PARAMETRIZED),
]
