"""Is a file safe to load elsewhere, and why: verdicts with their evidence. Nothing of a file is run."""

from .scan import scan_source
from .values import EXIT_CODES, Evidence, Scanned, Verdict, worst

__all__ = ["EXIT_CODES", "Evidence", "Scanned", "Verdict", "scan_source", "worst"]
