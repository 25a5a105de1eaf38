"""One tool's word on one file: `python ask_scanner.py TOOL FILE` prints a verdict, in the tool's own interpreter.

clean       nothing found, and nothing said about a failure
skipped     not looked at
suspicious  for a person to look at
flagged     dangerous
error       could not be read; said so
weightlift says clean, unknown, dangerous or unreadable;
torch says ok, refused (an UnpicklingError or RuntimeError) or raw and the class of what came out of its insides.

Each tool is asked through its documented Python API with its defaults, which tells more than its exit code.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import sys
import warnings
import zipfile
from collections.abc import Callable
from pickle import UnpicklingError


def weightlift(path: str) -> str:
    import weightlift as wl

    return wl.scan(path).verdict


def picklescan(path: str) -> str:
    from picklescan.scanner import scan_file_path

    found = scan_file_path(path)
    if found.issues_count:
        return "flagged"
    if found.scan_err:
        return "error"
    if found.suspicious_count:
        return "suspicious"
    return "clean" if found.scanned_files else "skipped"


def modelscan(path: str) -> str:
    from modelscan.modelscan import ModelScan

    scan = ModelScan()
    scan.scan(path)
    if scan.issues.all_issues:
        return "flagged"
    if scan.errors:
        return "error"
    return "clean" if scan.scanned else "skipped"


def fickling(path: str) -> str:
    from fickling.analysis import Severity
    from fickling.loader import scan_file, scan_zip_archive

    results = (
        list(scan_zip_archive(path, graceful=True).values())
        if zipfile.is_zipfile(path)
        else [scan_file(path, graceful=True)]
    )
    if not results:
        return "skipped"
    if any(result.severity >= Severity.LIKELY_OVERTLY_MALICIOUS for result in results):
        return "flagged"
    if any(result.errors for result in results):
        return "error"
    return "suspicious" if any(result.severity > Severity.LIKELY_SAFE for result in results) else "clean"


def modelaudit_picklescan(path: str) -> str:
    from modelaudit_picklescan import scan_file

    report = scan_file(path)
    verdicts = {"clean": "clean", "suspicious": "suspicious", "malicious": "flagged", "unknown": "error"}
    return verdicts[report.verdict.value]


def torch(path: str, *, mapped: bool = False) -> str:
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except MemoryError:
        raise
    except (UnpicklingError, RuntimeError) as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise MemoryError from error
        return "refused"
    except Exception as error:  # noqa: BLE001 - whatever comes out of its insides is the answer
        return f"raw {type(error).__name__}"
    return "ok"


ASK: dict[str, Callable[[str], str]] = {
    "weightlift": weightlift,
    "picklescan": picklescan,
    "modelscan": modelscan,
    "fickling": fickling,
    "modelaudit-picklescan": modelaudit_picklescan,
    "torch": torch,
    "torch-mmap": lambda path: torch(path, mapped=True),
}


def main(tool: str, path: str | None = None) -> None:
    if path is None:
        print(importlib.metadata.version(tool))
        return
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            verdict = ASK[tool](path)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - a tool that fails has said so
            print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
            verdict = "error"
    print(f"\nverdict: {verdict}")


if __name__ == "__main__":
    main(*sys.argv[1:])
