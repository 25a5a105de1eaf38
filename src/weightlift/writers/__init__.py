"""Where weights are set down. A writer gets named tensors and leaves a complete file or none."""

from .atomic import atomic_file
from .safetensors import Written, write_safetensors

__all__ = ["Written", "atomic_file", "write_safetensors"]
