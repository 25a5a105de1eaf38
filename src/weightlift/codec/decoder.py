"""JSON as Python values: bounded, strict, and nothing is imported or called by a name in the document."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import LimitError, MalformedError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles.state import check_keys
from ..typed import Any
from .kinds import BY_TAG
from .places import DEEPEST, place
from .records import types_by_name

_KEY_PARTS = 10_000_000  # in all keys and items of sets that are tuples or frozensets
_WITHIN = 4  # steps inside the form of one value
_WRITTEN = "what weightlift writes"


def decode(
    doc: Any,
    tensor: Callable[[str, tuple[int, ...] | None], Any],
    *,
    types: Iterable[type] = (),
    limits: Limits = DEFAULT_LIMITS,
    root: str = "state",
) -> Any:
    """Return the value of a document that `Encoder.encode` made.

    Args:
        doc: What a JSON reader gives.
        tensor: Gives what to put in place of a tensor, lazy or of torch, by its name; the stride is that
            which it had, or None where its elements lay rows first. Raises KeyError for an unknown name.
        types: Classes whose records become instances, by module and qualified name. Others stay a `Record`.
        limits: `nodes`, `depth` and `text_bytes` bound what is built.
        root: What paths in messages begin with.

    Raises:
        MalformedError: no document of that kind; says where in the value.
        LimitError: larger or deeper than the limits allow.
    """
    decoder = Decoder(tensor, types_by_name(types), limits)
    try:
        return decoder.value(doc)
    except WeightliftError as error:
        error.at(place(root, decoder.steps))
        raise
    except RecursionError:
        del decoder.steps[DEEPEST:]
        raise LimitError("nested deeper than Python can follow from here", where=place(root, decoder.steps)) from None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        reason = shown(str(error), 120)
        where = place(root, decoder.steps)
        raise MalformedError(f"describes no value ({reason})", expected=_WRITTEN, where=where) from error


class Decoder:
    """One document on its way to a value."""

    def __init__(
        self,
        tensor: Callable[[str, tuple[int, ...] | None], Any],
        types: dict[tuple[str, str], type],
        limits: Limits,
    ) -> None:
        self.types = types
        self.limits = limits
        self.steps: list[Any] = []
        self.key_parts_left = _KEY_PARTS
        self._tensor = tensor
        self._deepest = min(DEEPEST + _WITHIN, limits.depth)
        self._nodes_left = limits.nodes
        self._text_left = limits.text_bytes
        self._shared: dict[int, Any] = {}

    # ---- what the kinds use ----

    def value(self, doc: Any) -> Any:
        """Return the value of a form at the current place."""
        self.spend(1)
        cls = type(doc)
        if doc is None or cls is bool or cls is int:
            return doc
        if cls is str:
            return self.text(doc)
        if cls is float:
            if doc - doc != 0:
                raise MalformedError(f"the number {doc}", expected="a finite one")
            return doc
        if len(self.steps) > self._deepest:
            raise LimitError(f"nested deeper than {self._deepest}")
        if cls is list:
            return self.items(doc)
        if cls is not dict:
            raise MalformedError(f"{shown(doc, 60)} describes no value", expected=_WRITTEN)
        tags = [key for key in doc if type(key) is not str or key[:1] == "$"]
        return self._tagged(tags, doc) if tags else self.mapping(doc)

    def at(self, step: Any, doc: Any) -> Any:
        """Return the value of a form one step further."""
        self.steps.append(step)
        value = self.value(doc)
        self.steps.pop()
        return value

    def items(self, docs: Any) -> list[Any]:
        """Return the values of an array of forms, or of packed numbers."""
        if isinstance(docs, dict) and "$packed" in docs:
            values: list[Any] = self._tagged(["$packed"], docs)
            return values
        if not isinstance(docs, list):
            raise MalformedError(f"{shown(docs, 60)}", expected="an array")
        values, steps = [], self.steps
        for position, doc in enumerate(docs):
            steps.append(position)
            values.append(self.value(doc))
            steps.pop()
        return values

    def mapping(self, content: Any) -> dict[Any, Any]:
        """Return the pairs of an object, or of an array of [key, value]."""
        made: dict[Any, Any] = {}
        steps = self.steps
        if isinstance(content, dict):
            for key, doc in content.items():
                if type(key) is not str or key[:1] == "$":
                    raise MalformedError(f"the key {shown(key, 60)}", expected="a text that does not begin with $")
                steps.append((self.text(key),))
                made[key] = self.value(doc)
                steps.pop()
            return made
        if not isinstance(content, list):
            raise MalformedError(f"{shown(content, 60)}", expected="an object, or an array of pairs")
        for position, pair in enumerate(content):
            if not isinstance(pair, list) or len(pair) != 2:
                raise MalformedError(f"{shown(pair, 60)}", expected="a key and a value")
            steps.append(position)
            key = self.value(pair[0])
            self.key_parts_left = check_keys([key], self.key_parts_left)
            steps[-1] = (key,)
            if key in made:
                raise MalformedError(f"the key {shown(key, 60)} twice")
            made[key] = self.value(pair[1])
            steps.pop()
        return made

    def attributes(self, content: Any) -> dict[str, Any]:
        """Return attributes by name: a mapping whose keys are texts, none of them Python's own."""
        made = self.mapping(content)
        for name in made:
            if not isinstance(name, str) or (name.startswith("__") and name.endswith("__")):
                raise MalformedError(f"the attribute {shown(name, 60)}", expected="a name that is not Python's own")
        return made

    def text(self, text: Any) -> str:
        """Return a text, once there is room for it."""
        if type(text) is not str:
            raise MalformedError(f"{shown(text, 60)}", expected="a text")
        self._text_left -= len(text)
        if self._text_left < 0:
            raise LimitError(f"more than {self.limits.text_bytes} characters", remedy="raise Limits.text_bytes")
        return text

    def spend(self, count: int) -> None:
        """Take `count` values from the budget."""
        self._nodes_left -= count
        if self._nodes_left < 0:
            raise LimitError(f"more than {self.limits.nodes} values", remedy="raise Limits.nodes")

    def tensor(self, name: Any, stride: tuple[int, ...] | None) -> Any:
        """Return what the caller puts in place of a tensor."""
        try:
            return self._tensor(self.text(name), stride)
        except KeyError:
            raise MalformedError(f"no tensor is called {shown(name, 200)}") from None

    def raw(self, name: Any) -> bytes:
        """Return the bytes of a tensor of bytes."""
        held = self.tensor(name, None)
        if not str(getattr(held, "dtype", "")).endswith("uint8") or len(held.shape) != 1:
            raise MalformedError(f"the tensor {shown(name, 200)}", expected="one row of bytes")
        self._text_left -= held.shape[0]
        if self._text_left < 0:
            raise LimitError(f"more than {self.limits.text_bytes} bytes", remedy="raise Limits.text_bytes")
        raw: bytes = held.tobytes() if hasattr(held, "tobytes") else held.detach().cpu().numpy().tobytes()
        return raw

    # ---- inside ----

    def _tagged(self, tags: list[Any], node: dict[str, Any]) -> Any:
        tag = tags[0]
        if len(tags) != 1 or type(tag) is not str:
            raise MalformedError(f"the keys {shown(tags, 60)} in one object", expected=_WRITTEN)
        if tag in ("$same", "$shared"):
            return self._same(node) if tag == "$same" else self._sharing(node)
        kind = BY_TAG.get(tag)
        if kind is None or kind.decode is None:
            raise MalformedError(
                f"the kind {shown(tag, 60)}", expected=_WRITTEN, remedy="a newer weightlift may know it"
            )
        unknown = [key for key in node if key != tag and key not in kind.more]
        if unknown:
            raise MalformedError(f"{shown(unknown[0], 60)} beside {tag}", expected=_WRITTEN)
        return kind.decode(self, node)

    def _sharing(self, node: dict[str, Any]) -> Any:
        number, inner = node["$shared"], node.get("is")
        nested = isinstance(inner, list) or (isinstance(inner, dict) and not {"$shared", "$same"} & inner.keys())
        if len(node) != 2 or type(number) is not int or number in self._shared or not nested:
            raise MalformedError(f"a shared value {shown(number, 40)}", expected="a number of its own, and the value")
        made = self.value(inner)
        if number in self._shared:
            raise MalformedError(f"a shared value {shown(number, 40)} inside itself")
        self._shared[number] = made
        return made

    def _same(self, node: dict[str, Any]) -> Any:
        number = node["$same"]
        if len(node) != 1 or type(number) is not int or number not in self._shared:
            raise MalformedError(f"the shared value {shown(number, 40)}", expected="one that came before")
        return self._shared[number]
