"""`torch.export` programs (`.pt2`): the weights of the exported module, and its constants.

Since 2.8 the archive has `archive_format`, a raw member per weight and a JSON that describes them
(torch/export/pt2_archive/_package.py); before, it was a zip of torch.save files beside the program.
"""

from __future__ import annotations

import json

from ..checkpoint import Checkpoint
from ..containers import ZipArchive
from ..dtypes import DTYPES
from ..errors import ContainerError, TensorError, shown
from ..findings import Finding
from ..pickles import Dict, Global
from ..tensors import Storage, Tensor
from ..tensors.lazy import AnyTensor
from ..typed import Any
from .base import Format, Opening, Probe

# torch/_export/serde/schema.py ScalarType
_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
_OLD_PROGRAM = "serialized_exported_program.json"
_KINDS = ("weights", "constants")


def _root(probe: Probe) -> str | None:
    """The folder that holds `archive_format`, with its slash."""
    name = next((n for n in probe.names if n.rpartition("/")[2] == "archive_format" and n.count("/") <= 1), None)
    return None if name is None else name.removesuffix("archive_format")


def _recognises(probe: Probe) -> bool:
    return _OLD_PROGRAM in probe.names or _root(probe) is not None


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    root = _root(probe)
    reader = _Reader(probe.archive, opening)
    found = reader.old() if root is None else reader.new(root)
    tree = found["weights"] if list(found) == ["weights"] else found
    findings = []
    if "constants" in found:
        count = len(found["constants"])
        findings.append(
            Finding("constants", "note", "constants", f"{count} constants of the program, not of the module")
        )
    return Checkpoint(
        tree,
        format="torch-export",
        source=probe.source,
        details={"layout": "serialized" if root is None else "pt2", "prefix": (root or "").rstrip("/")},
        globals=reader.globals,
        findings=tuple(findings),
        limits=opening.limits,
    )


class _Reader:
    def __init__(self, archive: ZipArchive, opening: Opening) -> None:
        self.archive = archive
        self.opening = opening
        self.globals: dict[Global, int] = {}

    def old(self) -> dict[str, Any]:
        """The layout up to 2.7: whole torch.save files (`.json` only in name, in 2.1)."""
        found = {}
        for kind, stem in (("weights", "serialized_state_dict"), ("constants", "serialized_constants")):
            for name in (f"{stem}.pt", f"{stem}.json"):
                if name in self.archive and self.archive.members[name].nbytes:
                    value = self.nested(name)
                    if value or kind == "weights":
                        found[kind] = value
        return found

    def nested(self, name: str) -> Any:
        from .registry import open_source

        checkpoint = open_source(self.archive.open(name), self.opening.within())
        self.globals |= checkpoint.globals
        return checkpoint.tree

    def new(self, root: str) -> dict[str, Any]:
        """One JSON per model and kind; `{"config": {name: description}}`."""
        found: dict[str, Any] = {}
        for kind in _KINDS:
            folder, end = f"{root}data/{kind}/", f"_{kind}_config.json"
            for name in self.archive.names():
                if name.startswith(folder) and name.endswith(end):
                    model = name.removeprefix(folder).removesuffix(end)
                    if entries := self.entries(name, folder):
                        found[kind if model == "model" else f"{kind}.{model}"] = entries
                elif name.startswith(folder) and name.endswith(".pt"):  # the first archives of this layout
                    model = name.removeprefix(folder).removesuffix(".pt")
                    if value := self.nested(name):
                        found[kind if model == "model" else f"{kind}.{model}"] = value
        return found

    def entries(self, config: str, folder: str) -> Dict:
        try:
            described = json.loads(self.archive.read(config))["config"]
            storages: dict[str, Storage] = {}
            return Dict("dict", {key: self.entry(about, folder, storages) for key, about in described.items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ContainerError(f"{config!r} does not describe weights ({shown(error)})") from None

    def entry(self, about: dict[str, Any], folder: str, storages: dict[str, Storage]) -> Any:
        name = f"{folder}{about['path_name']}"
        if about.get("use_pickle"):
            return self.nested(name)
        meta = about.get("tensor_meta")
        if meta is None:  # a script object or an opaque one, by name only
            return about["path_name"]
        return self.tensor(name, meta, storages, is_parameter=about.get("is_param") is True)

    def tensor(self, name: str, meta: dict[str, Any], storages: dict[str, Storage], *, is_parameter: bool) -> AnyTensor:
        dtype = _DTYPES.get(meta["dtype"])
        if dtype is None:
            raise TensorError(f"dtype {shown(meta['dtype'], 40)} of {name!r}", expected="a ScalarType of torch.export")
        if name not in storages:
            source = self.archive.open(name)
            storages[name] = Storage(name, source.size, source, device=str(meta.get("device", {}).get("type", "cpu")))
        return Tensor(
            DTYPES[dtype],
            tuple(int(n["as_int"]) for n in meta["sizes"]),
            tuple(int(n["as_int"]) for n in meta["strides"]),
            int(meta.get("storage_offset", {}).get("as_int", 0)),
            storages[name],
            role="parameter" if is_parameter else "buffer",
            requires_grad=meta.get("requires_grad") is True,
        )


FORMAT = Format("torch-export", _recognises, _open)
