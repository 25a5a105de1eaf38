"""Models of timm, random weights."""

from __future__ import annotations

from functools import partial

import timm
from table import Row

_SHALLOW = {"depth": 2}
_MODELS = {
    "resnet10t": {}, "mobilenetv3_small_050": {}, "efficientnet_b0": {}, "tf_mixnet_s": {}, "convnext_atto": {},
    "vit_tiny_patch16_224": _SHALLOW, "deit_tiny_distilled_patch16_224": _SHALLOW, "beit_base_patch16_224": _SHALLOW,
    "mixer_s32_224": {}, "swin_tiny_patch4_window7_224": {"depths": (1, 1, 1, 1), "embed_dim": 24},
    "swinv2_tiny_window8_256": {"depths": (1, 1, 1, 1), "embed_dim": 24}, "levit_128s": {}, "mobilevit_xxs": {},
    "regnetx_002": {}, "densenet121": {}, "ghostnet_050": {}, "repvgg_a0": {}, "xcit_nano_12_p16_224": _SHALLOW,
    "edgenext_xx_small": {}, "poolformer_s12": {}, "fastvit_t8": {}, "nf_regnet_b0": {},
    "hardcorenas_a": {}, "lcnet_035": {}, "lambda_resnet26t": {}, "maxvit_pico_rw_256": {},
    "gmlp_ti16_224": {}, "cait_xxs24_224": _SHALLOW, "eva02_tiny_patch14_224": _SHALLOW,
}  # fmt: skip

ROWS = [
    Row(f"timm: {name}", partial(timm.create_model, name, pretrained=False, num_classes=5, **options))
    for name, options in _MODELS.items()
]
