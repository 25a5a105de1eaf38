"""Modules whose own code fills their part of the state dict, or gives it another version.

One table line per class, from `_save_to_state_dict` and `_version` in torch/nn, torch/ao/nn and
torch/ao/quantization of 2.14, torchvision 0.29 and timm 1.0. A user's class that derives from one of
these is told by what it holds, where that can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..pickles import Object
from ..typed import Any
from ..values import dataclass
from . import quantized

Entries = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Special:
    """What a kind of module adds after its parameters and buffers, its `_version`, and what differs still."""

    own_entries: Callable[[Object], Entries] | None = None
    version: int = 1
    note: str = ""


def _rows(prefix: str, names: str, special: Special) -> Mapping[str, Special]:
    return {f"{prefix}.{name}": special for name in names.split()}


_NNQ = "torch.ao.nn.quantized.modules"
_NNQD = "torch.ao.nn.quantized.dynamic.modules"
_NNR = "torch.ao.nn.quantized.reference.modules"
_NNI = "torch.ao.nn.intrinsic"
_SPARSE = "torch.ao.nn.sparse.quantized"
_CONVS = "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d"

_LINEAR = Special(quantized.scale_and_zero_point, 3)
_DYNAMIC_LINEAR = Special(quantized.scale_and_zero_point, 4)
_CONV = Special(quantized.conv)
_CELL = Special(quantized.attributes("_packed_weight_ih", "_packed_weight_hh"))
_REFERENCE = Special(quantized.reference_weight)
_OBSERVER = Special(version=3)
_FAKE = Special(quantized.attributes("scale", "zero_point"))
_SECOND = Special(version=2)

SPECIAL: dict[str, Special] = {
    **_rows(f"{_NNQ}.linear", "Linear", _LINEAR),
    **_rows(f"{_NNI}.quantized.modules.linear_relu", "LinearReLU LinearLeakyReLU LinearTanh", _LINEAR),
    **_rows(f"{_NNQD}.linear", "Linear", _DYNAMIC_LINEAR),
    **_rows(f"{_NNI}.quantized.dynamic.modules.linear_relu", "LinearReLU", _DYNAMIC_LINEAR),
    f"{_NNQ}.linear.LinearPackedParams": Special(quantized.linear_packed_params, 3),
    **_rows(f"{_NNQ}.conv", _CONVS, _CONV),
    **_rows(f"{_NNQD}.conv", _CONVS, _CONV),
    **_rows(f"{_NNI}.quantized.modules.conv_relu", "ConvReLU1d ConvReLU2d ConvReLU3d", _CONV),
    **_rows(f"{_NNI}.quantized.modules.conv_add", "ConvAdd2d ConvAddReLU2d", _CONV),
    f"{_NNQ}.embedding_ops.EmbeddingPackedParams": Special(quantized.embedding_packed_params),
    f"{_NNQ}.functional_modules.QFunctional": Special(quantized.scale_and_zero_point),
    **_rows(f"{_NNQD}.rnn", "LSTM GRU", _SECOND),
    **_rows(f"{_NNQD}.rnn", "RNNCell LSTMCell GRUCell", _CELL),
    f"{_NNQD}.rnn.PackedParameter": Special(quantized.attributes("param")),
    **_rows(f"{_NNR}.conv", _CONVS, _REFERENCE),
    **_rows(f"{_NNR}.linear", "Linear", _REFERENCE),
    **_rows(f"{_NNR}.sparse", "Embedding EmbeddingBag", _REFERENCE),
    f"{_SPARSE}.linear.Linear": Special(quantized.scale_and_zero_point),
    f"{_SPARSE}.dynamic.linear.Linear": Special(quantized.sparse_dynamic_linear),
    f"{_SPARSE}.linear.LinearPackedParams": Special(
        quantized.sparse_packed_params, note="its sparse blocks are kept packed; its own state dict would unpack them"
    ),
    **_rows(
        f"{_NNI}.qat.modules.conv_fused",
        "ConvBn1d ConvBn2d ConvBn3d ConvBnReLU1d ConvBnReLU2d ConvBnReLU3d",
        _SECOND,
    ),
    **_rows("torch.ao.quantization.observer", "MinMaxObserver PerChannelMinMaxObserver", _OBSERVER),
    **_rows(
        "torch.ao.quantization.observer",
        "MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver",
        _OBSERVER,
    ),
    "torch.ao.quantization.observer.HistogramObserver": Special(quantized.attributes("min_val", "max_val"), 3),
    **_rows("torch.ao.quantization.fake_quantize", "FakeQuantize FixedQParamsFakeQuantize", _FAKE),
    **_rows("torch.ao.quantization.fake_quantize", "FusedMovingAvgObsFakeQuantize", _FAKE),
    # Not torch's, but widely saved: a wrong version makes their `load_state_dict` look for older names.
    **_rows("torchvision.models", "_utils.IntermediateLayerGetter densenet._DenseBlock mnasnet.MNASNet", _SECOND),
    **_rows("torchvision.models.detection", "mask_rcnn.MaskRCNNHeads rpn.RPNHead", _SECOND),
    **_rows("torchvision.models.detection.retinanet", "RetinaNetClassificationHead RetinaNetRegressionHead", _SECOND),
    "torchvision.models.quantization.mobilenetv3.QuantizableSqueezeExcitation": _SECOND,
    "torchvision.models.vision_transformer.MLPBlock": _SECOND,
    "torchvision.ops.feature_pyramid_network.FeaturePyramidNetwork": _SECOND,
    "timm.models.densenet.DenseBlock": _SECOND,
}
"""Class name, as torch 2.x spells it -> what is special about it."""

# Where the same classes lived before torch 1.13; files name them by these.
_FORMER = (
    ("torch.nn.quantized.", "torch.ao.nn.quantized."),
    ("torch.nn.quantizable.", "torch.ao.nn.quantizable."),
    ("torch.nn.intrinsic.", "torch.ao.nn.intrinsic."),
    ("torch.nn.qat.", "torch.ao.nn.qat."),
    ("torch.quantization.", "torch.ao.quantization."),
)


def special_of(class_name: str) -> Special | None:
    """Return what is special about a class, under its present name or a former one; None for the rest."""
    found = SPECIAL.get(class_name)
    if found is None and class_name.startswith("torch."):
        for former, present in _FORMER:
            if class_name.startswith(former):
                return SPECIAL.get(present + class_name.removeprefix(former))
    return found
