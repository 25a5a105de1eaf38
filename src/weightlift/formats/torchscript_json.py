"""TorchScript before 1.4: a zip with `model.json` and a member per storage.

The JSON is the protobuf `torch.ModelDef` (caffe2/proto/torch.proto) in its JSON mapping, so 64-bit
integers may be strings. Follows torch/csrc/jit/import_legacy.cpp: parameters of a module, then its
submodules; attributes other than tensors are in `attributes.pkl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..checkpoint import Checkpoint
from ..containers import ZipArchive
from ..dtypes import DTYPES
from ..errors import ContainerError, LimitError, TensorError, shown
from ..pickles import Dict
from ..tensors import Composite, Storage, Tensor
from ..tensors.lazy import AnyTensor
from ..typed import Any
from .base import Format, Opening, Probe

_DTYPES = {
    "FLOAT": "float32", "INT32": "int32", "BYTE": "uint8", "UINT8": "uint8", "INT8": "int8", "INT16": "int16",
    "INT64": "int64", "FLOAT16": "float16", "DOUBLE": "float64", "BOOL": "bool", "UINT16": "uint16",
    "BFLOAT16": "bfloat16",
}  # fmt: skip
_QUANTIZED = {"uint8": "quint8", "int8": "qint8", "int32": "qint32"}


def model_json(probe: Probe) -> str | None:
    """Return the name of the archive's `model.json` that describes a module, or None."""
    return next((n for n in probe.names if n.count("/") <= 1 and n.rpartition("/")[2] == "model.json"), None)


def _recognises(probe: Probe) -> bool:
    name = model_json(probe)
    if name is None or probe.zip is None:
        return False
    return b'"mainModule"' in probe.zip.read(name) or b'"main_module"' in probe.zip.read(name)


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    archive, name = probe.archive, model_json(probe) or ""
    try:
        model = json.loads(archive.read(name))
        storages: dict[str, Storage] = {}
        prefix = name.removesuffix("model.json")
        table = [_tensor(archive, prefix, about, storages) for about in _field(model, "tensors") or []]
        main = _field(model, "main_module")
        tree = Dict("dict", list(_entries(main, "", table, 0)))
        version = _field(model, "proto_version")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ContainerError(f"model.json does not describe a module ({shown(error)})") from None
    return Checkpoint(
        tree,
        format="torchscript-json",
        source=probe.source,
        details={"proto_version": version, "tensors": len(table)},
        limits=opening.limits,
    )


def _field(message: dict[str, Any], name: str) -> Any:
    """Return a protobuf field under its JSON name (`mainModule`) or its own (`main_module`)."""
    first, *rest = name.split("_")
    return message.get(first + "".join(part.capitalize() for part in rest), message.get(name))


def _tensor(archive: ZipArchive, prefix: str, about: dict[str, Any], storages: dict[str, Storage]) -> AnyTensor:
    kind = _field(about, "data_type") or "UNDEFINED"
    name = _DTYPES.get(kind)
    if name is None:
        raise TensorError(f"data type {shown(kind, 40)}", expected=f"one of {', '.join(_DTYPES)}")
    key = about["data"]["key"]
    if key not in storages:
        source = archive.open(f"{prefix}{key}")
        storages[key] = Storage(key, source.size, source, device=str(about.get("device", "cpu")))
    made = Tensor(
        DTYPES[name],
        tuple(int(n) for n in about.get("dims") or ()),
        tuple(int(n) for n in about.get("strides") or ()),
        int(about.get("offset") or 0),
        storages[key],
        requires_grad=_field(about, "requires_grad") is True,
    )
    if not _field(about, "is_quantized"):
        return made
    quantizer = {
        "qscheme": "per_tensor_affine",
        "scale": float(about.get("scale") or 0.0),
        "zero_point": int(_field(about, "zero_point") or 0),
    }
    return Composite("quantized", DTYPES[_QUANTIZED[name]], made.shape, {"int_repr": made}, quantizer)


def _entries(
    module: dict[str, Any], prefix: str, table: list[AnyTensor], depth: int
) -> Iterator[tuple[str, AnyTensor]]:
    if depth > 200:
        raise LimitError("modules nested deeper than 200")
    parameters = module.get("parameters") or []
    for wants_buffer in (False, True):  # parameters first, as a state dict has them
        for about in parameters:
            is_buffer = _field(about, "is_buffer") is True
            if is_buffer == wants_buffer:
                tensor = table[int(_field(about, "tensor_id"))]
                yield f"{prefix}{about['name']}", tensor.with_role("buffer" if is_buffer else "parameter")
    for child in module.get("submodules") or []:
        yield from _entries(child, f"{prefix}{child['name']}.", table, depth + 1)


FORMAT = Format("torchscript-json", _recognises, _open)
