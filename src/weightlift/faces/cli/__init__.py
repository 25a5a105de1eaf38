"""The command line: one file per verb, one line per verb in `main`."""

from .main import main

__all__ = ["main"]
