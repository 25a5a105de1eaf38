"""Pickles changed opcode by opcode, by a table of their own: inserted, deleted, replaced, doubled, other arguments."""

from __future__ import annotations

import random
import struct
from functools import lru_cache

from . import raw

# argument -> opcodes that take it: bytes of a fixed number, a length of so many bytes before them, lines
_FIXED = {0: b"(012N\x88\x89\x97\x98)t\x85\x86\x87]lae}dsu\x8f\x90\x91\x94\x93Rbo\x81\x92Q.", 1: b"Kqh\x82\x80",
          2: b"M\x83", 4: b"Jrj\x84", 8: b"G\x95"}  # fmt: skip
_COUNTED = {1: b"\x8aU\x8cC", 4: b"\x8bTXB", 8: b"\x8d\x8e\x96"}
_LINES = {1: b"ILFSVpgP", 2: b"ci"}
FIXED = {code: width for width, codes in _FIXED.items() for code in codes}
COUNTED = {code: width for width, codes in _COUNTED.items() for code in codes}
LINES = {code: count for count, codes in _LINES.items() for code in codes}
EVERY = bytes((*FIXED, *COUNTED, *LINES))

_NAMES = [
    b"torch._utils\n_rebuild_tensor_v2\n", b"torch._utils\n_rebuild_tensor\n", b"torch._utils\n_rebuild_tensor_v3\n",
    b"torch._utils\n_rebuild_parameter\n", b"torch._utils\n_rebuild_parameter_with_state\n",
    b"torch._utils\n_rebuild_qtensor\n", b"torch._utils\n_rebuild_sparse_tensor\n", b"torch\nSize\n",
    b"torch._utils\n_rebuild_sparse_csr_tensor\n", b"torch._utils\n_rebuild_nested_tensor\n",
    b"torch._utils\n_rebuild_meta_tensor_no_storage\n", b"torch._utils\n_rebuild_wrapper_subclass\n",
    b"torch._utils\n_rebuild_device_tensor_from_numpy\n", b"torch._tensor\n_rebuild_from_type_v2\n",
    b"torch.nested._internal.nested_tensor\n_rebuild_njt\n", b"torch.nn.parameter\nParameter\n",
    b"torch.storage\n_load_from_bytes\n", b"torch.jit._pickle\nrestore_type_tag\n", b"torch\nFloatStorage\n",
    b"torch.jit._pickle\nbuild_intlist\n", b"torch.jit._pickle\nbuild_tensor_from_id\n", b"torch\nfloat32\n",
    b"torch\nper_channel_affine\n", b"torch\nsparse_coo\n", b"torch.serialization\n_get_layout\n", b"torch\ndevice\n",
    b"numpy.core.multiarray\n_reconstruct\n", b"numpy.core.multiarray\nscalar\n", b"numpy\nndarray\n", b"numpy\ndtype\n",
    b"numpy._core.numeric\n_frombuffer\n", b"collections\nOrderedDict\n", b"collections\ndefaultdict\n",
    b"collections\nCounter\n", b"copyreg\n_reconstructor\n", b"copyreg\n__newobj__\n", b"_codecs\nencode\n",
    b"argparse\nNamespace\n", b"builtins\nset\n", b"builtins\nfrozenset\n", b"builtins\ndict\n", b"builtins\nlist\n",
    b"builtins\ntuple\n", b"builtins\ncomplex\n", b"builtins\nbytes\n", b"__builtin__\nbytearray\n",
    b"builtins\nobject\n", b"posix\nsystem\n", b"builtins\neval\n", b"builtins\n__import__\n", b"torch.nn.modules.linear\nLinear\n",
    b"torch.nn.modules.container\nSequential\n", b"torch.nn.quantized.modules.linear\nLinear\n", b"my.module\nThing\n",
]  # fmt: skip
_TEXTS = ["storage", "module", "cpu", "0", "_parameters", "_buffers", "_modules", "weight", "training", "state",
          "param_groups", "params", "exp_avg", "_metadata", "version", "a.b", "", "latin1", "<f4", "state_dict",
          "_non_persistent_buffers_set", "_state_dict_hooks", "_extra_state", "persistent", "<", "O", "\ud800"]  # fmt: skip

Ops = list[tuple[int, bytes]]


@lru_cache(maxsize=4096)  # the same few thousand files are changed again and again
def ops_of(data: bytes) -> tuple[Ops, bytes] | None:
    """(opcodes with their arguments, what follows STOP), or None where the bytes are no pickle. Not to be changed."""
    ops: Ops = []
    at, size = 0, len(data)
    while at < size:
        code = data[at]
        at += 1
        if code in FIXED:
            end = at + FIXED[code]
        elif code in COUNTED:
            width = COUNTED[code]
            end = at + width + int.from_bytes(data[at : at + width], "little")
        elif code in LINES:
            end = at
            for _ in range(LINES[code]):
                end = data.find(b"\n", end) + 1
                if not end:
                    return None
        else:
            return None
        if end > size:
            return None
        ops.append((code, data[at:end]))
        at = end
        if code == 0x2E:
            return ops, data[at:]
    return ops, b""


def assembled(ops: Ops, rest: bytes = b"") -> bytes:
    """The bytes of opcodes."""
    return b"".join([bytes((code,)) + argument for code, argument in ops]) + rest


def changed(data: bytes, rng: random.Random, others: tuple[Ops, ...] = ()) -> bytes:
    """One to five changes of opcodes; runs of `others` are put in, too. Of what is no pickle, changed bytes."""
    found = ops_of(data)
    if found is None or rng.randrange(12) == 0:
        return raw.changed(data, rng)
    ops, rest = found[0].copy(), found[1]
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        _change(ops, rng, others)
    return assembled(ops, rest)


def _change(ops: Ops, rng: random.Random, others: tuple[Ops, ...]) -> None:
    at = rng.randrange(len(ops) + 1) if ops else 0
    how = rng.randrange(10)
    if how == 0:
        del ops[at : at + rng.choice((1, 1, 2, 5))]
    elif how == 1:
        ops.insert(at, any_op(rng))
    elif how == 2 and at < len(ops):
        ops[at] = any_op(rng)
    elif how == 3:
        begin = rng.randrange(len(ops) + 1)
        ops[at:at] = ops[begin : begin + rng.choice((1, 2, 4, 12))] * rng.choice((1, 1, 1, 2, 30))
    elif how == 4 and others:
        other = rng.choice(others)
        begin = rng.randrange(len(other) + 1)
        ops[at:at] = other[begin : begin + rng.choice((1, 3, 10, 40))]
    elif how == 5 and at < len(ops):
        other_at = rng.randrange(len(ops))
        ops[at], ops[other_at] = ops[other_at], ops[at]
    elif how == 6 and at < len(ops):
        if ops[at][0] in FIXED:
            ops[at] = (rng.choice(_FIXED[FIXED[ops[at][0]]]), ops[at][1])
    elif ops:
        for _ in range(8):
            place = rng.randrange(len(ops))
            if ops[place][1]:
                ops[place] = _other_argument(ops[place], rng)
                break
    if len(ops) > 4000:
        del ops[4000:]


def _other_argument(op: tuple[int, bytes], rng: random.Random) -> tuple[int, bytes]:
    code, argument = op
    if code in FIXED:
        width = len(argument)
        order = "big" if code == 0x47 else "little"
        return code, raw.number(rng, int.from_bytes(argument, order), 8 * width).to_bytes(width, order)
    if code in COUNTED:
        width = COUNTED[code]
        if rng.randrange(6) == 0:  # a length that lies
            length = raw.number(rng, len(argument) - width, 8 * width)
            return code, length.to_bytes(width, "little") + argument[width:]
        return counted(code, _other_bytes(code, argument[width:], rng))
    if code in b"ci":
        return code, rng.choice(_NAMES) if rng.randrange(3) else raw.changed(argument, rng).rstrip(b"\n") + b"\n"
    line = raw.changed(argument[:-1], rng) if rng.randrange(2) else str(rng.choice((0, 1, -1, 2**31, 2**64))).encode()
    return code, line.replace(b"\n", b"") + b"\n"


def _other_bytes(code: int, data: bytes, rng: random.Random) -> bytes:
    if code in b"\x8a\x8b":
        value = raw.number(rng, abs(int.from_bytes(data, "little", signed=True)), rng.choice((8, 16, 33, 63, 64, 70)))
        return (value * rng.choice((1, 1, 1, -1))).to_bytes(10, "little", signed=True)
    if code in b"CB\x8e\x96":
        return raw.changed(data, rng)
    if rng.randrange(2):
        return rng.choice(_TEXTS).encode("utf-8", "surrogatepass")
    return raw.text(rng, data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")


def counted(code: int, data: bytes) -> tuple[int, bytes]:
    """An opcode with its length, cut to what that can say."""
    width = COUNTED[code]
    data = data[: (1 << 8 * width) - 1] if width == 1 else data
    return code, len(data).to_bytes(width, "little") + data


def any_op(rng: random.Random) -> tuple[int, bytes]:
    """Any opcode, those that build and call oftener, with an argument that has the right form."""
    how = rng.randrange(6)
    if how == 0:
        return 0x63, rng.choice(_NAMES)
    if how == 1:
        return counted(rng.choice(b"X\x8c"), rng.choice(_TEXTS).encode("utf-8", "surrogatepass"))
    if how == 2:
        return rng.choice(b"RbRbo\x81\x92Qsuaet\x85\x86\x87(0\x90\x91"), b""
    code = rng.choice(EVERY)
    if code in FIXED:
        width = FIXED[code]
        return code, struct.pack("<Q", rng.choice((0, 1, 2, 3, 5, rng.getrandbits(64))))[:width]
    if code in COUNTED:
        return counted(code, rng.randbytes(rng.choice((0, 1, 2, 8))))
    return code, rng.choice(_NAMES) if code in b"ci" else rng.choice(
        (b"0\n", b"1\n", b"00\n", b"01\n", b"'a'\n", b"1L\n")
    )
