"""A file that is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import WriteError
from .flushing import flush, flush_folder


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[int]:
    """Yield the descriptor of a new file that becomes `path` when the block ends without an error.

    A symbolic link is followed; what exists and is no regular file (a device, a pipe) is never replaced.

    It is written under another name in the same folder, flushed to the disk, renamed, and the folder
    flushed; after an error nothing is left and an older file of that name is untouched.

    Raises:
        WriteError: the folder is missing or not writable, or the disk is full.
    """
    target = os.fspath(path)
    if "\0" in target:
        raise WriteError("a name with a NUL in it", expected="a file name to write to", where=target)
    if not target:
        raise WriteError("an empty name", expected="a file name to write to")
    real = os.path.realpath(target)
    folder, name = os.path.split(real)
    temporary = os.path.join(folder, f".{name[:180]}.{os.getpid()}-{os.urandom(4).hex()}.part")
    if os.path.isdir(real):
        raise WriteError("is a directory", expected="a file name to write to", where=target)
    if os.path.exists(real) and not os.path.isfile(real):
        raise WriteError("is no regular file", expected="a file name to write to", where=target)
    try:
        mode = os.stat(real).st_mode & 0o7777 if os.path.exists(real) else 0o666
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if os.path.exists(real):
            with suppress(OSError):  # what was allowed before the umask has its say; not every file system knows modes
                os.chmod(temporary, mode)
    except FileNotFoundError:
        raise WriteError(f"no such folder: {folder}", remedy="make it first", where=target) from None
    except OSError as error:
        raise WriteError(f"cannot be written: {error.strerror}", where=target) from None
    done = False
    try:
        yield fd
        flush(fd)
        closing, fd = fd, -1  # a descriptor is gone even where closing it fails
        os.close(closing)
        os.replace(temporary, real)
        done = True
        with suppress(OSError):  # the file is there; not every file system can do this for folders
            flush_folder(folder)
    except OSError as error:
        raise WriteError(f"cannot be written: {error.strerror}", where=target) from None
    finally:
        if fd >= 0:
            os.close(fd)
        if not done:
            with suppress(OSError):
                os.unlink(temporary)
