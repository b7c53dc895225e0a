# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pickles of the MMSA framework (Mao et al. 2022): `aligned_50.pkl` and `unaligned_50.pkl`.

A dict split -> `raw_text`, `text` (clips, steps, 768), `text_bert` (clips, 3, steps): ids, mask and types of the word
pieces, `audio`, `vision`, `id` (`video$_$clip`), `regression_labels` and, in CH-SIMS, `regression_labels_T`, `_A` and
`_V`. Padded behind: the mask has the lengths of the text and, in the aligned file, of everything; `audio_lengths` and
`vision_lengths` have the others.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from ...label_field import LabelField
from .layouts import LayoutFile, finite_or_none
from .padding import by_lengths, without_padding
from .split_pickle import FILE_SPLITS, PicklePairLayout, check_lengths, numbers_of, sequences, text_of


UNIMODAL = {"T": "sentiment_text", "A": "sentiment_audio", "V": "sentiment_visual"}


class MmsaPickleLayout(PicklePairLayout):
    """A subclass gives `about` (name, license, citation, split_protocol), `label_field` and `counts`."""

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
        return list(self._label_keys.values())

    def names(self, split: str) -> list[str]:
        return [text_of(clip).replace("$_$", "_") for clip in self._splits[split]["id"]]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        part, where = self._splits[split], self._where(split)
        labels = {
            field.name: numbers_of(part[key], f"{where}, `{key}`")
            for key, field in self._label_keys.items()
            if key in part
        }
        for index, clip in enumerate(self._ids[split]):
            group, text = clip.rpartition("_")[0] or clip, text_of(part["raw_text"][index])
            known = {name: finite_or_none(values[index]) for name, values in labels.items()}
            yield index, {"id": clip, "group": group, "transcript": text}, known

    def _where(self, split: str) -> str:
        return f"{self.path}, split `{FILE_SPLITS[split]}`"

    @cached_property
    def _label_keys(self) -> dict[str, LabelField]:
        """Key of the file -> label field: the corpus' own and, where a split of the file has them, one for each modality."""
        for split, part in self._splits.items():
            check_lengths({key: part[key] for key in label_keys(part)}, self._where(split))
        keys = list(dict.fromkeys(key for part in self._splits.values() for key in label_keys(part)))
        names = [UNIMODAL.get(key.rpartition("_")[2], self.label_field.name) for key in keys]
        return {
            key: replace(self.label_field, name=name, labels=(name,)) for key, name in zip(keys, names, strict=True)
        }

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
                split: by_lengths(self._lengths(split, key), *values.shape[:2], f"{self.path}, `{key}` of {split}")
                for split, values in arrays.items()
            }
            ways[modality] = f"behind, by `{key}`"
        return bounds, ways

    def _lengths_key(self, modality: str) -> str | None:
        """Where the file has the lengths of a modality: aligned ones are as long as their text."""
        by_text = self._align == "words" or modality == "text"
        key = "text_bert" if by_text else f"{self.array_keys[modality]}_lengths"
        return key if all(key in part for part in self._splits.values()) else None

    def _lengths(self, split: str, key: str):
        values = self._splits[split][key]
        if key != "text_bert":
            return values
        pieces = sequences(values, f"{self.path}, `text_bert` of {split}")
        if pieces.shape[1] != 3:
            raise ValueError(
                f"{self.path}, `text_bert` of {split} has shape {pieces.shape}; expected (clips, 3, steps)."
            )
        return pieces[:, 1].sum(axis=1)


def label_keys(part: dict) -> list[str]:
    """The labels that a split has: of the clip and, in some files, of each modality."""
    unimodal = [f"regression_labels_{letter}" for letter in UNIMODAL]
    return ["regression_labels", *(key for key in unimodal if key in part)]
