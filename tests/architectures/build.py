"""Build every architecture of one group, save it in both formats, write down its state dict.

Runs where the library is: `build.py GROUP DIRECTORY`. Leaves in DIRECTORY, for each row, `N.zip.pt`,
`N.legacy.pt` and a line of `rows.json`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import warnings
from typing import Any

import torch
from expecting import expected
from table import GROUPS, Row, rows

FORMATS = {"zip": True, "legacy": False}


def built(row: Row, place: str) -> dict[str, Any]:
    """Save one architecture and return what is known about it; `error` where it cannot be saved."""
    torch.manual_seed(0)
    about: dict[str, Any] = {"name": row.name, "needs_class": row.needs_class, "refused": row.refused, "error": ""}
    saved = row.build()
    for name, is_zip in FORMATS.items():
        try:
            torch.save(saved, f"{place}.{name}.pt", _use_new_zipfile_serialization=is_zip)
        except Exception as error:  # noqa: BLE001 - whatever torch and the classes raise is the finding
            os.unlink(f"{place}.{name}.pt")
            return about | {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    modules = row.modules(saved) if row.modules else {"": saved}
    return about | {
        "place": place,
        "modules": {name: expected(module.state_dict()) for name, module in modules.items()},
    }


def main(group: str, directory: str) -> None:
    """Build a group."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = []
    for i, row in enumerate(rows(group)):
        found.append(built(row, os.path.join(directory, f"{i:03}")))
        print(row.name, found[-1]["error"], flush=True)  # noqa: T201 - a script's progress
    library = GROUPS[group]
    versions = {name: importlib.metadata.version(name) for name in dict.fromkeys(("torch", library))}
    with open(os.path.join(directory, "rows.json"), "w") as file:
        json.dump({"group": group, "library": library, "versions": versions, "rows": found}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
