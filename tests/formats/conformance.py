"""What every format has to do, as one class of tests; a format supplies how its files are written.

A subclass has `write`, and where torch itself is not the reader, `truth`.
"""

from __future__ import annotations

import os
import random
from abc import ABC, abstractmethod
from contextlib import suppress

import pytest
import safetensors
import torch

import weightlift
from weightlift.formats import open_source
from weightlift.sources import LocalFile, Memory

from strategies import DTYPES, element_bytes, name_of, random_storage, view_of


class Counted(LocalFile):
    """A file that counts the bytes that are read of it."""

    __slots__ = ("nbytes_read",)

    def __init__(self, path):
        super().__init__(path)
        self.nbytes_read = 0

    def _read(self, offset, nbytes):
        self.nbytes_read += nbytes
        return super()._read(offset, nbytes)


def module_of(tensors):
    """A module whose state dict is these tensors: real ones are parameters, the others buffers."""
    root = torch.nn.Module()
    for key, tensor in tensors.items():
        *path, name = key.split(".")
        module = root
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        if tensor.dtype in (torch.float32, torch.float16):
            module.register_parameter(name, torch.nn.Parameter(tensor))
        else:
            module.register_buffer(name, tensor)
    return root


def cuts(nbytes):
    """Lengths to truncate a file to: all short ones, some in between, all near the end."""
    between = range(1, nbytes, max(1, nbytes // 60))
    return sorted({*range(1, min(nbytes, 80)), *between, *range(max(1, nbytes - 60), nbytes)})


class Conformance(ABC):
    """The tests of one format. `name` is what it is called, `dtypes` what it can hold."""

    name: str
    dtypes: list[torch.dtype] = DTYPES
    keeps_views = True  # strides and shared storages
    most_read = 1 << 20  # bytes that opening a file of one 4 MiB tensor may read

    @abstractmethod
    def write(self, path, tensors):
        """Write the tensors to `path`."""

    def truth(self, path):
        """Return the tensors as the format's own library reads them."""
        return torch.load(path, weights_only=False)

    def needed(self, data):
        """How many bytes of a file matter."""
        return len(data)

    def tensors(self):
        """Tensors of every type, shape and order that the format can hold."""
        made = {}
        for seed, dtype in enumerate(self.dtypes):
            storage = random_storage(64 * torch.empty(0, dtype=dtype).element_size(), seed, dtype)
            made[f"layer{seed % 3}.of_{name_of(dtype)}"] = view_of(storage, dtype, ((3, 4), (4, 1), 0))
        dtype = self.dtypes[0]
        storage = random_storage(64 * torch.empty(0, dtype=dtype).element_size(), 99, dtype)
        made |= {
            "scalar": view_of(storage, dtype, ((), (), 0)).clone(),
            "empty": view_of(storage, dtype, ((0, 3), (3, 1), 0)).clone(),
            "zebra": view_of(storage, dtype, ((5,), (1,), 0)),
        }
        if self.keeps_views:
            made |= {
                "turned": view_of(storage, dtype, ((3, 5), (1, 3), 7)),
                "stepped": view_of(storage, dtype, ((3, 2), (10, 3), 2)),
                "expanded": view_of(storage, dtype, ((4, 2), (0, 1), 1)),
                "a.tie": made["zebra"],
            }
        return made

    def large(self):
        """One tensor of 4 MiB, far more than any header."""
        return {"w": torch.arange(1 << 20, dtype=torch.float32).reshape(1024, 1024)}

    def same(self, state_dict, truth):
        """Hold every key, type, shape, stride and byte against the truth."""
        assert list(state_dict) == list(truth)
        for key, wanted in truth.items():
            lazy = state_dict[key]
            assert (key, lazy.dtype.name, lazy.shape) == (key, name_of(wanted.dtype), tuple(wanted.shape))
            if self.keeps_views and wanted.numel():
                assert (key, lazy.stride) == (key, wanted.stride())
            assert lazy.tobytes() == element_bytes(wanted), key

    @pytest.fixture
    def path(self, tmp_path):
        """A file of this format, alone in a folder."""
        folder = tmp_path / "in"
        folder.mkdir()
        self.write(folder / "model", self.tensors())
        return folder / "model"

    @pytest.mark.parametrize("extension", ["", ".safetensors", ".pt", ".jpg", ".json"])
    def test_is_known_by_its_content(self, path, extension):
        """The format is told by the bytes, whatever the file is called."""
        renamed = path.with_name(f"other{extension}")
        path.rename(renamed)
        assert weightlift.open(renamed).format == self.name

    def test_gives_what_its_own_library_gives(self, path):
        """Keys, order, types, shapes, strides and bytes are those of the format's own reader."""
        self.same(weightlift.open(path).state_dict(), self.truth(path))

    def test_opening_reads_no_tensor(self, path):
        """A file of one large tensor is opened, listed and checked by reading a small part of it."""
        self.write(path, self.large())
        source = Counted(path)
        state_dict = open_source(source).state_dict()
        state_dict.check()
        assert state_dict.nbytes == 4 << 20
        assert source.nbytes_read < self.most_read
        ((key, wanted),) = self.truth(path).items()
        assert state_dict[key].tobytes() == element_bytes(wanted)

    def test_extraction_keeps_everything(self, path, tmp_path):
        """The extracted file is valid for the safetensors package and equal, to it and to us."""
        out = tmp_path / "out.safetensors"
        done = weightlift.extract(path, out)
        truth = self.truth(path)
        plain = dict(safetensors.deserialize(out.read_bytes()))
        assert set(plain) | set(done.written.ties) <= set(truth)
        assert len(plain) == done.written.tensors
        for key, about in plain.items():
            assert bytes(about["data"]) == element_bytes(truth[key]), key
        again = weightlift.open(out).state_dict()
        assert list(again) == list(truth)
        for key, wanted in truth.items():
            assert (again[key].dtype.name, again[key].shape) == (name_of(wanted.dtype), tuple(wanted.shape))
            assert again[key].tobytes() == element_bytes(wanted), key

    def test_a_truncated_file_is_an_error_of_ours_and_leaves_nothing(self, path, tmp_path):
        """Wherever the file ends too early, extraction says so and leaves no output behind."""
        data = path.read_bytes()
        out = tmp_path / "out"
        out.mkdir()
        for nbytes in cuts(self.needed(data)):
            path.write_bytes(data[:nbytes])
            with pytest.raises(weightlift.WeightliftError):
                weightlift.extract(path, out / "x.safetensors")
            assert os.listdir(out) == [], nbytes

    def test_a_damaged_file_is_read_or_is_an_error_of_ours(self, path):
        """With any one byte changed, reading everything either works or raises one of our errors."""
        data = path.read_bytes()
        random_place = random.Random(7)
        for _ in range(250):
            damaged = bytearray(data)
            damaged[random_place.randrange(len(data))] ^= 1 << random_place.randrange(8)
            with suppress(weightlift.WeightliftError):
                state_dict = open_source(Memory(bytes(damaged))).state_dict()
                state_dict.check()
                for tensor in state_dict.tensors.values():
                    if tensor.nbytes < 1 << 20:
                        tensor.tobytes() if hasattr(tensor, "tobytes") else tensor.check()
