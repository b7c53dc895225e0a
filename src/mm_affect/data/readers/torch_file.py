# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read the tensors of torch.save files as numpy arrays, without torch, in both formats.

The zip format (since torch 1.6) holds `<name>/data.pkl` and one uncompressed member `<name>/data/<key>` per storage. The
legacy format is a sequence of pickles (magic number, version, byte order, contents, storage keys), followed by the number
of values and the values of each storage. In the contents, a tensor is an offset, a shape and strides into a storage. A
tensor must lie within its storage, and a storage within the file.
"""

import io
import math
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from .pickle_allowlist import AllowedFunction, UnsafeContentError, brief, is_valid_shape, is_valid_size


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # start of a file in the legacy format
BFLOAT16 = "torch.BFloat16Storage"  # numpy has no such type: read as the upper half of float32
STORAGES = {
    "torch.FloatStorage": "<f4", "torch.DoubleStorage": "<f8", "torch.HalfStorage": "<f2", BFLOAT16: "<u2",
    "torch.LongStorage": "<i8", "torch.IntStorage": "<i4", "torch.ShortStorage": "<i2", "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1", "torch.BoolStorage": "?",
    "torch.ComplexFloatStorage": "<c8", "torch.ComplexDoubleStorage": "<c16",
}  # fmt: skip


class StorageBuilder:
    """The values that tensors are views of.

    Args:
        kind: name of the torch storage class, a key of `STORAGES`.
        count: number of values. They are available once `read` was given their bytes.
    """

    _values: np.ndarray | None

    __slots__ = ("_values", "count", "kind")
    __hash__ = None  # type: ignore[assignment]  # nothing unfinished can be a key or in a set

    def __init__(self, kind: str, count: int):
        self.kind, self.count, self._values = kind, count, None

    def __setstate__(self, state):
        raise UnsafeContentError("it gives a storage a state")

    @property
    def size(self) -> int:
        """Number of bytes in the file."""
        return self.count * np.dtype(STORAGES[self.kind]).itemsize

    def read(self, content: bytearray) -> None:
        """Interpret the bytes of the file as values."""
        values = np.frombuffer(content, STORAGES[self.kind])
        if self.kind == BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        self._values = values

    def finish(self) -> np.ndarray:
        """Return the values as a flat array."""
        if self._values is None:
            raise ValueError("a storage is missing")
        return self._values


class TensorBuilder:
    """A tensor under construction, before its storage is known."""

    _array: np.ndarray | None

    __slots__ = ("_array", "offset", "shape", "storage", "strides")
    __hash__ = None  # type: ignore[assignment]  # nothing unfinished can be a key or in a set

    def __init__(self, storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        if (
            not isinstance(storage, StorageBuilder)
            or not is_valid_size(offset)
            or not is_valid_shape(shape)
            or not is_valid_shape(strides)
        ):
            raise UnsafeContentError("it holds a tensor without a proper storage, shape and strides")
        if len(shape) != len(strides):
            raise UnsafeContentError(f"it holds a tensor of shape {shape} with the strides {strides}")
        count = math.prod(shape)
        last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
        if count > storage.count or (count and last >= storage.count):
            raise UnsafeContentError(
                f"it holds a tensor of shape {shape} with the strides {strides} from value {offset}, which does not "
                f"fit its storage of {storage.count} values"
            )
        self.storage, self.offset, self.shape, self.strides, self._array = storage, offset, shape, strides, None

    def __setstate__(self, state):
        raise UnsafeContentError("it gives a tensor a state")

    def finish(self) -> np.ndarray:
        """Return the tensor as a view of its storage, the same object at every call."""
        if self._array is None:
            values = self.storage.finish()
            if math.prod(self.shape):
                steps = [step * values.itemsize for step in self.strides]
                self._array = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
            else:
                self._array = np.zeros(self.shape, values.dtype)
        return self._array


class StorageTable:
    """The storages of one file by key.

    Args:
        read: returns the bytes of a storage, given its key and size, in the format in which they can be read at once.
    """

    def __init__(self, read: Callable[[str, int], bytearray] | None = None):
        self._known: dict[str, StorageBuilder] = {}
        self._read = read

    def find(self, reference) -> StorageBuilder:
        """Return the storage of a persistent id: ("storage", type, key, device, count[, None])."""
        if not isinstance(reference, tuple) or not reference or not isinstance(reference[0], str):
            raise UnsafeContentError("it refers to objects outside the file")
        if reference[0] != "storage":
            raise UnsafeContentError(f"it refers to a `{reference[0][:40]}`; only storages of tensors are read")
        if len(reference) not in (5, 6) or any(part is not None for part in reference[5:]):
            raise UnsafeContentError("it holds a storage that is part of another")
        kind, key, count = reference[1], reference[2], reference[4]
        if not isinstance(kind, str) or kind not in STORAGES or not isinstance(key, str) or not is_valid_size(count):
            raise UnsafeContentError("it holds a storage without a proper type, key and length")
        if key not in self._known:
            storage = StorageBuilder(kind, count)
            if self._read is not None:
                storage.read(self._read(key, storage.size))
            self._known[key] = storage
        storage = self._known[key]
        if (storage.kind, storage.count) != (kind, count):
            raise UnsafeContentError(f"it describes storage `{key[:40]}` in two ways")
        return storage

    def read_all(self, file: IO[bytes], keys) -> None:
        """Read the storages that follow the contents of a legacy file, in the order of `keys`."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise UnsafeContentError("its list of storages holds something else")
        for key in keys:
            if key not in self._known:
                raise ValueError(f"storage `{key[:40]}` belongs to no tensor")
            storage = self._known[key]
            count = int.from_bytes(read_exactly(file, 8), "little")
            if count != storage.count:
                raise ValueError(f"storage `{key[:40]}` has {count} values instead of {storage.count}")
            storage.read(read_exactly(file, storage.size))


def allowed_torch_names() -> dict:
    """Return the stand-in for every (module, name) that torch.save files may refer to besides arrays and containers."""
    storages = {("torch", kind.removeprefix("torch.")): kind for kind in STORAGES}
    return storages | {
        ("torch._utils", "_rebuild_tensor_v2"): AllowedFunction(TensorBuilder),
        ("torch._utils", "_rebuild_parameter"): AllowedFunction(lambda tensor, requires_grad, hooks: tensor),
        ("torch", "Size"): AllowedFunction(tuple),
    }


def open_zip(path: Path) -> tuple[IO[bytes], StorageTable]:
    """Open a file in the zip format, without extracting anything.

    Returns:
        The stream of its pickle, and its storages.

    Raises:
        UnsafeContentError: if torch.save cannot have written the archive: compressed members, members larger than the file,
            or names that lead out of the archive.
    """
    archive = zipfile.ZipFile(path)
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise UnsafeContentError(f"it holds a member whose name leads out of the archive, {brief(name)}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeContentError(f"it holds a symbolic link, {brief(name)}")
        if name in members:
            raise UnsafeContentError(f"it holds two members of the name {brief(name)}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise UnsafeContentError(
                f"its member {brief(name)} is compressed from {member.file_size} bytes to {member.compress_size}"
                ", which torch.save never does and a zip bomb does"
            )
        members[name] = member
    if sum(member.file_size for member in members.values()) > path.stat().st_size:
        raise UnsafeContentError("its members are larger than the file, as those of a zip bomb are")
    contents = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(contents) != 1:
        raise UnsafeContentError("it is a zip archive, but none that torch.save wrote: it has no <name>/data.pkl")
    root = contents[0].removesuffix("data.pkl")
    if root + "byteorder" in members and archive.read(root + "byteorder") != b"little":
        raise UnsafeContentError("it was written on a big-endian machine")

    def read(key: str, size: int) -> bytearray:
        member = members.get(f"{root}data/{key}")
        if member is None or member.file_size != size:
            found = "is missing" if member is None else f"has {member.file_size} bytes instead of {size}"
            raise ValueError(f"storage `{key[:40]}` {found}")
        with archive.open(member) as file:
            return read_exactly(file, size)

    return archive.open(contents[0]), StorageTable(read)


def check_legacy_header(version, system) -> None:
    """Raise `UnsafeContentError` for an unknown version of the legacy format or a big-endian file."""
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnsafeContentError(
            f"it is of version {brief(version)} of torch.save's old format or of a big-endian machine"
        )


def read_exactly(file: IO[bytes], count: int) -> bytearray:
    """Read exactly `count` bytes. Raises `EOFError`, before allocating memory, if the file has fewer."""
    here = file.tell()
    if count > file.seek(0, io.SEEK_END) - here:
        raise EOFError
    file.seek(here)
    content = bytearray(count)
    file.readinto(content)  # type: ignore[attr-defined]  # IO[bytes] lacks it; files and zip members have it
    return content
