# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a legacy pickle may be made of: numpy arrays, numbers, texts and containers, each checked as it is built.

Arrays are built from their parts (type, shape, bytes), because numpy's own unpickling trusts them: a forged dtype can
make it take file bytes for pointers. Nothing here has an attribute that a file could overwrite, and nothing can be a
key or in a set before it is finished.
"""

import collections
import math
import re
import reprlib

import numpy as np


class Refused(Exception):
    """The file asks for something that no corpus needs."""


class Budget:
    """How many bytes and items a file may still have copied: in proportion to its size, however often it says so."""

    def __init__(self, size: int):
        self._left = 4 * size + 4096  # a byte of an old file passes up to three constructors

    def spend(self, amount: int) -> None:
        """Raises `Refused` when there is nothing left."""
        self._left -= amount
        if self._left < 0:
            raise Refused("it builds far more than it holds, as a memory bomb does")


class Constructor:
    """A function that a pickle may call and do nothing else with."""

    __slots__ = ("function",)
    __hash__ = None

    def __init__(self, function):
        object.__setattr__(self, "function", function)

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __setattr__(self, name, value):
        raise Refused(f"it sets `{name}` of a function")

    def __setstate__(self, state):
        raise Refused("it gives a function a state")

    def __reduce__(self):
        raise Refused("it holds a function as a value")


class Type:
    """A numpy dtype as the file describes it: `type` once the byte order is known."""

    __slots__ = ("type",)
    __hash__ = None

    def __init__(self, code, align=False, copy=False):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not re.fullmatch(
            r"[<>|=]?([?bBhHiIlLqQefdgFDGO]|[biufcO]\d{1,2}|[SU]\d{1,9})", code
        ):
            raise Refused(f"it holds an array of type {brief(code)}; expected numbers, texts or objects")
        self.type = np.dtype(code)

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise Refused("it holds a structured array")
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise Refused(f"it holds an array of byte order {brief(order)}")
        if order in "<>":
            self.type = self.type.newbyteorder(order)


class Array(np.ndarray):
    """An array under construction; `finished` turns it into a plain one."""

    budget: Budget

    def __setstate__(self, state):
        shape, kind, fortran, data = state[-4:]  # the oldest files have no version in front
        if not isinstance(kind, Type) or not is_shape(shape):
            raise Refused("it holds an array without a proper type and shape")
        if isinstance(data, str):
            data = data.encode("latin1")
        wanted = list if kind.type.hasobject else bytes
        length = math.prod(shape) * (1 if wanted is list else kind.type.itemsize)
        if not isinstance(data, wanted | bytearray if wanted is bytes else wanted) or len(data) != length:
            raise ValueError(f"an array of shape {shape} comes with {len(data)} values or bytes instead of {length}")
        if not kind.type.itemsize and math.prod(shape):
            raise Refused(f"it holds an array of shape {shape} whose values have no size")
        self.budget.spend(length)
        super().__setstate__((1, shape, kind.type, bool(fortran), data))


class Settings:
    """What stands for an `argparse.Namespace`, in which HHMPN's file keeps its settings; it becomes a dict."""

    __slots__ = ("values",)
    __hash__ = None

    def __setstate__(self, state):
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise Refused("it gives settings a state that is no dict of names")
        self.values = state


def brief(value) -> str:
    """`value` for an error message; of what is nested, which may be endless, only the type."""
    return reprlib.repr(value) if isinstance(value, str | bytes | int) else f"a {type(value).__name__}"


def is_size(length) -> bool:
    """Whether `length` may be the length of something in a file."""
    return isinstance(length, int) and not isinstance(length, bool) and 0 <= length < 2**40


def is_shape(shape) -> bool:
    """Whether `shape` may be the shape of an array."""
    return isinstance(shape, tuple) and len(shape) <= 32 and all(map(is_size, shape))


def numpy_parts(budget: Budget) -> dict:
    """What stands for each name, (module, name), that a pickle of arrays and containers asks for."""

    def reconstruct(subtype, shape, code):
        if subtype != "ndarray":
            raise Refused("it holds an array of a subclass")
        array = Array.__new__(Array, (0,), np.int8)
        array.budget = budget
        return array

    def scalar(kind, data=b""):
        if not isinstance(kind, Type) or kind.type.hasobject:
            raise Refused("it holds a scalar without a proper type")
        data = data.encode("latin1") if isinstance(data, str) else data
        budget.spend(len(data))
        return np.frombuffer(data, kind.type, 1)[0] if kind.type.itemsize else kind.type.type()

    def from_buffer(buffer, kind, shape, order):
        if not isinstance(kind, Type) or kind.type.hasobject or not isinstance(buffer, bytes | bytearray):
            raise Refused("it holds an array without a proper type")
        if not is_shape(shape) or order not in ("C", "F") or not kind.type.itemsize:
            raise Refused("it holds an array without a proper shape and order")
        budget.spend(len(buffer))
        array = np.frombuffer(bytearray(buffer), kind.type).reshape(shape, order=order).view(Array)
        array.budget = budget
        return array

    def encode(text, encoding):
        if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
            raise Refused(f"it encodes with {brief(encoding)}")
        budget.spend(len(text))
        return text.encode("latin1")

    def bytes_of(kind):
        def make(data=b"", encoding="latin-1"):
            if isinstance(data, int):  # bytes(10**12) would fill the memory
                raise Refused(f"it builds {kind.__name__} of a given length")
            budget.spend(len(data))
            return kind(encode(data, encoding) if isinstance(data, str) else data)

        return Constructor(make)

    def copy_of(kind):
        def make(*arguments):
            for argument in arguments:
                budget.spend(len(argument) if hasattr(argument, "__len__") else 1)
            return kind(*arguments)

        return Constructor(make)

    kinds = (set, frozenset, complex, list, dict, int, float)
    plain = {("builtins", kind.__name__): copy_of(kind) for kind in kinds}

    def default_dict(factory=None, *arguments):
        known = {id(made): kind for kind, made in zip(kinds, plain.values(), strict=True)}
        return collections.defaultdict(known.get(id(factory)), *arguments)

    return plain | {
        ("numpy", "ndarray"): "ndarray",  # only ever an argument of _reconstruct
        ("numpy", "dtype"): Constructor(Type),
        ("numpy.core.multiarray", "_reconstruct"): Constructor(reconstruct),
        ("numpy.core.multiarray", "scalar"): Constructor(scalar),
        ("numpy.core.numeric", "_frombuffer"): Constructor(from_buffer),
        ("_codecs", "encode"): Constructor(encode),
        ("builtins", "bytes"): bytes_of(bytes),
        ("builtins", "bytearray"): bytes_of(bytearray),
        ("argparse", "Namespace"): Settings,
        ("collections", "OrderedDict"): copy_of(collections.OrderedDict),
        ("collections", "defaultdict"): Constructor(default_dict),
    }
