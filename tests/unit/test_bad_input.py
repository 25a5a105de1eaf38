"""Every kind of bad input gives one named error, exit code 2, no traceback and no partial file."""

from __future__ import annotations

import json
import os
import re
import zipfile

import pytest

from weightlift import errors
from weightlift.faces.cli import main

from builders import (
    BENIGN,
    FOUR_FLOATS,
    call,
    dict_of,
    integer,
    named,
    pickled,
    safetensors,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tuple_of,
)


def one_tensor(**geometry) -> bytes:
    return torch_zip(pickled(dict_of(("w", tensor(**geometry)))))


def header(**tensors) -> bytes:
    return json.dumps(tensors).encode()


def about(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


CASES = {
    "truncated_zip": (torch_zip()[:-40], errors.TruncatedError, "a zip without its end record"),
    "truncated_legacy": (torch_legacy()[:-9], errors.TruncatedError, "expected a complete file"),
    "truncated_safetensors": (
        safetensors(header(a=about()), bytes(8)), errors.TruncatedError, "'a': ends at byte 16 of 8"
    ),
    "short_storage": (
        torch_zip(pickled(dict_of(("w", tensor(shape=(1000,), where=storage(numel=1000)))))),
        errors.TruncatedError,
        "'w': storage '0' has 16 bytes; expected the 4000 that the file claims",
    ),
    "missing_storage": (torch_zip(members={"data/1": b""}), errors.TruncatedError, "storage '0' is missing"),
    "view_outside": (
        one_tensor(offset=2), errors.TensorError, r"'w': shape \[4\] at byte 8 reaches to byte 24; expected at most the 16"
    ),
    "negative_size": (one_tensor(shape=(-4,)), errors.TensorError, r"'w': shape \[-4\]; expected sizes of 0 or more"),
    "negative_offset": (one_tensor(offset=-8), errors.TensorError, "offset -8"),
    "negative_stride": (one_tensor(stride=(-1,)), errors.TensorError, r"strides \[-1\]"),
    "overflowing_size": (
        one_tensor(shape=(2**32, 2**32), stride=(0, 0)), errors.TensorError, "18446744073709551616 elements"
    ),
    "ragged_geometry": (one_tensor(shape=(2, 2)), errors.TensorError, "2 sizes and 1 strides"),
    "negative_numel": (
        torch_zip(pickled(dict_of(("w", tensor(where=storage(numel=-1)))))), errors.PickleError, "persistent id"
    ),
    "unknown_storage_class": (
        torch_zip(pickled(dict_of(("w", tensor(where=storage(kind="FloopStorage")))))), errors.PickleError, "FloopStorage"
    ),
    "wrong_rebuild_arguments": (
        torch_zip(pickled(call(named("torch._utils", "_rebuild_tensor_v2"), integer(1)))), errors.PickleError, "arguments"
    ),
    "two_data_pkl": (
        torch_zip(members={"data/0": FOUR_FLOATS, "x/data.pkl": BENIGN}), errors.TwoReadingsError, "several data.pkl"
    ),
    "prefixed_zip": (
        b"#!/bin/sh\n" + torch_zip(), errors.TwoReadingsError, "begins as no known kind of file and ends as a zip"
    ),
    "trailing_zip": (torch_zip() + b"more", errors.ContainerError, "4 bytes follow the zip's end record"),
    "legacy_wrong_count": (torch_legacy(numel=5), errors.ContainerError, "storage '0' has 20 bytes"),
    "legacy_unknown_key": (torch_legacy(keys=("7",)), errors.ContainerError, "storage key '7'"),
    "unknown_container": (bytes(range(256)) * 4, errors.UnknownFormatError, "begins with 00 01 02"),
    "zeros": (bytes(5000), errors.UnknownFormatError, "only zero bytes"),
    "empty": (b"", errors.SourceError, "the file is empty"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", errors.UnknownFormatError, "an HTML page"),
    "lfs_pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n",
        errors.UnknownFormatError,
        "a Git LFS pointer.*git lfs pull",
    ),
    "seven_zip": (b"7z\xbc\xaf\x27\x1c" + bytes(100), errors.UnsupportedError, "a 7z archive"),
    "gzip": (b"\x1f\x8b" + bytes(100), errors.UnsupportedError, "gunzip"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), errors.UnsupportedError, "h5py"),
    "plain_json": (b'{"a": 1}', errors.UnknownFormatError, "JSON that is no checkpoint index"),
    "unpacked_data_pkl": (BENIGN, errors.PickleError, "name the archive that this pickle was taken from"),
    "header_too_long": (safetensors(b'{"a', length=2**63), errors.LimitError, "a header of 9223372036854775808 bytes"),
    "header_past_end": (safetensors(b"{} ", length=5000), errors.TruncatedError, "a header of 5000 bytes"),
    "header_no_json": (safetensors(b'{"a": }'), errors.ContainerError, "not JSON"),
    "trailing_bytes": (safetensors(header(a=about()), bytes(20)), errors.ContainerError, "4 bytes belong to no tensor"),
    "hole": (
        safetensors(header(a=about(), b=about(offsets=(20, 36))), bytes(36)), errors.ContainerError, "begins at byte 20"
    ),
    "overlap": (
        safetensors(header(a=about(), b=about(offsets=(8, 24))), bytes(24)), errors.ContainerError, "begins at byte 8"
    ),
    "shape_product": (
        safetensors(header(a=about(shape=(2**40, 2**40))), bytes(16)), errors.TensorError, "expected 4835703278"
    ),
    "unknown_dtype": (safetensors(header(a=about(dtype="F99")), bytes(16)), errors.TensorError, "dtype 'F99'"),
    "begin_after_end": (safetensors(header(a=about(offsets=(16, 0))), bytes(16)), errors.TensorError, "begin <= end"),
    "double_name": (
        safetensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'), errors.ContainerError, "stands twice"
    ),
    "index_outside_folder": (
        b'{"weight_map": {"w": "../../etc/passwd"}}', errors.ContainerError, "a file name in the folder of the index"
    ),
    "index_missing_shards": (
        b'{"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}', errors.SourceError, "2 of 2 shards are missing"
    ),
    "broken_npy": (b"\x93NUMPY\x01\x00\x05\x00{'a'}", errors.ContainerError, "no Python literal"),
    "object_npy": (
        b"\x93NUMPY\x01\x00\x36\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", errors.UnsupportedError, "O"
    ),
    "gguf_truncated": (b"GGUF\x03\x00\x00\x00" + bytes(4), errors.TruncatedError, "expected a complete file"),
    "meta_tensor": (
        torch_zip(
            pickled(
                dict_of(
                    (
                        "w",
                        call(
                            named("torch._utils", "_rebuild_meta_tensor_no_storage"),
                            named("torch", "float32"), tuple_of(integer(4)), tuple_of(integer(1)), b"\x89",
                        ),
                    )
                )
            )
        ),
        errors.TensorError,
        "'w': has no data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_file_is_one_clear_error(name, write, tmp_path, capsys):
    """extract says what is wrong with where, exits with 2, and leaves no file and no traceback."""
    data, error, message = CASES[name]
    path = write(data, "model.bin")
    out = tmp_path / "out" / "w.safetensors"
    out.parent.mkdir()
    code = main(["extract", str(path), str(out), "--json"])
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert code == 2
    assert document["error"] == error.__name__
    assert re.search(message, document["message"])
    assert document["where"][0] == str(path)
    assert told.err.startswith(f"weightlift: {path}: ")
    assert told.err.count("\n") == 1
    assert list(out.parent.iterdir()) == []


def test_missing_file(tmp_path, capsys):
    """A path that is not there says so."""
    assert main(["inspect", str(tmp_path / "no.pt")]) == 2
    assert "no.pt: no such file" in capsys.readouterr().err


def test_directory_names_the_file_that_is_meant(tmp_path, capsys):
    """A directory is refused with the name of the file in it that is probably meant."""
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "a directory; expected a checkpoint file; name a file in it, for instance" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_no_permission(write, capsys):
    """A file that may not be read says so."""
    path = write(torch_zip())
    path.chmod(0)
    assert main(["inspect", str(path)]) == 2
    assert "permission denied" in capsys.readouterr().err


def test_permission_error_is_named(write, capsys, monkeypatch):
    """What the system refuses becomes our error, whoever runs it."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = write(torch_zip())
    monkeypatch.setattr(os, "open", refuse)
    assert main(["inspect", str(path)]) == 2
    assert "permission denied; make it readable for you" in capsys.readouterr().err


def test_fifo_is_refused(tmp_path, capsys):
    """Something that is no regular file is refused instead of being waited for."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert main(["inspect", str(path)]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_password_zip(write, capsys):
    """A zip with a password says so."""
    data = bytearray(torch_zip(prefix="x").replace(b"data.pkl", b"data.bin"))
    for at in [m.start() for m in re.finditer(rb"PK\x01\x02", data)]:
        data[at + 8] |= 1
    for at in [m.start() for m in re.finditer(rb"PK\x03\x04", data)]:
        data[at + 6] |= 1
    assert main(["inspect", str(write(bytes(data), "secret.zip"))]) == 2
    assert "a zip with a password" in capsys.readouterr().err


def test_pickle_bomb_is_refused_at_once(tmp_path, capsys):
    """A pickle that inflates a thousandfold is refused before it is inflated."""
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}" + b"q\x00" * (10 << 20) + b".")
    assert main(["inspect", str(path)]) == 2
    assert "inflates from" in capsys.readouterr().err


def test_names_cannot_reach_the_terminal(write, capsys):
    """Control characters in names are shown escaped."""
    path = write(torch_zip(pickled(dict_of(("\x1b[2Jw\n", tensor())))))
    assert main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\\x1b[2Jw\\n" in printed


def test_nothing_of_a_hostile_file_runs(write, tmp_path, capsys):
    """A file that would run a command is inspected and its tensors extracted; the command never runs."""
    marker = tmp_path / "marker"
    evil = call(named("posix", "system"), text(f"touch {marker}"))
    path = write(torch_zip(pickled(dict_of(("state_dict", dict_of(("w", tensor()))), ("x", evil)))))
    assert main(["inspect", str(path)]) == 3
    assert "DANGEROUS: a plain torch.load would run posix.system" in capsys.readouterr().out
    assert main(["extract", str(path), str(tmp_path / "w.safetensors")]) == 0
    assert not marker.exists()
