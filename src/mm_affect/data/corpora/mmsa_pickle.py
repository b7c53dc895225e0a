# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pickles of the MMSA framework (Mao et al. 2022): `aligned_50.pkl` and `unaligned_50.pkl`.

Each file is a dict split -> `raw_text`, `text` (clips, steps, 768), `text_bert` (clips, 3, steps) with token ids, mask and
token types, `audio`, `vision`, `id` (`video$_$clip`), `regression_labels` and, in CH-SIMS, `regression_labels_T`, `_A` and
`_V`. Arrays are padded at the end: the mask gives the lengths of the text and, in the aligned file, of all modalities;
`audio_lengths` and `vision_lengths` give the others.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from ...label_field import LabelField
from .layouts import LayoutFile, finite_or_none
from .padding import bounds_from_lengths, detect_padding
from .split_pickle import FILE_SPLITS, PicklePairLayout, check_lengths, to_numbers, to_sequences, to_text


UNIMODAL = {"T": "sentiment_text", "A": "sentiment_audio", "V": "sentiment_visual"}


class MmsaPickleLayout(PicklePairLayout):
    """Word-aligned and unaligned MMSA pickles. Subclasses set `about`, `label_field` and `counts`."""

    name = "mmsa_pickle"
    title = "the MMSA pickle (aligned_50.pkl, unaligned_50.pkl)"
    label_field: LabelField
    file_by_alignment = {
        "words": LayoutFile("aligned_50.pkl", "word-aligned features, transcripts and labels", required=False),
        "none": LayoutFile("unaligned_50.pkl", "features at their own rates, transcripts and labels", required=False),
    }
    files = tuple(file_by_alignment.values())
    array_keys = {"text": "text", "audio": "audio", "visual": "vision"}
    needed = ("id", "raw_text", "regression_labels")

    @property
    def label_fields(self) -> list[LabelField]:
        """Return the label columns of the file."""
        return list(self._label_keys.values())

    def names(self, split: str) -> list[str]:
        """Return the ids of a split."""
        return [to_text(clip).replace("$_$", "_") for clip in self._splits[split]["id"]]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Iterate over the clips of a split: position, row without features and labels, and labels."""
        part, where = self._splits[split], self._where(split)
        labels = {
            field.name: to_numbers(part[key], f"{where}, `{key}`")
            for key, field in self._label_keys.items()
            if key in part
        }
        for index, clip in enumerate(self._ids[split]):
            group, text = clip.rpartition("_")[0] or clip, to_text(part["raw_text"][index])
            known = {name: finite_or_none(values[index]) for name, values in labels.items()}
            yield index, {"id": clip, "group": group, "transcript": text}, known

    def _where(self, split: str) -> str:
        return f"{self.path}, split `{FILE_SPLITS[split]}`"

    @cached_property
    def _label_keys(self) -> dict[str, LabelField]:
        """Return key of the file -> label column: that of the corpus and, if the file has them, those of each modality."""
        for split, part in self._splits.items():
            check_lengths({key: part[key] for key in get_label_keys(part)}, self._where(split))
        keys = list(dict.fromkeys(key for part in self._splits.values() for key in get_label_keys(part)))
        names = [UNIMODAL.get(key.rpartition("_")[2], self.label_field.name) for key in keys]
        return {
            key: replace(self.label_field, name=name, labels=(name,)) for key, name in zip(keys, names, strict=True)
        }

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        bounds: dict[str, dict[str, np.ndarray]] = {}
        methods: dict[str, str] = {}
        for modality, arrays in self._arrays.items():
            key = self._lengths_key(modality)
            if key is None:
                detected, method = detect_padding({modality: arrays})
                bounds |= detected
                methods |= method
                continue
            bounds[modality] = {
                split: bounds_from_lengths(
                    self._lengths(split, key), len(values), values.shape[1], f"{self.path}, `{key}` of {split}"
                )
                for split, values in arrays.items()
            }
            methods[modality] = f"behind, by `{key}`"
        return bounds, methods

    def _lengths_key(self, modality: str) -> str | None:
        """Return the key with the lengths of a modality; aligned modalities are as long as the text."""
        by_text = self._align == "words" or modality == "text"
        key = "text_bert" if by_text else f"{self.array_keys[modality]}_lengths"
        return key if all(key in part for part in self._splits.values()) else None

    def _lengths(self, split: str, key: str):
        values = self._splits[split][key]
        if key != "text_bert":
            return values
        pieces = to_sequences(values, f"{self.path}, `text_bert` of {split}")
        if pieces.shape[1] != 3:
            raise ValueError(
                f"{self.path}, `text_bert` of {split} has shape {pieces.shape}; expected (clips, 3, steps)."
            )
        return pieces[:, 1].sum(axis=1)


def get_label_keys(part: dict) -> list[str]:
    """Return the label keys of a split: that of the clip and, in some files, those of each modality."""
    unimodal = [f"regression_labels_{letter}" for letter in UNIMODAL]
    return ["regression_labels", *(key for key in unimodal if key in part)]
