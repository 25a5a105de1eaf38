"""The table of makers. The first that recognises a tree reads it; the last takes any."""

from __future__ import annotations

import os
from importlib import import_module

from ...checkpoint import Checkpoint
from ...limits import DEFAULT_LIMITS, Limits
from .base import Bundle, Maker
from .items import name_all

# One line per maker: a module here with a `MAKER`.
MAKERS = ("lightning", "fairseq", "plain")


def bundle_in(checkpoint: Checkpoint) -> Bundle:
    """Return the parts of a checkpoint, each with its name. Reads no tensor."""
    makers: list[Maker] = [import_module(f".{name}", __package__).MAKER for name in MAKERS]
    bundle = next(maker for maker in makers if maker.recognises(checkpoint.tree)).read(checkpoint)
    _note_what_stays(bundle)
    name_all(bundle)
    return bundle


def bundle_in_folder(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """Return the parts of a folder that Hugging Face's Trainer wrote.

    Raises:
        UnknownFormatError: it is no such folder. Everything that opening its files raises.
    """
    from .transformers import read_folder

    bundle = read_folder(os.fspath(path), limits)
    name_all(bundle)
    return bundle


def _note_what_stays(bundle: Bundle) -> None:
    checkpoint = bundle.checkpoint
    for name, nbytes in checkpoint.details.get("other_members", {}).items():
        if nbytes:
            bundle.left.append(f"{name!r} ({nbytes:,} bytes) of the archive, which is no checkpoint")
    for finding in checkpoint.own_findings:
        if finding.code in ("unreadable-member", "unlisted"):
            bundle.left.append(f"{finding.where!r}: {finding.message}" if finding.where else finding.message)
    if checkpoint.format in ("torchscript", "torch-export", "torchscript-json"):
        bundle.left.append("the program of the scripted module; its weights are taken")
