# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Read computational sequences (.csd), the HDF5 files of the CMU Multimodal SDK, one video or slice at a time.

A file has one root group, named after the sequence. It contains `<root>/data/<video>/features` (n, size),
`<root>/data/<video>/intervals` (n, 2) in seconds, and `<root>/metadata/*` as JSON strings. Features may be words; silence
is the word `sp`. Links and external storage are not followed, and sizes that the file cannot hold are refused, so that a
small file cannot allocate much memory.
"""

import contextlib
import json
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from .hdf5 import import_h5py


SILENCE = "sp"
MAX_BYTES = 2**30  # per read: ten hours of COVAREP
MAX_TEXT_BYTES = 2**24  # bytes of variable-length strings per read: a million words
MAX_COMPRESSION_RATIO = 1032  # upper bound of the compression ratio of HDF5's gzip filter
MAX_CHUNK_BYTES = 2**24  # bytes, if the dataset is smaller; HDF5 unpacks a whole chunk to read one value
METADATA = (
    "root name", "computational sequence description", "computational sequence version", "dimension names", "creator",
    "contact", "dataset name", "dataset version", "featureset bib citation", "dataset bib citation", "md5", "uuid",
    "alignment compatible",
)  # fmt: skip


class ComputationalSequence:
    """A .csd file, open for reading. Use it in a `with` block, or call `close`.

    Args:
        path: the file.
        root: the expected name of the root group, if it is known.

    Attributes:
        name: name of the root group.
        videos: sorted video ids.
        size: number of features per step, the same in every video.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not HDF5, is truncated, or has another structure, here or when a video is read.
        ImportError: if h5py is not installed.
    """

    def __init__(self, path: str | Path, root: str | None = None):
        h5py = import_h5py(".csd")
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} is no file; expected a computational sequence (.csd).")
        self._h5py = h5py
        self._stored = self.path.stat().st_size
        self._last: tuple = (None, ())
        if not h5py.is_hdf5(self.path):
            raise ValueError(f"{self.path} is no HDF5 file ({self._stored} bytes); download or copy it again.")
        with self._reading():
            self._file = h5py.File(self.path, "r")
        try:
            with self._reading():
                self.name = self._root(root)
                self._data = self._child(self._file[self.name], "data", h5py.Group, f"root `{self.name}`")
                self.videos = sorted(self._data)
                self._known = frozenset(self.videos)
            self._check_videos()
            self.size = self._entry(self.videos[0])[0].shape[1]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "ComputationalSequence":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __contains__(self, video: str) -> bool:
        return video in self._known

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._file.close()

    @cached_property
    def metadata(self) -> dict:
        """Return the metadata by the names of the SDK; strings that are not JSON (some files have them) are kept as they are."""
        metadata: dict = {}
        with self._reading():
            if "metadata" not in self._file[self.name]:
                return metadata
            group = self._child(self._file[self.name], "metadata", self._h5py.Group, f"root `{self.name}`")
            for name in METADATA:
                if name in group:
                    value = self._child(group, name, self._h5py.Dataset, "`metadata`")
                    if value.size != 1 or not self._is_text(value):
                        raise ValueError(f"{self.path}: metadata `{name}` is {value.dtype} {value.shape}, not a text.")
                    metadata[name] = _parse_json(np.ravel(value[()])[0])
        return metadata

    @property
    def is_text(self) -> bool:
        """Return True if the features are words, which `texts` reads, and not numbers."""
        return self._is_text(self._entry(self.videos[0])[0])

    def steps(self, video: str) -> int:
        """Return the number of steps of a video."""
        return len(self._entry(video)[0])

    def intervals(self, video: str) -> np.ndarray:
        """Return the start and end of every step in seconds, float64 (steps, 2), in the order of the file.

        Raises:
            ValueError: if an interval is not finite, or if all of them end before they start.
        """
        with self._reading(video):
            intervals = self._read_bounded(self._entry(video)[1], slice(None), video).astype(np.float64, copy=False)
        if not np.isfinite(intervals).all():
            bad = np.flatnonzero(~np.isfinite(intervals).all(axis=1))
            raise ValueError(
                f"{self.path}: video `{video}` has {len(bad)} intervals that are not finite, the first in row "
                f"{bad[0]}; drop the video, or get the file again."
            )
        if len(intervals) and (intervals[:, 1] < intervals[:, 0]).all():
            raise ValueError(
                f"{self.path}: every interval of video `{video}` ends before it starts; are the columns swapped?"
            )
        return intervals

    def features(self, video: str, steps: slice = slice(None)) -> np.ndarray:
        """Return the features of a video, or of a slice of its steps, as float32 (steps, size), NaN and infinity included."""
        values = self._entry(video)[0]
        if values.dtype.kind not in "iuf":
            raise ValueError(
                f"{self.path}: video `{video}` holds {values.dtype}, not numbers; read words with `texts`."
            )
        with self._reading(video), np.errstate(over="ignore"):
            return self._read_bounded(values, steps, video).astype(np.float32, copy=False)

    def texts(self, video: str, steps: slice = slice(None)) -> list[str]:
        """Return the words of a video, or of a slice of its steps, including silences; `intervals` returns their times."""
        values = self._entry(video)[0]
        if not self._is_text(values) or values.shape[1] != 1:
            raise ValueError(
                f"{self.path}: video `{video}` holds {values.dtype} {values.shape}; expected words, one for each step."
            )
        with self._reading(video):
            words = self._read_bounded(values, steps, video)[:, 0]
        try:
            return [word.decode("utf-8") for word in words]
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}: video `{video}` has the word {error.object!r}, which is not UTF-8."
            ) from None

    def words(self, video: str) -> tuple[list[str], np.ndarray]:
        """Return the words of a video without silences and empty strings, and their intervals (words, 2)."""
        texts, intervals = self.texts(video), self.intervals(video)
        spoken = [index for index, text in enumerate(texts) if text.strip() not in ("", SILENCE)]
        return [texts[index].strip() for index in spoken], intervals[spoken]

    def _root(self, expected: str | None) -> str:
        roots = sorted(self._file)
        if len(roots) != 1:
            raise ValueError(
                f"{self.path} has {len(roots)} entries at its root {roots[:5]}; a computational sequence has one."
            )
        if expected is not None and roots[0] != expected:
            raise ValueError(
                f"{self.path} has the root `{roots[0]}`; expected `{expected}`: is it the file of another sequence?"
            )
        self._child(self._file, roots[0], self._h5py.Group, "the file")
        return roots[0]

    def _check_videos(self) -> None:
        if not self.videos:
            raise ValueError(f"{self.path} holds no video below `{self.name}/data`; get the file again.")
        aligned = [name for name in self.videos if name.endswith("]") and "[" in name]
        if aligned:
            raise ValueError(
                f"{self.path} was aligned by the SDK already (it has `{aligned[0]}`); expected one entry for each "
                "video, as the corpus is published."
            )

    def _child(self, group, name: str, kind: type, where: str):
        """Return `group[name]` after checking that it is a `kind` and stored in this file."""
        link = group.get(name, getlink=True)
        if link is None:
            raise ValueError(
                f"{self.path}: {where} lacks `{name}`; expected data/<video>/features and intervals below the root."
            )
        if not isinstance(link, self._h5py.HardLink):
            raise ValueError(f"{self.path}: `{name}` of {where} is a link to elsewhere; links are not followed.")
        child = group[name]
        if not isinstance(child, kind):
            raise ValueError(f"{self.path}: `{name}` of {where} is no HDF5 {kind.__name__.lower()}.")
        return child

    def _entry(self, video: str) -> tuple:
        """Return the checked HDF5 datasets (features, intervals) of a video; those of the last video are cached."""
        if video == self._last[0]:
            return self._last[1]
        with self._reading(video):
            if video not in self._known:
                raise ValueError(f"{self.path} has no video `{video}`; it has {len(self.videos)} others.")
            group = self._child(self._data, video, self._h5py.Group, "`data`")
            where = f"video `{video}`"
            features, intervals = (self._child(group, n, self._h5py.Dataset, where) for n in ("features", "intervals"))
            for name, values in (("features", features), ("intervals", intervals)):
                self._check_storage(values, f"`{name}` of {where}")
            if features.ndim != 2 or features.shape[1] == 0:
                raise ValueError(
                    f"{self.path}: features of {where} have shape {features.shape}; expected (steps, size)."
                )
            if intervals.ndim != 2 or intervals.shape[1] != 2 or intervals.dtype.kind not in "iuf":
                raise ValueError(
                    f"{self.path}: intervals of {where} are {intervals.dtype} {intervals.shape}, not numbers (steps, 2)."
                )
            if len(features) != len(intervals):
                raise ValueError(
                    f"{self.path}: {where} has {len(features)} steps of features and {len(intervals)} intervals."
                )
            if features.shape[1] != getattr(self, "size", features.shape[1]):
                raise ValueError(
                    f"{self.path}: {where} has {features.shape[1]} features per step; `{self.videos[0]}` has {self.size}."
                )
        self._last = video, (features, intervals)
        return features, intervals

    def _check_storage(self, values, where: str) -> None:
        """Raise `ValueError` for data in other files, and for a dataset or chunk larger than this file can hold."""
        if values.external or values.is_virtual:
            raise ValueError(f"{self.path}: {where} is kept in another file; only what is in the file itself is read.")
        stored, declared = min(values.id.get_storage_size(), self._stored), values.size * values.dtype.itemsize
        chunk = math.prod(values.chunks or (0,)) * values.dtype.itemsize
        if declared > MAX_COMPRESSION_RATIO * stored or chunk > max(declared, MAX_CHUNK_BYTES):
            raise ValueError(
                f"{self.path}: {where} declares shape {values.shape} in chunks of {chunk} bytes, but the file stores "
                f"{stored} bytes of it; get the file again."
            )

    def _read_bounded(self, values, steps: slice, video: str) -> np.ndarray:
        """Read `values[steps]`, at most `MAX_BYTES`; strings are returned as bytes."""
        selected = range(*steps.indices(len(values)))
        if selected.step != 1:
            raise ValueError(
                f"{self.path}: video `{video}` is read in slices with step 1; found step {selected.step}."
            )
        if len(selected) * values.shape[1] * values.dtype.itemsize > MAX_BYTES:
            raise ValueError(f"{self.path}: video `{video}` has more than {MAX_BYTES} bytes; read it in slices.")
        if values.dtype.kind != "O":
            return values[selected.start : selected.stop]
        read, size = [np.zeros((0, values.shape[1]), dtype=object)], 0
        for start in range(selected.start, selected.stop, 16):  # a string may be as long as the file: few at a time
            read.append(values[start : min(start + 16, selected.stop)])
            size += sum(map(len, read[-1].flat))
            if size > MAX_TEXT_BYTES:
                raise ValueError(
                    f"{self.path}: video `{video}` has more than {MAX_TEXT_BYTES} bytes of text; are these words?"
                )
        return np.concatenate(read)

    def _is_text(self, values) -> bool:
        return values.dtype.kind == "S" or self._h5py.check_string_dtype(values.dtype) is not None

    @contextlib.contextmanager
    def _reading(self, video: str | None = None):
        """Turn the errors of HDF5 for damaged files into one `ValueError`."""
        try:
            yield
        except Exception as error:  # h5py raises errors of every type
            if isinstance(error, ValueError) and str(error).startswith(str(self.path)):
                raise  # already explained
            place = "" if video is None else f" at video `{video}`"
            reason = str(error).splitlines()[0].strip("'\" .") if str(error) else type(error).__name__
            raise ValueError(
                f"{self.path} is truncated or damaged{place} ({reason}); download or copy it again."
            ) from error


def find_shared_videos(sequences: Iterable[ComputationalSequence]) -> list[str]:
    """Return the sorted ids of the videos that all sequences have.

    Raises:
        ValueError: if two sequences have no video in common: they belong to different corpora, whatever their file names
            and metadata say.
    """
    sequences = list(sequences)
    for index, left in enumerate(sequences):
        for right in sequences[index + 1 :]:
            if set(left.videos).isdisjoint(right.videos):
                raise ValueError(
                    f"{left.path} ({len(left.videos)} videos, such as `{left.videos[0]}`) and {right.path} "
                    f"({len(right.videos)}, such as `{right.videos[0]}`) share none; they are of different corpora."
                )
    return sorted(set.intersection(*(set(sequence.videos) for sequence in sequences))) if sequences else []


def _parse_json(text: bytes):
    decoded = text.decode("utf-8", errors="replace")
    try:
        return json.loads(decoded)
    except ValueError:
        return decoded
