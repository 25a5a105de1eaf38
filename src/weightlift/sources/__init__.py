"""Where bytes come from. A source is read at an offset, and only where somebody asks."""

from .base import Source, Window
from .inflated import Inflated, Told, wrong_crc
from .local import LocalFile
from .memory import Memory, OwnMemory

__all__ = ["Inflated", "LocalFile", "Memory", "OwnMemory", "Source", "Told", "Window", "wrong_crc"]
