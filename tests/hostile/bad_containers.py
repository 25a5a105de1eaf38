"""Archives in which two readers could see two files, or whose fields do not fit."""

from __future__ import annotations

import struct

from bad_files import PLAIN, Entry, Table, deflate, torch_file, torch_members, with_payload, zip_of
from builders import BENIGN, FOUR_FLOATS, dict_of, pickled, storage, tensor

TABLE = Table()
FIRST = pickled(dict_of(("first", tensor())))
SECOND = pickled(dict_of(("second", tensor())))


@TABLE.add(error=("TwoReadingsError", "two members are called 'archive/data.pkl': Python's zipfile takes the last"))
def two_members_of_one_name() -> bytes:
    return zip_of([Entry("archive/data.pkl", FIRST), *torch_members(SECOND)])


@TABLE.add(
    error=("TwoReadingsError", "two members are called 'archive/data.pkl': Python's zipfile takes the last"),
    scan="dangerous",
)
def a_harmless_member_before_its_evil_twin() -> bytes:
    return zip_of([Entry("archive/data.pkl", FIRST), *torch_members(with_payload())])


@TABLE.add(error=("TwoReadingsError", "several data.pkl: archive/data.pkl, evil/data.pkl"), scan="dangerous")
def two_folders_with_a_pickle() -> bytes:
    return torch_file(FIRST, FOUR_FLOATS, Entry("evil/data.pkl", with_payload()), Entry("evil/data/0", FOUR_FLOATS))


@TABLE.add(error=("TwoReadingsError", "is called 'archive/evil.pkl' in its local header"))
def a_local_header_with_another_name() -> bytes:
    members = torch_members(SECOND)
    return zip_of([Entry("archive/data.pkl", FIRST, local={"name": "archive/evil.pkl"}), *members[1:]])


@TABLE.add(writing=("TwoReadingsError", "9999 bytes in its local header"), scan="unreadable")
def sizes_that_disagree() -> bytes:
    members = torch_members()
    members[2] = Entry("archive/data/0", FOUR_FLOATS, local={"nbytes": 9999})
    return zip_of(members)


@TABLE.add(error=("TwoReadingsError", "called 'archive/data.pkl' and 'archive/DATA.PKL'"), scan="dangerous")
def names_that_differ_by_case_and_slash() -> bytes:
    others = [Entry("archive\\data.pkl", with_payload()), Entry("archive/DATA.PKL", with_payload())]
    return torch_file(FIRST, FOUR_FLOATS, *others)


@TABLE.add(weights={"first": FOUR_FLOATS}, scan="dangerous")
def a_member_that_nobody_reads() -> bytes:
    return zip_of([Entry("archive/x.bin", with_payload()), *torch_members(FIRST)])


@TABLE.add(error=("TwoReadingsError", "torch looks for the directory at byte"))
def a_second_archive_behind_the_first() -> bytes:
    return torch_file(FIRST) + torch_file(SECOND)


@TABLE.add(error=("TwoReadingsError", "the zip ends with 2 end records: torch takes"))
def an_end_record_within_the_comment() -> bytes:
    other = torch_file(SECOND)
    return zip_of(torch_members(FIRST), comment=other[-22:])


@TABLE.add(error=("ContainerError", "bytes follow"))
def bytes_behind_the_archive() -> bytes:
    return torch_file() + b"and more"


@TABLE.add(error=("TwoReadingsError", "begins as no known kind of file and ends as a zip"))
def a_script_before_the_archive() -> bytes:
    return b"#!/bin/sh\nexit\n" + torch_file()


@TABLE.add(error=("ContainerError", "said to end at byte 4294967294"))
def a_directory_of_four_gigabytes() -> bytes:
    return zip_of(torch_members(), end=struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 4, 4, 0xFFFFFFFE, 0, 0))


@TABLE.add(error=("ContainerError", ""))
def more_members_than_the_directory_has() -> bytes:
    whole = torch_file()
    return whole[:-14] + struct.pack("<HH", 999, 999) + whole[-10:]


@TABLE.add(error=("UnsupportedError", "encrypted"))
def an_encrypted_pickle() -> bytes:
    return zip_of([Entry("archive/data.pkl", BENIGN, flags=1), *torch_members()[1:]])


@TABLE.add(error=("UnsupportedError", "method 99"))
def an_unknown_compression() -> bytes:
    return zip_of([Entry("archive/data.pkl", BENIGN, method=99), *torch_members()[1:]])


@TABLE.add(error=("ContainerError", "inflates to"))
def a_deflated_pickle_that_is_too_short() -> bytes:
    short = deflate([(BENIGN[:20], 1)])
    return zip_of([Entry("archive/data.pkl", BENIGN, deflated=short), *torch_members()[1:]])


@TABLE.add(error=("ContainerError", "deflate stream is broken"))
def a_deflated_pickle_of_nonsense() -> bytes:
    return zip_of([Entry("archive/data.pkl", BENIGN, deflated=b"\xff" * 40), *torch_members()[1:]])


@TABLE.add(error=("ContainerError", "byteorder 'middle'"))
def a_byte_order_that_does_not_exist() -> bytes:
    members = torch_members()
    members[1] = Entry("archive/byteorder", b"middle")
    return zip_of(members)


@TABLE.add(error=("TruncatedError", "end record"))
def half_an_archive() -> bytes:
    whole = torch_file()
    return whole[: len(whole) // 2]


@TABLE.add(error=("LimitError", "members"))
def a_zip64_that_lists_many_members() -> bytes:
    whole = zip_of(torch_members())
    at = len(whole) - 22
    directory = struct.unpack_from("<I", whole, at + 16)[0]
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, at - directory, directory)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return whole[:at] + record + locator + end


@TABLE.add(weights={"f32": FOUR_FLOATS, "f16": FOUR_FLOATS})
def one_storage_of_two_types() -> bytes:
    half = tensor(shape=(8,), where=storage(numel=8, kind="HalfStorage"))
    return torch_file(pickled(dict_of(("f32", tensor()), ("f16", half))))


@TABLE.add(weights=PLAIN)
def archives_in_an_archive() -> bytes:
    return zip_of([Entry("model.pt", torch_file())])


@TABLE.add(error=("LimitError", "archives nested deeper than 4"))
def archives_in_archives_without_end() -> bytes:
    inner = torch_file()
    for _ in range(40):
        inner = zip_of([Entry("model.pt", inner)])
    return inner


@TABLE.add(weights=PLAIN)
def data_under_a_crc_of_zero() -> bytes:
    return zip_of([*torch_members(data=None), Entry("archive/data/0", FOUR_FLOATS, crc=0)])


@TABLE.add(writing=("TensorError", "has no data (skipped)"))
def zeros_under_a_crc_of_zero() -> bytes:
    return zip_of([*torch_members(data=None), Entry("archive/data/0", bytes(16), crc=0)])


@TABLE.add(writing=("TensorError", "has no data (skipped)"))
def nothing_but_zeros_and_no_crc_anywhere() -> bytes:
    made = [*torch_members(data=None), Entry("archive/data/0", bytes(16))]
    return zip_of([Entry(each.name, each.data, crc=0) for each in made])
