"""Small files that ask for much: memory, time or disk."""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib

from bad_files import NOTHING, PLAIN, Entry, Table, deflate, payload, torch_file, torch_members, zip_of
from bad_structures import module
from builders import BENIGN, FOUR_FLOATS, call, dict_of, integer, named, pickled, storage, tensor, text

TABLE = Table()
INERT = {"weights": NOTHING, "extract": ("NoStateDictError", "no state dict")}
MIB = 1 << 20


def deflated_pickle(*pieces: tuple[bytes, int]) -> bytes:
    """A torch zip whose pickle is deflated, and never held here whole."""
    nbytes = sum(len(piece) * count for piece, count in pieces)
    entry = Entry("archive/data.pkl", b"", deflated=deflate(list(pieces)), nbytes=nbytes)
    return zip_of([entry, *torch_members()[1:]])


@TABLE.add(error=("LimitError", "which never compresses 100-fold"))
def a_pickle_that_inflates_to_two_gigabytes() -> bytes:
    return deflated_pickle((b"\x80\x02}", 1), (b"q\x00" * (MIB // 2), 2048), (b".", 1))


@TABLE.add(error=("LimitError", "raise Limits.opcodes"))
def eight_megabytes_of_nothing() -> bytes:
    return deflated_pickle((b"\x80\x02](", 1), (b"N" * (MIB - 1), 8), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def eight_megabytes_of_empty_sets() -> bytes:
    return deflated_pickle((b"\x80\x04](", 1), (b"\x8f" * (MIB - 1), 8), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def eight_megabytes_of_empty_dicts() -> bytes:
    return deflated_pickle((b"\x80\x02](", 1), (b"}" * (MIB - 1), 8), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def eight_megabytes_of_objects() -> bytes:
    return deflated_pickle((b"\x80\x02](cx\ny\nq\x00", 1), (b"h\x00)\x81" * (MIB // 4 - 1), 8), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def four_million_things_in_the_memo() -> bytes:
    return deflated_pickle((b"\x80\x04](", 1), (b"N\x94" * (MIB // 2 - 1), 8), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def two_million_ordered_dicts() -> bytes:
    return deflated_pickle((b"\x80\x02](ccollections\nOrderedDict\nq\x00", 1), (b"h\x00)R" * (MIB // 4), 7), (b"e.", 1))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def four_million_small_tuples() -> bytes:
    return deflated_pickle((b"\x80\x02](", 1), (b"N\x85" * (MIB // 2 - 1), 8), (b"e.", 1))


@TABLE.add(writing=("LimitError", "raise Limits.materialised_bytes"))
def a_storage_that_inflates_to_two_gigabytes() -> bytes:
    pickle = pickled(dict_of(("w", tensor((1 << 29,), (1,), where=storage(numel=1 << 29)))))
    bomb = Entry("archive/data/0", deflated=deflate([(bytes(MIB), 2048)]), nbytes=1 << 31, crc=1)
    return zip_of([*torch_members(pickle, None), bomb])


@TABLE.add(writing=("LimitError", "raise Limits.materialised_bytes"))
def one_number_expanded_to_a_terabyte() -> bytes:
    return torch_file(pickled(dict_of(("w", tensor((1 << 38,), (0,))))))


@TABLE.add(writing=("LimitError", "raise Limits.materialised_bytes"))
def a_thousand_expanded_numbers() -> bytes:
    many = [(f"w{i}", tensor(((1 << 24) + i,), (0,))) for i in range(1000)]
    return torch_file(pickled(dict_of(*many)))


@TABLE.add(writing=("LimitError", "raise Limits.materialised_bytes"))
def a_storage_seen_through_many_windows() -> bytes:
    numel = 1 << 18
    views = [(f"w{i}", tensor((numel - 1000,), (1,), i, storage(numel=numel))) for i in range(1000)]
    return torch_file(pickled(dict_of(*views)), bytes(4 * numel))


@TABLE.add(error=("PickleError", ""))
def a_memo_index_of_four_billion() -> bytes:
    return torch_file(pickled(b"r\xff\xff\xff\xff"))


@TABLE.add(**INERT, scan="unreadable")
def a_dict_at_memo_index_four_billion() -> bytes:
    return torch_file(pickled(b"}r\xff\xff\xff\xff"))


@TABLE.add(error=("TruncatedError", "a string of 4294967295 bytes reaches past the end"))
def a_text_of_four_gigabytes() -> bytes:
    return torch_file(pickled(b"X\xff\xff\xff\xffabc"))


@TABLE.add(error=("TruncatedError", ""))
def bytes_of_many_exabytes() -> bytes:
    return torch_file(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 63) + b"abc.")


@TABLE.add(error=("LimitError", "an integer of 2147483647 bytes"))
def an_integer_of_two_gigabytes() -> bytes:
    return torch_file(pickled(b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01"))


@TABLE.add(error=("TruncatedError", "a frame of 4611686018427387904 bytes reaches past the end"))
def a_frame_of_many_exabytes() -> bytes:
    return torch_file(b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}.")


@TABLE.add(error=("LimitError", "a line of more than 4096 bytes"))
def two_million_decimal_digits() -> bytes:
    return torch_file(pickled(b"L" + b"9" * 2_000_000 + b"L\n"))


@TABLE.add(error=("LimitError", "more than 2000 marks are open"))
def lists_nested_by_marks() -> bytes:
    return torch_file(pickled(b"](" * 100_000 + b"e" * 100_000))


@TABLE.add(error=("LimitError", "nested deeper than 2000"))
def lists_nested_by_append() -> bytes:
    return torch_file(pickled(b"]" * 100_000 + b"a" * 99_999))


@TABLE.add(error=("LimitError", "nested deeper than 2000"))
def tuples_nested_a_million_deep() -> bytes:
    return torch_file(pickled(b")" + b"\x85" * 1_000_000))


@TABLE.add(error=("LimitError", "marks are open"))
def three_million_marks() -> bytes:
    return torch_file(pickled(b"(" * 3_000_000))


@TABLE.add(**INERT)
def a_list_that_holds_itself() -> bytes:
    return torch_file(pickled(b"]q\x00h\x00a"))


@TABLE.add(**INERT)
def sixty_four_doublings() -> bytes:
    return torch_file(pickled(b"]q\x00" + b"0](h\x00h\x00eq\x00" * 64))


@TABLE.add(weights=PLAIN)
def a_state_dict_beside_sixty_four_doublings() -> bytes:
    doubled = b"]q\x00" + b"0](h\x00h\x00eq\x00" * 64
    return torch_file(pickled(dict_of(("state_dict", dict_of(("weight", tensor()))), ("config", doubled))))


@TABLE.add(error=("LimitError", "modules nested deeper"), scan="unknown")
def a_module_within_itself() -> bytes:
    own = module(("_modules", dict_of(("again", b"h\x00"))))
    return torch_file(pickled(own.replace(b")\x81", b")\x81q\x00", 1)))


@TABLE.add(error=("LimitError", "modules"), scan="unknown")
def modules_that_double_forty_times() -> bytes:
    made = module(("_parameters", dict_of(("weight", tensor()))))
    for _ in range(40):
        made += b"q\x000" + module(("_modules", dict_of(("a", b"h\x00"), ("b", b"h\x00"))))
    return torch_file(pickled(made))


@TABLE.add(weights=PLAIN)
def sixty_thousand_members() -> bytes:
    return torch_file(BENIGN, FOUR_FLOATS, *(Entry(f"archive/x/{i}") for i in range(60_000)))


@TABLE.add(error=("LimitError", "raise Limits.memory_bytes"))
def a_million_tensors_of_one_storage() -> bytes:
    start = b"\x80\x02("
    body = named("torch._utils", "_rebuild_tensor_v2") + b"q\x010" + storage() + b"q\x020"
    again = b"h\x01(h\x02K\x00))\x89NtR"
    return deflated_pickle((start + body, 1), (again * 1000, 600), (b"t.", 1))


@TABLE.add(error=("LimitError", "archives nested deeper than 4"))
def a_blob_of_blobs() -> bytes:
    loader, encode = named("torch.storage", "_load_from_bytes"), named("_codecs", "encode")
    inner = BENIGN
    for _ in range(8):
        inner = torch_file(pickled(call(loader, call(encode, text(inner.decode("latin1")), text("latin1")))))
    return inner


@TABLE.add(suffix=".tar", error=("TruncatedError", ""))
def a_tar_that_claims_a_terabyte() -> bytes:
    header = bytearray(512)
    header[:8] = b"storages"
    header[100:108], header[124:136] = b"0000644\0", b"77777777777\0"
    header[257:265] = b"ustar\00000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


@TABLE.add(suffix=".npy", error=("ContainerError", "16 bytes of elements; expected 1099511627776"))
def an_array_that_claims_a_terabyte() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (274877906944,), }".ljust(118) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(16)


@TABLE.add(suffix=".npz", writing=("LimitError", "raise Limits.materialised_bytes"))
def an_array_that_inflates_to_a_gigabyte() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (268435456,), }".ljust(118) + b"\n"
    start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    packed = deflate([(start, 1), (bytes(MIB), 1024)])
    return zip_of([Entry("a.npy", deflated=packed, nbytes=len(start) + (1 << 30))])


@TABLE.add(error=("PickleError", ""))
def a_gzip_of_a_codec_call() -> bytes:
    packed = zlib.compress(bytes(MIB)).decode("latin1")
    made = call(named("_codecs", "encode"), text(packed), integer(1))
    return torch_file(pickled(made + b"R"))


@TABLE.add(suffix=".zip", error=("LimitError", "raise Limits.opcodes"))
def fourteen_pickles_of_four_million_opcodes() -> bytes:
    nbytes = 3 + 4_000_000
    packed = deflate([(b"\x80\x02", 1), (b"N0" * 1_000_000, 2), (b"N.", 1)])
    return zip_of([Entry(f"m{i}.bin", deflated=packed, nbytes=nbytes + 1, crc=0) for i in range(14)])


def program(*code: tuple[bytes, int]) -> bytes:
    """A TorchScript archive with one class of the code that is told."""
    nbytes = sum(len(piece) * count for piece, count in code)
    made = Entry("archive/code/__torch__.py", deflated=deflate(list(code)), nbytes=nbytes, crc=0)
    instance = named("__torch__", "M") + b")\x81}b"
    return torch_file(pickled(instance), None, Entry("archive/constants.pkl", b"\x80\x02)."), made)


@TABLE.add(error=("LimitError", "raise Limits.inflated_bytes"))
def a_program_of_three_hundred_megabytes_of_blanks() -> bytes:
    return program((b"class M(Module):\n", 1), (b" \n" * (MIB // 2), 300))


@TABLE.add(weights={}, extract=("NoStateDictError", "no state dict"), scan="unreadable")
def a_program_of_a_million_operators() -> bytes:
    return program((b"class M(Module):\n", 1), (b"ops.x." * 100_000, 13))


@TABLE.add(error=("LimitError", "classes and attributes in the code"), scan="clean")
def a_program_of_a_million_attributes() -> bytes:
    return program((b"class M(Module):\n  __parameters__ = [", 1), (b"a," * 100_000, 10), (b"]\n", 1))


@TABLE.add(suffix=".gz", error=("UnsupportedError", "gzip-compressed data"))
def gzip_in_gzip_before_sixty_megabytes_each() -> bytes:
    made = gzip.compress(b"\x80\x02N." + bytes(60 * MIB), 1)
    for _ in range(4):
        made = gzip.compress(made, 1) + bytes(60 * MIB)
    return made[: -60 * MIB]


@TABLE.add(suffix=".bz2", error=("UnsupportedError", "bzip2-compressed data"))
def thirty_megabytes_in_bzip2() -> bytes:
    return bz2.compress(b"\x80\x02N." + bytes(30 * MIB), 1)


@TABLE.add(suffix=".pkl", error=("LimitError", "raise Limits.globals"))
def seven_hundred_thousand_names() -> bytes:
    return b"\x80\x02" + b"".join(b"cm%d\nf\n)R0" % number for number in range(700_000)) + b"N."


@TABLE.add(**INERT, suffix=".pkl", code=3)
def three_hundred_thousand_dangerous_calls() -> bytes:
    calls = [b"h\0J%s\x85R0" % struct.pack("<I", number) for number in range(300_000)]
    return b"\x80\x02cposix\nsystem\nq\0" + b"".join(calls) + b"N."


@TABLE.add(suffix=".pkl", error=("LimitError", "raise Limits."))
def one_blob_loaded_seven_thousand_times() -> bytes:
    blob = b"\x80\x02" + b"N0" * 30_000 + b"N."
    loader = b"\x80\x04ctorch.storage\n_load_from_bytes\nq\0B" + struct.pack("<I", len(blob)) + blob + b"q\1"
    return loader + b"h\0h\1\x85R0" * 7_000 + b"N."


@TABLE.add(error=("ContainerError", "byteorder of 419430400 bytes"), scan="unreadable")
def a_byte_order_of_four_hundred_megabytes() -> bytes:
    order = Entry("archive/byteorder", deflated=deflate([(b" " * MIB, 400)]), nbytes=400 * MIB, crc=0)
    return zip_of([Entry("archive/data.pkl", b"\x80\x02}."), order, Entry("archive/version", b"3\n")])


@TABLE.add(suffix=".zip", error=("LimitError", "raise Limits.globals"), scan="dangerous")
def a_payload_behind_ten_thousand_names() -> bytes:
    names = b"\x80\x02" + b"".join(b"cm%d\nf\n0" % number for number in range(10_001)) + b"N."
    return zip_of([Entry("a.pkl", names), Entry("b.pkl", pickled(payload()))])


@TABLE.add(suffix=".zip", error=("LimitError", "raise Limits.opcodes"), scan="dangerous")
def a_payload_behind_four_million_opcodes() -> bytes:
    packed = deflate([(b"\x80\x02", 1), (b"N0" * 1_000_000, 2), (b"N.", 1)])
    return zip_of([Entry("a.pkl", deflated=packed, nbytes=4_000_004, crc=0), Entry("b.pkl", pickled(payload()))])


@TABLE.add(suffix=".zip", error=("UnknownFormatError", "none a checkpoint"), scan="unreadable")
def a_payload_behind_streams_that_inflate() -> bytes:
    filled = gzip.compress(b"\x80\x02N." + bytes(63 * MIB), 1)
    last = gzip.compress(b"\x80\x02N." + bytes(MIB) + pickled(payload()), 1)
    return zip_of([Entry("a.gz", filled), Entry("b.gz", filled), Entry("c.gz", last)])
