# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One feature file of one clip: `<modality>/<id>.npy|npz|csv|h5|safetensors` -> float32 (steps, size)."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open


FEATURE_SUFFIXES = (".npy", ".npz", ".csv", ".h5", ".safetensors")
PREFERRED_NAME = "features"  # read in files that hold several arrays


def read_features(path: str | Path, size: int | None = None) -> np.ndarray:
    """The features in `path` as float32 (steps, size); a vector is one step. Nothing is ever unpickled.

    `size` is the number of features per step that the corpus has. Raises `ValueError` for a file that is truncated,
    empty, not numeric, of the wrong rank or of another size. NaN and infinity are kept: they are dealt with, and
    counted, where rows are written.
    """
    path = Path(path)
    try:
        values = _READERS[path.suffix](path)
    except KeyError:
        raise ValueError(f"{path} is no feature file; expected one of {', '.join(FEATURE_SUFFIXES)}.") from None
    except (ValueError, EOFError, OSError, SafetensorError, BadZipFile) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
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
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, which is counted later
        return np.ascontiguousarray(values, dtype=np.float32)


def _read_npy(path: Path) -> np.ndarray:
    values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray):
        raise ValueError("it is a zip archive, which belongs in a .npz file")
    return values


def _read_npz(path: Path) -> np.ndarray:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is a single array, which belongs in a .npy file")
    with archive:
        return archive[_choose(archive.files)]


def _read_csv(path: Path) -> np.ndarray:
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline()
        header = any(not _is_float(cell) for cell in first.split(","))
        if not first.strip() or (header and not file.readline().strip()):
            return np.zeros((0, 0))
    return np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2, encoding="utf-8-sig")


def _read_h5(path: Path) -> np.ndarray:
    try:
        import h5py
    except ImportError:
        raise ImportError("Reading .h5 feature files needs h5py: pip install 'mm_affect[data]'") from None
    with h5py.File(path, "r") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return np.asarray(file[_choose(names)][()])


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


_READERS = dict(zip(FEATURE_SUFFIXES, (_read_npy, _read_npz, _read_csv, _read_h5, _read_safetensors), strict=True))
