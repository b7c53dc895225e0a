# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read legacy pickles and torch.save files safely, without executing anything from the file.

Many corpora are distributed as pickles or as torch.save files, which contain pickles, and unpickling runs whatever code
a file refers to. Here every reference is resolved by the allowlist of `pickle_allowlist` and `torch_file`, or refused.
Memory stays in proportion to the size of the file, which is why the pure Python unpickler is used: the one in C
allocates whatever size an opcode declares.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from .pickle_allowlist import (
    AllowedFunction,
    ArrayBuilder,
    DtypeBuilder,
    MemoryBudget,
    NamespaceBuilder,
    UnsafeContentError,
    allowed_numpy_names,
)
from .torch_file import (
    LEGACY_MAGIC,
    StorageBuilder,
    StorageTable,
    TensorBuilder,
    allowed_torch_names,
    check_legacy_header,
    open_zip,
)


def read_pickle(path: str | Path) -> object:
    """Read a pickle or a torch.save file that holds arrays, numbers, strings and builtin containers.

    Files written by Python 2 (whose strings are decoded as latin-1), by numpy before and after 2.0, and by torch.save
    in both of its formats are supported. Tensors are returned as numpy arrays (bfloat16 as float32); tensors that share
    a storage become views of one array.

    Args:
        path: the file. Nothing in it is executed.

    Raises:
        ValueError: if the file is empty, truncated, no pickle, or refers to anything outside the allowlist; this includes
            structured arrays, arrays of dates and subclasses of `ndarray`.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if not start:
            raise ValueError(f"{path} is empty; expected a pickle.")
        try:
            budget = MemoryBudget(path.stat().st_size)
            value = _read_zip(path, budget) if start == b"PK" else _read_stream(file, budget)
            return _to_plain(value, {})
        except UnsafeContentError as error:
            raise ValueError(f"{path} is not read: {error}.") from None
        except EOFError:
            raise ValueError(f"{path} is truncated; copy it again.") from None
        except Exception as error:  # a damaged pickle may fail in any opcode, with any type of error
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(f"{path} is damaged or no pickle ({reason}); copy it again.") from error


def _read_zip(path: Path, budget: MemoryBudget):
    contents, storages = open_zip(path)
    return _Unpickler(contents, budget, storages.find).load()


def _read_stream(file: IO[bytes], budget: MemoryBudget):
    """Read a plain pickle, or the sequence of pickles and storages of the legacy format of torch.save."""
    value = _Unpickler(file, budget).load()
    if type(value) is not int or value != LEGACY_MAGIC:
        return value
    check_legacy_header(_Unpickler(file, budget).load(), _Unpickler(file, budget).load())
    storages = StorageTable()
    value = _Unpickler(file, budget, storages.find).load()
    storages.read_all(file, _Unpickler(file, budget).load())
    return value


class _Unpickler(pickle._Unpickler):
    read: Callable[[int], bytes]  # set by the base class in `load`
    append: Callable[[object], None]

    def __init__(self, file: IO[bytes], budget: MemoryBudget, find_storage: Callable | None = None):
        super().__init__(file, encoding="latin1")
        self._find_storage = find_storage

        def load_storage(content):  # a tensor pickled without torch.save embeds its storage as a torch.save file
            budget.spend(len(content))
            return _read_stream(io.BytesIO(content), budget)

        nested = {("torch.storage", "_load_from_bytes"): AllowedFunction(load_storage)}
        self._allowed = allowed_numpy_names(budget) | allowed_torch_names() | nested

    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafeContentError(
                f"it asks for `{module[:80]}.{name[:80]}`, and only arrays, numbers, texts and containers are read"
            ) from None

    def get_extension(self, code):
        raise UnsafeContentError(f"it asks for whatever this machine has registered as extension {code}")

    def persistent_load(self, pid):
        if self._find_storage is None:
            raise UnsafeContentError("it refers to objects outside the file")
        return self._find_storage(pid)

    def load_bytearray8(self):
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))  # reads first: bytearray(size) would allocate memory first

    dispatch: ClassVar[dict] = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}


def _to_plain(value, done: dict):
    """Replace builders by plain arrays and dtypes, recursively; lists and dicts are changed in place.

    `done` maps the id of an original to the original, which keeps the id valid, and its replacement.
    """
    if isinstance(value, DtypeBuilder):
        return value.type
    if isinstance(value, TensorBuilder | StorageBuilder):
        return value.finish()
    if isinstance(value, AllowedFunction):
        raise UnsafeContentError("it holds a function as a value")
    if value is NamespaceBuilder:
        raise UnsafeContentError("it holds a class as a value")
    if isinstance(value, NamespaceBuilder):
        return _to_plain(getattr(value, "values", {}), done)
    if not isinstance(value, ArrayBuilder | tuple | list | dict):
        return value
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, ArrayBuilder):
        plain = value.view(np.ndarray)
        done[id(value)] = value, plain
        if plain.dtype.hasobject:
            for index in np.ndindex(plain.shape):
                plain[index] = _to_plain(plain[index], done)
        return plain
    if isinstance(value, tuple):
        done[id(value)] = value, tuple(_to_plain(item, done) for item in value)
        return done[id(value)][1]
    done[id(value)] = value, value
    for key, item in enumerate(value) if isinstance(value, list) else list(dict.items(value)):
        value[key] = _to_plain(item, done)
    return value
