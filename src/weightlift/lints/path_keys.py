"""What the text says of the path that a file is saved to or loaded from, so that a save and its loads can be paired.

A key is a path with `/` between its parts. `?` in front stands for folders that are not seen, `{}` for a piece of a
name that is not: `os.path.join(folder, f"epoch_{i}.pt")` is `?/epoch_{}.pt`. A path that is only known by the name that
holds it is `=train.py:args.out`, and pairs with that name alone.
"""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .bindings import key_of

if TYPE_CHECKING:
    from .source_file import SourceFile

_SAME = frozenset({"str", "pathlib.Path", "pathlib.PurePath", "os.fspath", "Path", "os.path.abspath"})
_DEEPEST = 8


def path_key(file: SourceFile, node: ast.AST | None, depth: int = 0) -> str | None:
    """Return the key of a path expression, None where nothing of it is certain enough to pair it."""
    if node is None or depth > _DEEPEST:
        return None
    if isinstance(node, ast.Call) and method_open(file, node):
        return path_key(file, node.args[0], depth + 1)
    if key_of(node) is not None:
        value = file.value(node)
        key = path_key(file, value, depth + 1) if value is not None else None
        return key or _by_name(file, node)
    text = _text(file, node, depth)
    return _tidied(text) if text is not None else None


def is_same_path(one: str | None, other: str | None) -> bool:
    """Whether two keys are those of one file, as far as they are known: `?/model.pt` and `out/model.pt` are."""
    if one is None or other is None:
        return False
    if not one.startswith("?/") and not other.startswith("?/"):
        return one == other
    mine, theirs = one.removeprefix("?/").split("/"), other.removeprefix("?/").split("/")
    if (len(mine) < len(theirs) and not one.startswith("?/")) or (len(theirs) < len(mine) and other[:2] != "?/"):
        return False
    known = min(len(mine), len(theirs))
    return mine[-known:] == theirs[-known:]


def method_open(file: SourceFile, node: ast.Call) -> bool:
    """Whether a call opens the file whose path is its first argument."""
    return bool(node.args) and file.qualified(node.func) in ("open", "io.open")


def _by_name(file: SourceFile, node: ast.AST) -> str | None:
    """Return the key of a path that only a name is known of: an attribute, or a name of the module or an import."""
    bindings = file.flow.in_sight(node)
    if isinstance(node, ast.Attribute):
        return f"={file.path}:{key_of(node)}"
    if bindings and all(binding.scope is file.tree for binding in bindings):
        if all(binding.kind == "import" for binding in bindings):
            return f"={(file.qualified(node) or '').lstrip('.')}"
        return f"={file.path}:{key_of(node)}"
    return None


def _text(file: SourceFile, node: ast.AST, depth: int) -> str | None:
    """Return a path's text with `{}` for what is not seen; None for what is no text."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if key_of(node) is not None:
        value = file.value(node)
        return _text(file, value, depth + 1) if value is not None else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        between = "/" if isinstance(node.op, ast.Div) else ""
        left, right = _text(file, node.left, depth + 1), _text(file, node.right, depth + 1)
        return None if right is None else f"{'{}' if left is None else left}{between}{right}"
    if isinstance(node, ast.Call) and node.args:
        if file.qualified(node.func) == "os.path.join":
            return "/".join("{}" if (t := _text(file, arg, depth + 1)) is None else t for arg in node.args)
        if file.qualified(node.func) in _SAME and len(node.args) == 1:
            return _text(file, node.args[0], depth + 1)
    return None


def _tidied(text: str) -> str | None:
    """Return a key with the unseen folders cut off, None where no part of the name itself is known."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or not parts[-1].rpartition(".")[0].replace("{}", "").strip("._-"):
        return None
    unseen = [i for i, part in enumerate(parts[:-1]) if "{}" in part]
    if unseen:
        return "/".join(["?", *parts[unseen[-1] + 1 :]])
    return ("/" if text.startswith("/") else "") + "/".join(parts)
