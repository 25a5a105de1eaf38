"""One file per format. What a file is gets decided once, by `registry.identify`, from its content."""

from .base import Format, Opening, Probe
from .registry import identify, open_probe, open_source

__all__ = ["Format", "Opening", "Probe", "identify", "open_probe", "open_source"]
