"""Tensors as values: a dtype, a shape, strides and a byte range of a storage."""

from .lazy import Composite, Storage, Tensor
from .rebuild import rebuilders

__all__ = ["Composite", "Storage", "Tensor", "rebuilders"]
