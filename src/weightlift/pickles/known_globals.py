"""What is known of a global: what a call of it rebuilds, and what a plain unpickling would risk.

Clean are those that torch's `weights_only` unpickler allows (torch/_weights_only_unpickler.py) and
plain values of Python and numpy. What runs code, loads it or reaches outside the process stands in
`dangerous_globals`. Everything that is in neither is unknown: data here, imported and called by a plain `torch.load`.
"""

from __future__ import annotations

from ..dtypes import BY_STORAGE_CLASS, DTYPES
from ..typed import Literal
from .nodes import Global

Verdict = Literal["clean", "unknown", "dangerous"]

_PY = ("builtins", "__builtin__")
_DCP_RECORDS = (
    *("Metadata", "MetadataIndex", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
    *("TensorProperties", "_MEM_FORMAT_ENCODING", "StorageMeta"),
)
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

REBUILDS: dict[tuple[str, str], str] = {
    # global -> the name of what rebuilds it (here, in tensors.rebuild, or in a format)
    ("collections", "OrderedDict"): "ordered_dict",
    ("collections", "defaultdict"): "default_dict",
    ("collections", "Counter"): "counter",
    ("_codecs", "encode"): "encode",
    ("copyreg", "_reconstructor"): "reconstructor",
    ("copy_reg", "_reconstructor"): "reconstructor",
    ("copyreg", "__newobj__"): "newobj",
    ("copy_reg", "__newobj__"): "newobj",
    ("argparse", "Namespace"): "namespace",
    **{(module, name): name for module in _PY for name in ("set", "frozenset", "list", "tuple", "dict", "complex")},
    **{(module, name): name for module in _PY for name in ("bytes", "bytearray")},
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor_v2",
    ("torch._utils", "_rebuild_tensor_v3"): "tensor_v3",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    ("torch._utils", "_rebuild_qtensor"): "qtensor",
    ("torch._utils", "_rebuild_sparse_tensor"): "sparse_tensor",
    ("torch._utils", "_rebuild_sparse_csr_tensor"): "sparse_tensor",
    ("torch._utils", "_rebuild_nested_tensor"): "nested_tensor",
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): "meta_tensor",
    ("torch._utils", "_rebuild_wrapper_subclass"): "wrapper_subclass",
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): "device_tensor",
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): "device_tensor",
    ("torch._utils", "_rebuild_xla_tensor"): "device_tensor",
    ("torch._tensor", "_rebuild_from_type_v2"): "from_type",
    ("torch._tensor", "_rebuild_from_type"): "from_type",
    ("torch.tensor", "_rebuild_from_type"): "from_type",
    ("torch.nested._internal.nested_tensor", "_rebuild_njt"): "jagged_tensor",
    ("torch.nn.parameter", "Parameter"): "old_parameter",
    ("torch.autograd.variable", "Variable"): "old_parameter",
    ("torch", "Size"): "size",
    ("torch.serialization", "_get_layout"): "layout",
    ("torch.storage", "_load_from_bytes"): "storage_from_bytes",
    ("torch.jit._pickle", "restore_type_tag"): "type_tag",
    ("torch.jit._pickle", "build_intlist"): "typed_list",
    ("torch.jit._pickle", "build_doublelist"): "typed_list",
    ("torch.jit._pickle", "build_boollist"): "typed_list",
    ("torch.jit._pickle", "build_tensorlist"): "typed_list",
    ("torch.jit._pickle", "build_tensor_from_id"): "tensor_from_id",
    **{(module, "_reconstruct"): "array" for module in _NUMPY},
    **{(module, "scalar"): "numpy_scalar" for module in _NUMPY},
    ("numpy.core.numeric", "_frombuffer"): "array_from_buffer",
    ("numpy._core.numeric", "_frombuffer"): "array_from_buffer",
    ("numpy", "dtype"): "numpy_dtype",
}

_TENSORS = [name.removesuffix("Storage") + "Tensor" for name in BY_STORAGE_CLASS if name.endswith("Storage")]
_PLACEMENTS = ("Partial", "Replicate", "Shard", "_StridedShard")

_CLEAN: set[tuple[str, str]] = {
    *(("torch", name) for name in DTYPES),
    *(("torch", name) for name in BY_STORAGE_CLASS),
    *(("torch.cuda", name) for name in BY_STORAGE_CLASS),
    *(("torch", name) for name in ("device", "Tensor", "Generator", "finfo", "iinfo")),
    *(("torch", name) for name in ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams")),
    *(("torch", name) for name in ("per_tensor_symmetric", "per_channel_symmetric")),
    *((f"torch{where}", name) for where in ("", ".cuda", ".sparse", ".cuda.sparse") for name in _TENSORS),
    # what torch's own packages add to its list once they are imported
    ("torch._dynamo.decorators", "_DimRange"),
    ("torch.nested._internal.nested_tensor", "NestedTensor"),
    ("torch.distributed._mesh_layout", "_FlatLayout"),
    ("torch.distributed._mesh_layout", "_MeshLayout"),
    ("torch.distributed.device_mesh", "DeviceMesh"),
    ("torch.distributed.tensor", "DTensor"),
    *(("torch.distributed.tensor._dtensor_spec", name) for name in ("DTensorSpec", "ShardOrderEntry", "TensorMeta")),
    *(("torch.distributed.tensor.placement_types", name) for name in _PLACEMENTS),
    *(("torch", name) for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")),
    *(("torch", name) for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "TypedStorage"),
    ("torch", "UntypedStorage"),
    ("torch.nn.parameter", "Buffer"),
    ("torch._C", "Generator"),
    ("torch.optim.swa_utils", "get_ema_multi_avg_fn"),
    # plain records of torch.distributed.checkpoint: its `.metadata` is a pickle of them
    *(("torch.distributed.checkpoint.metadata", name) for name in _DCP_RECORDS),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),  # the header of an array that joblib writes into the pickle
    ("numpy", "ndarray"),
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "timedelta"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "Path"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    *((module, name) for module in _PY for name in ("int", "float", "str", "bool", "slice", "range", "object")),
    *((module, name) for module in _PY for name in ("xrange", "long", "unicode")),
}

# Rebuilt here, but a plain load would unpickle the bytes they are given without any check.
_OPAQUE = {("torch.storage", "_load_from_bytes")}


def verdict_of(named: Global) -> Verdict:
    """Return what the table says of one global; a dotted name is judged by every part of it."""
    key = (named.module, named.name)
    if key in _OPAQUE:
        return "unknown"
    if key in REBUILDS or key in _CLEAN:
        return "clean"
    from .dangerous_globals import ORDINARY  # most files need none of its tables

    if key in ORDINARY:
        return "unknown"
    if _listed(named) is not None or (_reaches_further(named.name) and is_module(named.module)):
        return "dangerous"
    return "unknown"


def is_script_class(named: Global) -> bool:
    """Whether a name is one of a TorchScript archive's own code; in its own pickles these are no Python names."""
    return named.module.partition(".")[0] == "__torch__"


def advisory_of(named: Global) -> str:
    """Return the published reference to the misuse of a global, "" where the table has none."""
    return _listed(named) or ""


def _listed(named: Global) -> str | None:
    """Return the advisory of a dangerous global, "" where it has none, None where it is not in the table."""
    from .dangerous_globals import DANGEROUS

    module = named.module
    own = DANGEROUS.get(module, {})
    if named.name in own:
        return own[named.name]
    while module:
        if (found := DANGEROUS.get(module, {}).get("*")) is not None:
            return found
        module = module.rpartition(".")[0]
    return None


def is_module(name: str) -> bool:
    """Whether a module can be called so; chance bytes that read as a name are none."""
    return all(part.isidentifier() for part in name.split("."))


def _reaches_further(name: str) -> bool:
    """Whether a name leads out of its module: through a module that this one imports, or into the interpreter.

    Numpy's f2py has an `os`, so that "os.system" is a name in it; `Outer.Inner` is a class within a class.
    """
    from .dangerous_globals import REACHES

    *through, last = name.split(".")
    if any(not part.lstrip("_")[:1].isupper() for part in through):
        return True
    if any(part.startswith("__") and part.endswith("__") for part in (*through, last)):
        return True
    return last.lstrip("_") in REACHES
