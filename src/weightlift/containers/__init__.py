"""Archives: names to byte ranges. Strict where readers disagree, and bounded."""

from .tar import read_tar
from .zip import Member, ZipArchive, looks_like_zip

__all__ = ["Member", "ZipArchive", "looks_like_zip", "read_tar"]
