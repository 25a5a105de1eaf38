"""Models of torchvision, random weights."""

from __future__ import annotations

from functools import partial

from table import Row
from torchvision import models
from torchvision.models import detection, optical_flow, quantization, segmentation, video


def _small_vit():
    return models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)


def _small_swin():
    return models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5)


def _detector():
    return detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=3)


_CLASSIFIERS = (
    "resnet18 mobilenet_v2 mobilenet_v3_small shufflenet_v2_x0_5 squeezenet1_1 mnasnet0_5 googlenet densenet121"
    " efficientnet_b0 regnet_y_400mf convnext_tiny"
)
_WITH = {"googlenet": {"init_weights": False}}

ROWS = [
    *(
        Row(f"torchvision: {name}", partial(getattr(models, name), weights=None, num_classes=7, **_WITH.get(name, {})))
        for name in _CLASSIFIERS.split()
    ),
    Row("torchvision: VisionTransformer", _small_vit),
    Row("torchvision: SwinTransformer", _small_swin),
    Row("torchvision: fasterrcnn_mobilenet_v3_large_320_fpn", _detector),
    Row(
        "torchvision: lraspp_mobilenet_v3_large",
        lambda: segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3),
    ),
    Row("torchvision: raft_small", lambda: optical_flow.raft_small(weights=None)),
    Row("torchvision: r2plus1d_18", lambda: video.r2plus1d_18(weights=None, num_classes=3)),
    Row(
        "torchvision: quantised mobilenet_v2",
        lambda: quantization.mobilenet_v2(weights=None, quantize=True, num_classes=7),
    ),
    Row(
        "torchvision: quantised shufflenet_v2_x0_5",
        lambda: quantization.shufflenet_v2_x0_5(weights=None, quantize=True, num_classes=7),
    ),
]
