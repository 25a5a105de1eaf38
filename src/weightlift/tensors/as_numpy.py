"""Lazy tensors as numpy arrays. numpy is imported here and nowhere else."""

from __future__ import annotations

from ..dtypes import DType
from ..errors import MissingDependencyError, UnsupportedError
from ..typed import TYPE_CHECKING, Any
from .lazy import Tensor

if TYPE_CHECKING:
    import numpy as np


def to_numpy(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a new, writable array with the tensor's values, rows first."""
    import numpy as np

    dtype = numpy_dtype(tensor.dtype)
    tensor.check()
    tensor.check_expansion()
    out = np.empty(tensor.nbytes, dtype=np.uint8)
    at = 0
    for chunk in tensor.chunks():
        out[at : at + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        at += len(chunk)
    return out.view(dtype).reshape(tensor.shape)


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Return the numpy (or ml_dtypes) type of the same elements.

    Raises:
        UnsupportedError: there is none. MissingDependencyError: ml_dtypes is not installed.
    """
    import numpy as np

    name = dtype.numpy
    if not name or dtype.bits < 8:
        raise UnsupportedError(f"numpy has no {dtype}", remedy="take .tobytes() or .torch()")
    try:
        return np.dtype(name)
    except TypeError:
        pass
    try:
        import ml_dtypes
    except ImportError:
        raise MissingDependencyError(
            f"numpy alone has no {dtype}", remedy="pip install ml_dtypes, or take .torch()"
        ) from None
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found
