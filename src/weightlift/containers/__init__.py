"""Archives: names to byte ranges. Strict where readers disagree, and bounded. Those of a tar are in `tar`."""

from .zip import ZipArchive, looks_like_zip
from .zip_records import Member

__all__ = ["Member", "ZipArchive", "looks_like_zip"]
