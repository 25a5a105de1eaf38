"""The one table of globals: what a known call rebuilds, and what a plain unpickling would risk.

Clean are those that torch's `weights_only` unpickler allows (torch/_weights_only_unpickler.py) and
plain values of Python and numpy. `dangerous` runs code, loads it or reaches outside the process.
Everything that is in neither half is unknown: data here, imported and called by a plain `torch.load`.
"""

from __future__ import annotations

from ..dtypes import BY_STORAGE_CLASS, DTYPES
from ..typed import Literal
from .nodes import Global

Verdict = Literal["clean", "unknown", "dangerous"]

_PY = ("builtins", "__builtin__")
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

_CLEAN: set[tuple[str, str]] = {
    *(("torch", name) for name in DTYPES),
    *(("torch", name) for name in BY_STORAGE_CLASS),
    *(("torch.cuda", name) for name in BY_STORAGE_CLASS),
    *(("torch", name) for name in ("device", "Tensor", "Generator", "finfo", "iinfo")),
    *(("torch", name) for name in ("per_tensor_affine", "per_channel_affine", "per_channel_affine_float_qparams")),
    *(("torch", name) for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")),
    *(("torch", name) for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format")),
    ("torch.storage", "UntypedStorage"),
    ("torch.storage", "TypedStorage"),
    ("torch", "UntypedStorage"),
    ("torch.nn.parameter", "Buffer"),
    ("torch._C", "Generator"),
    ("torch.optim.swa_utils", "get_ema_multi_avg_fn"),
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

# module -> the names in it that run or load code; "*" for the whole module and what is under it
_DANGEROUS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        _PY,
        (
            *("eval", "exec", "execfile", "compile", "__import__", "open", "getattr", "setattr", "delattr", "globals"),
            *("vars", "locals", "breakpoint", "input", "apply", "memoryview", "help", "exit", "quit", "map", "filter"),
        ),
    ),
    **dict.fromkeys(
        ("os", "posix", "nt", "subprocess", "sys", "shutil", "pty", "socket", "ctypes", "_ctypes", "importlib"), ("*",)
    ),
    **dict.fromkeys(("runpy", "code", "codeop", "pdb", "bdb", "timeit", "profile", "cProfile", "trace"), ("*",)),
    **dict.fromkeys(("webbrowser", "antigravity", "pip", "ensurepip", "venv", "idlelib", "doctest"), ("*",)),
    **dict.fromkeys(
        ("urllib", "http", "httplib", "requests", "aiohttp", "ftplib", "smtplib", "ssl", "asyncio"), ("*",)
    ),
    **dict.fromkeys(
        ("multiprocessing", "threading", "signal", "commands", "popen2", "pydoc", "imp", "zipimport"), ("*",)
    ),
    **dict.fromkeys(("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"), ("*",)),
    **dict.fromkeys(("tempfile", "glob", "fileinput", "linecache", "pkgutil", "sqlite3", "logging.config"), ("*",)),
    **dict.fromkeys(
        ("numpy.f2py", "numpy.testing", "numpy.distutils", "torch.hub", "torch.jit", "torch._inductor"), ("*",)
    ),
    "operator": ("attrgetter", "itemgetter", "methodcaller"),
    "_operator": ("attrgetter", "itemgetter", "methodcaller"),
    "copyreg": ("add_extension", "pickle", "constructor"),
    "copy_reg": ("add_extension", "pickle", "constructor"),
    "torch": ("load", "save", "compile"),
    "torch.serialization": ("load", "save"),
    "torch.utils.collect_env": ("*",),
    "numpy": ("load", "fromfile", "memmap", "save"),
    "types": ("CodeType", "FunctionType", "LambdaType", "ModuleType"),
    "inspect": ("*",),
}


def verdict_of(named: Global) -> Verdict:
    """Return what the table says of one global; a dotted name is judged by every part of it."""
    key = (named.module, named.name)
    if key in _OPAQUE:
        return "unknown"
    if key in REBUILDS or key in _CLEAN:
        return "clean"
    if "." in named.name or (named.name.startswith("__") and named.name.endswith("__")):
        return "dangerous"  # getattr chains (numpy.f2py "os.system") and dunder attributes
    module = named.module
    if named.name in _DANGEROUS.get(module, ()):
        return "dangerous"
    while module:
        if "*" in _DANGEROUS.get(module, ()):
            return "dangerous"
        module = module.rpartition(".")[0]
    return "unknown"


def advisory_of(named: Global) -> str:
    """Return the published reference to the misuse of a global, "" where the table has none."""
    module = named.module
    while module:
        for name in (named.name, "*"):
            if (found := _ADVISORIES.get(f"{module}.{name}")) is not None:
                return found
        module = module.rpartition(".")[0]
    return ""


_ADVISORIES: dict[str, str] = {}
