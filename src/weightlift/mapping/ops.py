"""The closed set of operations. Each has a shape rule, an inverse, and a rule for optimizer moments.

Moving elements costs nothing here: transposes, slices and permutes of a stored tensor are views of it,
and only what cannot be a view is computed, when its values are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ..dtypes import DTYPES, DType
from ..errors import OverflowingError, PlanError
from ..tensors import Tensor
from ..tensors.casting import SCRATCH_BYTES, cast, holds_all, in_pieces
from ..tensors.computed import Computed, Lazy
from ..tensors.lazy import product, rows_first
from ..typed import Any, Literal
from ..values import dataclass, replace
from .bundle import Bundle

Exactness = Literal["exact", "approximate", "none"]
Arguments = tuple[Any, ...]
Array = Any


@dataclass(frozen=True, slots=True)
class Call:
    """One operation as it is written in a rule: its name and arguments, and where they stand."""

    name: str
    args: Arguments
    named: Mapping[str, Any]
    column: int = 0
    overflow: bool = False
    """Whether the rule is marked !overflow."""

    def __str__(self) -> str:
        words = [_spell(arg) for arg in self.args] + [f"{key}={_spell(value)}" for key, value in self.named.items()]
        return f"{self.name}({', '.join(words)})" if words else self.name


def _keeps_all(call: Call, before: Bundle) -> bool:
    return False


def _loses_some(call: Call, before: Bundle) -> bool:
    return True


def _says_all(call: Call, before: Bundle) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Op:
    """A kind of operation.

    `apply` gives the new bundle. `invert` gives the calls that undo it, from the bundles before and after,
    or None where nothing does. `moments` is how an optimizer's first and second moments follow: "same"
    operation, "scale" by its factor, or "none" where they cannot. `loses` says whether values are lost
    on these tensors; such a rule has to be marked !lossy. `follows` tells the sizes that the call leaves to
    the shapes of these tensors.
    """

    apply: Callable[..., Bundle]
    invert: Callable[[Call, Bundle, Bundle], list[Call] | None]
    exact: Exactness = "exact"
    moments: Literal["same", "scale", "none"] = "same"
    loses: Callable[[Call, Bundle], bool] = _keeps_all
    follows: Callable[[Call, Bundle], str] = _says_all


def _spell(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isidentifier() else f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spell, value))}]"
    return repr(value)


# ---- views and computed tensors ----


def _computed(dtype: DType, shape: tuple[int, ...], inputs: list[Lazy], compute: Any, *, streams: bool = False) -> Lazy:
    return Computed(dtype, shape, tuple(inputs), compute, streams)


def _dim(dim: Any, rank: int, *, room: int = 0) -> int:
    if type(dim) is not int or not -(rank + room) <= dim < rank + room:
        raise PlanError(f"dimension {dim!r} of a tensor of {rank}", expected=f"{-(rank + room)} to {rank + room - 1}")
    return dim % (rank + room)


def permuted(item: Lazy, order: tuple[int, ...]) -> Lazy:
    """Return the tensor with its dimensions in another order."""
    if sorted(order) != list(range(len(item.shape))):
        raise PlanError(f"order {list(order)} of a tensor of {len(item.shape)} dimensions", expected="each once")
    if isinstance(item, Tensor):
        return replace(item, shape=tuple(item.shape[d] for d in order), stride=tuple(item.stride[d] for d in order))
    shape = tuple(item.shape[d] for d in order)
    return _computed(item.dtype, shape, [item], lambda values: values[0].transpose(order))


def sliced(item: Lazy, dim: int, start: int, stop: int) -> Lazy:
    """Return the elements from `start` up to `stop` along a dimension."""
    size = item.shape[dim]
    if not 0 <= start <= stop <= size:
        raise PlanError(f"{start}:{stop} of dimension {dim}, which has {size}", expected=f"0 to {size}")
    shape = (*item.shape[:dim], stop - start, *item.shape[dim + 1 :])
    if isinstance(item, Tensor):
        return replace(item, shape=shape, offset=item.offset + start * item.stride[dim])
    index = (slice(None),) * dim + (slice(start, stop),)
    return _computed(item.dtype, shape, [item], lambda values: values[0][index])


def reshaped(item: Lazy, shape: tuple[int, ...]) -> Lazy:
    """Return the tensor with the same elements, rows first, in another shape; one size may be -1."""
    known = product(tuple(n for n in shape if n != -1))
    if shape.count(-1) > 1 or any(n < -1 for n in shape):
        raise PlanError(f"shape {list(shape)}", expected="at most one -1 among sizes of 0 or more")
    if -1 in shape:
        if not known or item.numel % known:
            raise PlanError(f"{list(item.shape)} into {list(shape)}", expected=f"a multiple of {known} elements")
        shape = tuple(item.numel // known if n == -1 else n for n in shape)
    if product(shape) != item.numel:
        raise PlanError(f"{list(item.shape)} into {list(shape)}", expected=f"{item.numel} elements")
    if isinstance(item, Tensor) and item.is_contiguous:
        return replace(item, shape=shape, stride=rows_first(shape))
    return _computed(item.dtype, shape, [item], lambda values: values[0].reshape(shape))


def _concatenated(items: list[Lazy], dim: int) -> Lazy:
    first = items[0]
    dim = _dim(dim, len(first.shape))
    for item in items[1:]:
        rest, other = (*first.shape[:dim], *first.shape[dim + 1 :]), (*item.shape[:dim], *item.shape[dim + 1 :])
        if rest != other or item.dtype is not first.dtype:
            raise PlanError(f"{_told(item)} beside {_told(first)}", expected=f"the same but in dimension {dim}")
    total = sum(item.shape[dim] for item in items)
    shape = (*first.shape[:dim], total, *first.shape[dim + 1 :])
    streams = product(first.shape[:dim]) == 1
    return _computed(first.dtype, shape, items, lambda values: _np().concatenate(values, dim), streams=streams)


def _stacked(items: list[Lazy], dim: int) -> Lazy:
    first = items[0]
    dim = _dim(dim, len(first.shape), room=1)
    for item in items[1:]:
        if item.shape != first.shape or item.dtype is not first.dtype:
            raise PlanError(f"{_told(item)} beside {_told(first)}", expected="equal shapes and dtypes to stack")
    shape = (*first.shape[:dim], len(items), *first.shape[dim:])
    streams = product(first.shape[:dim]) == 1
    return _computed(first.dtype, shape, items, lambda values: _np().stack(values, dim), streams=streams)


def _told(item: Lazy) -> str:
    return f"{item.dtype} {list(item.shape)}"


def _np() -> Any:
    import numpy as np

    return np


# ---- the operations ----


def _integers(call: Call) -> tuple[int, ...]:
    values = call.args[0] if len(call.args) == 1 and isinstance(call.args[0], list) else call.args
    if not all(type(n) is int for n in values):
        raise PlanError(f"{call}", expected="whole numbers, or names that dims gives")
    return tuple(values)


def _t(bundle: Bundle, call: Call) -> Bundle:
    def transposed(item: Lazy) -> Lazy:
        if len(item.shape) != 2:
            raise PlanError(f"t of {list(item.shape)}", expected="two dimensions (permute takes any)")
        return permuted(item, (1, 0))

    return bundle.each(transposed)


def _permute(bundle: Bundle, call: Call) -> Bundle:
    return bundle.each(lambda item: permuted(item, _integers(call)))


def _unpermute(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    order = _integers(call)
    return [Call("permute", tuple(order.index(d) for d in range(len(order))), {})]


def _reshape(bundle: Bundle, call: Call) -> Bundle:
    return bundle.each(lambda item: reshaped(item, _integers(call)))


def _unreshape(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    shapes = {item.shape for item in before.items.values()}
    return [Call("reshape", shapes.pop() or ([],), {})] if len(shapes) == 1 else None


def _axis_name(call: Call, at: int = 1) -> str | None:
    return str(call.args[at]) if len(call.args) > at else None


def _cat(bundle: Bundle, call: Call) -> Bundle:
    return bundle.join(_axis_name(call), lambda items: _concatenated(items, _first(call)))


def _uncat(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    dim = _first(call)
    axis = before.axes[before._axis(_axis_name(call))][0]  # noqa: SLF001 - the same choice as in joining
    at = [name for name, _ in before.axes].index(axis)
    rows: dict[tuple[int, ...], list[int]] = {}
    for place in sorted(before.items):
        rows.setdefault(place[:at] + place[at + 1 :], []).append(before.items[place].shape[dim])
    sizes = {tuple(row) for row in rows.values()}
    if len(sizes) != 1:
        return None
    (row,) = sizes
    even = len(set(row)) == 1
    return [Call("split", (dim,) if even else (dim, list(row)), {} if axis.startswith("#") else {"along": axis})]


def _split(bundle: Bundle, call: Call, target: tuple[str, int] | None = None) -> Bundle:
    if target is None:
        raise PlanError("split without several targets", expected="{a,b,c} on the right side")
    axis, count = target
    dim, given = _first(call), call.args[1] if len(call.args) > 1 else None
    sizes = {item.shape[_dim(dim, len(item.shape))] for item in bundle.items.values()}
    if len(sizes) != 1:
        raise PlanError(f"split of tensors of sizes {sorted(sizes)}", expected="one size")
    total = sizes.pop()
    parts = list(given) if isinstance(given, list) else [total // count] * count
    if len(parts) != count or sum(parts) != total or any(type(n) is not int or n < 0 for n in parts):
        raise PlanError(f"{total} rows into {parts}", expected=f"{count} sizes that add up to {total}")
    starts = [sum(parts[:i]) for i in range(count)]
    return bundle.part(
        axis, count, lambda item, i: sliced(item, _dim(dim, len(item.shape)), starts[i], starts[i] + parts[i])
    )


def _unsplit(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    axis = after.axes[-1][0]
    return [Call("cat", (_first(call),) if axis.startswith("#") else (_first(call), axis), {})]


def _stack(bundle: Bundle, call: Call) -> Bundle:
    return bundle.join(_axis_name(call), lambda items: _stacked(items, _first(call)))


def _unstack_inverse(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    axis = before.axes[before._axis(_axis_name(call))][0]  # noqa: SLF001
    return [Call("unstack", (_first(call),) if axis.startswith("#") else (_first(call), axis), {})]


def _unstack(bundle: Bundle, call: Call, target: tuple[str, int] | None = None) -> Bundle:
    dim = _first(call)
    sizes = {item.shape[_dim(dim, len(item.shape))] for item in bundle.items.values()}
    axis = _axis_name(call) or (target[0] if target else None)
    if axis is None or len(sizes) != 1:
        raise PlanError(
            f"{call} of tensors of sizes {sorted(sizes)}", expected="one size, and an index or {a,b} on the right"
        )
    count = sizes.pop()
    if target is not None and target[0] == axis and target[1] not in (0, count):
        raise PlanError(f"{count} parts for {target[1]} targets", expected=f"{count}")

    def one(item: Lazy, i: int) -> Lazy:
        at = _dim(dim, len(item.shape))
        part = sliced(item, at, i, i + 1)
        shape = (*item.shape[:at], *item.shape[at + 1 :])
        if isinstance(part, Tensor):
            return replace(part, shape=shape, stride=(*part.stride[:at], *part.stride[at + 1 :]))
        return reshaped(part, shape)

    return bundle.part(axis, count, one)


def _restack(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    axis = after.axes[-1][0]
    return [Call("stack", (_first(call),) if axis.startswith("#") else (_first(call), axis), {})]


def _copy(bundle: Bundle, call: Call, target: tuple[str, int] | None = None) -> Bundle:
    return bundle if target is None else bundle.part(target[0], target[1], lambda item, _: item)


def _slice(bundle: Bundle, call: Call) -> Bundle:
    dim, start, stop = _integers(call)
    return bundle.each(lambda item: sliced(item, _dim(dim, len(item.shape)), start, stop))


def _rows(bundle: Bundle, call: Call) -> Bundle:
    wanted = _integers(call)

    def taken(item: Lazy) -> Lazy:
        if not item.shape or any(not 0 <= i < item.shape[0] for i in wanted):
            raise PlanError(f"rows of {list(item.shape)}", expected=f"indices below {item.shape[:1]}")
        shape = (len(wanted), *item.shape[1:])
        return _computed(item.dtype, shape, [item], lambda values: values[0][list(wanted)])

    return bundle.each(taken)


def _unrows(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    wanted = _integers(call)
    whole = all(sorted(wanted) == list(range(item.shape[0])) for item in before.items.values())
    return [Call("rows", ([wanted.index(i) for i in range(len(wanted))],), {})] if whole else None


def _pad(bundle: Bundle, call: Call) -> Bundle:
    dim, low, high = _integers(call)

    def padded(item: Lazy) -> Lazy:
        at = _dim(dim, len(item.shape))
        shape = (*item.shape[:at], item.shape[at] + low + high, *item.shape[at + 1 :])
        widths = [(low, high) if d == at else (0, 0) for d in range(len(shape))]
        return _computed(item.dtype, shape, [item], lambda values: _np().pad(values[0], widths))

    if low < 0 or high < 0:
        raise PlanError(f"{call}", expected="0 or more before and after")
    return bundle.each(padded)


def _unpad(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    dim, low, _ = _integers(call)
    sizes = {item.shape[dim] for item in before.items.values()}
    return [Call("slice", (dim, low, low + sizes.pop()), {})] if len(sizes) == 1 else None


def _arithmetic(fn: Callable[[Array, float], Array]) -> Callable[[Bundle, Call], Bundle]:
    def apply(bundle: Bundle, call: Call) -> Bundle:
        def computed(item: Lazy) -> Lazy:
            if "float" not in item.dtype.name and not item.dtype.is_complex:
                raise PlanError(f"{call} of {item.dtype}", expected="floating point values: others would be cut off")
            compute = partial(_carried_out, fn=fn, call=call)
            return Computed(item.dtype, item.shape, (item,), compute, scratch=SCRATCH_BYTES)

        return bundle.each(computed)

    return apply


def _carried_out(values: list[Array], *, fn: Callable[[Array, float], Array], call: Call) -> Array:
    """Arithmetic in the tensor's own type; a finite value that becomes infinite is an error, unless allowed."""
    np = _np()
    made = np.empty_like(values[0])
    wide = np.complex128 if made.dtype.kind == "c" else np.float64
    lost = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for here, there in in_pieces(values[0], made):
            there[...] = fn(here, call.args[0]).astype(made.dtype)
            if not call.overflow:
                lost += int((np.isfinite(here.astype(wide)) & ~np.isfinite(there.astype(wide))).sum())
    if lost:
        raise OverflowingError(
            f"{call}: {lost} values do not fit into {made.dtype}", remedy="cast to a wider type first, or say !overflow"
        )
    return made


def _unscale(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    return [Call("scale", (1 / call.args[0],), {})] if call.args[0] else None


def _unadd(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    return [Call("add", (-call.args[0],), {})]


def _cast(bundle: Bundle, call: Call) -> Bundle:
    dtype = DTYPES.get(str(call.args[0])) if call.args else None
    if dtype is None:
        raise PlanError(f"{call}", expected="a dtype of torch")
    return bundle.each(lambda item: cast(item, dtype, overflow=call.overflow))


def _uncast(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    kinds = {item.dtype for item in before.items.values()}
    if len(kinds) != 1:
        return None
    was, now = kinds.pop(), next(iter(after.items.values())).dtype
    return [Call("cast", (was.name,), {})] if holds_all(now, was) else None


def _resize(bundle: Bundle, call: Call) -> Bundle:
    from .resize import resized

    if not call.args or call.args[0] != "grid":
        raise PlanError(f"{call}", expected="resize(grid, to=[rows, columns], prefix=1)")
    return bundle.each(lambda item: resized(item, call.named))


def _rearrange(bundle: Bundle, call: Call) -> Bundle:
    from .rearrange import rearranged

    if not call.args or not isinstance(call.args[0], str):
        raise PlanError(f"{call}", expected='rearrange("(q h) c -> (h q) c", q=3)')
    return bundle.each(lambda item: rearranged(item, call.args[0], call.named))


def _unrearrange(call: Call, before: Bundle, after: Bundle) -> list[Call] | None:
    from .rearrange import solved

    left, _, right = call.args[0].partition("->")
    sizes = {tuple(sorted(solved(item, call.args[0], call.named).items())) for item in before.items.values()}
    if len(sizes) != 1:
        return None
    return [Call("rearrange", (f"{right.strip()} -> {left.strip()}",), dict(sizes.pop()))]


def _axes_worked_out(call: Call, before: Bundle) -> str:
    from .rearrange import worked_out

    sizes: dict[str, list[str]] = {}
    for item in before.items.values():
        for name, size in worked_out(item, call.args[0], call.named).items():
            sizes.setdefault(name, []).append(str(size))
    return ", ".join(f"{name} = {' or '.join(dict.fromkeys(found))}" for name, found in sizes.items())


def _first(call: Call) -> int:
    if not call.args or type(call.args[0]) is not int:
        raise PlanError(f"{call}", expected="a dimension first")
    return call.args[0]


def _none(call: Call, before: Bundle, after: Bundle) -> None:
    return None


def _itself(call: Call, before: Bundle, after: Bundle) -> list[Call]:
    return [call]


def _drops_rows(call: Call, before: Bundle) -> bool:
    kept = set(_integers(call))
    return any(kept != set(range(item.shape[0])) for item in before.items.values() if item.shape)


def _narrows(call: Call, before: Bundle) -> bool:
    wanted = DTYPES.get(str(call.args[0])) if call.args else None
    return wanted is not None and not all(holds_all(wanted, item.dtype) for item in before.items.values())


OPS: dict[str, Op] = {
    "t": Op(_t, _itself),
    "permute": Op(_permute, _unpermute),
    "reshape": Op(_reshape, _unreshape),
    "rearrange": Op(_rearrange, _unrearrange, follows=_axes_worked_out),
    "cat": Op(_cat, _uncat),
    "split": Op(_split, _unsplit),
    "stack": Op(_stack, _unstack_inverse),
    "unstack": Op(_unstack, _restack),
    "copy": Op(_copy, _none),
    "rows": Op(_rows, _unrows, loses=_drops_rows),
    "slice": Op(_slice, _none, loses=_loses_some),
    "pad": Op(_pad, _unpad),
    "scale": Op(_arithmetic(lambda a, b: a * b), _unscale, exact="approximate", moments="scale"),
    "add": Op(_arithmetic(lambda a, b: a + b), _unadd, exact="approximate"),
    "cast": Op(_cast, _uncast, loses=_narrows),
    "resize": Op(_resize, _none, exact="none", moments="none", loses=_loses_some),
}
"""One line for each operation; `drop`, `init` and `tie` are kinds of rules, not operations."""

PARTING = ("split", "unstack", "copy")
"""Operations that make the axis of the targets."""
