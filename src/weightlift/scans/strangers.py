"""Files that are plainly no checkpoints: a scan of a folder passes over them in silence."""

from __future__ import annotations

from ..sources import Source

_MAGICS = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"%PDF", b"\x7fELF", b"MZ", b"\0asm",
    b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"wOFF", b"wOF2", b"OTTO",
    b"\0\1\0\0\0", b"SQLite format 3", b"ARROW1", b"PAR1", b"DIRC", b"PACK", b"\xfftOc",
)  # fmt: skip
# What is called so is meant to be loaded: when it turns out to be something else, that is told.
_NAMED = (
    ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".safetensors", ".npy", ".npz", ".pt2", ".ptl",
    ".jit", ".model", ".distcp", ".gguf", ".nemo", ".h5", ".keras", ".t7", ".th", ".tar", ".dill",
)  # fmt: skip


def is_no_checkpoint(source: Source) -> bool:
    """Whether a file that no format recognises is plainly something else: text, an image, a program.

    A file that is called like a checkpoint is not passed over, whatever is in it.
    """
    if source.name.lower().endswith(_NAMED):
        return False
    head = source.read_up_to(0, 1024)
    return head.startswith(_MAGICS) or _is_text(head)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == 1024  # a letter cut in two at the end
    return True
