"""Quantised modules of `torch.ao`: eager and fx, dynamic, static and in training."""

from __future__ import annotations

import own_modules as own
import torch
import torch.ao.quantization as ao
from table import Row
from torch import nn
from torch.ao.nn.sparse import quantized as sparse
from torch.ao.quantization.quantize_fx import convert_fx, convert_to_reference_fx, prepare_fx


def _dynamic(module, kind, dtype=torch.qint8):
    return ao.quantize_dynamic(nn.Sequential(module), {kind}, dtype=dtype)


def _static(module, inputs, engine="x86"):
    torch.backends.quantized.engine = engine
    module.eval().qconfig = ao.get_default_qconfig(engine)
    prepared = ao.prepare(module)
    prepared(inputs)
    return ao.convert(prepared)


def _wrapped(*modules):
    return nn.Sequential(ao.QuantStub(), *modules, ao.DeQuantStub())


def _fused():
    module = own.Small().eval()
    return _static(ao.fuse_modules(module, [["conv", "norm", "relu"]]), torch.randn(2, 3, 8, 8))


def _every_conv():
    return _static(
        _wrapped(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 2, bias=False), nn.Flatten(2), nn.Conv1d(3, 2, 1)),
        torch.randn(2, 3, 6, 6),
        "qnnpack",
    )


def _activations():
    module = _wrapped(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.ELU(), nn.LeakyReLU(), nn.GroupNorm(2, 4), nn.BatchNorm2d(4)
    )
    return _static(module, torch.randn(2, 3, 6, 6))


def _without_qconfig(module):
    """A prepared module keeps the recipe of its observers, which holds a local function."""
    for part in module.modules():
        if hasattr(part, "qconfig"):
            del part.qconfig
    return module


def _prepared(*, keep=False):
    module = own.Small().eval()
    module.qconfig = ao.get_default_qconfig("x86")
    prepared = ao.prepare(ao.fuse_modules(module, [["conv", "norm", "relu"]]))
    prepared(torch.randn(2, 3, 8, 8))
    return prepared if keep else _without_qconfig(prepared)


def _in_training():
    module = own.Small().train()
    module.qconfig = ao.get_default_qat_qconfig("x86")
    prepared = ao.prepare_qat(ao.fuse_modules_qat(module, [["conv", "norm", "relu"]]))
    prepared(torch.randn(2, 3, 8, 8))
    return _without_qconfig(prepared)


def _embedding(module, qconfig):
    module.qconfig = qconfig
    return ao.convert(ao.prepare(nn.Sequential(module)))


def _observers():
    kinds = [ao.MinMaxObserver, ao.MovingAverageMinMaxObserver, ao.PerChannelMinMaxObserver, ao.HistogramObserver]
    kinds += [ao.MovingAveragePerChannelMinMaxObserver, ao.PlaceholderObserver, ao.NoopObserver]
    made = nn.ModuleList([kind() for kind in kinds] + [ao.FakeQuantize(), ao.FusedMovingAvgObsFakeQuantize()])
    for observer in made:
        observer(torch.randn(3, 4))
    return made


def _fx(convert):
    prepared = prepare_fx(own.Functional().eval(), ao.get_default_qconfig_mapping("x86"), (torch.randn(1, 3, 8, 8),))
    prepared(torch.randn(2, 3, 8, 8))
    return convert(prepared)


def _sparse():
    torch.backends.quantized.engine = "fbgemm"
    return nn.Sequential(sparse.Linear(8, 8, 1, 4), sparse.dynamic.Linear(8, 8, 1, 4))


def _sequence(module):
    return _without_qconfig(_static(module, torch.randn(3, 2, 4)))


_LOCAL = "the qconfig that torch leaves on a prepared module holds a local function"
_BLOCKS = "the packed blocks are kept as they are packed; torch's own state dict gives them unpacked"

ROWS = [
    Row(
        "torch.ao: dynamic Linear",
        lambda: _dynamic(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 3, bias=False)), nn.Linear),
    ),
    Row("torch.ao: dynamic Linear, float16", lambda: _dynamic(nn.Linear(8, 4), nn.Linear, torch.float16)),
    Row("torch.ao: dynamic LSTM", lambda: _dynamic(nn.LSTM(8, 6, 2, bidirectional=True), nn.LSTM)),
    Row("torch.ao: dynamic GRU, float16", lambda: _dynamic(nn.GRU(8, 6), nn.GRU, torch.float16)),
    Row(
        "torch.ao: dynamic cells",
        lambda: _dynamic(nn.ModuleList([nn.LSTMCell(8, 6), nn.GRUCell(8, 6)]).append(nn.RNNCell(8, 6)), nn.LSTMCell),
    ),
    Row(
        "torch.ao: dynamic Linear inside a Transformer",
        lambda: _dynamic(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear),
    ),
    Row("torch.ao: static, fused convolution", _fused),
    Row("torch.ao: static convolutions", _every_conv),
    Row("torch.ao: static activations and norms", _activations),
    Row("torch.ao: static LSTM", lambda: _sequence(_wrapped(nn.LSTM(4, 3)))),
    Row(
        "torch.ao: static Linear, qnnpack",
        lambda: _static(_wrapped(nn.Linear(4, 3), nn.ReLU()), torch.randn(3, 4), "qnnpack"),
    ),
    Row("torch.ao: Embedding, 8 bits", lambda: _embedding(nn.Embedding(10, 8), ao.float_qparams_weight_only_qconfig)),
    Row(
        "torch.ao: EmbeddingBag, 4 bits",
        lambda: _embedding(nn.EmbeddingBag(10, 8, mode="sum"), ao.float_qparams_weight_only_qconfig_4bit),
    ),
    Row("torch.ao: prepared, observers inside", _prepared),
    Row("torch.ao: in training (QAT), fake quantisation inside", _in_training),
    Row("torch.ao: every observer", _observers),
    Row("torch.ao: fx, converted", lambda: _fx(convert_fx)),
    Row("torch.ao: fx, reference modules", lambda: _fx(convert_to_reference_fx)),
    Row("torch.ao: sparse Linear", _sparse, needs_class=_BLOCKS),
    Row("torch.ao: prepared, qconfig kept", lambda: _prepared(keep=True), refused=_LOCAL),
]
