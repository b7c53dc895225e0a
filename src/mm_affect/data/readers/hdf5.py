# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import of the optional package h5py."""

from types import ModuleType


def import_h5py(file_type: str) -> ModuleType:
    """Return the module `h5py`. Raises `ImportError` with the extra to install for reading `file_type`."""
    try:
        import h5py
    except ImportError:
        raise ImportError(f"Reading {file_type} files needs h5py: pip install 'mm_affect[data]'") from None
    return h5py
