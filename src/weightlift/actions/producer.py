"""Who wrote a checkpoint, where that can be recognised.

The library by fields and classes that only one producer writes, torch's versions by the container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..checkpoint import Checkpoint
from ..typed import Any

Recognise = Callable[[Mapping[Any, Any], set[str], Checkpoint], str]


def producers(checkpoint: Checkpoint) -> list[str]:
    """Return what is recognised, the library first, then torch's version range."""
    tree = checkpoint.tree
    root = tree if isinstance(tree, dict) else {}
    modules = {named.module for named in checkpoint.globals}
    found = [name for recognise in LIBRARIES if (name := recognise(root, modules, checkpoint))]
    torch_range = _torch_range(checkpoint)
    return found + ([torch_range] if torch_range else [])


def _version(root: Mapping[Any, Any], key: str, name: str) -> str:
    value = root.get(key)
    return f"{name} {value}" if isinstance(value, str) else ""


def _has(root: Mapping[Any, Any], *keys: str) -> bool:
    return all(key in root for key in keys)


def _imports(modules: set[str], *packages: str) -> bool:
    return any(module == p or module.startswith(p + ".") for module in modules for p in packages)


def _fairseq(root: Mapping[Any, Any], modules: set[str], checkpoint: Checkpoint) -> str:
    known = _has(root, "model", "extra_state") or _has(root, "model", "optimizer_history")
    return "fairseq" if known or _imports(modules, "fairseq") else ""


def _deepspeed(root: Mapping[Any, Any], modules: set[str], checkpoint: Checkpoint) -> str:
    if "module" in root and any(key in root for key in ("dp_world_size", "ds_version", "ds_config")):
        return _version(root, "ds_version", "DeepSpeed") or "DeepSpeed"
    return ""


def _stable_baselines(root: Mapping[Any, Any], modules: set[str], checkpoint: Checkpoint) -> str:
    members = checkpoint.details.get("other_members", {})
    if checkpoint.format == "archive" and "_stable_baselines3_version" in members:
        return "stable-baselines3"
    return "stable-baselines3" if _imports(modules, "stable_baselines3") else ""


def _hugging_face(root: Mapping[Any, Any], modules: set[str], checkpoint: Checkpoint) -> str:
    metadata = checkpoint.details.get("metadata")
    sharded = checkpoint.format == "sharded" and isinstance(metadata, dict) and "total_size" in metadata
    return "Hugging Face transformers" if sharded or _imports(modules, "transformers") else ""


def _open_mmlab(root: Mapping[Any, Any], modules: set[str], checkpoint: Checkpoint) -> str:
    meta = root.get("meta")
    if isinstance(meta, dict):
        return _version(meta, "mmengine_version", "MMEngine") or _version(meta, "mmcv_version", "MMCV")
    return ""


LIBRARIES: tuple[Recognise, ...] = (
    lambda root, modules, c: _version(root, "pytorch-lightning_version", "Lightning"),
    _fairseq,
    _deepspeed,
    _stable_baselines,
    _hugging_face,
    _open_mmlab,
    lambda root, modules, c: "YOLO (Ultralytics)" if _imports(modules, "ultralytics", "models.yolo") else "",
    lambda root, modules, c: "detectron2" if _has(root, "model", "__author__") else "",
    lambda root, modules, c: "Megatron-LM" if _has(root, "checkpoint_version", "model", "args") else "",
    lambda root, modules, c: (
        "NVIDIA NeMo" if c.format == "archive" and "model_config.yaml" in c.details["other_members"] else ""
    ),
    lambda root, modules, c: "SpeechBrain" if _imports(modules, "speechbrain") else "",
    lambda root, modules, c: "e3nn" if _imports(modules, "e3nn") else "",
    lambda root, modules, c: "AgileRL" if "agilerl_version" in root else "",
    lambda root, modules, c: "TorchScript (torch.jit)" if c.format.startswith("torchscript") else "",
    lambda root, modules, c: "torch.export" if c.format == "torch-export" else "",
    lambda root, modules, c: "llama.cpp (GGUF)" if c.format == "gguf" else "",
    lambda root, modules, c: "NumPy" if c.format in ("npy", "npz") else "",
)
"""One line for each producer."""


def _torch_range(checkpoint: Checkpoint) -> str:
    """The versions of torch that write such a container."""
    calls = {named.name for named in checkpoint.globals if named.module == "torch._utils"}
    if checkpoint.format == "torch-tar":
        return "torch < 0.1.9"
    if checkpoint.format == "torch-legacy":
        if "_rebuild_tensor" in calls:
            return "torch 0.1.9 to 0.3"
        return "torch 0.4 to 1.5, or a later one asked for the old format"
    if checkpoint.format in ("torch-zip", "torchscript"):
        details = checkpoint.details
        if details.get("format_version"):
            return "torch >= 2.7"
        return "torch >= 2.1" if details.get("serialization_id") else "torch 1.6 to 2.0"
    return ""
