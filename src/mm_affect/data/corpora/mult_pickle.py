# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pickles of the Multimodal Transformer (Tsai et al. 2019), word-aligned and not: `<stem>_data[_noalign].pkl`.

A dict split -> `vision`, `audio`, `text` (clips, steps, features), `labels`, and `id`, triples of video, start and end
(bytes in MOSI; absent in some files). `labels` are (clips, 1, 1) for a regression, and (clips, classes, 2) one-hot pairs
for classes, of which the second says that the class is present.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..record import DroppedClip
from .layouts import LayoutFile, deduplicate_ids, finite_or_none
from .split_pickle import PicklePairLayout, check_lengths, read_dict, sequences, splits_in, text_of


class MultPickleLayout(PicklePairLayout):
    """A subclass gives `stem`, `about` (name, license, citation, split_protocol), `label_field` and `counts`.

    Labels that the chosen file lacks come from the other, joined by the id of the clip, never by position.
    """

    name = "mult_pickle"
    stem: str
    label_field: LabelField
    beside: tuple[LayoutFile, ...] = ()  # other files that a subclass reads
    array_keys = {"text": "text", "audio": "audio", "visual": "vision"}

    def __init_subclass__(cls):
        cls.file_by_alignment = {
            "words": LayoutFile(f"{cls.stem}_data.pkl", "word-aligned features and labels", required=False),
            "none": LayoutFile(
                f"{cls.stem}_data_noalign.pkl", "features at their own rates, and labels", required=False
            ),
        }
        cls.files = (*cls.file_by_alignment.values(), *cls.beside)
        cls.title = f"the MulT pickle ({cls.file_by_alignment['words'].path})"

    @property
    def label_fields(self) -> list[LabelField]:
        return [self.label_field]

    def names(self, split: str) -> list[str]:
        made_up = super().names(split)
        return clip_ids(self._splits[split], len(made_up), f"{self.path}, split {split}") or made_up

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        labels = self._labels(split)
        for index, clip in enumerate(self._ids[split]):
            if clip in labels:
                yield index, {"id": clip} | self._times(split, index), labels[clip]
            else:
                self.dropped.append(DroppedClip(clip, f"{self._other.name} has no labels of it"))

    @property
    def _other(self) -> Path:
        return self.folder / self.file_by_alignment["none" if self._align == "words" else "words"].path

    @cached_property
    def _other_splits(self) -> dict[str, dict]:
        return splits_in(read_dict(self._other), self._other, ("labels",), self.options["allow_partial"])

    def _times(self, split: str, index: int) -> dict:
        if "id" not in self._splits[split]:
            return {"group": self._ids[split][index], "start": None, "end": None}
        video, start, end = split_id(self._splits[split]["id"][index])
        return {"group": video, "start": start, "end": end}

    def _labels(self, split: str) -> dict[str, dict]:
        """Clip -> labels, from the chosen file or, by id, from the other."""
        part = self._splits[split]
        if "labels" in part:
            ids, path = self._ids[split], self.path
        elif not self._other.is_file():
            raise ValueError(f"{self.path} has no labels of {split}, and {self._other.name} is not beside it.")
        else:
            path = self._other
            if split not in self._other_splits:
                return {}
            part = self._other_splits[split]
            ids = clip_ids(part, len(part["labels"]), f"{path}, split {split}")
            if ids is None or "id" not in self._splits[split]:
                raise ValueError(
                    f"{self.path.name} takes its labels from {path.name}, but one of them has no `id`: clips are "
                    "joined by id, never by position."
                )
            if deduplicate_ids(ids)[1] or deduplicate_ids(clip_ids(self._splits[split], len(self._ids[split]), ""))[1]:
                raise ValueError(f"{path.name} and {self.path.name} cannot be joined: ids of {split} are there twice.")
        check_lengths({"labels": part["labels"], "id": ids}, f"{path}, split {split}")
        return dict(zip(ids, self._read_labels(part["labels"], f"{path}, `labels` of {split}"), strict=True))

    def _read_labels(self, values, where: str) -> list[dict]:
        name, classes = self.label_field.name, self.label_field.labels
        shape = (1, 1) if self.label_field.problem_type == "regression" else (len(classes), 2)
        values = sequences(values, where) if len(values) else np.zeros((0, *shape))
        if values.shape[1:] != shape:
            raise ValueError(f"{where} has shape {values.shape}; expected (clips, {shape[0]}, {shape[1]}).")
        if shape == (1, 1):
            return [{name: finite_or_none(value)} for value in values[:, 0, 0]]
        return [{name: present} for present in values[:, :, 1].astype(float).tolist()]


def clip_ids(part: dict, count: int, where: str) -> list[str] | None:
    """The ids of a split, or None where it has none: `video@start`, because clip numbers differ between sources."""
    if "id" not in part:
        return None
    check_lengths({"id": part["id"], "clips": range(count)}, where)
    ids = []
    for entry in part["id"]:
        texts, (video, start, _) = id_texts(entry), split_id(entry)
        ids.append("_".join(texts) if start is None else f"{video}@{start:.3f}")
    return ids


def split_id(entry) -> tuple[str, float | None, float | None]:
    """Video, start and end of an id; where it is no triple with times, what stands before `[` in its first text."""
    texts = id_texts(entry)
    try:
        video, start, end = texts[0], float(texts[1]), float(texts[2])
    except (IndexError, ValueError):
        return texts[0].partition("[")[0], None, None
    return video, start, end


def id_texts(entry) -> list[str]:
    """The parts of an id as texts; an id of one text has one part."""
    return [text_of(part) for part in (entry if isinstance(entry, list | tuple | np.ndarray) else [entry])] or [""]
