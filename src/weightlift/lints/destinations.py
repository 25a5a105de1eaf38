"""Several modules written into one empty dict, a line for each: what `StateDict.from_modules` does in one."""

from __future__ import annotations

import ast
import keyword

from ..typed import TYPE_CHECKING
from .rewrites import removed, value_of_assignment
from .source_file import argument, is_open, method
from .values import Fix

if TYPE_CHECKING:
    from .source_file import SourceFile


def together(call: ast.Call, file: SourceFile) -> Fix | None:
    """Return the fix of `d = {}` and the lines `a.state_dict(d, "a.")` right after it, one of which is the call.

    None where anything else stands in between, or a name under which a module goes is none of Python's.
    """
    statement = file.statement(call)
    block = getattr(file.parent(statement), "body", None)
    target = argument(call, 0, "destination")
    if file.settings.to != "weightlift" or not isinstance(block, list) or statement not in block:
        return None
    if not isinstance(target, ast.Name):
        return None
    first = block.index(statement)
    while first > 0 and _written(block[first - 1], target.id, file) is not None:
        first -= 1
    made = block[first - 1] if first else None
    if not isinstance(made, ast.Assign) or not _is_empty(made, target.id, file):
        return None
    lines, modules = [], {}
    for line in block[first:]:
        found = _written(line, target.id, file)
        if found is None:
            break
        name, module = found
        if name in modules:
            return None
        lines.append(line)
        modules[name] = file.text(module)
    comments = _comments(made, lines, file)
    if statement not in lines or comments is None:
        return None
    passed = ", ".join(f"{name}={module}" for name, module in modules.items())
    value = value_of_assignment(f"weightlift.StateDict.from_modules({passed}).to_torch()", comments)
    edits = [file.edit(made, value, imports=("weightlift",)), *(file.edit(line, removed()) for line in lines)]
    return Fix("unsafe", "put the modules together with StateDict.from_modules", tuple(edits))


def _written(line: ast.stmt, target: str, file: SourceFile) -> tuple[str, ast.expr] | None:
    """Return the name and the module that a line writes into the dict of that name; None if it does anything else."""
    call = line.value if isinstance(line, ast.Expr) else None
    module = method(call, "state_dict")
    if not isinstance(call, ast.Call) or module is None or is_open(call) or file.holds(module) != "module":
        return None
    given, prefix = argument(call, 0, "destination"), argument(call, 1, "prefix")
    if not (isinstance(given, ast.Name) and given.id == target) or len(call.args) + len(call.keywords) != 2:
        return None
    if not isinstance(module, ast.Name | ast.Attribute) or not isinstance(prefix, ast.Constant):
        return None
    name = prefix.value.removesuffix(".") if isinstance(prefix.value, str) and prefix.value.endswith(".") else ""
    is_name = name.isidentifier() and not keyword.iskeyword(name) and name != "cls"
    return (name, module) if is_name else None


def _comments(made: ast.Assign, lines: list[ast.stmt], file: SourceFile) -> list[str] | None:
    """Return the comments about the lines of a fix but the first; None where a line holds more than its statement."""
    ends = {line.lineno: file.range(line)[3] - 1 for line in (made, *lines) if line.lineno == line.end_lineno}
    if len(ends) <= len(lines):
        return None
    found = []
    for number in range(made.lineno, lines[-1].lineno + 1):
        rest = file.lines[number - 1][ends.get(number, 0) :].strip()
        if rest and not rest.startswith("#"):
            return None
        if rest and number != made.lineno:
            found.append(rest)
    return found


def _is_empty(made: ast.Assign, target: str, file: SourceFile) -> bool:
    """Whether an assignment gives that name, and nothing else, an empty dict."""
    if len(made.targets) != 1 or not isinstance(made.targets[0], ast.Name) or made.targets[0].id != target:
        return False
    value = made.value
    if isinstance(value, ast.Call):
        return not (value.args or value.keywords) and file.calls(value, "dict", "collections.OrderedDict")
    return isinstance(value, ast.Dict) and not value.keys
