"""How far two torch tensors are apart, and what their types can tell."""

from __future__ import annotations

from ..typed import Any
from .torch_forward import wider


def epsilon(dtype: str) -> float:
    """Return the distance from 1 to the next number of a floating type by torch's name; 0 of any other type."""
    import torch

    found = getattr(torch, dtype, None)
    return float(torch.finfo(found).eps) if found is not None and (found.is_floating_point or found.is_complex) else 0.0


def difference(expected: Any, found: Any) -> float:
    """Return how far two tensors are apart at most, as a share of the value there plus that of a usual value.

    Integers are equal (0) or not (infinite), as are infinities and what is no number. The usual value is the median:
    the largest may be the -1e38 of something masked, beside which everything is equal.
    """
    import torch

    if expected.shape != found.shape:
        return float("inf")
    if not (expected.is_floating_point() or expected.is_complex()):
        return 0.0 if torch.equal(expected, found.to(expected.dtype)) else float("inf")
    one, two = expected.to(wider(expected)), found.to(wider(expected))
    finite = torch.isfinite(one)
    if not torch.equal(torch.isfinite(two), finite) or not torch.equal(
        one[~finite].nan_to_num(), two[~finite].nan_to_num()
    ):
        return float("inf")
    one, two = one[finite], two[finite]
    size = one.abs()
    if not size.numel():
        return 0.0
    usual = size[size > 0].median() if bool((size > 0).any()) else torch.ones(())
    return float(((one - two).abs() / (size + usual)).max())


def says_something(tensor: Any) -> bool:
    """Whether a tensor has floating values by which two models could be told apart."""
    import torch

    return bool((tensor.is_floating_point() or tensor.is_complex()) and torch.isfinite(tensor).any())
