"""What a file looks like that is no checkpoint, or one that cannot be read: said, with the remedy."""

from __future__ import annotations

from ..errors import UnknownFormatError, UnsupportedError, WeightliftError
from .base import Probe

_WANTED = "a checkpoint (torch, safetensors, TorchScript, numpy, GGUF)"

# (where, bytes) -> what it is, what to do
_UNREADABLE: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name a file in it"),
    (0, b"Rar!", "a RAR archive", "unpack it and name a file in it"),
    (0, b"\x1f\x8b", "gzip-compressed data", "decompress it first: gunzip"),
    (0, b"BZh", "bzip2-compressed data", "decompress it first: bunzip2"),
    (0, b"\xfd7zXZ\0", "xz-compressed data", "decompress it first: unxz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed data", "decompress it first: unzstd"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "read it with h5py"),
    (4, b"PTMF", "a mobile model in the flatbuffer format", "save it again in the zip format"),
    (4, b"TFL3", "a TensorFlow Lite model", "read it with TensorFlow"),
)


def explain(probe: Probe) -> WeightliftError:
    """Return the error for content that no format recognises."""
    head = probe.head
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if head.startswith(b"version https://git-lfs"):
        return UnknownFormatError(
            "a Git LFS pointer, not the file itself", expected=_WANTED, remedy="fetch the content with: git lfs pull"
        )
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")) or b"<html" in text:
        return UnknownFormatError(
            "an HTML page", expected=_WANTED, remedy="the download gave a web page; use the link of the file itself"
        )
    if text.startswith((b"<?xml", b"<error")):
        return UnknownFormatError("an XML document", expected=_WANTED, remedy="look at it: it may be a server's error")
    for at, magic, what, remedy in _UNREADABLE:
        if head[at : at + len(magic)] == magic:
            return UnsupportedError(what, expected=_WANTED, remedy=remedy)
    if not head.strip(b"\0"):
        return UnknownFormatError("only zero bytes at the beginning", expected=_WANTED, remedy="fetch the file again")
    if text.startswith((b"{", b"[")):
        return UnknownFormatError("JSON that is no checkpoint index", expected=f'"weight_map" in it, or {_WANTED}')
    shown = head[:16].hex(" ")
    return UnknownFormatError(f"no known kind of file (it begins with {shown})", expected=_WANTED)
