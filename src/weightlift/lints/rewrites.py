"""Small rewrites of libcst nodes that rules put their fixes together from. Each returns the function an `Edit` takes.

libcst is imported when a fix is carried out, and not before. What comes out keeps the comments and the layout of what
it is made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..typed import Any
from .fixing import libcst
from .values import Rewrite


def method_renamed(name: str) -> Rewrite:
    """Call another method, with the same arguments: `m.state_dict(x)` -> `m.load_state_dict(x)`."""

    def rewrite(call: Any) -> Any:
        cst = libcst()
        return call.with_changes(func=call.func.with_changes(attr=cst.Name(name)))

    return rewrite


def with_keyword(name: str, value: str) -> Rewrite:
    """Pass a keyword, in the place of what is passed under that name already: `weights_only=True`."""

    def rewrite(call: Any) -> Any:
        cst = libcst()
        made = cst.parse_expression(value)
        args = list(call.args)
        for i, arg in enumerate(args):
            if arg.keyword is not None and arg.keyword.value == name:
                args[i] = arg.with_changes(value=made)
                return call.with_changes(args=args)
        new = _keyword(cst, name, made)
        if args:
            args[-1], new = _in_front_of(cst, call, args[-1], new)
        return call.with_changes(args=[*args, new])

    return rewrite


def without_keyword(name: str) -> Rewrite:
    """Pass a keyword no longer."""

    def rewrite(call: Any) -> Any:
        cst = libcst()
        args = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != name]
        if args and args[-1] is not call.args[-1]:
            args[-1] = _as_last(cst, args[-1], call.args[-1])
        if not args:
            return call.with_changes(args=args, whitespace_before_args=cst.SimpleWhitespace(""))
        return call.with_changes(args=args)

    return rewrite


def positional_as_keywords(names: Sequence[str], *, first: int = 0) -> Rewrite:
    """Pass by keyword what is passed by position, from the `first` on, under these names in their order."""

    def rewrite(call: Any) -> Any:
        cst = libcst()
        args = list(call.args)
        for i, name in enumerate(names[: len(args)]):
            if i >= first and args[i].keyword is None and not args[i].star:
                args[i] = _keyword(cst, name, args[i].value).with_changes(
                    comma=args[i].comma, whitespace_after_arg=args[i].whitespace_after_arg
                )
        return call.with_changes(args=args)

    return rewrite


def wrapped(function: str) -> Rewrite:
    """Hand the expression to a function: `x` -> `copy.deepcopy(x)`; pass `imports=("copy",)` to `file.edit`."""

    def rewrite(node: Any) -> Any:
        cst = libcst()
        return cst.Call(func=cst.parse_expression(function), args=[cst.Arg(node)])

    return rewrite


def method_called(name: str) -> Rewrite:
    """Call a method of the expression without arguments: `model` -> `model.state_dict()`."""

    def rewrite(node: Any) -> Any:
        cst = libcst()
        simple = isinstance(node, cst.Name | cst.Attribute | cst.Call | cst.Subscript) or node.lpar
        inner = node if simple else node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return cst.Call(func=cst.Attribute(value=inner, attr=cst.Name(name)))

    return rewrite


def replaced_by(template: str, **parts: str) -> Rewrite:
    """Write another expression, with parts of the old one kept as they are.

    `{name}` in the template is the part at a path of attributes of the libcst node:
    `replaced_by("{key}.removeprefix({what})", key="func.value", what="args.0.value")`.
    """

    def rewrite(node: Any) -> Any:
        cst = libcst()
        kept = {f"__{name}__": _part(node, path) for name, path in parts.items()}
        text = template.format_map({name: f"__{name}__" for name in parts})
        made = _filled(cst, cst.parse_expression(text), kept)
        return made.with_changes(lpar=node.lpar, rpar=node.rpar) if node.lpar else made

    return rewrite


def assertion_as_call(template: str, **parts: str) -> Rewrite:
    """Call something in the place of a whole `assert`, with parts of its test as `replaced_by` takes them."""
    made = replaced_by(template, **parts)

    def rewrite(node: Any) -> Any:
        cst = libcst()
        inner = node.body[0] if isinstance(node, cst.SimpleStatementLine) else node
        call = cst.Expr(value=made(inner.test), semicolon=inner.semicolon)
        return node.with_changes(body=[call, *node.body[1:]]) if inner is not node else call

    return rewrite


def loaded_into(target: str, made: str) -> Rewrite:
    """Make an object and load into it: `m = torch.load(p)` -> `m = Net()`, `m.load_state_dict(torch.load(p, ...))`."""

    def rewrite(line: Any) -> Any:
        cst = libcst()
        load = with_keyword("weights_only", "True")(line.body[0].value)
        method = cst.Attribute(value=cst.parse_expression(target), attr=cst.Name("load_state_dict"))
        loading = cst.Expr(cst.Call(func=method, args=[cst.Arg(load)]), semicolon=line.body[0].semicolon)
        return statements_before(f"{target} = {made}")(line.with_changes(body=[loading, *line.body[1:]]))

    return rewrite


def value_of_assignment(value: str, comments: Sequence[str] = ()) -> Rewrite:
    """Give another value to what a whole assignment assigns, with more comments above: `d = {}` -> `d = made()`."""

    def rewrite(line: Any) -> Any:
        cst = libcst()
        made = line.body[0].with_changes(value=cst.parse_expression(value))
        above = [*line.leading_lines, *(cst.EmptyLine(comment=cst.Comment(each)) for each in comments)]
        return line.with_changes(leading_lines=above, body=[made, *line.body[1:]])

    return rewrite


def removed() -> Rewrite:
    """Take a whole statement away, with the comments about it."""
    return lambda _: libcst().RemoveFromParent()


def statements_before(*lines: str) -> Rewrite:
    """Put statements in front of a whole statement, which keeps its own comments (for `file.edit(statement, ...)`)."""

    def rewrite(node: Any) -> Any:
        cst = libcst()
        new = [cst.parse_statement(line) for line in lines]
        if new:
            new[0] = new[0].with_changes(leading_lines=node.leading_lines)
        return cst.FlattenSentinel([*new, node.with_changes(leading_lines=())])

    return rewrite


def _keyword(cst: Any, name: str, value: Any) -> Any:
    bare = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(value=value, keyword=cst.Name(name), equal=bare)


def _in_front_of(cst: Any, call: Any, last: Any, new: Any) -> tuple[Any, Any]:
    """Return the last argument and a new one behind it, each comment on the line of the argument that it is about."""
    comma = _comma_between(cst, call, last)
    trailing = isinstance(last.comma, cst.Comma)
    space = last.comma.whitespace_after if trailing else last.whitespace_after_arg
    if isinstance(space, cst.ParenthesizedWhitespace) and isinstance(comma.whitespace_after, type(space)):
        comma = comma.with_changes(whitespace_after=comma.whitespace_after.with_changes(first_line=space.first_line))
        space = space.with_changes(first_line=cst.TrailingWhitespace(newline=space.first_line.newline))
    if trailing:
        return last.with_changes(comma=comma), new.with_changes(comma=last.comma.with_changes(whitespace_after=space))
    nothing = cst.SimpleWhitespace("")
    return last.with_changes(comma=comma, whitespace_after_arg=nothing), new.with_changes(whitespace_after_arg=space)


def _as_last(cst: Any, arg: Any, last: Any) -> Any:
    """Return an argument laid out as the last one that stood behind it, with the comment of its own line."""
    comma, after = last.comma, last.whitespace_after_arg
    space = comma.whitespace_after if isinstance(comma, cst.Comma) else after
    own = arg.comma.whitespace_after
    if isinstance(space, cst.ParenthesizedWhitespace) and isinstance(own, cst.ParenthesizedWhitespace):
        space = space.with_changes(first_line=own.first_line)
        if isinstance(comma, cst.Comma):
            comma = comma.with_changes(whitespace_after=space)
        else:
            after = space
    return arg.with_changes(comma=comma, whitespace_after_arg=after)


def _comma_between(cst: Any, call: Any, last: Any) -> Any:
    """Return a comma laid out as those between the arguments that there are."""
    for arg in call.args[:-1]:
        if isinstance(arg.comma, cst.Comma):
            if isinstance(arg.comma.whitespace_after, cst.ParenthesizedWhitespace):
                clean = arg.comma.whitespace_after.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
                return cst.Comma(whitespace_after=clean)
            return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    if isinstance(last.comma, cst.Comma) and isinstance(call.whitespace_before_args, cst.ParenthesizedWhitespace):
        clean = call.whitespace_before_args.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
        return cst.Comma(whitespace_after=clean)
    return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def _part(node: Any, path: str) -> Any:
    for step in path.split("."):
        node = node[int(step)] if step.isdigit() else getattr(node, step)
    return node


def _filled(cst: Any, made: Any, kept: Mapping[str, Any]) -> Any:
    class Filling(cst.CSTTransformer):  # type: ignore[misc]
        def leave_Name(self, original_node: Any, updated_node: Any) -> Any:  # noqa: ARG002, N802 - libcst's names
            return kept.get(updated_node.value, updated_node)

    return made.visit(Filling())
