"""Archives: names to byte ranges. Strict where readers disagree, and bounded."""

from .tar import read_tar, tar_findings
from .zip import ZipArchive, looks_like_zip
from .zip_records import Member

__all__ = ["Member", "ZipArchive", "looks_like_zip", "read_tar", "tar_findings"]
