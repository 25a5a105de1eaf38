"""Python state as JSON and back: exact, bounded, and nothing imported or called by a name in a file."""

from .decoder import decode
from .encoder import Encoder
from .records import Record
from .refusals import Refusal

__all__ = ["Encoder", "Record", "Refusal", "decode"]
