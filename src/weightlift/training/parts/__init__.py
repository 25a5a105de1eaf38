"""The kinds of parts a run can have, one file each: how a live one is told, read into a document, and filled again."""

from .base import Change, Filling, Kind, Reading
from .kinds import kind_named, kind_of

__all__ = ["Change", "Filling", "Kind", "Reading", "kind_named", "kind_of"]
