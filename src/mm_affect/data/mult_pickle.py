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

from .copies import Copy, Option, Wanted, known_number, unique_ids
from .padding import without_padding
from .split_dicts import arrays_of, check_lengths, read_splits, sequences, text_of, unique_by_split


ARRAYS = {"text": "text", "audio": "audio", "visual": "vision"}


class MultPickle(Copy):
    """A subclass gives `stem`, `about` (name, licence, citation, split_protocol), `label_field` and `counts`.

    Both files may be there: `align` chooses one. Labels that the chosen file lacks come from the other, joined by the
    id of the clip, never by position. The files are read into memory, whole.
    """

    name = "mult_pickle"
    stem: str
    about: dict
    label_field: dict
    counts: dict[str, int]
    beside: tuple[Wanted, ...] = ()  # other files that a subclass reads
    known_options = {
        "align": Option('"words": the aligned file, "none": the other; by default the one that is there', None, (None, "words", "none"))
    }  # fmt: skip

    @classmethod
    def files(cls) -> dict[str, Wanted]:
        """`align` -> the file that it means."""
        return {
            "words": Wanted(f"{cls.stem}_data.pkl", "word-aligned features and labels", required=False),
            "none": Wanted(f"{cls.stem}_data_noalign.pkl", "features at their own rates, and labels", required=False),
        }

    def __init_subclass__(cls):
        cls.wanted = (*cls.files().values(), *cls.beside)
        cls.title = f"the MulT pickle ({cls.wanted[0].path})"

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        return any(cls.find(folder, wanted) for wanted in cls.files().values())

    def describe(self) -> dict:
        return self.about | {
            "label_fields": [self.label_field],
            "sizes": {modality: next(iter(parts.values())).shape[2] for modality, parts in self._arrays.items()},
            "extractors": {},
            "counts": self.counts,
            "padding": self._bounds[1],
        }

    def rows(self, split: str) -> Iterator[dict]:
        if split not in self._splits:
            return
        labels = self._labels(split)
        for index, clip in enumerate(self._ids[split]):
            if clip not in labels:
                self.dropped.append({"id": clip, "reason": f"{self._other.name} has no labels of it"})
                continue
            row = {"id": clip} | self._times(split, index)
            for modality, parts in self._arrays.items():
                start, stop = self._bounds[0][modality][split][index]
                row[modality] = parts[split][index, start:stop].astype(np.float32)
            yield row | {"labels": self.note_labels(labels[clip], [self.label_field])}

    # the files ------------------------------------------------------------------------------------------------------

    @cached_property
    def _align(self) -> str:
        asked = self.options["align"]
        there = [align for align, wanted in self.files().items() if self.find(self.folder, wanted)]
        if asked is not None and asked not in there:
            raise ValueError(f"{self.folder} has no {self.files()[asked].path}, which align={asked!r} reads.")
        return asked or there[0]

    @property
    def _path(self) -> Path:
        return self.folder / self.files()[self._align].path

    @property
    def _other(self) -> Path:
        return self.folder / self.files()["none" if self._align == "words" else "words"].path

    @property
    def _keys(self) -> dict[str, str]:
        return {modality: key for modality, key in ARRAYS.items() if modality in self.options["modalities"]}

    @cached_property
    def _splits(self) -> dict[str, dict]:
        return read_splits(self._path, tuple(self._keys.values()), self.options["allow_partial"])

    @cached_property
    def _other_splits(self) -> dict[str, dict]:
        return read_splits(self._other, ("labels",), self.options["allow_partial"])

    @cached_property
    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        return arrays_of(self._splits, self._keys, self._path)

    @cached_property
    def _bounds(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
        return without_padding(self._arrays)

    # ids and labels ---------------------------------------------------------------------------------------------------

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        """The ids of every split, unique over the file; made up from split and position where the file has none."""
        names = {}
        for split, part in self._splits.items():
            count = len(next(iter(self._arrays.values()))[split])
            names[split] = clip_ids(part, count, f"{self._path}, split {split}") or [
                f"{split}-{i}" for i in range(count)
            ]
        unique, twice = unique_by_split(names)
        self.reported.update({"duplicate": twice} if twice else {})
        return unique

    def _times(self, split: str, index: int) -> dict:
        if "id" not in self._splits[split]:
            return {"group": self._ids[split][index], "start": None, "end": None}
        video, start, end = split_id(self._splits[split]["id"][index])
        return {"group": video, "start": start, "end": end}

    def _labels(self, split: str) -> dict[str, dict]:
        """Clip -> labels, from the chosen file or, by id, from the other."""
        part = self._splits[split]
        if "labels" in part:
            ids, path = self._ids[split], self._path
        elif not self._other.is_file():
            raise ValueError(f"{self._path} has no labels of {split}, and {self._other.name} is not beside it.")
        else:
            path = self._other
            if split not in self._other_splits:
                return {}
            part = self._other_splits[split]
            ids = clip_ids(part, len(part["labels"]), f"{path}, split {split}")
            if ids is None or "id" not in self._splits[split]:
                raise ValueError(
                    f"{self._path.name} takes its labels from {path.name}, but one of them has no `id`: clips are "
                    "joined by id, never by position."
                )
            if unique_ids(ids)[1] or unique_ids(clip_ids(self._splits[split], len(self._ids[split]), ""))[1]:
                raise ValueError(
                    f"{path.name} and {self._path.name} cannot be joined: ids of {split} are there twice."
                )
        check_lengths({"labels": part["labels"], "id": ids}, f"{path}, split {split}")
        return dict(zip(ids, self._read_labels(part["labels"], f"{path}, `labels` of {split}"), strict=True))

    def _read_labels(self, values, where: str) -> list[dict]:
        name, classes = self.label_field["name"], self.label_field["labels"]
        shape = (1, 1) if self.label_field["problem_type"] == "regression" else (len(classes), 2)
        values = sequences(values, where) if len(values) else np.zeros((0, *shape))
        if values.shape[1:] != shape:
            raise ValueError(f"{where} has shape {values.shape}; expected (clips, {shape[0]}, {shape[1]}).")
        if shape == (1, 1):
            return [{name: known_number(value)} for value in values[:, 0, 0]]
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
