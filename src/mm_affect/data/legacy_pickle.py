# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The one reader of legacy pickles: numpy arrays and builtin containers, and not a line of code from the file.

Corpora of this field were published as pickles, and unpickling runs whatever the file asks for. Here every name that a
file asks for is answered from `_ALLOWED` by a function of this module, or refused by that name. Arrays are built from
their parts (type, shape, bytes) after each was checked, because numpy's own unpickling trusts them: a forged dtype can
make it take file bytes for pointers.
"""

import collections
import math
import pickle
import re
from pathlib import Path

import numpy as np


def read_pickle(path: str | Path):
    """The contents of a pickle of numpy arrays, numbers, texts and builtin containers.

    Reads files of Python 2 (their texts and bytes come as latin-1 `str`) and of numpy before and after 2.0. Raises
    `ValueError` with one sentence for a file that is empty, truncated, no pickle, or asks for anything else; nothing
    in it is ever executed. Structured, date and subclassed arrays and torch tensors are refused too.
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if not start:
            raise ValueError(f"{path} is empty; expected a pickle.")
        if start == b"PK":
            raise ValueError(f"{path} is a zip archive, such as torch.save writes, not a pickle of numpy arrays.")
        try:
            return _finished(_Unpickler(file, encoding="latin1").load(), {})
        except _Refused as error:
            raise ValueError(f"{path} is not read: {error}.") from None
        except EOFError:
            raise ValueError(f"{path} is truncated; copy it again.") from None
        except Exception as error:  # a damaged pickle may fail in any opcode, with any type of error
            raise ValueError(
                f"{path} is damaged or no pickle ({type(error).__name__}: {error}); copy it again."
            ) from error


class _Refused(Exception):
    """The file asks for something that no corpus needs."""


class _Constructor:
    """A function that a pickle may call and do nothing else with: it has no attributes to overwrite."""

    __slots__ = ("_function",)

    def __init__(self, function):
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments):
        return self._function(*arguments)

    def __setattr__(self, name, value):
        raise _Refused(f"it sets `{name}` of a function")

    def __setstate__(self, state):
        raise _Refused("it gives a function a state")

    def __reduce__(self):
        raise _Refused("it holds a function as a value")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(
                f"it asks for `{module}.{name}`, and only numpy arrays, numbers, texts and builtin containers are read"
            ) from None

    def persistent_load(self, pid):
        raise _Refused("it refers to objects outside the file, as the legacy format of torch.save does")


class _Type:
    """A numpy dtype as the file describes it: `type` once the byte order is known."""

    __slots__ = ("type",)

    def __init__(self, code):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not re.fullmatch(
            r"[<>|=]?([?bBhHiIlLqQefdgFDGO]|[biufcO]\d{1,2}|[SU]\d{1,9})", code
        ):
            raise _Refused(f"it holds an array of type {code!r}; expected numbers, texts or objects")
        self.type = np.dtype(code)

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _Refused("it holds a structured array")
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise _Refused(f"it holds an array of byte order {order!r}")
        if order in "<>":
            self.type = self.type.newbyteorder(order)


class _Array(np.ndarray):
    """An array under construction; `_finished` turns it into a plain one."""

    def __setstate__(self, state):
        shape, kind, fortran, data = state[-4:]  # the oldest files have no version in front
        if (
            not isinstance(kind, _Type)
            or not isinstance(shape, tuple)
            or not all(_is_size(length) for length in shape)
        ):
            raise _Refused("it holds an array without a proper type and shape")
        if isinstance(data, str):
            data = data.encode("latin1")
        wanted = list if kind.type.hasobject else bytes
        length = math.prod(shape) * (1 if wanted is list else kind.type.itemsize)
        if not isinstance(data, wanted | bytearray if wanted is bytes else wanted) or len(data) != length:
            raise ValueError(f"an array of shape {shape} comes with {len(data)} values or bytes instead of {length}")
        super().__setstate__((1, shape, kind.type, bool(fortran), data))


def _is_size(length) -> bool:
    return isinstance(length, int) and 0 <= length < 2**40


def _reconstruct(subtype, shape, code):
    if subtype != "ndarray":
        raise _Refused("it holds an array of a subclass")
    return _Array.__new__(_Array, (0,), np.int8)


def _scalar(kind, data=b""):
    if not isinstance(kind, _Type) or kind.type.hasobject:
        raise _Refused("it holds a scalar without a proper type")
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, kind.type, 1)[0] if kind.type.itemsize else kind.type.type()


def _from_buffer(buffer, kind, shape, order):
    if not isinstance(kind, _Type) or kind.type.hasobject or not isinstance(buffer, bytes | bytearray):
        raise _Refused("it holds an array without a proper type")
    return np.frombuffer(buffer, kind.type).reshape(shape, order=order).copy()


def _encode(text, encoding):
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise _Refused(f"it encodes with {encoding!r}")
    return text.encode("latin1")


def _bytes_of(kind):
    def make(data=b"", encoding="latin-1"):
        if isinstance(data, int):  # bytes(10**12) would fill the memory
            raise _Refused(f"it builds {kind.__name__} of a given length")
        return kind(_encode(data, encoding) if isinstance(data, str) else data)

    return make


def _finished(value, done: dict):
    """`value` with every array plain and every type a numpy dtype; lists and dicts are changed in place."""
    if isinstance(value, _Array):
        value = value.view(np.ndarray)
        if value.dtype.hasobject and id(value.base) not in done:
            done[id(value.base)] = value
            for index in np.ndindex(value.shape):
                value[index] = _finished(value[index], done)
        return value
    if isinstance(value, _Type):
        return value.type
    if isinstance(value, _Constructor):
        raise _Refused("it holds a function as a value")
    if isinstance(value, tuple):
        return tuple(_finished(item, done) for item in value)
    if isinstance(value, list | dict) and id(value) not in done:
        done[id(value)] = value
        for key, item in enumerate(value) if isinstance(value, list) else list(value.items()):
            value[key] = _finished(item, done)
    return value


def _default_dict(factory=None, *arguments):
    return collections.defaultdict(factory if factory in (list, dict, set, int, float) else None, *arguments)


_ALLOWED = {
    ("numpy", "ndarray"): "ndarray",  # only ever an argument of _reconstruct
    ("numpy", "dtype"): _Constructor(lambda code, align=False, copy=False: _Type(code)),
    ("numpy.core.multiarray", "_reconstruct"): _Constructor(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _Constructor(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Constructor(_from_buffer),
    ("_codecs", "encode"): _Constructor(_encode),
    ("builtins", "bytes"): _Constructor(_bytes_of(bytes)),
    ("builtins", "bytearray"): _Constructor(_bytes_of(bytearray)),
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): _Constructor(_default_dict),
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, complex, list, dict, int, float)},
}
