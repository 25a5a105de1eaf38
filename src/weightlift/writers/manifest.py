"""MANIFEST.json of a checkpoint directory: what is in it, how large, and the hash of everything.

One canonical text per value: a reader accepts no other, so that no change of a byte goes unseen. The
hash at the end is that of the text before it (see docs/format.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from ..errors import LimitError, MalformedError, MissingDependencyError, UnsupportedError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS
from ..typed import Any
from ..values import dataclass, field
from .hashing import DEFAULT_HASH, HASH_NAMES, hash_digits, hash_of

MANIFEST = "MANIFEST.json"
STATE = "state.json"
PINNED = "PINNED"
"""An empty file that a store puts into a checkpoint that it must not delete; it belongs to no manifest."""
VERSION = 1
BEGIN = b'{"weightlift":'
"""How every manifest begins, whatever its version."""

DAMAGED = "it is damaged: take another step"
"""The remedy where a checkpoint is not what its manifest says."""

_SELF = b',"manifest_hash":'
_FIELDS = ("weightlift", "hash", "step", "metrics", "parts", "partial", "written", "files", "tensors", "manifest_hash")
_TENSOR_FIELDS = ("file", "nbytes", "hash")
_SHARD_FIELDS = ("of", "shape", "offsets", "sizes")
_ODD_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_MOST = 1 << 63


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file: its bytes, their hash, and for a data file that of its header with the eight bytes before it."""

    nbytes: int
    hash: str
    header: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """Which block of a larger tensor a written tensor is; everything in elements."""

    of: str
    """The name of the larger tensor, which is in no file by that name."""
    shape: tuple[int, ...]
    """Its sizes."""
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the block in its file: `model/fc.weight[4:8, 0:16]`."""
        spans = ", ".join(f"{at}:{at + size}" for at, size in zip(self.offsets, self.sizes, strict=True))
        return f"{self.of}[{spans}]"


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor that has bytes of its own: the file it is in, how many bytes, their hash, what it is a block of."""

    file: str
    nbytes: int
    hash: str
    shard: Shard | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that the manifest says; names in the order of the file."""

    hash: str = DEFAULT_HASH
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part -> kind ("module", "optimizer", "value" ...)."""
    partial: tuple[str, ...] = ()
    """What was left out on purpose, in words."""
    written: Mapping[str, str] = field(default_factory=dict)
    """Who wrote it: {"weightlift": version, "torch": version, "time": ISO 8601, UTC}."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    tensors: Mapping[str, TensorRecord] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all files but the manifest itself."""
        return sum(record.nbytes for record in self.files.values())

    def to_bytes(self) -> bytes:
        """Return the text of the manifest.

        Raises:
            LimitError: more than a reader takes. UnsupportedError: a metric that is no number.
        """
        files = {
            name: {"nbytes": each.nbytes, "hash": each.hash} | ({"header": each.header} if each.header else {})
            for name, each in self.files.items()
        }
        tensors = {
            name: {"file": each.file, "nbytes": each.nbytes, "hash": each.hash} | _shard_out(each.shard)
            for name, each in self.tensors.items()
        }
        text = _canonical({
            "weightlift": VERSION,
            "hash": self.hash,
            "step": self.step,
            "metrics": {name: _number_out(name, value) for name, value in self.metrics.items()},
            "parts": dict(self.parts),
            "partial": list(self.partial),
            "written": dict(self.written),
            "files": files,
            "tensors": tensors,
        })  # fmt: skip
        if len(text) > DEFAULT_LIMITS.header_bytes - 256:
            raise LimitError(
                f"a manifest of {len(text)} bytes", expected=f"at most {DEFAULT_LIMITS.header_bytes}", where=MANIFEST
            )
        return text[:-1] + _SELF + b'"' + hash_of(self.hash, text).encode() + b'"}'

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest that a text holds; nothing in it is taken on trust.

        Raises:
            MalformedError: not the text that `to_bytes` gives, down to the last byte; UnsupportedError: of another
            version, or by an unknown hash; MissingDependencyError: the hash's package is not installed.
        """
        try:
            return _manifest(data)
        except WeightliftError as error:
            raise error.at(MANIFEST) from None


def is_whole(data: bytes) -> bool:
    """Whether a manifest of any version has the hash at its end, by a hash known here: then it is not damaged."""
    body, _, last = data.rpartition(_SELF)
    for name in HASH_NAMES:
        try:
            if last == b'"' + hash_of(name, body + b"}").encode() + b'"}':
                return True
        except MissingDependencyError:
            continue
    return False


def _canonical(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")


def _manifest(data: bytes) -> Manifest:
    tree = _parsed(data)
    name = tree["hash"]
    if not isinstance(name, str):
        raise MalformedError(f"hash {shown(name, 40)}", expected="the name of a hash")
    digits = hash_digits(name)
    at = data.rfind(_SELF)
    claimed = _digest(tree["manifest_hash"], digits, "manifest_hash")
    found = hash_of(name, data[:at] + b"}")
    if data[at:] != _SELF + b'"' + claimed.encode() + b'"}' or found != claimed:
        raise MalformedError(f"its {name} is {found}", expected=f"{claimed} as it says itself", remedy=DAMAGED)
    files = {key: _file(key, about, digits) for key, about in _object(tree["files"], "files").items()}
    tensors = {key: _tensor(key, about, digits, files) for key, about in _object(tree["tensors"], "tensors").items()}
    if STATE not in files:
        raise MalformedError(f"no {STATE!r} among its files", expected="one in every checkpoint")
    step = tree["step"]
    if step is not None and type(step) is not int:
        raise MalformedError(f"step {shown(step, 40)}", expected="an integer or null")
    metrics = {key: _number_in(key, value) for key, value in _object(tree["metrics"], "metrics").items()}
    partial = tree["partial"]
    if not isinstance(partial, list) or not all(isinstance(item, str) for item in partial):
        raise MalformedError(f"partial {shown(partial, 40)}", expected="a list of texts")
    parts, written = _texts(tree["parts"], "parts"), _texts(tree["written"], "written")
    made = Manifest(name, step, metrics, parts, tuple(partial), written, files, tensors)
    if made.to_bytes() != data:
        raise MalformedError("spelled in another way", expected="the one text that its content has")
    return made


def _parsed(data: bytes) -> dict[str, Any]:
    if not data.startswith(BEGIN):
        raise MalformedError(f"begins with {shown(data[:20])}", expected=BEGIN.decode())
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON", expected="what weightlift writes") from None
    version = tree.get("weightlift")
    if type(version) is not int or version < 1:
        raise MalformedError(f"version {shown(version, 40)}", expected=str(VERSION))
    if version != VERSION:
        raise UnsupportedError(f"version {shown(version, 40)}", expected=str(VERSION), remedy="use a newer weightlift")
    if tuple(tree) != _FIELDS:
        raise MalformedError(f"fields {shown(list(tree))}", expected=", ".join(_FIELDS))
    return tree  # type: ignore[no-any-return]


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name} {shown(value, 40)}", expected="an object")
    return value


def _texts(value: Any, name: str) -> dict[str, str]:
    for key, item in _object(value, name).items():
        if not isinstance(item, str):
            raise MalformedError(f"{name} {shown(key, 60)}: {shown(item, 40)}", expected="a text")
    return value  # type: ignore[no-any-return]


def _number_out(name: str, value: float) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnsupportedError(
            f"{type(value).__name__} {shown(value, 40)}", expected="a number", remedy="take float() of it",
            where=f"metric {name!r}",
        )  # fmt: skip
    if isinstance(value, int) and not -_MOST <= value < _MOST:
        raise UnsupportedError("an integer of more than 64 bits", expected="a number", where=f"metric {name!r}")
    return spelled(int(value) if isinstance(value, int) else float(value))  # of a subclass, what JSON has


def spelled(value: float) -> float | str:
    """Return a number as JSON takes it: one that is not finite as "nan", "inf" or "-inf"."""
    if isinstance(value, int) or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _number_in(name: str, value: Any) -> float:
    if isinstance(value, str) and value in _ODD_NUMBERS:
        return _ODD_NUMBERS[value]
    if type(value) is float or (type(value) is int and -_MOST <= value < _MOST):
        return value
    raise MalformedError(f"metric {shown(name, 60)} is {shown(value, 40)}", expected="a number")


def _file(name: str, about: Any, digits: int) -> FileRecord:
    """Return one entry of `files`. Its name stays within the directory."""
    where = f"file {shown(name, 60)}"
    check_file_name(name)
    fields = ("nbytes", "hash", "header") if name != STATE else ("nbytes", "hash")
    if not isinstance(about, dict) or tuple(about) != fields:
        raise MalformedError(shown(about), expected=", ".join(fields), where=where)
    header = _digest(about["header"], digits, where) if name != STATE else ""
    return FileRecord(_size(about["nbytes"], where), _digest(about["hash"], digits, where), header)


def check_file_name(name: str) -> None:
    """Refuse the name of a file that is not plainly in the directory and one of those that a manifest lists.

    Raises:
        MalformedError: any other name.
    """
    if not is_own_name(name) or name in (MANIFEST, PINNED):
        raise MalformedError(f"file name {shown(name)}", expected="state.json or data-00001.safetensors ...")


def is_own_name(name: str) -> bool:
    """Whether a file of that name belongs into a checkpoint: manifest, state, data, the mark of a pinned one."""
    if name in (MANIFEST, STATE, PINNED):
        return True
    rank, dash, number = name.removeprefix("data-").removesuffix(".safetensors").rpartition("-")
    if not all(digits.isascii() and digits.isdecimal() for digits in ([rank, number] if dash else [number])):
        return False
    known = 5 <= len(number) <= 9 and len(rank) <= 9
    return known and name == data_name(int(number), int(rank) if dash else None)


def data_name(number: int, rank: int | None = None) -> str:
    """Return the name of a data file, the first of which is number 1; of many ranks, each has its own."""
    return f"data-{number:05d}.safetensors" if rank is None else f"data-{rank}-{number:05d}.safetensors"


def _tensor(name: str, about: Any, digits: int, files: Mapping[str, FileRecord]) -> TensorRecord:
    where = f"tensor {shown(name, 200)}"
    if not isinstance(about, dict) or tuple(about) not in (_TENSOR_FIELDS, (*_TENSOR_FIELDS, "shard")):
        raise MalformedError(shown(about), expected=", ".join(_TENSOR_FIELDS), where=where)
    file = about["file"]
    if not isinstance(file, str) or file not in files or file == STATE:
        raise MalformedError(f"file {shown(file)}", expected="a data file of the manifest", where=where)
    shard = _shard_in(name, about["shard"], where) if "shard" in about else None
    return TensorRecord(file, _size(about["nbytes"], where), _digest(about["hash"], digits, where), shard)


def _shard_out(shard: Shard | None) -> dict[str, Any]:
    if shard is None:
        return {}
    sizes = (shard.shape, shard.offsets, shard.sizes)
    return {"shard": dict(zip(_SHARD_FIELDS, (shard.of, *map(list, sizes)), strict=True))}


def _shard_in(name: str, about: Any, where: str) -> Shard:
    """Return the block that a tensor is; it lies within the larger tensor, and its name says where."""
    if not isinstance(about, dict) or tuple(about) != _SHARD_FIELDS or not isinstance(about["of"], str):
        raise MalformedError(f"shard {shown(about)}", expected=", ".join(_SHARD_FIELDS), where=where)
    lists = [about[field] for field in _SHARD_FIELDS[1:]]
    if not all(isinstance(each, list) and len(each) <= DEFAULT_LIMITS.dimensions for each in lists):
        raise MalformedError(f"shard {shown(about)}", expected="sizes of a tensor", where=where)
    shape, offsets, sizes = (tuple(_size(size, where) for size in each) for each in lists)
    made = Shard(about["of"], shape, offsets, sizes)
    inside = len(shape) == len(offsets) == len(sizes) and all(
        at + size <= whole for at, size, whole in zip(offsets, sizes, shape, strict=True)
    )
    if not inside or made.name != name:
        raise MalformedError(f"shard {shown(about)}", expected="a block of the tensor that its name says", where=where)
    return made


def _size(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise MalformedError(f"nbytes {shown(value, 40)}", expected="0 or more", where=where)
    return value


def _digest(value: Any, digits: int, where: str) -> str:
    if not isinstance(value, str) or len(value) != digits or value.strip("0123456789abcdef"):
        raise MalformedError(f"hash {shown(value)}", expected=f"{digits} hexadecimal digits", where=where)
    return value
