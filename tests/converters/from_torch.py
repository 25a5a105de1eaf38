"""torch: what `load_state_dict` makes of older files and of other sizes of a model."""

from __future__ import annotations

import os

import torch
import torchvision
from conversion import Conversion, Row, filled, into
from torch import nn


def _loaded(original, make, folder, *, strict):
    path = os.path.join(folder, "model.pth")
    torch.save(original, path)
    expected, new = into(make, lambda model: model.load_state_dict(torch.load(path), strict=strict))
    return Conversion(path, expected, new, filled(make(), 3))


def _resnet_of_2017(folder):
    weights = filled(torchvision.models.resnet18(), 0).state_dict()
    older = {key: tensor for key, tensor in weights.items() if not key.endswith("num_batches_tracked")}
    return _loaded(older, torchvision.models.resnet18, folder, strict=True)


def _resnet34_into_18(folder):
    weights = filled(torchvision.models.resnet34(), 0).state_dict()
    return _loaded(weights, torchvision.models.resnet18, folder, strict=False)


def _six_layers_into_twelve(folder):
    class Encoder(nn.Module):
        def __init__(self, layers):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16)
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    return _loaded(filled(Encoder(6), 0).state_dict(), lambda: Encoder(12), folder, strict=False)


ROWS = [
    Row(
        "bn_no_num_batches_tracked_resnet18", "torch", "`load_state_dict`, the versions of BatchNorm2d", _resnet_of_2017
    ),
    Row("deeper_to_shallower_resnet34_18", "torch", "`load_state_dict(strict=False)`", _resnet34_into_18),
    Row("shallower_to_deeper_transformer", "torch", "`load_state_dict(strict=False)`", _six_layers_into_twelve),
]
