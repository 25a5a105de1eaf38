"""Where what a file is depends on who looks: two kinds of file in one, a misleading name, bytes after the end."""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ..containers.tar import is_tar_header
from ..containers.zip_end import refuse_zip_at_end
from ..errors import TwoReadingsError, plural
from ..findings import Finding
from ..sources import Inflated, Source
from .base import Probe

_CODELESS = {
    # extension -> formats that may have it; people take all of them for files that no code can be in
    ".safetensors": ("safetensors",),
    ".npy": ("npy",),
    ".npz": ("npz",),
    ".gguf": ("gguf",),
    ".json": ("sharded", "step"),
    ".onnx": (),
    ".h5": (),
    ".hdf5": (),
    ".tflite": (),
    ".txt": (),
    ".jpg": (),
    ".png": (),
}
_TORCH_EXTENSIONS = (".pt", ".pth", ".ckpt", ".pt2")
_FORMS_OF_OTHERS = ("safetensors", "npy", "npz", "gguf", "sharded")
_WITHOUT_CODE = ("safetensors", "npy", "npz", "gguf", "sharded", "step")


def check_one_kind(probe: Probe, what: str) -> None:
    """Refuse a file that is of one kind by its beginning and of another by its end. Reads the last 64 KiB.

    `what` is the kind that it was taken for. Members that would have to be inflated for it are let pass.

    Raises:
        TwoReadingsError: says what each reader takes.
    """
    if probe.zip is None:
        if not isinstance(probe.source, Inflated):
            refuse_zip_at_end(probe.source, what)
    elif is_tar_header(probe.source.read_up_to(0, 512)):
        raise TwoReadingsError(
            "a zip that begins as a tar",
            code="two-kinds",
            readings=(
                f"readers of zips (torch) take {plural(len(probe.zip.members), 'member')} by the directory at its end",
                "readers of tars take the members whose headers begin at byte 0",
            ),
            expected="one kind of archive",
        )


def wrong_extension(checkpoint: Checkpoint) -> tuple[Finding, ...]:
    """Return what there is to say where the name of a file speaks of another format than its content."""
    name = checkpoint.source.name.lower()
    extension = name[name.rfind(".") :] if "." in name else ""
    if extension in _CODELESS and checkpoint.format not in _CODELESS[extension]:
        risky = checkpoint.format not in _WITHOUT_CODE
        message = f"the name ends with {extension}, the content is {checkpoint.format}"
        if risky:
            message += ", which can carry code where one would expect none"
        return (Finding("wrong-extension", "warning" if risky else "note", "", message),)
    if extension in _TORCH_EXTENSIONS and checkpoint.format in _FORMS_OF_OTHERS:
        message = f"the name ends with {extension}, the content is {checkpoint.format}: torch.load does not read it"
        return (Finding("wrong-extension", "note", "", message),)
    return ()


def after_end(source: Source, at: int, of: str, *, what: str, where: str = "") -> tuple[Finding, ...]:
    """Return what there is to say of the bytes that follow the end of something, at byte `at`, if there are any.

    Raises:
        TwoReadingsError: they are a zip, and the source was taken for `what`.
    """
    nbytes = source.size - at
    if not nbytes:
        return ()
    refuse_zip_at_end(source, what, behind=at)
    message = f"{nbytes:,} {'byte' if nbytes == 1 else 'bytes'} at byte {at:,} follow {of}"
    return (Finding("trailing-bytes", "warning", where, message),)
