# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pickles of the MMSA framework (Mao et al. 2022): `aligned_50.pkl` and `unaligned_50.pkl`.

A dict split -> `raw_text`, `text` (clips, steps, 768), `text_bert` (clips, 3, steps): ids, mask and types of the word
pieces, `audio`, `vision`, `id` (`video$_$clip`), `regression_labels` and, in CH-SIMS, `regression_labels_T`, `_A` and
`_V`. Padded behind: the mask has the lengths of the text and, in the aligned file, of everything; `audio_lengths` and
`vision_lengths` have the others.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from .copies import Copy, Option, Wanted, known_number
from .padding import by_lengths, without_padding
from .split_dicts import (
    FILE_SPLITS,
    arrays_of,
    check_lengths,
    numbers_of,
    read_splits,
    sequences,
    text_of,
    unique_by_split,
)


ARRAYS = {"text": "text", "audio": "audio", "visual": "vision"}
FILES = {"words": "aligned_50.pkl", "none": "unaligned_50.pkl"}
UNIMODAL = {"T": "sentiment_text", "A": "sentiment_audio", "V": "sentiment_visual"}


class MmsaPickle(Copy):
    """A subclass gives `about` (name, licence, citation, split_protocol), `label_field` and `counts`.

    Both files may be there: `align` chooses one. Files are read into memory, whole.
    """

    name = "mmsa_pickle"
    title = "the MMSA pickle (aligned_50.pkl, unaligned_50.pkl)"
    about: dict
    label_field: dict
    counts: dict[str, int]
    wanted = (
        Wanted(FILES["words"], "word-aligned features, transcripts and labels", required=False),
        Wanted(FILES["none"], "features at their own rates, transcripts and labels", required=False),
    )
    known_options = {
        "align": Option('"words": the aligned file, "none": the other; by default the one that is there', None, (None, "words", "none"))
    }  # fmt: skip

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        return any(cls.find(folder, wanted) for wanted in cls.wanted)

    def describe(self) -> dict:
        return self.about | {
            "label_fields": self._fields,
            "sizes": {m: next(iter(parts.values())).shape[2] for m, parts in self._arrays.items()},
            "extractors": {},
            "counts": self.counts,
            "padding": self._bounds[1],
        }

    def rows(self, split: str) -> Iterator[dict]:
        if split not in self._splits:
            return
        part, where = self._splits[split], f"{self._path}, split `{FILE_SPLITS[split]}`"
        labels = {f["name"]: numbers_of(part[key], f"{where}, `{key}`") for key, f in self._label_keys.items()}
        for index, clip in enumerate(self._ids[split]):
            row = {
                "id": clip,
                "group": clip.rpartition("_")[0] or clip,
                "transcript": text_of(part["raw_text"][index]),
            }
            for modality, parts in self._arrays.items():
                start, stop = self._bounds[0][modality][split][index]
                row[modality] = parts[split][index, start:stop].astype(np.float32)
            known = {name: known_number(values[index]) for name, values in labels.items()}
            yield row | {"labels": self.note_labels(known, self._fields)}

    # the file ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _path(self) -> Path:
        asked = self.options["align"]
        there = [align for align, name in FILES.items() if (self.folder / name).is_file()]
        if asked is not None and asked not in there:
            raise ValueError(f"{self.folder} has no {FILES[asked]}, which align={asked!r} reads.")
        return self.folder / FILES[asked or there[0]]

    @property
    def _keys(self) -> dict[str, str]:
        return {modality: key for modality, key in ARRAYS.items() if modality in self.options["modalities"]}

    @cached_property
    def _splits(self) -> dict[str, dict]:
        needed = (*self._keys.values(), "id", "raw_text", "regression_labels")
        splits = read_splits(self._path, needed, self.options["allow_partial"])
        for split, part in splits.items():
            unimodal = {key: part[key] for key in self._label_keys_in(part)}
            check_lengths(unimodal, f"{self._path}, split `{FILE_SPLITS[split]}`")
        return splits

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return arrays_of(self._splits, self._keys, self._path)

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        names = {
            split: [text_of(clip).replace("$_$", "_") for clip in part["id"]] for split, part in self._splits.items()
        }
        unique, twice = unique_by_split(names)
        self.reported.update({"duplicate": twice} if twice else {})
        return unique

    # labels -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def _label_keys_in(part: dict) -> list[str]:
        unimodal = [f"regression_labels_{letter}" for letter in UNIMODAL]
        return ["regression_labels", *(key for key in unimodal if key in part)]

    @cached_property
    def _label_keys(self) -> dict[str, dict]:
        """Key of the file -> label field: the corpus' own and, where the file has them, one for each modality."""
        keys = self._label_keys_in(next(iter(self._splits.values())))
        names = [UNIMODAL.get(key.rpartition("_")[2], self.label_field["name"]) for key in keys]
        return {
            key: self.label_field | {"name": name, "labels": [name]} for key, name in zip(keys, names, strict=True)
        }

    @property
    def _fields(self) -> list[dict]:
        return list(self._label_keys.values())

    # padding ----------------------------------------------------------------------------------------------------------

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        bounds, ways = {}, {}
        for modality, arrays in self._arrays.items():
            key = self._lengths_key(modality)
            if key is None:
                found, way = without_padding({modality: arrays})
                bounds |= found
                ways |= way
                continue
            bounds[modality] = {
                split: by_lengths(self._lengths(split, key), *values.shape[:2], f"{self._path}, `{key}` of {split}")
                for split, values in arrays.items()
            }
            ways[modality] = f"behind, by `{key}`"
        return bounds, ways

    def _lengths_key(self, modality: str) -> str | None:
        """Where the file has the lengths of a modality: aligned ones are as long as their text."""
        aligned = self._path.name == FILES["words"]
        key = "text_bert" if aligned or modality == "text" else f"{ARRAYS[modality]}_lengths"
        return key if all(key in part for part in self._splits.values()) else None

    def _lengths(self, split: str, key: str):
        values = self._splits[split][key]
        if key != "text_bert":
            return values
        pieces = sequences(values, f"{self._path}, `text_bert` of {split}")
        if pieces.shape[1] != 3:
            raise ValueError(
                f"{self._path}, `text_bert` of {split} has shape {pieces.shape}; expected (clips, 3, steps)."
            )
        return pieces[:, 1].sum(axis=1)
