# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The h5 files of the Memory Fusion Network (Zadeh et al. 2018): word-aligned sequences of equal, padded length.

`text_<split>_emb.h5` (also `text_<split>.h5`), `audio_<split>.h5`, `video_<split>.h5` (clips, steps, features) and
`y_<split>.h5` (clips,), one data set `d1` each, splits train, valid and test. There are no ids. A modality may be missing
in a split: its rows have no steps of it.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, finite_or_none
from .padding import without_padding
from .split_pickle import FILE_SPLITS, check_lengths, numbers_of, sequences


FILES = {"text": ("text_{}_emb.h5", "text_{}.h5"), "audio": ("audio_{}.h5",), "visual": ("video_{}.h5",)}
LABELS = "y_{}.h5"


class MfnH5Layout(CorpusLayout):
    """A subclass gives `about` (name, license, citation, split_protocol), `label_field` and `counts`."""

    name = "mfn_h5"
    title = "the h5 files of MFN"
    about: CorpusRecord
    label_field: LabelField
    counts: dict[str, int]
    files = (
        *(LayoutFile(LABELS.format(s), f"labels of {s}") for s in FILE_SPLITS.values()),
        *(
            LayoutFile(names[0].format(s), f"{modality} features of {s}", required=False)
            for modality, names in FILES.items()
            for s in FILE_SPLITS.values()
        ),
    )

    @staticmethod
    def find_files(folder: Path, wanted: LayoutFile) -> list[Path]:
        """Like `CorpusLayout.find_files`; `_emb` may be missing in the name."""
        return CorpusLayout.find_files(folder, wanted) or CorpusLayout.find_files(
            folder, LayoutFile(wanted.path.replace("_emb", ""), "")
        )

    def describe(self) -> CorpusRecord:
        return replace(
            self.about,
            label_fields=[self.label_field],
            sizes={m: next(iter(parts.values())).shape[2] for m, parts in self._arrays.items()},
            counts=self.counts,
            padding=self._bounds[1],
        )

    def rows(self, split: str) -> Iterator[dict]:
        name = self.label_field.name
        absent = [m for m in self.options["modalities"] if split not in self._arrays.get(m, {})]
        for index, value in enumerate(self._labels[split]):
            row = {"id": f"{split}-{index}", "group": f"{split}-{index}"}
            for modality, parts in self._arrays.items():
                if split in parts:
                    start, stop = self._bounds[0][modality][split][index]
                    row[modality] = parts[split][index, start:stop].astype(np.float32)
            self.reported.update(f"no_{modality}_features" for modality in absent)
            yield row | {"labels": self.audit_labels({name: finite_or_none(value)}, [self.label_field])}

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        labels = {}
        for split, name in FILE_SPLITS.items():
            path = self.folder / LABELS.format(name)
            labels[split] = numbers_of(_read(path), f"{path}, `d1`")
        return labels

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        arrays = {}
        for modality, names in FILES.items():
            if modality not in self.options["modalities"]:
                continue
            size, parts = None, {}
            for split, name in FILE_SPLITS.items():
                found = [path for path in (self.folder / file.format(name) for file in names) if path.is_file()]
                if found:
                    parts[split] = values = sequences(_read(found[0]), f"{found[0]}, `d1`", size)
                    size = values.shape[2]
                    check_lengths({found[0].name: values, LABELS.format(name): self._labels[split]}, str(self.folder))
            if parts:
                arrays[modality] = parts
        return arrays

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        """Bounds of each split by itself, since a split may lack a modality."""
        bounds, ways = {}, {}
        for split in FILE_SPLITS:
            found, way = without_padding({m: {split: p[split]} for m, p in self._arrays.items() if split in p})
            for modality in found:
                bounds.setdefault(modality, {})[split] = found[modality][split]
                ways[modality] = way[modality]
        return bounds, ways


def _read(path: Path) -> np.ndarray:
    """The data set `d1`."""
    try:
        import h5py
    except ImportError:
        raise ImportError("Reading .h5 files needs h5py: pip install 'mm_affect[data]'") from None
    try:
        with h5py.File(path, "r") as file:
            if "d1" not in file or not isinstance(file.get("d1", getlink=True), h5py.HardLink):
                raise ValueError(f"{path} has no data set `d1`; it has {', '.join(list(file)[:5]) or 'nothing'}.")
            values = file["d1"]
            if not isinstance(values, h5py.Dataset) or values.external or values.is_virtual:
                raise ValueError(f"{path}: `d1` is no data set of this file.")
            if values.size * values.dtype.itemsize > 1032 * path.stat().st_size:  # the most that gzip can save
                raise ValueError(f"{path}: `d1` declares shape {values.shape}, more than the file can hold.")
            return values[()]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is not there; the copy is not complete.") from None
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{path} is truncated or no HDF5 file ({str(error).splitlines()[0]}); get it again."
        ) from None
