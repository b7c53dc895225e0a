# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""HDF5 files of the Memory Fusion Network (Zadeh et al. 2018): word-aligned sequences, padded to equal length.

Released with the code of MFN: `text_<split>_emb.h5` (or `text_<split>.h5`), `audio_<split>.h5`, `video_<split>.h5` (clips,
steps, features) and `y_<split>.h5` (clips,) for the splits train, valid and test, with one HDF5 dataset `d1` each. There are
no ids. If a split lacks a modality, its rows have no steps of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.csd import MAX_COMPRESSION_RATIO
from ..readers.hdf5 import import_h5py
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, finite_or_none
from .padding import detect_padding
from .split_pickle import FILE_SPLITS, check_lengths, to_numbers, to_sequences


FILES = {"text": ("text_{}_emb.h5", "text_{}.h5"), "audio": ("audio_{}.h5",), "visual": ("video_{}.h5",)}
LABELS = "y_{}.h5"


class MfnH5Layout(CorpusLayout):
    """Layout of the MFN files. Subclasses set `about`, `label_field` and `counts`."""

    name = "mfn_h5"
    title = "the h5 files of MFN"
    about: CorpusRecord
    label_field: LabelField
    counts: Mapping[str, int]
    files = (
        *(LayoutFile(LABELS.format(s), f"labels of {s}") for s in FILE_SPLITS.values()),
        *(
            LayoutFile(names[0].format(s), f"{modality} features of {s}", required=False)
            for modality, names in FILES.items()
            for s in FILE_SPLITS.values()
        ),
    )

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the paths that match `file`, whose name may lack `_emb`."""
        return CorpusLayout.find_files(folder, file) or CorpusLayout.find_files(
            folder, LayoutFile(file.path.replace("_emb", ""), "")
        )

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        return replace(
            self.about,
            label_fields=[self.label_field],
            sizes={m: next(iter(parts.values())).shape[2] for m, parts in self._arrays.items()},
            counts=dict(self.counts),
            padding=self._bounds[1],
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        name = self.label_field.name
        absent = [m for m in self.options["modalities"] if split not in self._arrays.get(m, {})]
        for index, value in enumerate(self._labels[split]):
            row: dict = {"id": f"{split}-{index}", "group": f"{split}-{index}"}
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
            labels[split] = to_numbers(_read(path), f"{path}, `d1`")
        return labels

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        arrays = {}
        for modality, names in FILES.items():
            if modality not in self.options["modalities"]:
                continue
            size, parts = None, {}
            for split, name in FILE_SPLITS.items():
                paths = [path for path in (self.folder / file.format(name) for file in names) if path.is_file()]
                if paths:
                    parts[split] = values = to_sequences(_read(paths[0]), f"{paths[0]}, `d1`", size)
                    size = values.shape[2]
                    check_lengths({paths[0].name: values, LABELS.format(name): self._labels[split]}, str(self.folder))
            if parts:
                arrays[modality] = parts
        return arrays

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        """Detect padding in each split separately, because a split may lack a modality."""
        bounds: dict[str, dict[str, np.ndarray]] = {}
        methods: dict[str, str] = {}
        for split in FILE_SPLITS:
            detected, method = detect_padding({m: {split: p[split]} for m, p in self._arrays.items() if split in p})
            for modality in detected:
                bounds.setdefault(modality, {})[split] = detected[modality][split]
                methods[modality] = method[modality]
        return bounds, methods


def _read(path: Path) -> np.ndarray:
    """Read the HDF5 dataset `d1`."""
    h5py = import_h5py(".h5")
    try:
        with h5py.File(path, "r") as file:
            if "d1" not in file or not isinstance(file.get("d1", getlink=True), h5py.HardLink):
                raise ValueError(f"{path} has no dataset `d1`; it has {', '.join(list(file)[:5]) or 'nothing'}.")
            values = file["d1"]
            if not isinstance(values, h5py.Dataset) or values.external or values.is_virtual:
                raise ValueError(f"{path}: `d1` is not a dataset of this file.")
            if values.size * values.dtype.itemsize > MAX_COMPRESSION_RATIO * path.stat().st_size:
                raise ValueError(f"{path}: `d1` declares shape {values.shape}, more than the file can hold.")
            return values[()]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; the files are incomplete.") from None
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{path} is truncated or not an HDF5 file ({str(error).splitlines()[0]}); get it again."
        ) from None
