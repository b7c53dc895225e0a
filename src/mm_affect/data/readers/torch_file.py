# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tensors in files of torch.save, both formats, read as numpy arrays without torch.

The zip format (since torch 1.6) holds `<name>/data.pkl` and one stored member `<name>/data/<key>` for each storage.
The legacy format is a row of pickles (a magic number, a version, the byte order, the contents, the storage keys), then
for each key the number of values and the values. In the contents a tensor is an offset, a shape and strides into a
storage. No tensor may reach beyond its storage or be larger, and no storage may be larger than the file.
"""

import io
import math
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .pickle_parts import Constructor, Refused, brief, is_shape, is_size


MAGIC = 0x1950A86A20F9469CFC6C  # what a file of the legacy format begins with
BFLOAT16 = "torch.BFloat16Storage"  # numpy has no such type: read as the upper half of float32
STORAGES = {
    "torch.FloatStorage": "<f4", "torch.DoubleStorage": "<f8", "torch.HalfStorage": "<f2", BFLOAT16: "<u2",
    "torch.LongStorage": "<i8", "torch.IntStorage": "<i4", "torch.ShortStorage": "<i2", "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1", "torch.BoolStorage": "?",
    "torch.ComplexFloatStorage": "<c8", "torch.ComplexDoubleStorage": "<c16",
}  # fmt: skip


class Storage:
    """The values that tensors are views of: `count` of them, known once `read` was given their bytes."""

    __slots__ = ("_values", "count", "kind")
    __hash__ = None

    def __init__(self, kind: str, count: int):
        self.kind, self.count, self._values = kind, count, None

    def __setstate__(self, state):
        raise Refused("it gives a storage a state")

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.count * np.dtype(STORAGES[self.kind]).itemsize

    def read(self, content: bytearray) -> None:
        """Take the bytes of the file as values."""
        values = np.frombuffer(content, STORAGES[self.kind])
        if self.kind == BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        self._values = values

    def finish(self) -> np.ndarray:
        """The values, one after the other."""
        if self._values is None:
            raise ValueError("a storage is missing")
        return self._values


class Tensor:
    """A tensor as the file describes it, before its storage is known."""

    __slots__ = ("_array", "offset", "shape", "storage", "strides")
    __hash__ = None

    def __init__(self, storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        if not isinstance(storage, Storage) or not is_size(offset) or not is_shape(shape) or not is_shape(strides):
            raise Refused("it holds a tensor without a proper storage, shape and strides")
        if len(shape) != len(strides):
            raise Refused(f"it holds a tensor of shape {shape} with the strides {strides}")
        count = math.prod(shape)
        last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
        if count > storage.count or (count and last >= storage.count):
            raise Refused(
                f"it holds a tensor of shape {shape} with the strides {strides} from value {offset}, which does not "
                f"fit its storage of {storage.count} values"
            )
        self.storage, self.offset, self.shape, self.strides, self._array = storage, offset, shape, strides, None

    def __setstate__(self, state):
        raise Refused("it gives a tensor a state")

    def finish(self) -> np.ndarray:
        """A view into the storage, the same one every time."""
        if self._array is None:
            values = self.storage.finish()
            if math.prod(self.shape):
                steps = [step * values.itemsize for step in self.strides]
                self._array = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
            else:
                self._array = np.zeros(self.shape, values.dtype)
        return self._array


class Storages:
    """The storages of one file by their keys; `read` fetches the bytes of one at once, where the format allows it."""

    def __init__(self, read: Callable[[str, int], bytearray] | None = None):
        self._known: dict[str, Storage] = {}
        self._read = read

    def find(self, reference) -> Storage:
        """What the file refers to: ("storage", type, key, device, count[, None])."""
        if not isinstance(reference, tuple) or not reference or not isinstance(reference[0], str):
            raise Refused("it refers to objects outside the file")
        if reference[0] != "storage":
            raise Refused(f"it refers to a `{reference[0][:40]}`; only storages of tensors are read")
        if len(reference) not in (5, 6) or any(part is not None for part in reference[5:]):
            raise Refused("it holds a storage that is part of another")
        kind, key, count = reference[1], reference[2], reference[4]
        if not isinstance(kind, str) or kind not in STORAGES or not isinstance(key, str) or not is_size(count):
            raise Refused("it holds a storage without a proper type, key and length")
        if key not in self._known:
            storage = Storage(kind, count)
            if self._read is not None:
                storage.read(self._read(key, storage.size))
            self._known[key] = storage
        storage = self._known[key]
        if (storage.kind, storage.count) != (kind, count):
            raise Refused(f"it describes storage `{key[:40]}` in two ways")
        return storage

    def read_all(self, file: BinaryIO, keys) -> None:
        """Read the storages that follow the contents of a legacy file, in the order of `keys`."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Refused("its list of storages holds something else")
        for key in keys:
            if key not in self._known:
                raise ValueError(f"storage `{key[:40]}` belongs to no tensor")
            storage = self._known[key]
            count = int.from_bytes(exactly(file, 8), "little")
            if count != storage.count:
                raise ValueError(f"storage `{key[:40]}` has {count} values instead of {storage.count}")
            storage.read(exactly(file, storage.size))


def torch_parts() -> dict:
    """What stands for each name, (module, name), that a file of torch.save asks for beside arrays and containers."""
    storages = {("torch", kind.removeprefix("torch.")): kind for kind in STORAGES}
    return storages | {
        ("torch._utils", "_rebuild_tensor_v2"): Constructor(Tensor),
        ("torch._utils", "_rebuild_parameter"): Constructor(lambda tensor, requires_grad, hooks: tensor),
        ("torch", "Size"): Constructor(tuple),
    }


def open_zip(path: Path) -> tuple[BinaryIO, Storages]:
    """The contents (a pickle) and the storages of a file in the zip format; nothing is extracted.

    Raises `Refused` for an archive that torch.save does not write: compressed, or larger than the file, or with names
    that lead elsewhere.
    """
    archive = zipfile.ZipFile(path)
    members = {}
    for member in archive.infolist():
        name = member.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise Refused(f"it holds a member whose name leads out of the archive, {brief(name)}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused(f"it holds a symbolic link, {brief(name)}")
        if name in members:
            raise Refused(f"it holds two members of the name {brief(name)}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Refused(
                f"its member {brief(name)} is compressed from {member.file_size} bytes to {member.compress_size}"
                ", which torch.save never does and a zip bomb does"
            )
        members[name] = member
    if sum(member.file_size for member in members.values()) > path.stat().st_size:
        raise Refused("its members are larger than the file, as those of a zip bomb are")
    contents = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(contents) != 1:
        raise Refused("it is a zip archive, but none that torch.save wrote: it has no <name>/data.pkl")
    root = contents[0].removesuffix("data.pkl")
    if root + "byteorder" in members and archive.read(root + "byteorder") != b"little":
        raise Refused("it was written on a big-endian machine")

    def read(key: str, size: int) -> bytearray:
        member = members.get(f"{root}data/{key}")
        if member is None or member.file_size != size:
            found = "is missing" if member is None else f"has {member.file_size} bytes instead of {size}"
            raise ValueError(f"storage `{key[:40]}` {found}")
        with archive.open(member) as file:
            return exactly(file, size)

    return archive.open(contents[0]), Storages(read)


def check_legacy_header(version, system) -> None:
    """Raises `Refused` for another version of the legacy format, or another byte order, than all known files have."""
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused(f"it is of version {brief(version)} of torch.save's old format or of a big-endian machine")


def exactly(file: BinaryIO, count: int) -> bytearray:
    """The next `count` bytes; raises `EOFError` before it takes memory for more than the file has."""
    here = file.tell()
    if count > file.seek(0, io.SEEK_END) - here:
        raise EOFError
    file.seek(here)
    content = bytearray(count)
    file.readinto(content)
    return content
