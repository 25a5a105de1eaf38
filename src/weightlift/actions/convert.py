"""`convert`: a pickled training bundle as a checkpoint directory, without running any code of it."""

from __future__ import annotations

import os
from collections.abc import Collection

from ..errors import WriteError
from ..limits import DEFAULT_LIMITS, Limits
from ..tensors import Composite, Tensor
from ..tensors.computed import Computed
from ..training.bundles import Bundle, Documents, bundle_in, bundle_in_folder, documents_of
from ..training.bundles.documents import Names
from ..typed import Any
from ..values import dataclass
from ..writers.hashing import DEFAULT_HASH
from ..writers.safetensors import Progress
from ..writers.step import WrittenStep, state_document, write_step
from .open import errors_name, open_checkpoint


@dataclass(frozen=True, slots=True)
class ConvertedPart:
    """A part that was written: its name and kind, where it was found, and its tensors."""

    name: str
    kind: str
    origin: str
    tensors: int
    nbytes: int
    """Bytes of its tensors; those that share memory with another's count there and here."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted from where, part by part, and what is worth knowing about it."""

    source: str
    maker: str
    """Who writes such bundles: "lightning", "fairseq", "transformers", or "plain"."""
    parts: tuple[ConvertedPart, ...]
    written: WrittenStep
    notes: tuple[str, ...]
    left: tuple[str, ...]
    """What of the source could not be carried over; empty where nothing is lost."""

    @property
    def next_call(self) -> str:
        """The Python call that takes it from here."""
        live = [part.name for part in self.parts if part.kind != "value" and part.name.isidentifier()]
        given = "".join(f", {name}={'True' if name == 'rng' else name}" for name in live)
        return f"wl.resume({self.written.path!r}{given})"


def convert(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    without: Collection[str] = (),
    names: Names = None,
    hash: str = DEFAULT_HASH,  # noqa: A002 - the word of the manifest
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Conversion:
    """Write a training bundle as the checkpoint directory `out`, which `wl.resume` takes; whole, or not at all.

    Lightning, fairseq, a folder of Hugging Face's Trainer, `{"model": ..., "optimizer": ...}` of any make, and
    whatever else a checkpoint holds: weights, optimizers (by the names of their parameters), schedulers, scalers,
    averages and random states become parts of these kinds, everything else a plain value under its own name.
    Tensors are copied from where they are in the file, so memory stays small whatever the size.

    Args:
        path: the file, the index of several, or the Trainer's folder.
        out: the directory to make; a checkpoint that has the name is replaced when the new one is complete.
        without: parts to leave out.
        names: of an optimizer's parameters in the order of its saved groups, where the file does not have them;
            part -> names where there are several optimizers.
        hash: "xxh3", "blake3" or "sha256".
        limits: budgets for reading.
        progress: called with (bytes written, bytes in all).

    Raises:
        PlanError: an optimizer whose parameters cannot be named without guessing.
        UnsupportedError: what cannot be written, each by its path; the parts to leave out are named.
        WriteError: `out` cannot be written, or is the source itself.
        Everything that opening raises.
    """
    left_out = (without,) if isinstance(without, str) else tuple(without)
    refuse_source(path, out)
    with errors_name(path):
        bundle = _bundle(path, limits)
        made = documents_of(bundle, without=left_out, names=names)
        written = write_step(
            out,
            made.tensors,
            _state(bundle, made),
            step=bundle.step,
            parts={name: part["kind"] for name, part in made.parts.items()},
            partial=left_out,
            hash=hash,
            progress=progress,
        )
    parts = tuple(_part(name, part["kind"], made) for name, part in made.parts.items())
    return Conversion(os.fspath(path), bundle.maker, parts, written, made.notes, made.left)


def refuse_source(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Refuse to write over what is read, or a folder that it lies in.

    Raises:
        WriteError: `out` is the source, or holds it.
    """
    if not (os.path.exists(path) and os.path.exists(out)):
        return
    at = os.path.realpath(path)
    target = os.path.realpath(out)
    if at == target or os.path.commonpath((at, target)) == target:
        told = "is the source itself" if at == target else "holds the source"
        raise WriteError(told, expected="another name", where=os.fspath(out))


def _bundle(path: str | os.PathLike[str], limits: Limits) -> Bundle:
    if os.path.isdir(path):
        return bundle_in_folder(path, limits)
    return bundle_in(open_checkpoint(path, limits=limits))


def _state(bundle: Bundle, made: Documents) -> dict[str, Any]:
    told = {"maker": bundle.maker, "from": dict(made.origins), "notes": list(made.notes), "left": list(made.left)}
    return state_document(made.parts, converted=told)


def _part(name: str, kind: str, made: Documents) -> ConvertedPart:
    own = [tensor for key, tensor in made.tensors.items() if key.startswith(f"{name}/") or key == name]
    return ConvertedPart(name, kind, made.origins[name], len(own), sum(map(_nbytes, own)))


def _nbytes(tensor: Any) -> int:
    return tensor.nbytes if isinstance(tensor, Tensor | Composite | Computed) else 0
