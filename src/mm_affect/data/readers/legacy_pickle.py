# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one reader of legacy pickles: arrays, tensors and builtin containers, and not a line of code from the file.

Corpora of this field were published as pickles and as files of torch.save, which hold pickles, and unpickling runs
whatever the file asks for. Here every name that a file asks for is answered by a checked part of `pickle_parts` or
`torch_file`, or refused by that name; and memory stays in proportion to the file. That is why the unpickler is the one
in Python: the one in C takes memory for whatever number an opcode names.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .pickle_parts import Array, Budget, Constructor, Refused, Settings, Type, numpy_parts
from .torch_file import MAGIC, Storage, Storages, Tensor, check_legacy_header, open_zip, torch_parts


def read_pickle(path: str | Path) -> object:
    """The contents of a pickle or a torch.save file: arrays, numbers, texts and builtin containers.

    Reads files of Python 2 (their texts and bytes come as latin-1 `str`), of numpy before and after 2.0, and both
    formats of torch.save; tensors come as numpy arrays, those that share a storage as views of one, bfloat16 as
    float32. Raises `ValueError` with one sentence for a file that is empty, truncated, no pickle, or asks for anything
    else; nothing in it is ever executed. Structured, date and subclassed arrays are refused too.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if not start:
            raise ValueError(f"{path} is empty; expected a pickle.")
        try:
            budget = Budget(path.stat().st_size)
            value = _read_zip(path, budget) if start == b"PK" else _read_stream(file, budget)
            return _finished(value, {})
        except Refused as error:
            raise ValueError(f"{path} is not read: {error}.") from None
        except EOFError:
            raise ValueError(f"{path} is truncated; copy it again.") from None
        except Exception as error:  # a damaged pickle may fail in any opcode, with any type of error
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(f"{path} is damaged or no pickle ({reason}); copy it again.") from error


def _read_zip(path: Path, budget: Budget):
    contents, storages = open_zip(path)
    return _Unpickler(contents, budget, storages.find).load()


def _read_stream(file: BinaryIO, budget: Budget):
    """A plain pickle, or the row of pickles and storages that is torch.save's legacy format."""
    value = _Unpickler(file, budget).load()
    if type(value) is not int or value != MAGIC:
        return value
    check_legacy_header(_Unpickler(file, budget).load(), _Unpickler(file, budget).load())
    storages = Storages()
    value = _Unpickler(file, budget, storages.find).load()
    storages.read_all(file, _Unpickler(file, budget).load())
    return value


class _Unpickler(pickle._Unpickler):
    def __init__(self, file: BinaryIO, budget: Budget, find_storage: Callable | None = None):
        super().__init__(file, encoding="latin1")
        self._find_storage = find_storage

        def storage_of(content):  # where a tensor was pickled without torch.save, its storage is a file in the file
            budget.spend(len(content))
            return _read_stream(io.BytesIO(content), budget)

        nested = {("torch.storage", "_load_from_bytes"): Constructor(storage_of)}
        self._parts = numpy_parts(budget) | torch_parts() | nested

    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        try:
            return self._parts[module, name]
        except KeyError:
            raise Refused(
                f"it asks for `{module[:80]}.{name[:80]}`, and only arrays, numbers, texts and containers are read"
            ) from None

    def get_extension(self, code):
        raise Refused(f"it asks for whatever this machine has registered as extension {code}")

    def persistent_load(self, pid):
        if self._find_storage is None:
            raise Refused("it refers to objects outside the file")
        return self._find_storage(pid)

    def load_bytearray8(self):
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))  # reads first: bytearray(size) would take the memory first

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}


def _finished(value, done: dict):
    """`value` with every array and tensor a plain array and every type a numpy dtype; lists and dicts are changed in
    place. `done` holds what was finished, with the original, by the original's id."""
    if isinstance(value, Type):
        return value.type
    if isinstance(value, Tensor | Storage):
        return value.finish()
    if isinstance(value, Constructor):
        raise Refused("it holds a function as a value")
    if value is Settings:
        raise Refused("it holds a class as a value")
    if isinstance(value, Settings):
        return _finished(getattr(value, "values", {}), done)
    if not isinstance(value, Array | tuple | list | dict):
        return value
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, Array):
        plain = value.view(np.ndarray)
        done[id(value)] = value, plain
        if plain.dtype.hasobject:
            for index in np.ndindex(plain.shape):
                plain[index] = _finished(plain[index], done)
        return plain
    if isinstance(value, tuple):
        done[id(value)] = value, tuple(_finished(item, done) for item in value)
        return done[id(value)][1]
    done[id(value)] = value, value
    for key, item in enumerate(value) if isinstance(value, list) else list(dict.items(value)):
        value[key] = _finished(item, done)
    return value
