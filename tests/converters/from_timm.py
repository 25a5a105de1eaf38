"""timm: `load_pretrained` with the `checkpoint_filter_fn` of the architecture, on a file in the original's names.

The file is made of a timm model's names, turned back by hand. Loading is strict, so that a name which the
converter does not know is an error here.
"""

from __future__ import annotations

import os
import re

import timm
import torch
from conversion import Conversion, Row, filled, into
from timm.models import convnext, load_pretrained, swin_transformer, vision_transformer


def _converted(make, original, filter_fn, folder, beyond=frozenset(), num_classes=1000):
    path = os.path.join(folder, "original.pth")
    torch.save({"model": original}, path)

    def load(model):
        config = {**model.pretrained_cfg, "file": path, "source": "", "num_classes": 1000}
        load_pretrained(model, config, num_classes=num_classes, filter_fn=filter_fn)

    expected, new = into(make, load)
    return Conversion(path, expected, new, filled(make(), 3), beyond)


def _convnext(num_classes):
    return timm.create_model("convnext_tiny", depths=(2, 1, 3, 2), dims=(8, 16, 24, 32), num_classes=num_classes)


def _convnext_of_facebook(folder):
    original = {}
    for name, tensor in filled(_convnext(1000), 0).state_dict().items():
        key = re.sub(r"^stem\.", "downsample_layers.0.", name)
        key = re.sub(r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1.", key)
        key = key.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        original[key.replace("head.norm.", "norm.").replace("head.fc.", "head.")] = tensor
    return _converted(lambda: _convnext(10), original, convnext.checkpoint_filter_fn, folder, num_classes=10)


def _swin():
    return timm.create_model("swin_tiny_patch4_window7_224", embed_dim=12, depths=(2, 2, 4, 2), num_heads=(1, 2, 3, 4))


def _swin_of_microsoft(folder):
    model = filled(_swin(), 0)
    original = {}
    for name, tensor in [*model.state_dict().items(), *model.named_buffers()]:
        key = re.sub(r"^layers\.(\d+)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", name)
        original[key.replace("head.fc.", "head.")] = tensor
    return _converted(_swin, original, swin_transformer.checkpoint_filter_fn, folder)


def _dinov2():
    sizes = {"embed_dim": 24, "depth": 3, "num_heads": 2, "img_size": 56}
    return timm.create_model("vit_small_patch14_reg4_dinov2", **sizes)


def _dinov2_of_facebook(folder):
    original = filled(_dinov2(), 0).state_dict()
    original["register_tokens"] = original.pop("reg_token")
    original["mask_token"] = torch.randn(1, 24)
    original["pos_embed"] = torch.cat([torch.randn(1, 1, 24), original["pos_embed"]], 1)
    beyond = frozenset({"cls_token"})
    return _converted(_dinov2, original, vision_transformer.checkpoint_filter_fn, folder, beyond)


_LOADS = "`load_pretrained` with `checkpoint_filter_fn` of"

ROWS = [
    Row("convnext_fb_to_timm_newhead", "timm", f"{_LOADS} convnext", _convnext_of_facebook),
    Row("swin_ms_to_timm", "timm", f"{_LOADS} swin_transformer", _swin_of_microsoft),
    Row("dinov2_reg_to_timm", "timm", f"{_LOADS} vision_transformer", _dinov2_of_facebook),
]
