"""Pickles as data: opcodes to inert values. Nothing is imported, nothing is called."""

from .machine import Pickle, read_pickle
from .nodes import Blob, Dict, Global, Object

__all__ = ["Blob", "Dict", "Global", "Object", "Pickle", "read_pickle"]
