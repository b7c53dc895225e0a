# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The allowlist of `read_pickle`: numpy arrays, numbers, strings and containers, each checked while it is built.

Arrays are built from their parts (dtype, shape, bytes) by the classes below, because numpy's own unpickling trusts its
input: a forged dtype can make it interpret bytes of the file as pointers. No object here has an attribute that a file
could overwrite, and none can be a dict key or in a set before it is complete.
"""

import collections
import math
import re
import reprlib
from collections.abc import Callable

import numpy as np


class UnsafeContentError(Exception):
    """Raised for content that is outside the allowlist."""


class MemoryBudget:
    """Number of bytes and items that may still be built from a file, in proportion to its size.

    Args:
        size: size of the file in bytes.
    """

    def __init__(self, size: int):
        self._left = 4 * size + 4096  # a byte of an old file passes up to three constructors

    def spend(self, amount: int) -> None:
        """Subtract `amount`. Raises `UnsafeContentError` if the budget is exceeded."""
        self._left -= amount
        if self._left < 0:
            raise UnsafeContentError("it builds far more than it holds, as a memory bomb does")


class AllowedFunction:
    """A function that a pickle may call, and do nothing else with."""

    function: Callable

    __slots__ = ("function",)
    __hash__ = None  # type: ignore[assignment]  # nothing unfinished can be a key or in a set

    def __init__(self, function: Callable):
        object.__setattr__(self, "function", function)

    def __call__(self, *arguments):
        """Call the function."""
        return self.function(*arguments)

    def __setattr__(self, name, value):
        raise UnsafeContentError(f"it sets `{name}` of a function")

    def __setstate__(self, state):
        raise UnsafeContentError("it gives a function a state")

    def __reduce__(self):
        raise UnsafeContentError("it holds a function as a value")


class DtypeBuilder:
    """A numpy dtype under construction: `type` is complete once the file has given the byte order."""

    __slots__ = ("type",)
    __hash__ = None  # type: ignore[assignment]  # nothing unfinished can be a key or in a set

    def __init__(self, code, align=False, copy=False):
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not re.fullmatch(
            r"[<>|=]?([?bBhHiIlLqQefdgFDGO]|[biufcO]\d{1,2}|[SU]\d{1,9})", code
        ):
            raise UnsafeContentError(f"it holds an array of type {brief(code)}; expected numbers, texts or objects")
        self.type = np.dtype(code)

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnsafeContentError("it holds a structured array")
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise UnsafeContentError(f"it holds an array of byte order {brief(order)}")
        if order in "<>":
            self.type = self.type.newbyteorder(order)  # type: ignore[arg-type]  # checked above


class ArrayBuilder(np.ndarray):
    """An array under construction; `read_pickle` turns it into a plain `ndarray`."""

    budget: MemoryBudget

    def __setstate__(self, state):
        shape, kind, fortran, data = state[-4:]  # the oldest files have no version in front
        if not isinstance(kind, DtypeBuilder) or not is_valid_shape(shape):
            raise UnsafeContentError("it holds an array without a proper type and shape")
        if isinstance(data, str):
            data = data.encode("latin1")
        has_objects = kind.type.hasobject
        length = math.prod(shape) * (1 if has_objects else kind.type.itemsize)
        if not isinstance(data, list if has_objects else bytes | bytearray) or len(data) != length:
            raise ValueError(f"an array of shape {shape} comes with {len(data)} values or bytes instead of {length}")
        if not kind.type.itemsize and math.prod(shape):
            raise UnsafeContentError(f"it holds an array of shape {shape} whose values have no size")
        self.budget.spend(length)
        super().__setstate__((1, shape, kind.type, bool(fortran), data))  # type: ignore[arg-type]  # stub: numpy.bool


class NamespaceBuilder:
    """Stand-in for `argparse.Namespace`, in which the HHMPN file stores its settings; `read_pickle` makes it a dict."""

    __slots__ = ("values",)
    __hash__ = None  # type: ignore[assignment]  # nothing unfinished can be a key or in a set

    def __setstate__(self, state):
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise UnsafeContentError("it gives settings a state that is no dict of names")
        self.values = state


def brief(value: object) -> str:
    """Return a short representation for error messages; of nested values, which may be endless, only the type."""
    return reprlib.repr(value) if isinstance(value, str | bytes | int) else f"a {type(value).__name__}"


def is_valid_size(length: object) -> bool:
    """Return True if `length` is a plausible number of items in a file."""
    return isinstance(length, int) and not isinstance(length, bool) and 0 <= length < 2**40


def is_valid_shape(shape: object) -> bool:
    """Return True if `shape` is a plausible array shape."""
    return isinstance(shape, tuple) and len(shape) <= 32 and all(map(is_valid_size, shape))


def allowed_numpy_names(budget: MemoryBudget) -> dict:
    """Return the stand-in for every (module, name) that a pickle of arrays and containers may refer to."""

    def reconstruct(subtype, shape, code):
        if subtype != "ndarray":
            raise UnsafeContentError("it holds an array of a subclass")
        array = ArrayBuilder.__new__(ArrayBuilder, (0,), np.int8)
        array.budget = budget
        return array

    def scalar(kind, data=b""):
        if not isinstance(kind, DtypeBuilder) or kind.type.hasobject:
            raise UnsafeContentError("it holds a scalar without a proper type")
        data = data.encode("latin1") if isinstance(data, str) else data
        budget.spend(len(data))
        return np.frombuffer(data, kind.type, 1)[0] if kind.type.itemsize else kind.type.type()

    def from_buffer(buffer, kind, shape, order):
        if not isinstance(kind, DtypeBuilder) or kind.type.hasobject or not isinstance(buffer, bytes | bytearray):
            raise UnsafeContentError("it holds an array without a proper type")
        if not is_valid_shape(shape) or order not in ("C", "F") or not kind.type.itemsize:
            raise UnsafeContentError("it holds an array without a proper shape and order")
        budget.spend(len(buffer))
        array = np.frombuffer(bytearray(buffer), kind.type).reshape(shape, order=order).view(ArrayBuilder)
        array.budget = budget
        return array

    def encode(text, encoding):
        if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
            raise UnsafeContentError(f"it encodes with {brief(encoding)}")
        budget.spend(len(text))
        return text.encode("latin1")

    def make_bytes_builder(kind):
        def make(data=b"", encoding="latin-1"):
            if isinstance(data, int):  # bytes(10**12) would fill the memory
                raise UnsafeContentError(f"it builds {kind.__name__} of a given length")
            budget.spend(len(data))
            return kind(encode(data, encoding) if isinstance(data, str) else data)

        return AllowedFunction(make)

    def make_builder(kind):
        def make(*arguments):
            for argument in arguments:
                budget.spend(len(argument) if hasattr(argument, "__len__") else 1)
            return kind(*arguments)

        return AllowedFunction(make)

    kinds = (set, frozenset, complex, list, dict, int, float)
    plain = {("builtins", kind.__name__): make_builder(kind) for kind in kinds}

    def default_dict(factory=None, *arguments):
        known = {id(made): kind for kind, made in zip(kinds, plain.values(), strict=True)}
        return collections.defaultdict(known.get(id(factory)), *arguments)

    return plain | {
        ("numpy", "ndarray"): "ndarray",  # only ever an argument of _reconstruct
        ("numpy", "dtype"): AllowedFunction(DtypeBuilder),
        ("numpy.core.multiarray", "_reconstruct"): AllowedFunction(reconstruct),
        ("numpy.core.multiarray", "scalar"): AllowedFunction(scalar),
        ("numpy.core.numeric", "_frombuffer"): AllowedFunction(from_buffer),
        ("_codecs", "encode"): AllowedFunction(encode),
        ("builtins", "bytes"): make_bytes_builder(bytes),
        ("builtins", "bytearray"): make_bytes_builder(bytearray),
        ("argparse", "Namespace"): NamespaceBuilder,
        ("collections", "OrderedDict"): make_builder(collections.OrderedDict),
        ("collections", "defaultdict"): AllowedFunction(default_dict),
    }
