"""Files that run code in whoever unpickles them."""

from __future__ import annotations

import io
import struct
import tarfile

from bad_files import (
    COMMAND,
    MARKER,
    NOTHING,
    PLAIN,
    Entry,
    Table,
    payload,
    torch_file,
    torch_members,
    with_payload,
    zip_of,
)
from builders import BENIGN, FOUR_FLOATS, call, dict_of, integer, named, pickled, tensor, text, torch_legacy, tuple_of

TABLE = Table()
DANGEROUS = {"weights": NOTHING, "code": 3, "extract": ("NoStateDictError", "no state dict")}
UNKNOWN = DANGEROUS | {"code": 0}
_LINE = COMMAND.encode()


@TABLE.add(**DANGEROUS)
def a_call_of_system() -> bytes:
    return torch_file(with_payload())


@TABLE.add(**DANGEROUS)
def the_inst_opcode() -> bytes:
    return torch_file(b"(S'" + _LINE + b"'\niposix\nsystem\n.")


@TABLE.add(**DANGEROUS)
def the_obj_opcode() -> bytes:
    return torch_file(b"(cposix\nsystem\nS'" + _LINE + b"'\no.")


@TABLE.add(**DANGEROUS)
def newobj_of_popen() -> bytes:
    words = tuple_of(tuple_of(*(text(word) for word in COMMAND.split())))
    return torch_file(pickled(named("subprocess", "Popen") + words + b"\x81"))


@TABLE.add(**DANGEROUS)
def newobj_ex_of_popen() -> bytes:
    return torch_file(b"\x80\x04" + named("subprocess", "Popen") + tuple_of(text("sh")) + b"}\x92.")


@TABLE.add(**DANGEROUS)
def eval_by_its_old_name() -> bytes:
    return torch_file(pickled(call(named("__builtin__", "eval"), text(f"__import__('os').system('{COMMAND}')"))))


@TABLE.add(**DANGEROUS)
def a_chain_of_getattr() -> bytes:
    module = call(named("builtins", "__import__"), text("os"))
    found = named("builtins", "getattr") + tuple_of(module, text("system")) + b"R"
    return torch_file(pickled(found + tuple_of(text(COMMAND)) + b"R"))


@TABLE.add(**DANGEROUS)
def a_dotted_name_in_a_trusted_package() -> bytes:
    name = text("numpy.f2py") + text("os.system") + b"\x93"
    return torch_file(b"\x80\x04" + name + text(COMMAND) + b"\x85R.")


@TABLE.add(**DANGEROUS)
def the_extension_opcode() -> bytes:
    register = call(named("copyreg", "add_extension"), text("posix"), text("system"), integer(77))
    return torch_file(pickled(register + b"0\x82\x4d" + tuple_of(text(COMMAND)) + b"R"))


@TABLE.add(**UNKNOWN, scan="dangerous")
def a_pickle_in_a_blob_of_torch() -> bytes:
    inner = call(named("_codecs", "encode"), text(with_payload().decode("latin1")), text("latin1"))
    return torch_file(pickled(call(named("torch.storage", "_load_from_bytes"), inner)))


@TABLE.add(**DANGEROUS)
def a_pickle_for_pickle_loads() -> bytes:
    inner = call(named("_codecs", "encode"), text(pickled(payload()).decode("latin1")), text("latin1"))
    return torch_file(pickled(call(named("_pickle", "loads"), inner)))


@TABLE.add(**UNKNOWN, scan="unknown")
def a_function_that_nobody_knows() -> bytes:
    return torch_file(pickled(dict_of(("weight", tensor()), ("x", payload("an_unlisted_package.sub", "run")))))


@TABLE.add(**DANGEROUS)
def an_import_without_a_call() -> bytes:
    return torch_file(pickled(dict_of(("weight", tensor()), ("x", named("antigravity", "geohash")))))


@TABLE.add(suffix=".pkl", error=("PickleError", "byte 0xff is no pickle opcode"), scan="dangerous")
def a_payload_before_nonsense() -> bytes:
    return b"\x80\x02" + payload() + b"\xff\xfe no pickle"


@TABLE.add(error=("PickleError", "byte 0xff is no pickle opcode"), scan="dangerous")
def a_payload_before_nonsense_in_a_zip() -> bytes:
    return torch_file(b"\x80\x02" + payload() + b"\xff\xfe no pickle")


@TABLE.add(weights=PLAIN, scan="dangerous")
def a_pickle_after_stop() -> bytes:
    return torch_file(BENIGN + pickled(payload()))


@TABLE.add(weights=PLAIN, scan="dangerous")
def a_pickle_called_notes_txt() -> bytes:
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/notes.txt", pickled(payload())))


@TABLE.add(weights=PLAIN, scan="dangerous")
def a_second_pickle_beside_data_pkl() -> bytes:
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/attributes.pkl", pickled(payload())))


@TABLE.add(error=("ChecksumError", "; expected 12345678"), scan="dangerous")
def a_pickle_with_a_wrong_checksum() -> bytes:
    members = torch_members(with_payload())
    return zip_of([Entry(members[0].name, members[0].data, crc=0x12345678), *members[1:]])


@TABLE.add(suffix=".safetensors", **DANGEROUS)
def a_pickle_under_a_safe_name() -> bytes:
    return torch_file(with_payload())


@TABLE.add(**DANGEROUS)
def a_legacy_file_with_a_wrong_magic() -> bytes:
    whole = torch_legacy(with_payload())
    return whole.replace(integer(0x1950A86A20F9469CFC6C), integer(0x1234), 1)


@TABLE.add(**DANGEROUS)
def a_legacy_file() -> bytes:
    return torch_legacy(with_payload())


@TABLE.add(**DANGEROUS)
def a_payload_before_the_legacy_magic() -> bytes:
    return pickled(payload()) + torch_legacy()


@TABLE.add(suffix=".tar", **DANGEROUS)
def the_tar_of_old_torch() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in {
            "sys_info": pickled(b"}"), "storages": b"\x80\x02" + payload() + b"0K\x00.",
            "tensors": pickled(b"K\x00"), "pickle": pickled(b"}"),
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@TABLE.add(suffix=".pkl", **DANGEROUS)
def the_namespace_of_main() -> bytes:
    return pickled(named("__main__", "__dict__"))


@TABLE.add(**DANGEROUS)
def a_payload_in_the_state_of_an_object() -> bytes:
    return torch_file(pickled(named("types", "SimpleNamespace") + b")\x81" + dict_of(("x", payload())) + b"b"))


@TABLE.add(**DANGEROUS)
def a_payload_as_a_key() -> bytes:
    return torch_file(pickled(dict_of(("weight", tensor()))[:-1] + payload() + b"Nu"))


@TABLE.add(**DANGEROUS)
def a_payload_in_a_persistent_id() -> bytes:
    where = tuple_of(text("storage"), named("torch", "FloatStorage"), text("0"), text("cpu"), integer(4), payload())
    return torch_file(pickled(dict_of(("w", tensor(where=where + b"Q")), ("x", named("os", "popen")))))


@TABLE.add(suffix="", **DANGEROUS)
def metadata_of_a_distributed_checkpoint() -> dict[str, bytes]:
    return {"dcp/.metadata": pickled(payload()), "dcp/__0_0.distcp": b""}


@TABLE.add(suffix=".npy", error=("UnsupportedError", "object"), scan="dangerous")
def a_numpy_array_of_objects() -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + pickled(payload())


@TABLE.add(error=("UnsupportedError", "7z"))
def a_seven_zip_archive() -> bytes:
    return b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24) + pickled(payload())


_LOADER = named("torch.storage", "_load_from_bytes")


def _blob() -> bytes:
    data = payload() + b"."  # without the mark of a protocol, which would be found anywhere
    return b"B" + struct.pack("<I", len(data)) + data


def beside(pickle: bytes) -> bytes:
    """A state dict, and another pickle in a member of its own."""
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/extra.pkl", b"\x80\x03" + pickle + b"."))


@TABLE.add(weights=PLAIN, scan="dangerous")
def the_loader_called_through_another() -> bytes:
    through = named("torch._tensor", "_rebuild_from_type_v2")
    return beside(through + b"(" + _LOADER + named("torch", "Tensor") + _blob() + b"\x85}tR")


@TABLE.add(weights=PLAIN, scan="dangerous")
def the_loader_called_through_two_others() -> bytes:
    through, tensor_class = named("torch._tensor", "_rebuild_from_type_v2"), named("torch", "Tensor")
    inner = b"(" + _LOADER + tensor_class + _blob() + b"\x85}t"
    return beside(through + b"(" + through + tensor_class + inner + b"}tR")


@TABLE.add(weights=PLAIN, scan="unknown")
def the_loader_as_an_attribute_called_append() -> bytes:
    return beside(named("argparse", "Namespace") + b")\x81}" + text("append") + _LOADER + b"sb" + _blob() + b"a")


@TABLE.add(weights=PLAIN, scan="unknown")
def the_loader_as_an_attribute_called_setstate() -> bytes:
    return beside(named("argparse", "Namespace") + b")\x81}" + text("__setstate__") + _LOADER + b"sb" + _blob() + b"b")


@TABLE.add(weights=PLAIN, scan="dangerous")
def the_loader_called_by_the_obj_opcode() -> bytes:
    return beside(b"(" + _LOADER + _blob() + b"o")


@TABLE.add(weights=PLAIN, scan="unreadable")
def a_pickle_of_text_that_breaks_off() -> bytes:
    data = b"ccodecs\nopen\n(S'" + MARKER.encode() + b"'\nS'w'\ntR\xff"
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/extra.bin", data))


@TABLE.add(weights=PLAIN, scan="unknown")
def a_name_of_torchscript_in_another_pickle() -> bytes:
    return beside(named("__torch__.a", "f") + b")R")


@TABLE.add(weights=PLAIN, scan="unknown")
def bytes_that_change_after_they_were_looked_at() -> bytes:
    harmless = b"\x80\x02N."
    made = named("builtins", "bytearray") + b"C" + bytes((len(harmless),)) + harmless + b"\x85R"
    return beside(made + b"(K\x02K\x63u" + b"0N")
