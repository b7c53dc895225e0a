# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A corpus as computational sequences (.csd) of the CMU Multimodal SDK: labels, words and frames with their times.

A row is one interval of the labels. Its words are those that overlap it, without silences; with `align="words"` every
modality has one step for each of them, else each has its own frames. Files are read video by video.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..alignment import REDUCERS, align, inside
from ..readers.csd import ComputationalSequence, find_shared_videos
from ..record import CorpusRecord, DroppedClip
from .layouts import CorpusLayout, LayoutFile, LayoutOption
from .official_folds import split_of


FEATURES = {  # modality -> name patterns of its sequence, the preferred ones first
    "text": ("*WordVectors*.csd", "*Glove*.csd"),
    "audio": ("*COVAREP*.csd",),
    "visual": ("*Facet*.csd", "*FACET*.csd", "*OpenFace*.csd"),
}
WORDS = ("*TimestampedWords.csd", "*TimestampedWords_*.csd")
ROOTS = {  # what the root of a sequence says of it; roots that say none of these are known too
    "labels": ("label",),
    "words": ("timestampedwords",),
    "text": ("wordvectors", "glove"),
    "audio": ("covarep", "opensmile"),
    "visual": ("facet", "openface"),
}


class SdkLayout(CorpusLayout):
    """A subclass gives `about` (name, license, citation, split_protocol), `corpus` (whose folds are taken), `label_fields`, `counts`, and
    `labels_of`. Words and features may be missing; rows then have labels and times alone."""

    name = "sdk"
    title = "the computational sequences (.csd) of the CMU Multimodal SDK"
    corpus: str
    about: CorpusRecord
    label_fields: list[LabelField]
    counts: dict[str, int]
    shardable = True
    files = (
        LayoutFile("*Labels*.csd", "labels and their times"),
        LayoutFile(WORDS[0], "words and their times", required=False),
        *(LayoutFile(patterns[0], f"{modality} features", required=False) for modality, patterns in FEATURES.items()),
    )
    extra_options = {
        "align": LayoutOption(
            '"words": one step for each word, "none": frames as they are', "words", ("words", "none")
        ),
        "reducer": LayoutOption("what a word takes of the frames that it overlaps", "mean", REDUCERS),
    }

    @classmethod
    def matches(cls, folder: Path) -> bool:
        """Labels alone, beside the raw release, are labels of that."""
        found = [bool(cls.find_files(folder, wanted)) for wanted in cls.files]
        return found[0] and (any(found[1:]) or not (Path(folder) / "Raw").is_dir())

    @staticmethod
    def find_files(folder: Path, wanted: LayoutFile) -> list[Path]:
        """Like `CorpusLayout.find_files`, with the other names that a sequence may have; of several versions the last by name counts."""
        for patterns in (WORDS, *FEATURES.values()):
            if wanted.path in patterns:
                return next((found[-1:] for pattern in patterns if (found := sorted(Path(folder).glob(pattern)))), [])
        return CorpusLayout.find_files(folder, wanted)[:1]

    def describe(self) -> CorpusRecord:
        sizes = {}
        for modality, path in self._paths.items():
            if modality in FEATURES:
                with _open(path, modality) as sequence:
                    sizes[modality] = sequence.size
        return replace(self.about, label_fields=self.label_fields, sizes=sizes, counts=self.counts)

    def labels_of(self, values: np.ndarray) -> dict:
        """The labels of a row from its values in the label sequence, float32 (size,)."""
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict]:
        homes = split_of(self.corpus)
        with contextlib.ExitStack() as stack:
            opened = {kind: stack.enter_context(_open(path, kind)) for kind, path in self._paths.items()}
            find_shared_videos(opened.values())  # raises where they are of different corpora
            labels = opened["labels"]
            names = [name for each in self.label_fields for name in each.labels]
            if labels.size != len(names):
                raise ValueError(
                    f"{labels.path} has {labels.size} labels per segment; expected {', '.join(names)}: is it the file of "
                    "another corpus?"
                )
            if split == "train" and self.shard_index == 0:
                self._report_strangers(labels, homes)
            for video in self.select_shard(video for video in labels.videos if homes.get(video) == split):
                yield from self._video_rows(video, opened)

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """`labels`, `words` and modalities -> their files, of those that are there and asked for."""
        kinds = {
            "labels": self.files[0],
            "words": self.files[1],
            **dict(zip(FEATURES, self.files[2:], strict=True)),
        }
        if "text" not in self.options["modalities"] and self.options["align"] != "words":
            del kinds["words"]
        found = {kind: self.find_files(self.folder, wanted) for kind, wanted in kinds.items()}
        paths = {
            kind: files[0]
            for kind, files in found.items()
            if files and (kind not in FEATURES or kind in self.options["modalities"])
        }
        if self.options["align"] == "words" and "words" not in paths and set(paths) & set(FEATURES):
            raise ValueError(
                f"{self.folder} has no {WORDS[0]}, which align='words' needs; get it, or pass align='none'."
            )
        return paths

    def _report_strangers(self, labels: ComputationalSequence, homes: dict[str, str]) -> None:
        for video in labels.videos:
            if video not in homes:
                self.dropped += [
                    DroppedClip(f"{video}[{k}]", "its video is in no official fold")
                    for k in range(labels.steps(video))
                ]
        missing = set(homes) - set(labels.videos)
        self.reported.update({"video_without_labels": len(missing)} if missing else {})

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
            yield row | {"labels": self.audit_labels(self.labels_of(values[k]), self.label_fields)}

    def _steps(
        self,
        sequence: ComputationalSequence,
        video: str,
        segments: np.ndarray,
        words: np.ndarray,
        members: list[np.ndarray],
    ) -> list[np.ndarray]:
        """For every segment its steps of one modality: one for each of the `words` in it, or its own frames."""
        features, intervals = sequence.features(video), sequence.intervals(video)
        if self.options["align"] == "none":
            return [features[np.sort(frames)] for frames in inside(segments, intervals)]
        aligned = align(features, intervals, words, self.options["reducer"])
        return [aligned[part] for part in members]


def _open(path: Path, kind: str) -> ComputationalSequence:
    """The sequence at `path`; raises `ValueError` if its root names another kind than its file name does."""
    sequence = ComputationalSequence(path)
    root = "".join(filter(str.isalnum, sequence.name)).lower()
    told = [other for other, parts in ROOTS.items() if any(part in root for part in parts)]
    if told and kind not in told:
        sequence.close()
        raise ValueError(
            f"{path} has the root `{sequence.name}`, of {' and '.join(told)}; by its name it holds {kind}: "
            "was it renamed?"
        )
    return sequence
