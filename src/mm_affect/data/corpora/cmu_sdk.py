# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Computational sequences (.csd) of the CMU Multimodal SDK: labels, words and features with their times.

A row is one labeled interval. Its words are those that overlap it, without silences. With `align="words"` every modality
has one step per word; otherwise each has its own frames. Files are read video by video.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..alignment import REDUCERS, align, inside
from ..readers.csd import ComputationalSequence, find_shared_videos
from ..record import CorpusRecord, DroppedClip
from .layouts import CorpusLayout, LayoutFile, LayoutOption
from .official_folds import NOT_IN_FOLDS, get_split_by_id


FEATURES = {  # modality -> file name patterns, preferred ones first
    "text": ("*WordVectors*.csd", "*Glove*.csd"),
    "audio": ("*COVAREP*.csd",),
    "visual": ("*Facet*.csd", "*FACET*.csd", "*OpenFace*.csd"),
}
WORDS = ("*TimestampedWords.csd", "*TimestampedWords_*.csd")
ROOTS = {  # kind of sequence -> parts of its root name; roots with none of them exist, too
    "labels": ("label",),
    "words": ("timestampedwords",),
    "text": ("wordvectors", "glove"),
    "audio": ("covarep", "opensmile"),
    "visual": ("facet", "openface"),
}


class SdkLayout(CorpusLayout):
    """Base class of the SDK sequences. Words and features may be missing; rows then have labels and times only.

    Class attributes:
        corpus: name of the official folds.
        about: name, license, citation and split protocol of the corpus.
        label_fields: label columns, in the order of the label sequence.
        counts: documented number of rows per split.
    """

    name = "sdk"
    title = "the computational sequences (.csd) of the CMU Multimodal SDK"
    corpus: str
    about: CorpusRecord
    label_fields: list[LabelField]
    counts: Mapping[str, int]
    shardable = True
    files = (
        LayoutFile("*Labels*.csd", "labels and their times"),
        LayoutFile(WORDS[0], "words and their times", required=False),
        *(LayoutFile(patterns[0], f"{modality} features", required=False) for modality, patterns in FEATURES.items()),
    )
    extra_options = {
        "align": LayoutOption('"words": one step per word, "none": the original frames', "words", ("words", "none")),
        "reducer": LayoutOption("how the frames that overlap a word are combined", "mean", REDUCERS),
    }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Return True for labels with words or features; labels without them, next to `Raw`, belong to the raw release."""
        present = [bool(cls.find_files(folder, file)) for file in cls.files]
        return present[0] and (any(present[1:]) or not (Path(folder) / "Raw").is_dir())

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the path that matches `file` or another name of the sequence; of several versions, the last by name."""
        for patterns in (WORDS, *FEATURES.values()):
            if file.path in patterns:
                matches = (sorted(Path(folder).glob(pattern)) for pattern in patterns)
                return next((paths[-1:] for paths in matches if paths), [])
        return CorpusLayout.find_files(folder, file)[:1]

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        sizes = {}
        for modality, path in self._paths.items():
            if modality in FEATURES:
                with _open(path, modality) as sequence:
                    sizes[modality] = sequence.size
        return replace(self.about, label_fields=self.label_fields, sizes=sizes, counts=dict(self.counts))

    def parse_labels(self, values: np.ndarray) -> dict:
        """Parse the labels of a row from its values in the label sequence, float32 (size,)."""
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        split_by_video = get_split_by_id(self.corpus)
        with contextlib.ExitStack() as stack:
            opened = {kind: stack.enter_context(_open(path, kind)) for kind, path in self._paths.items()}
            find_shared_videos(opened.values())  # raises if they belong to different corpora
            labels = opened["labels"]
            names = [name for each in self.label_fields for name in each.labels]
            if labels.size != len(names):
                raise ValueError(
                    f"{labels.path} has {labels.size} labels per segment; expected {', '.join(names)}: is it the file of "
                    "another corpus?"
                )
            if split == "train" and self.shard_index == 0:
                self._drop_videos_without_fold(labels, split_by_video)
            for video in self.select_shard(video for video in labels.videos if split_by_video.get(video) == split):
                yield from self._video_rows(video, opened)

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """Return the existing files: `labels`, `words` or a selected modality -> path."""
        kinds = {
            "labels": self.files[0],
            "words": self.files[1],
            **dict(zip(FEATURES, self.files[2:], strict=True)),
        }
        if "text" not in self.options["modalities"] and self.options["align"] != "words":
            del kinds["words"]
        matches = {kind: self.find_files(self.folder, file) for kind, file in kinds.items()}
        paths = {
            kind: files[0]
            for kind, files in matches.items()
            if files and (kind not in FEATURES or kind in self.options["modalities"])
        }
        if self.options["align"] == "words" and "words" not in paths and set(paths) & set(FEATURES):
            raise ValueError(
                f"{self.folder} has no {WORDS[0]}, which align='words' needs; get it, or pass align='none'."
            )
        return paths

    def _drop_videos_without_fold(self, labels: ComputationalSequence, split_by_video: dict[str, str]) -> None:
        for video in labels.videos:
            if video not in split_by_video:
                self.dropped += [DroppedClip(f"{video}[{k}]", NOT_IN_FOLDS) for k in range(labels.steps(video))]
        self.report("video_without_labels", len(set(split_by_video) - set(labels.videos)))

    def _video_rows(self, video: str, opened: dict[str, ComputationalSequence]) -> Iterator[dict]:
        segments, values = opened["labels"].intervals(video), opened["labels"].features(video)
        words, times = opened["words"].words(video) if video in opened.get("words", ()) else ([], np.zeros((0, 2)))
        members = inside(segments, times)
        steps = {
            m: self._steps(opened[m], video, segments, times, members) for m in FEATURES if video in opened.get(m, ())
        }
        for name in set(opened) - {"labels"} - ({"words"} if len(words) else set()) - set(steps):
            self.reported[f"segment_without_{name}"] += len(segments)
        for k, (start, end) in enumerate(segments):
            spoken = times[members[k]]
            row = {"id": f"{video}[{k}]", "group": video, "start": float(start), "end": float(end)}
            if "text" in self.options["modalities"] and "words" in opened:
                row["transcript"] = " ".join("".join(words[i].split()) for i in members[k])
                row["spans"] = np.clip(spoken - start, 0, end - start)
            row |= {modality: part[k] for modality, part in steps.items()}
            yield row | {"labels": self.audit_labels(self.parse_labels(values[k]), self.label_fields)}

    def _steps(
        self,
        sequence: ComputationalSequence,
        video: str,
        segments: np.ndarray,
        words: np.ndarray,
        members: list[np.ndarray],
    ) -> list[np.ndarray]:
        """Return the steps of a modality for every segment: one per word in it, or its original frames."""
        features, intervals = sequence.features(video), sequence.intervals(video)
        if self.options["align"] == "none":
            return [features[np.sort(frames)] for frames in inside(segments, intervals)]
        aligned = align(features, intervals, words, self.options["reducer"])
        return [aligned[part] for part in members]


def _open(path: Path, kind: str) -> ComputationalSequence:
    """Open the sequence at `path`. Raises `ValueError` if its root and its file name indicate different kinds."""
    sequence = ComputationalSequence(path)
    root = "".join(filter(str.isalnum, sequence.name)).lower()
    kinds = [other for other, parts in ROOTS.items() if any(part in root for part in parts)]
    if kinds and kind not in kinds:
        sequence.close()
        raise ValueError(
            f"{path} has the root `{sequence.name}`, of {' and '.join(kinds)}; by its name it holds {kind}: "
            "was it renamed?"
        )
    return sequence
