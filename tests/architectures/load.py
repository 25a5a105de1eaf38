"""Take the extracted files back to torch: `load_state_dict(strict=True)`, and an independent reader.

Runs where the library is: `load.py DIRECTORY`, after `check.py`. Leaves `loaded.json`.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import sys
import warnings
from typing import Any

import torch
from expecting import expected, value
from safetensors import safe_open
from table import rows

import weightlift as wl

REFUSES_ITS_OWN = "torch refuses the module's own state dict as well"


def _refuses_its_own(module: Any) -> bool:
    """Whether torch cannot load what the module itself gave: an expanded buffer cannot be copied into."""
    try:
        module.load_state_dict(copy.deepcopy(module.state_dict()), strict=True)
    except Exception:  # noqa: BLE001 - any failure is the answer
        return True
    return False


def loaded(module: Any, out: str, wanted: dict[str, Any]) -> str:
    """Return "" where the file loads strictly and gives back equal entries, else what is wrong."""
    made = wl.open(out).state_dict().to_torch()
    here = json.loads(json.dumps(expected(made)["entries"]))
    if here != wanted["entries"]:
        return f"to_torch: {[a for a, b in zip(here, wanted['entries'], strict=False) if a != b][:1]}"
    for parameter in module.parameters():
        parameter.data = torch.full_like(parameter, 0)  # so that equality is the doing of the file
    try:
        module.load_state_dict(made, strict=True)
    except Exception as error:  # noqa: BLE001 - whatever the classes raise is the finding
        reason = " ".join(str(error).split())
        return REFUSES_ITS_OWN if _refuses_its_own(module) else f"load_state_dict: {reason}"
    again = json.loads(json.dumps(expected(module.state_dict())["entries"]))
    return "" if again == wanted["entries"] else "loaded: other values than were saved"


def read_independently(out: str, wanted: dict[str, Any]) -> str:
    """Return "" where the safetensors package reads the same tensors, else the first name that differs."""
    plain = {key: about for key, about in wanted["entries"] if set(about) == {"dtype", "shape", "sha256"}}
    with safe_open(out, "pt") as file:
        metadata, names = file.metadata() or {}, set(file.keys())
        record = json.loads(metadata.get("weightlift", "{}"))
        elsewhere = {*record.get("dtypes", {}), *record.get("views", {})}
        for key, about in plain.items():
            kept = key if key in names else metadata.get(key, "")
            if key not in elsewhere and kept not in elsewhere and value(file.get_tensor(kept)) != about:
                return key
    return ""


def main(directory: str) -> None:
    """Load every row of a group."""
    warnings.simplefilter("ignore")
    with open(os.path.join(directory, "checked.json")) as file:
        group = json.load(file)
    importlib.import_module(group["group"])
    builders = {row.name: row for row in rows(group["group"])}
    for row in group["rows"]:
        for check in row["checks"]:
            wanted = row["modules"][check["state_dict"]]
            if check["difference"]:
                continue
            torch.manual_seed(1)  # other weights than the saved ones
            saved = builders[row["name"]].build()
            modules = builders[row["name"]].modules
            module = modules(saved)[check["state_dict"]] if modules else saved
            check["loaded"] = loaded(module, check["out"], wanted)
            check["independent"] = read_independently(check["out"], wanted)
    with open(os.path.join(directory, "loaded.json"), "w") as file:
        json.dump(group, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
