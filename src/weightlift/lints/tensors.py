"""Whether an expression is a tensor, and whether it is a part of one that keeps the whole storage alive."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .keys_of_state_dicts import is_state_dict
from .source_file import method

if TYPE_CHECKING:
    from .bindings import Binding
    from .source_file import SourceFile

_MAKERS = (
    *("torch.arange", "torch.as_tensor", "torch.cat", "torch.clone", "torch.concat", "torch.empty", "torch.empty_like"),
    *("torch.eye", "torch.from_numpy", "torch.full", "torch.full_like", "torch.hstack", "torch.linspace", "torch.ones"),
    *("torch.ones_like", "torch.rand", "torch.rand_like", "torch.randint", "torch.randn", "torch.randn_like"),
    *("torch.randperm", "torch.stack", "torch.tensor", "torch.vstack", "torch.zeros", "torch.zeros_like"),
)
_GIVES_TENSOR = (
    *("bfloat16", "clone", "contiguous", "cpu", "cuda", "detach", "double", "expand", "flatten", "float", "half"),
    *("permute", "requires_grad_", "reshape", "squeeze", "t", "to", "transpose", "unsqueeze", "view"),
)
_OF_TENSORS = frozenset(
    (
        "backward",
        "detach",
        "is_cuda",
        "new_zeros",
        "numel",
        "requires_grad",
        "requires_grad_",
        "unsqueeze",
        "unsqueeze_",
    )
)
_VIEWS = ("detach", "permute", "squeeze", "t", "transpose", "unsqueeze", "view")
_CUTS = ("split", "chunk", "unbind", "tensor_split")
_ANNOTATIONS = ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor", "torch.nn.Parameter")


def is_tensor(file: SourceFile, node: ast.AST | None, depth: int = 0) -> bool:
    """Whether an expression is certain to be a tensor of torch."""
    if node is None or depth > 6:
        return False
    if isinstance(node, ast.Call):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        gives = owner is not None and node.func.attr in _GIVES_TENSOR and is_tensor(file, owner, depth + 1)  # type: ignore[attr-defined]
        return gives or file.calls(node, *_MAKERS) or method(node, "detach") is not None
    if isinstance(node, ast.Subscript):
        return _is_entry(file, node) or is_tensor(file, node.value, depth + 1)
    if isinstance(node, ast.Attribute):
        if node.attr in ("weight", "bias") and file.holds(node.value) == "module":
            return True
        if node.attr in ("data", "grad") and is_tensor(file, node.value, depth + 1):
            return True
    return isinstance(node, ast.Name | ast.Attribute) and _is_named_tensor(file, node, depth)


def whole_of(file: SourceFile, node: ast.expr | None, depth: int = 0) -> ast.expr | None:
    """Return the tensor that an expression is a smaller view of; None if it is none, or may have storage of its own."""
    if node is None or depth > 6:
        return None
    if isinstance(node, ast.Subscript):
        cut = method(node.value, *_CUTS)
        if cut is not None:
            return cut if is_tensor(file, cut) else None
        inner = whole_of(file, node.value, depth + 1)
        return inner or (node.value if _makes_smaller(file, node.slice) and is_tensor(file, node.value) else None)
    owner = method(node, "narrow", "select")
    if owner is not None:
        return owner if is_tensor(file, owner) else None
    owner = method(node, *_VIEWS)
    if owner is not None:
        return whole_of(file, owner, depth + 1)
    if isinstance(node, ast.Attribute) and node.attr == "data":
        return whole_of(file, node.value, depth + 1)
    return _whole_of_name(file, node, depth) if isinstance(node, ast.Name) else None


def _whole_of_name(file: SourceFile, node: ast.Name, depth: int) -> ast.expr | None:
    bindings = file.flow.reaching(node)
    if len(bindings) != 1:
        return None
    if bindings[0].value is not None:
        return whole_of(file, bindings[0].value, depth + 1)
    goes_over = _target_of_loop(bindings[0], node.id)
    cut = method(goes_over, *_CUTS)
    if cut is not None:
        return cut if is_tensor(file, cut) else None
    return None


def _target_of_loop(binding: Binding, name: str) -> ast.expr | None:
    """Return what a loop goes over whose items, counted or not, get this name."""
    owner = binding.owner
    if not isinstance(owner, ast.For | ast.comprehension):
        return None
    if isinstance(owner.target, ast.Name):
        return owner.iter
    counted = owner.iter
    if (
        isinstance(counted, ast.Call)
        and isinstance(counted.func, ast.Name)
        and counted.func.id == "enumerate"
        and counted.args
        and isinstance(owner.target, ast.Tuple)
        and len(owner.target.elts) == 2
        and isinstance(owner.target.elts[1], ast.Name)
        and owner.target.elts[1].id == name
    ):
        return counted.args[0]
    return None


def _is_entry(file: SourceFile, node: ast.Subscript) -> bool:
    """Whether an expression is a weight in a state dict, by its key: `state["head.weight"]`."""
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return isinstance(key, str) and key.endswith((".weight", ".bias")) and is_state_dict(file, node.value)


def _is_named_tensor(file: SourceFile, node: ast.Name | ast.Attribute, depth: int) -> bool:
    bindings = file.flow.reaching(node)
    if bindings and all(binding.value is not None for binding in bindings):
        if all(is_tensor(file, binding.value, depth + 1) for binding in bindings):
            return True
        known = [file.value(binding.value) for binding in bindings if binding.value is not None]
        if any(isinstance(each, ast.List | ast.Tuple | ast.Dict | ast.Constant) for each in known):
            return False
    if any(_is_tensor_class(file, binding.annotation) for binding in bindings):
        return len(bindings) == 1
    return isinstance(node, ast.Name) and bool(file.flow.used_as(node) & _OF_TENSORS)


def _is_tensor_class(file: SourceFile, annotation: ast.expr | None) -> bool:
    return annotation is not None and (file.qualified(annotation) or "") in _ANNOTATIONS


def _makes_smaller(file: SourceFile, index: ast.expr) -> bool:
    """Whether basic indexing takes a part: slices with bounds and numbers alone, as anything else makes a copy.

    `[0]` alone does not count: it is how a batch of one loses its dimension.
    """
    each = index.elts if isinstance(index, ast.Tuple) else [index]
    if not all(_is_basic(file, one) for one in each):
        return False
    return any(
        (_bounds(one) or _steps(one))
        if isinstance(one, ast.Slice)
        else not isinstance(one, ast.Constant) or (type(one.value) is int and (at > 0 or one.value != 0))
        for at, one in enumerate(each)
    )


def _is_basic(file: SourceFile, one: ast.expr) -> bool:
    if isinstance(one, ast.Slice):
        return True
    if isinstance(one, ast.UnaryOp):
        return isinstance(one.op, ast.USub) and isinstance(one.operand, ast.Constant)
    if isinstance(one, ast.Constant):
        return one.value is None or one.value is Ellipsis or type(one.value) is int
    return isinstance(one, ast.Name) and _is_counter(file, one)


def _is_counter(file: SourceFile, name: ast.Name) -> bool:
    """Whether a name is a number that a loop counts with: of `range`, or the first of `enumerate`."""
    bindings = file.flow.reaching(name)
    owner = bindings[0].owner if len(bindings) == 1 else None
    if not isinstance(owner, ast.For | ast.comprehension) or not isinstance(owner.iter, ast.Call):
        return False
    target = owner.target
    if file.calls(owner.iter, "range"):
        return isinstance(target, ast.Name)
    first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else None
    return file.calls(owner.iter, "enumerate") and isinstance(first, ast.Name) and first.id == name.id


def _bounds(one: ast.Slice) -> bool:
    upper = one.upper is not None
    lower = one.lower is not None and not (isinstance(one.lower, ast.Constant) and one.lower.value == 0)
    return lower or upper


def _steps(one: ast.Slice) -> bool:
    return one.step is not None and not (isinstance(one.step, ast.Constant) and one.step.value == 1)
