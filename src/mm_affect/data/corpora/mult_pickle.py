# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pickles of the Multimodal Transformer (Tsai et al. 2019): `<stem>_data.pkl` and `<stem>_data_noalign.pkl`.

Released with the code of MulT. Each file is a dict split -> `vision`, `audio`, `text` (clips, steps, features), `labels`
and `id`, triples of video, start and end (bytes in MOSI; missing in some files). `labels` is (clips, 1, 1) for a
regression and (clips, classes, 2) for classes: one-hot pairs whose second value means that the class is present.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..record import DroppedClip
from .layouts import LayoutFile, deduplicate_ids, finite_or_none
from .split_pickle import PicklePairLayout, check_lengths, get_splits, read_dict, to_sequences, to_text


class MultPickleLayout(PicklePairLayout):
    """Word-aligned and unaligned MulT pickles. Labels missing in the selected file are joined from the other, by clip id.

    Class attributes:
        stem: start of the file names.
        label_field: the label column.
        auxiliary_files: further files that a subclass reads.
    """

    name = "mult_pickle"
    stem: str
    label_field: LabelField
    auxiliary_files: tuple[LayoutFile, ...] = ()
    array_keys = {"text": "text", "audio": "audio", "visual": "vision"}

    def __init_subclass__(cls):
        cls.file_by_alignment = {
            "words": LayoutFile(f"{cls.stem}_data.pkl", "word-aligned features and labels", required=False),
            "none": LayoutFile(
                f"{cls.stem}_data_noalign.pkl", "features at their own rates, and labels", required=False
            ),
        }
        cls.files = (*cls.file_by_alignment.values(), *cls.auxiliary_files)
        cls.title = f"the MulT pickle ({cls.file_by_alignment['words'].path})"

    @property
    def label_fields(self) -> list[LabelField]:
        """Return the label columns of the file."""
        return [self.label_field]

    def names(self, split: str) -> list[str]:
        """Return the ids of a split."""
        default = super().names(split)
        return parse_clip_ids(self._splits[split], len(default), f"{self.path}, split {split}") or default

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Iterate over the clips of a split: position, row without features and labels, and labels."""
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
        return get_splits(read_dict(self._other), self._other, ("labels",), self.options["allow_partial"])

    def _times(self, split: str, index: int) -> dict:
        if "id" not in self._splits[split]:
            return {"group": self._ids[split][index], "start": None, "end": None}
        video, start, end = parse_id(self._splits[split]["id"][index])
        return {"group": video, "start": start, "end": end}

    def _labels(self, split: str) -> dict[str, dict]:
        """Return clip -> labels, from the selected file or, joined by id, from the other."""
        part = self._splits[split]
        if "labels" in part:
            ids, path = self._ids[split], self.path
        elif not self._other.is_file():
            raise ValueError(f"{self.path} has no labels of {split}, and {self._other.name} does not exist.")
        else:
            path = self._other
            if split not in self._other_splits:
                return {}
            part = self._other_splits[split]
            other_ids = parse_clip_ids(part, len(part["labels"]), f"{path}, split {split}")
            own_ids = parse_clip_ids(self._splits[split], len(self._ids[split]), "")
            if other_ids is None or own_ids is None:
                raise ValueError(
                    f"{self.path.name} takes its labels from {path.name}, but one of them has no `id`: clips are "
                    "joined by id, never by position."
                )
            if deduplicate_ids(other_ids)[1] or deduplicate_ids(own_ids)[1]:
                raise ValueError(f"{path.name} and {self.path.name} cannot be joined: ids of {split} are repeated.")
            ids = other_ids
        check_lengths({"labels": part["labels"], "id": ids}, f"{path}, split {split}")
        return dict(zip(ids, self._read_labels(part["labels"], f"{path}, `labels` of {split}"), strict=True))

    def _read_labels(self, values, where: str) -> list[dict]:
        name, classes = self.label_field.name, self.label_field.labels
        shape = (1, 1) if self.label_field.problem_type == "regression" else (len(classes), 2)
        values = to_sequences(values, where) if len(values) else np.zeros((0, *shape))
        if values.shape[1:] != shape:
            raise ValueError(f"{where} has shape {values.shape}; expected (clips, {shape[0]}, {shape[1]}).")
        if shape == (1, 1):
            return [{name: finite_or_none(value)} for value in values[:, 0, 0]]
        return [{name: present} for present in values[:, :, 1].astype(float).tolist()]


def parse_clip_ids(part: dict, count: int, where: str) -> list[str] | None:
    """Return the ids `<video>@<start>` of a split (clip numbers differ between sources), or None if it has none."""
    if "id" not in part:
        return None
    check_lengths({"id": part["id"], "clips": range(count)}, where)
    ids = []
    for entry in part["id"]:
        texts, (video, start, _) = get_id_parts(entry), parse_id(entry)
        ids.append("_".join(texts) if start is None else f"{video}@{start:.3f}")
    return ids


def parse_id(entry) -> tuple[str, float | None, float | None]:
    """Split an id into video, start and end; without times, the video is its first part up to `[`."""
    texts = get_id_parts(entry)
    try:
        video, start, end = texts[0], float(texts[1]), float(texts[2])
    except (IndexError, ValueError):
        return texts[0].partition("[")[0], None, None
    return video, start, end


def get_id_parts(entry) -> list[str]:
    """Return the parts of an id as strings."""
    return [to_text(part) for part in (entry if isinstance(entry, list | tuple | np.ndarray) else [entry])] or [""]
