"""Pickles and tensors that contradict themselves."""

from __future__ import annotations

from bad_files import NOTHING, PLAIN, Table, torch_file
from builders import (
    FOUR_FLOATS,
    call,
    dict_of,
    integer,
    named,
    pickled,
    storage,
    tensor,
    text,
    torch_legacy,
    tuple_of,
)

TABLE = Table()


def one(**geometry: object) -> bytes:
    return torch_file(pickled(dict_of(("w", tensor(**geometry)))))  # type: ignore[arg-type]


@TABLE.add(error=("TruncatedError", "storage '0'"))
def a_legacy_file_that_is_cut_off() -> bytes:
    return torch_legacy()[:-9]


@TABLE.add(late=("TruncatedError", "'w': storage '0' has 16 bytes; expected the 4000 that the file claims"))
def a_storage_that_is_too_short() -> bytes:
    return one(shape=(1000,), where=storage(numel=1000))


@TABLE.add(late=("TensorError", "'w': shape [4] at byte 4000000 reaches to byte 4000016"))
def an_offset_outside_the_storage() -> bytes:
    return one(offset=10**6)


@TABLE.add(error=("TensorError", "storage offset 18446744073709551612; expected an integer of 64 bits"))
def an_offset_that_wraps_around() -> bytes:
    return one(offset=2**64 - 4)


@TABLE.add(error=("TensorError", "expected integers of 64 bits"))
def a_stride_that_wraps_around() -> bytes:
    return one(shape=(2, 2), stride=(2**63, 2**63))


@TABLE.add(late=("TensorError", "'w': shape [-4]; expected sizes of 0 or more"))
def a_negative_size() -> bytes:
    return one(shape=(-4,))


@TABLE.add(late=("TensorError", "offset -8"))
def a_negative_offset() -> bytes:
    return one(offset=-8)


@TABLE.add(late=("TensorError", "strides [-1]"))
def a_negative_stride() -> bytes:
    return one(stride=(-1,))


@TABLE.add(late=("TensorError", "18446744073709551616 elements"))
def more_elements_than_any_tensor_has() -> bytes:
    return one(shape=(2**32, 2**32), stride=(0, 0))


@TABLE.add(error=("TensorError", "expected an integer of 64 bits"))
def an_empty_tensor_of_impossible_size() -> bytes:
    return one(shape=(2**62, 2**62, 0), stride=(0, 0, 0), offset=2**70)


@TABLE.add(late=("TensorError", "2 sizes and 1 strides"))
def sizes_without_strides() -> bytes:
    return one(shape=(2, 2))


@TABLE.add(late=("TruncatedError", "storage '0' is missing"))
def a_storage_that_is_missing() -> bytes:
    return torch_file(data=None)


@TABLE.add(error=("PickleError", "persistent id"))
def a_negative_number_of_elements() -> bytes:
    return one(where=storage(numel=-1))


@TABLE.add(error=("PickleError", "the 16 claimed before"))
def a_storage_of_two_sizes() -> bytes:
    return torch_file(pickled(dict_of(("a", tensor()), ("b", tensor(where=storage(numel=400))))))


@TABLE.add(error=("PickleError", "storage class"))
def a_storage_of_an_unknown_type() -> bytes:
    return one(where=storage(kind="FloopStorage"))


@TABLE.add(error=("PickleError", "too little on the stack or in the memo"))
def a_memo_that_was_never_set() -> bytes:
    return torch_file(pickled(b"h\x07"))


@TABLE.add(error=("PickleError", "too little on the stack or in the memo"))
def a_call_on_an_empty_stack() -> bytes:
    return torch_file(pickled(b"R"))


@TABLE.add(error=("PickleError", "a key that cannot be hashed"))
def a_list_as_a_key() -> bytes:
    return torch_file(pickled(b"}]K\x01s"))


@TABLE.add(error=("PickleError", "BUILD on a int"))
def a_state_for_a_number() -> bytes:
    return torch_file(pickled(b"K\x01}b"))


@TABLE.add(error=("PickleError", "STOP inside an open MARK"))
def a_mark_that_stays_open() -> bytes:
    return torch_file(pickled(b"(K\x01"))


@TABLE.add(error=("PickleError", "pickle protocol 99; expected 0 to 5"))
def a_protocol_of_the_future() -> bytes:
    return torch_file(b"\x80\x63}.")


@TABLE.add(error=("PickleError", "NEXT_BUFFER"))
def a_buffer_outside_the_pickle() -> bytes:
    return torch_file(b"\x80\x05\x97.")


@TABLE.add(error=("PickleError", "STACK_GLOBAL without two strings"), scan="dangerous")
def a_global_of_numbers() -> bytes:
    return torch_file(b"\x80\x04K\x01K\x02\x93.")


@TABLE.add(error=("PickleError", "not utf-8"))
def a_text_that_is_none() -> bytes:
    return torch_file(pickled(b"X\x02\0\0\0\xff\xfe"))


@TABLE.add(error=("TruncatedError", "without STOP"))
def a_pickle_without_an_end() -> bytes:
    return torch_file(b"\x80\x02}")


@TABLE.add(error=("PickleError", "cannot take the arguments"))
def a_rebuild_with_too_few_arguments() -> bytes:
    return torch_file(pickled(call(named("torch._utils", "_rebuild_tensor_v2"), integer(1))))


@TABLE.add(error=("TensorError", "a device tensor of None"))
def a_device_tensor_of_nothing() -> bytes:
    return torch_file(
        pickled(call(named("torch._utils", "_rebuild_device_tensor_from_numpy"), b"N", b"N", b"N", b"\x89"))
    )


@TABLE.add(weights=NOTHING, extract=("NoStateDictError", "no state dict"))
def a_codec_that_is_no_text_encoding() -> bytes:
    return torch_file(pickled(call(named("_codecs", "encode"), text("A" * 1000), text("zlib_codec"))))


@TABLE.add(error=("SourceError", "the file is empty"))
def nothing_at_all() -> bytes:
    return b""


@TABLE.add(error=("UnknownFormatError", "no known kind of file"))
def bytes_in_a_row() -> bytes:
    return bytes(range(256)) * 4


@TABLE.add(error=("UnknownFormatError", "a Git LFS pointer"))
def a_pointer_of_git_lfs() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n"


@TABLE.add(error=("UnknownFormatError", "HTML"))
def a_web_page() -> bytes:
    return b"<!DOCTYPE html><html><body>Not found</body></html>"


@TABLE.add(error=("TensorError", "is registered as a parameter"), scan="unknown")
def a_module_whose_parameter_is_text() -> bytes:
    return torch_file(pickled(module(("_parameters", dict_of(("weight", text("nothing")))))))


@TABLE.add(weights=PLAIN, scan="unknown")
def a_module_whose_class_is_gone() -> bytes:
    return torch_file(pickled(module(("_parameters", dict_of(("weight", tensor()))))))


def module(*attributes: tuple[str, bytes]) -> bytes:
    """A pickled module of a class that does not exist."""
    given = {"training": b"\x88", "_parameters": b"}", "_buffers": b"}", "_modules": b"}", **dict(attributes)}
    return named("gone_package.models", "Net") + b")\x81" + dict_of(*given.items()) + b"b"


@TABLE.add(weights={"t": FOUR_FLOATS[:4] + FOUR_FLOATS[8:12] + FOUR_FLOATS[4:8] + FOUR_FLOATS[12:],
                    "o": FOUR_FLOATS[4:8] + FOUR_FLOATS[12:]})  # fmt: skip
def views_with_strides() -> bytes:
    pairs = ("t", tensor(shape=(2, 2), stride=(1, 2))), ("o", tensor(offset=1, shape=(2,), stride=(2,)))
    return torch_file(pickled(dict_of(*pairs)))


@TABLE.add(weights={"s": FOUR_FLOATS[:4], "z": b""})
def a_scalar_and_an_empty_tensor() -> bytes:
    return torch_file(pickled(dict_of(("s", tensor((), ())), ("z", tensor((0, 5), (5, 1))))))


@TABLE.add(error=("PickleError", "persistent id"))
def a_persistent_id_that_is_no_storage() -> bytes:
    return torch_file(pickled(tuple_of(text("evil"), text("x")) + b"Q"))
