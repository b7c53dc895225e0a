# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pickles of MISA (Hazarika et al. 2020): `train.pkl`, `dev.pkl` and `test.pkl`, word-aligned and not padded.

Each file is a list of clips ((word ids, visual (words, size), audio (words, size), words), label (1, 1), `video[number]`).
The word ids index a table of word vectors in another file, so there are no text features; the words are the transcript.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.legacy_pickle import read_pickle
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, finite_or_none
from .split_pickle import deduplicate_by_split, to_numbers, to_text


FILES = {"train": "train.pkl", "validation": "dev.pkl", "test": "test.pkl"}
POSITIONS = {"audio": 2, "visual": 1}  # position of a modality in the features of a clip


class MisaPickleLayout(CorpusLayout):
    """Layout of the MISA pickles. Subclasses set `about`, `label_field` and `counts`."""

    name = "misa_pickle"
    title = "the MISA pickles (train.pkl, dev.pkl, test.pkl)"
    about: CorpusRecord
    label_field: LabelField
    counts: Mapping[str, int]
    files = tuple(LayoutFile(path, f"words, features and labels of {split}") for split, path in FILES.items())

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True if `folder` holds this layout."""
        return any(cls.find_files(folder, file) for file in cls.files)

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        first = next(clip for clips in self._splits.values() for clip in clips)
        return replace(
            self.about,
            label_fields=[self.label_field],
            sizes={
                m: first[0][position].shape[1] for m, position in POSITIONS.items() if m in self.options["modalities"]
            },
            counts=dict(self.counts),
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        name = self.label_field.name
        for clip, (features, label, _) in zip(self._ids.get(split, ()), self._splits.get(split, ()), strict=True):
            value = to_numbers(label, f"{self.folder / FILES[split]}: the label of {clip}")[0]
            row = {"id": clip, "group": clip.rpartition("[")[0] or clip}
            if "text" in self.options["modalities"]:
                row["transcript"] = " ".join(features[3])
            for modality, position in POSITIONS.items():
                if modality in self.options["modalities"]:
                    row[modality] = features[position].astype(np.float32)
            yield row | {"labels": self.audit_labels({name: finite_or_none(value)}, [self.label_field])}

    @cached_property
    def _splits(self) -> dict[str, list]:
        present = {split: self.folder / name for split, name in FILES.items() if (self.folder / name).is_file()}
        missing = [name for split, name in FILES.items() if split not in present]
        if missing and not self.options["allow_partial"]:
            raise ValueError(
                f"{self.folder} has no {missing[0]}; add the file, or leave it out (`--allow-partial`, in Python `allow_partial=True`)."
            )
        return {split: _read_clips(path) for split, path in present.items()}

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        unique, repeated = deduplicate_by_split(
            {s: [to_text(clip[2]) for clip in clips] for s, clips in self._splits.items()}
        )
        self.report("duplicate", repeated)
        return unique


def _read_clips(path: Path) -> list:
    """Read the clips of a file and check their structure; whitespace in words is removed."""
    clips = read_pickle(path)
    if not isinstance(clips, list) or not clips:
        raise ValueError(f"{path} holds {type(clips).__name__}; expected a list of clips.")
    checked, sizes = [], None
    for index, clip in enumerate(clips):
        where = f"{path}, clip {index}"
        if not (isinstance(clip, tuple) and len(clip) == 3 and isinstance(clip[0], tuple) and len(clip[0]) == 4):
            raise ValueError(f"{where} is not ((word numbers, visual, audio, words), label, id); is it another file?")
        numbers, visual, audio, words = clip[0]
        if any(not isinstance(values, np.ndarray) or values.ndim != 2 for values in (visual, audio)):
            raise ValueError(f"{where}: visual and audio must be arrays (words, features).")
        if not len(numbers) == len(visual) == len(audio) == len(words):
            raise ValueError(
                f"{where} has {len(words)} words, {len(visual)} visual and {len(audio)} audio steps; they must be equal."
            )
        if sizes not in (None, (visual.shape[1], audio.shape[1])):
            raise ValueError(f"{where} has {visual.shape[1]} and {audio.shape[1]} features, others {sizes}.")
        sizes = (visual.shape[1], audio.shape[1])
        checked.append(((numbers, visual, audio, ["".join(to_text(word).split()) for word in words]), *clip[1:]))
    return checked
