# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""csv files of bc-LSTM (Poria et al. 2017) for CMU-MOSI: one vector per utterance and modality, and a binary label.

Released with the code of bc-LSTM. `transcripts.csv` has the id, transcript, a number and the label of every utterance; the
first column of `text_{train,test}.csv` is a row number of it. `audio_{train,test}0.csv` and `video_{train,test}0.csv` are in
the same order and end with the label.

Splits: 1,447/752 utterances, by video; validation is taken from whole training videos. The official folds must not be used
with these features: 23 of their 31 test videos were in the training set of the networks that computed the features.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.tables import read_lines
from ..record import CorpusRecord
from .layouts import CorpusLayout, LayoutFile, LayoutOption, deduplicate_ids
from .official_folds import select_validation_groups


CLASSES = ["negative", "positive"]
FIELD = LabelField("sentiment", "single_label_classification", tuple(CLASSES))
COUNTS = {"train": 1447, "test": 752}
FILES = {"text": "text_{}.csv", "audio": "audio_{}0.csv", "visual": "video_{}0.csv"}


class BcLstmLayout(CorpusLayout):
    """Layout of the bc-LSTM files. Subclasses set `about`."""

    name = "bclstm"
    title = "the bc-LSTM csv files"
    about: CorpusRecord
    files = (
        LayoutFile("transcripts.csv", "id, transcript and label of every utterance"),
        LayoutFile("text_train.csv", "text vectors of train, with their row numbers"),
        LayoutFile("text_test.csv", "text vectors of test, with their row numbers"),
        LayoutFile("audio_train0.csv", "audio vectors of train"),
        LayoutFile("audio_test0.csv", "audio vectors of test"),
        LayoutFile("video_train0.csv", "visual vectors of train"),
        LayoutFile("video_test0.csv", "visual vectors of test"),
    )
    extra_options = {
        "validation": LayoutOption(
            "fraction of the training rows, in whole videos, that become the validation split", 0.2
        ),
    }

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the paths of `file` in the folder itself and in its subfolders `audio` and `video`, as in the release."""
        homes = (Path(folder), Path(folder) / "audio", Path(folder) / "video")
        return [home / file.path for home in homes if (home / file.path).is_file()]

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        validation = sum(video in self._validation_videos for video in self._videos)
        return replace(
            self.about,
            label_fields=[FIELD],
            sizes={m: len(self._vectors(m, "test")[0]) for m in FILES if m in self.options["modalities"]},
            counts={"train": COUNTS["train"] - validation, "validation": validation, "test": COUNTS["test"]},
            split_protocol={
                "name": "bc-LSTM's own 1447/752 by video",
                "validation": f"{len(self._validation_videos)} of the {len(set(self._videos))} training videos, seed 0",
                "groups_may_cross": False,
            },
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        home = "test" if split == "test" else "train"
        numbers = self._numbers(home)
        vectors = {m: self._vectors(m, home) for m in FILES if m in self.options["modalities"]}
        for index, number in enumerate(numbers):
            clip, words, _, label = self._transcripts[number]
            video = clip.rpartition("_")[0]
            if home == "train" and (video in self._validation_videos) != (split == "validation"):
                continue
            row = {"id": self._ids[number], "group": video, "labels": {"sentiment": int(label)}}
            if "text" in self.options["modalities"]:
                row["transcript"] = " ".join(words.split())
            yield row | {m: values[index : index + 1] for m, values in vectors.items()}

    @cached_property
    def _transcripts(self) -> list[list[str]]:
        path = self.folder / "transcripts.csv"
        lines = read_lines(path)
        for number, line in enumerate(lines, 1):
            if len(line) != 4 or line[3] not in ("0", "1"):
                raise ValueError(
                    f"{path} line {number}: expected id, transcript, a number and the label 0 or 1: {line!r}."
                )
        return lines

    @cached_property
    def _ids(self) -> list[str]:
        unique, repeated = deduplicate_ids(line[0] for line in self._transcripts)
        self.report("duplicate", repeated)
        return unique

    @cached_property
    def _videos(self) -> list[str]:
        """Return the video of every training row."""
        return [self._transcripts[number][0].rpartition("_")[0] for number in self._numbers("train")]

    @cached_property
    def _validation_videos(self) -> set[str]:
        return select_validation_groups(self._videos, self.options["validation"])

    def _numbers(self, home: str) -> list[int]:
        """Return the row numbers in transcripts.csv of the utterances of a split."""
        path = self._path("text", home)
        try:
            numbers = [int(line[0]) for line in read_lines(path)]
        except (IndexError, ValueError):
            raise ValueError(f"{path}: the first column must be a row number of transcripts.csv.") from None
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self._transcripts):
            raise ValueError(f"{path} names row {max(numbers)}; transcripts.csv has {len(self._transcripts)}.")
        return numbers

    def _vectors(self, modality: str, home: str) -> np.ndarray:
        path, numbers = self._path(modality, home), self._numbers(home)
        try:
            values = np.array(read_lines(path), dtype=np.float64)
        except ValueError:
            raise ValueError(
                f"{path} holds lines of unequal length, or values that are not numbers; get it again."
            ) from None
        if values.ndim != 2 or len(values) != len(numbers):
            raise ValueError(f"{path} has {len(values)} lines; {self._path('text', home).name} has {len(numbers)}.")
        if modality == "text":
            return values[:, 1:].astype(np.float32)
        labels = np.array([float(self._transcripts[number][3]) for number in numbers])
        if (values[:, -1] != labels).any():
            row = int(np.flatnonzero(values[:, -1] != labels)[0])
            raise ValueError(
                f"{path} line {row + 1}: the label differs from transcripts.csv; the files belong to different releases."
            )
        return values[:, :-1].astype(np.float32)

    def _path(self, modality: str, home: str) -> Path:
        name = FILES[modality].format(home)
        paths = self.find_files(self.folder, LayoutFile(name, ""))
        if not paths:
            raise FileNotFoundError(
                f"{self.folder} has no {name}, neither directly nor in a subfolder `audio` or `video`."
            )
        return paths[0]
