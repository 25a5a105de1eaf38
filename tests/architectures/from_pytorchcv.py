"""Models of pytorchcv, random weights."""

from __future__ import annotations

from functools import partial

from pytorchcv.model_provider import get_model
from table import Row

_MODELS = (
    "resnet10 preresnet10 seresnet10 resnext14_16x4d diracnet18v2 densenet121 squeezenet_v1_1 shufflenet_g1_wd4"
    " shufflenetv2_wd2 mobilenet_wd4 mobilenetv2_wd4 mobilenetv3_small_w7d20 fdmobilenet_wd4 menet108_8x1_g3"
    " condensenet74_c4_g4 sparsenet121 igcv3_wd4 nasnet_4a1056 fishnet99 bagnet9 peleenet"
)

ROWS = [Row(f"pytorchcv: {name}", partial(get_model, name, pretrained=False)) for name in _MODELS.split()]
