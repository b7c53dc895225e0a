# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read the features of one clip from `.npy`, `.npz`, `.csv`, `.h5` and `.safetensors` files."""

import math
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from safetensors import safe_open

from .hdf5 import import_h5py


FEATURE_SUFFIXES = (".npy", ".npz", ".csv", ".h5", ".safetensors")
PREFERRED_NAME = "features"  # the array to read from a file that holds several
MAX_CLIP_BYTES = 2**30  # ten hours of COVAREP; files that declare more are refused before memory is allocated


def read_features(path: str | Path, size: int | None = None) -> np.ndarray:
    """Read the features of one clip. Nothing is ever unpickled.

    NaN and infinity are kept; they are replaced and counted when rows are written.

    Args:
        path: the feature file. Of several arrays in it, the one named `features` is read.
        size: the expected number of features per step, if it is known.

    Returns:
        float32 array of shape (steps, size); a vector becomes one step.

    Raises:
        ValueError: if the file is truncated, empty, not numeric, of the wrong rank or size, or declares more than
            `MAX_CLIP_BYTES`.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise ValueError(f"{path} is no feature file; expected one of {', '.join(FEATURE_SUFFIXES)}.")
    try:
        values = _READERS[path.suffix](path)
    except (FileNotFoundError, PermissionError, ImportError):
        raise
    except Exception as error:  # a damaged file may fail with any type of error
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]} features: {reason}; write it again.") from error
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds values of type {values.dtype}; features must be real numbers.")
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2:
        raise ValueError(f"{path} has shape {values.shape}; features must be (steps, size), or one vector.")
    if values.size == 0:
        raise ValueError(f"{path} is empty, shape {values.shape}; remove the file if the clip lacks this modality.")
    if size is not None and values.shape[1] != size:
        raise ValueError(
            f"{path} has {values.shape[1]} features per step; the other files of this modality have {size}."
        )
    with np.errstate(over="ignore"):  # values beyond float32 become infinity, which is counted later
        return np.ascontiguousarray(values, dtype=np.float32)


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        return _read_array(file, path.stat().st_size)


def _read_npz(path: Path) -> np.ndarray:
    with ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        member = members[_choose(list(members))]
        with archive.open(member) as file:
            return _read_array(file, member.file_size)


def _read_array(file: IO[bytes], stored: int) -> np.ndarray:
    """Read an array in the npy format of `stored` bytes, after its declared shape was checked."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"its format has version {version}; expected one of {', '.join(map(str, _HEADERS))}")
    shape, _, kind = _HEADERS[version](file)
    _check_declared(shape, kind)
    left = stored - file.tell()
    if not kind.hasobject and math.prod(shape) * kind.itemsize > left:
        raise ValueError(f"it declares shape {shape} of {kind}, and holds {left} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)


def _check_declared(shape: tuple[int, ...], kind: np.dtype) -> None:
    """Raise `ValueError` for negative dimensions (older numpy accepts some) and for more than `MAX_CLIP_BYTES`."""
    if min(shape, default=0) < 0:
        raise ValueError(f"it declares shape {shape}; expected dimensions of 0 or more")
    if math.prod(shape) * max(kind.itemsize, 4) > MAX_CLIP_BYTES:
        raise ValueError(
            f"it declares shape {shape} of {kind}, more than the {MAX_CLIP_BYTES} bytes that one clip may have"
        )


def _read_csv(path: Path) -> np.ndarray:
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline()
        header = any(not _is_float(cell) for cell in first.split(","))
        if not first.strip() or (header and not file.readline().strip()):
            return np.zeros((0, 0))
    return np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2, encoding="utf-8-sig")


def _read_h5(path: Path) -> np.ndarray:
    h5py = import_h5py(".h5")
    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        values = file[_choose(names)]
        if values.external or values.is_virtual:
            raise ValueError("its values are kept in another file, and only what is in the file itself is read")
        if values.dtype.kind not in "biuf":  # texts of any length may share their bytes
            raise ValueError(f"it holds values of type {values.dtype}, and features must be real numbers")
        _check_declared(values.shape or (), values.dtype)
        _check_declared(values.chunks or (), values.dtype)  # a whole chunk is unpacked to read one value
        return np.asarray(values[()])


def _read_safetensors(path: Path) -> np.ndarray:
    with safe_open(path, "np") as file:
        return file.get_tensor(_choose(list(file.keys())))


def _choose(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if PREFERRED_NAME in names:
        return PREFERRED_NAME
    raise ValueError(
        f"it holds {len(names)} arrays {sorted(names)[:5]}; expected one, or one named '{PREFERRED_NAME}'"
    )


def _is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # 3.0 is for structured arrays
_READERS = dict(zip(FEATURE_SUFFIXES, (_read_npy, _read_npz, _read_csv, _read_h5, _read_safetensors), strict=True))
