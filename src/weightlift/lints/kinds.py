"""Of what kind an expression's value is: a module, an optimizer, a state dict, what torch.load returned.

The kinds: `module`, `optimizer`, `scheduler`, `scaler`, `state_dict` (of whatever has one), `loaded`, `dict`, `file`,
`string`. An expression whose kind the text does not settle has none.
"""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .bindings import key_of

if TYPE_CHECKING:
    from .source_file import SourceFile

MODULE_BASES = frozenset({
    "torch.nn.Module",
    "torch.nn.modules.Module",
    "torch.nn.modules.module.Module",
    "pytorch_lightning.LightningModule",
    "lightning.LightningModule",
    "lightning.pytorch.LightningModule",
    "transformers.PreTrainedModel",
    "transformers.modeling_utils.PreTrainedModel",
    "torch.jit.ScriptModule",
})  # fmt: skip
_MODULE_MAKERS = frozenset({
    "timm.create_model",
    "timm.models.create_model",
    "torch.jit.load",
    "torch.jit.script",
    "torch.jit.trace",
})  # fmt: skip
_SCALERS = frozenset({"torch.amp.GradScaler", "torch.cuda.amp.GradScaler", "torch.cuda.amp.grad_scaler.GradScaler"})
_SAME_MODULE = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "eval",
        "train",
        "half",
        "float",
        "double",
        "bfloat16",
        "requires_grad_",
        "type",
        "apply",
        "share_memory",
        "to_empty",
    ]
)
_NOT_MODULES = (
    "torch.nn.Parameter",
    "torch.nn.UninitializedParameter",
    "torch.nn.Buffer",
    "torch.nn.UninitializedBuffer",
)
_OF_MODULES = frozenset({"parameters", "named_parameters", "named_modules", "load_state_dict", "register_buffer"})
_OF_OPTIMIZERS = frozenset({"param_groups", "add_param_group"})


def kind_of(file: SourceFile, node: ast.AST) -> str | None:
    """Return the kind of an expression's value, or None."""
    if key_of(node) is not None:
        return _of_name(file, node)
    if isinstance(node, ast.Call):
        return _of_call(file, node)
    if isinstance(node, ast.Dict):
        return "dict"
    if isinstance(node, ast.DictComp):
        return "state_dict" if _goes_over_a_state_dict(file, node) else "dict"
    if isinstance(node, ast.IfExp):
        kind = file.holds(node.body)
        return kind if kind == file.holds(node.orelse) else None
    if isinstance(node, ast.NamedExpr):
        return file.holds(node.value)
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return "string"
    return None


def is_module_class(file: SourceFile, node: ast.AST | None, depth: int = 0) -> bool:
    """Whether an expression is a class of modules: torch's own, or one of the file that derives from one."""
    if node is None or depth > 8:
        return False
    name = file.qualified(node)
    if name is not None:
        return name in MODULE_BASES or _is_torch_module(name)
    definition = class_definition(file, node)
    return definition is not None and any(is_module_class(file, base, depth + 1) for base in definition.bases)


def class_definition(file: SourceFile, node: ast.AST) -> ast.ClassDef | None:
    """Return the class of this file that a name stands for."""
    bindings = file.flow.in_sight(node) if isinstance(node, ast.Name) else []
    owner = bindings[0].owner if len(bindings) == 1 else None
    return owner if isinstance(owner, ast.ClassDef) else None


def _of_name(file: SourceFile, node: ast.AST) -> str | None:
    bindings = file.flow.reaching(node)
    found = set()
    for binding in bindings:
        if binding.value is not None:
            if isinstance(binding.value, ast.Constant) and binding.value.value is None:
                continue  # what stands in for it until it is made
            found.add(file.holds(binding.value))
        else:
            found.add(_of_annotation(file, binding.annotation))
    kind = found.pop() if len(found) == 1 else None
    if kind is None and not (found - {None}):
        kind = _by_attributes(file, node)
    return kind


def _by_attributes(file: SourceFile, node: ast.AST) -> str | None:
    """Return the kind of what is not seen being made, from what its scope, or class for `self.x`, takes of it."""
    if isinstance(node, ast.Attribute) and node.attr == "module" and file.holds(node.value) == "module":
        return "module"
    used = file.flow.used_as(node)
    as_optimizer = bool(used & _OF_OPTIMIZERS) or {"zero_grad", "step"} <= used
    as_module = bool(used & _OF_MODULES - {"load_state_dict"}) or {"load_state_dict", "eval"} <= used
    as_module = as_module or {"eval", "train"} <= used
    if as_optimizer or as_module:
        return None if as_optimizer and as_module else "optimizer" if as_optimizer else "module"
    if {"step", "get_last_lr"} <= used:
        return "scheduler"
    return "scaler" if {"scale", "unscale_"} <= used or {"scale", "update", "step"} <= used else None


def _of_annotation(file: SourceFile, annotation: ast.expr | None) -> str | None:
    if annotation is None:
        return None
    if isinstance(annotation, ast.BinOp):  # Module | None
        sides = [side for side in (annotation.left, annotation.right) if not isinstance(side, ast.Constant)]
        return _of_annotation(file, sides[0]) if len(sides) == 1 else None
    if isinstance(annotation, ast.Subscript) and file.qualified(annotation.value) in ("typing.Optional", "Optional"):
        return _of_annotation(file, annotation.slice)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return "module" if annotation.value in ("nn.Module", "torch.nn.Module") else None
    return _of_class(file, annotation)


def _of_class(file: SourceFile, node: ast.expr) -> str | None:
    """Return the kind of the instances of a class."""
    name = file.qualified(node) or ""
    last = name.rpartition(".")[2]
    if name.startswith("torch.optim.lr_scheduler."):
        return "scheduler" if last[:1].isupper() else None
    if name.startswith("torch.optim."):
        return "optimizer" if last[:1].isupper() else None
    if name in _SCALERS:
        return "scaler"
    if is_module_class(file, node):
        return "module"
    definition = class_definition(file, node)
    bases = definition.bases if definition else []
    return "optimizer" if any((file.qualified(base) or "").startswith("torch.optim.Opt") for base in bases) else None


def _of_call(file: SourceFile, call: ast.Call) -> str | None:
    name = file.qualified(call.func) or ""
    if name in ("torch.load", "torch.serialization.load"):
        return "loaded"
    if name in ("copy.deepcopy", "torch.compile", "dict", "collections.OrderedDict", "copy.copy") and call.args:
        return file.holds(call.args[0])
    if name in ("dict", "collections.OrderedDict"):
        return "dict"
    if name in ("open", "io.open", "gzip.open"):
        return "file"
    if name in _MODULE_MAKERS or (name.startswith("torchvision.models.") and name.count(".") <= 3):
        return "module"
    made = _of_class(file, call.func)
    return made or (_of_method(file, call.func) if isinstance(call.func, ast.Attribute) else None)


def _of_method(file: SourceFile, func: ast.Attribute) -> str | None:
    if func.attr == "state_dict":
        return "state_dict"
    if func.attr == "from_pretrained":
        name = file.qualified(func.value) or ""
        return "module" if name.startswith("transformers.") and "Model" in name else None
    if func.attr in _SAME_MODULE and file.holds(func.value) == "module":
        return "module"
    return "state_dict" if func.attr == "copy" and file.holds(func.value) == "state_dict" else None


def _is_torch_module(name: str) -> bool:
    """Whether a name is a class of torch.nn: `torch.nn.Linear`, `torch.nn.modules.linear.Linear`."""
    last = name.rpartition(".")[2]
    return name.startswith("torch.nn.") and last[:1].isupper() and name not in _NOT_MODULES and ".utils." not in name


def _goes_over_a_state_dict(file: SourceFile, node: ast.DictComp) -> bool:
    """Whether a comprehension makes its dict from the items of a state dict."""
    source = node.generators[0].iter
    if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute) and source.func.attr == "items":
        return file.holds(source.func.value) == "state_dict"
    return False
