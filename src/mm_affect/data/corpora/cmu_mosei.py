# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CMU-MOSEI: sentiment and six emotions in 23,259 segments of monologues (Zadeh et al. 2018).

Source: CMU MultiComp Lab and the CMU Multimodal SDK. License: research only.

Splits: the official folds of the SDK, by video: 16,327/1,871/4,662 segments over all labels (399 segments of videos that
are in no fold are dropped). The preprocessed files hold 16,326/1,871/4,659 segments.

Labels: sentiment in [-3, 3] and intensities of six emotions in [0, 3], where present means above 0. Segments without any
emotion are kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ...vocabulary import EMOTIONS
from ..readers.tables import parse_float, read_table, read_text
from ..record import CorpusRecord, DroppedClip
from .cmu_mosi import FILE_FOLDS, FOLDS, SENTIMENT
from .cmu_raw_release import RawReleaseLayout, TranscribedClip
from .cmu_sdk import SdkLayout
from .cmu_segment_labels import Segments, read_segments
from .hhmpn_torch import HhmpnLayout
from .layouts import Corpus, CorpusLayout, LayoutFile, deduplicate_ids, finite_or_none
from .mmsa_pickle import MmsaPickleLayout
from .mult_pickle import MultPickleLayout
from .official_folds import NOT_IN_FOLDS, get_split_by_id


NAME = "CMU-MOSEI"
LICENSE = "CMU-MOSEI research data, for research alone"
CITATION = (
    "A. Zadeh, P. P. Liang, S. Poria, E. Cambria, L.-P. Morency: Multimodal language analysis in the wild: CMU-MOSEI "
    "dataset and interpretable dynamic fusion graph. ACL 2018."
)
FOLD_COUNTS = {"train": 16327, "validation": 1871, "test": 4662}
PREPROCESSED_COUNTS = {"train": 16326, "validation": 1871, "test": 4659}
ABOUT = CorpusRecord(NAME, license=LICENSE, citation=CITATION, split_protocol=FOLDS)
COLUMNS = ("sentiment", *EMOTIONS)  # the order of the label sequence
EMOTION = LabelField("emotion", "multi_label_classification", EMOTIONS, (0.0, 3.0), strict=False)
CLASS_COLUMNS = {  # column of the s3prl table -> classes, and the value of the first class
    "label2a": (["negative", "not negative"], 0),
    "label2b": (["negative", "neutral", "positive"], -1),
    "label6": (list(EMOTIONS), 0),
    "label7": ([str(value) for value in range(-3, 4)], -3),
}
START_TOLERANCE = 0.05  # seconds by which the start of a segment differs between sources


def parse_mosei_labels(values: np.ndarray) -> dict:
    """Parse sentiment and emotion intensities; emotions are unknown (None) if one of them is not finite."""
    emotions = [finite_or_none(value) for value in values[1:]]
    return {"sentiment": finite_or_none(values[0]), "emotion": None if None in emotions else emotions}


class MoseiSdkLayout(SdkLayout):
    """Computational sequences of CMU-MOSEI."""

    corpus, about, label_fields, counts = "cmu_mosei", ABOUT, [SENTIMENT, EMOTION], FOLD_COUNTS

    def parse_labels(self, values) -> dict:
        """Parse the labels of a segment."""
        return parse_mosei_labels(values)


class MoseiRawLayout(RawReleaseLayout):
    """Raw release of CMU-MOSEI, with transcripts in `Raw/Transcript/Segmented/Combined/<video>.txt`.

    The numbers of clips and labels differ, so they are joined by start time.
    """

    corpus, about, label_fields, counts = "cmu_mosei", ABOUT, [SENTIMENT, EMOTION], FOLD_COUNTS
    label_columns = COLUMNS

    def parse_labels(self, values) -> dict:
        """Parse the labels of a segment."""
        return parse_mosei_labels(values)

    def clips(self, video: str) -> list[TranscribedClip]:
        """Return the clips in the transcript of a video."""
        path = self.folder / "Raw" / "Transcript" / "Segmented" / "Combined" / f"{video}.txt"
        return read_transcript(path) if path.is_file() else []

    def match(self, segments: Segments, clips: list[TranscribedClip]) -> list[TranscribedClip | None]:
        """Return the clip of every segment, or None."""
        left = list(clips)
        matched: list[TranscribedClip | None] = []
        for start in segments.times[:, 0]:
            near = min(left, key=lambda clip: abs(clip.start - start), default=None)
            if near is not None and abs(near.start - start) > START_TOLERANCE:
                near = None
            matched.append(near)
            if near is not None:
                left.remove(near)
        return matched


class MoseiMultLayout(MultPickleLayout):
    """MulT pickle `mosei_senti_data.pkl` with sentiment; emotions are joined from a label file in the same folder.

    The label file is the label sequence or `mosei.csv`. Segments are joined by video and start time; the emotions of
    segments that it does not have are unknown.
    """

    stem, about, label_field, counts = (
        "mosei_senti",
        replace(ABOUT, split_protocol=FILE_FOLDS),
        SENTIMENT,
        PREPROCESSED_COUNTS,
    )
    auxiliary_files = (
        LayoutFile("*Labels*.csd", "emotions, joined by video and start time", required=False),
        LayoutFile("mosei.csv", "emotions as a table", required=False),
    )

    @property
    def label_fields(self) -> list[LabelField]:
        """Return the label columns of the file."""
        return [SENTIMENT] if self._table is None else [SENTIMENT, EMOTION]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        """Iterate over the clips of a split: position, row without features and labels, and labels."""
        for index, row, labels in super().clips(split):
            joined = (
                {}
                if self._table is None
                else {"emotion": self._find_emotions(self._table, row["group"], row["start"])}
            )
            yield index, row, labels | joined

    @staticmethod
    def _find_emotions(table: dict[str, Segments], video: str, start: float | None) -> list[float] | None:
        segments = table.get(video)
        if segments is None or start is None:
            return None
        near = int(np.abs(segments.times[:, 0] - start).argmin())
        close = abs(segments.times[near, 0] - start) <= START_TOLERANCE
        return parse_mosei_labels(segments.values[near])["emotion"] if close else None

    @cached_property
    def _table(self) -> dict[str, Segments] | None:
        paths = [path for file in self.auxiliary_files for path in self.find_files(self.folder, file)]
        return read_segments(paths[0], COLUMNS)[0] if paths else None


class MoseiMmsaLayout(MmsaPickleLayout):
    """MMSA pickles of CMU-MOSEI, with sentiment only."""

    about, label_field, counts = replace(ABOUT, split_protocol=FILE_FOLDS), SENTIMENT, PREPROCESSED_COUNTS


class MoseiHhmpnLayout(HhmpnLayout):
    """HHMPN file of CMU-MOSEI, with the presence of six emotions."""

    about, counts = replace(ABOUT, split_protocol=FILE_FOLDS), PREPROCESSED_COUNTS


class MoseiLabelsLayout(CorpusLayout):
    """Labels and times without media or features, from `mosei.csv`."""

    name = "labels_csv"
    title = "labels and times without media (mosei.csv)"
    files = (LayoutFile("mosei.csv", "times, sentiment and six emotions of every segment"),)

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        return replace(ABOUT, label_fields=[SENTIMENT, EMOTION], counts=dict(FOLD_COUNTS))

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        for video, segments in self._segments.items():
            lines = zip(segments.ids, segments.times.tolist(), segments.values, strict=True)
            for clip, (start, end), values in lines:
                if _is_in(self, video, clip, split):
                    labels = self.audit_labels(parse_mosei_labels(values), [SENTIMENT, EMOTION])
                    yield {"id": clip, "group": video, "start": start, "end": end, "labels": labels}

    @cached_property
    def _segments(self) -> dict[str, Segments]:
        segments, repeated = read_segments(self.folder / self.files[0].path, COLUMNS)
        self.report("duplicate", repeated)
        return segments


class MoseiClassesLayout(CorpusLayout):
    """Times and classes without media or features, from `CMU_MOSEI_Labels.csv` of s3prl.

    `label6` is the strongest emotion (happy if there is none); `label7` is not the rounded sentiment.
    """

    name = "classes_csv"
    title = "classes and times without media (CMU_MOSEI_Labels.csv of s3prl)"
    files = (LayoutFile("CMU_MOSEI_Labels.csv", "times and classes of every segment"),)

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        fields = [
            LabelField(name, "single_label_classification", tuple(labels))
            for name, (labels, _) in CLASS_COLUMNS.items()
        ]
        return replace(ABOUT, label_fields=fields, counts=dict(FOLD_COUNTS))

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        lines = list(read_table(self.folder / self.files[0].path, ("file", "index", "start", "end", *CLASS_COLUMNS)))
        ids, repeated = deduplicate_ids(f"{cells['file']}[{cells['index']}]" for _, cells in lines)
        self.report("duplicate", repeated if split == "train" else 0)
        for clip, (where, cells) in zip(ids, lines, strict=True):
            if _is_in(self, cells["file"], clip, split):
                times = {key: parse_float(cells[key], where, key) for key in ("start", "end")}
                labels = {n: int(parse_float(cells[n], where, n)) - first for n, (_, first) in CLASS_COLUMNS.items()}
                yield {"id": clip, "group": cells["file"], "labels": labels} | times


def _is_in(layout: CorpusLayout, video: str, clip: str, split: str) -> bool:
    """Return True if a video is in a split. A clip in no fold is dropped, while the training split is read."""
    official = get_split_by_id("cmu_mosei").get(video)
    if official is None and split == "train":
        layout.dropped.append(DroppedClip(clip, NOT_IN_FOLDS))
    return official == split


def read_transcript(path: Path) -> list[TranscribedClip]:
    """Read the clips of a transcript with lines `video___k___start___end___text`."""
    clips = []
    for line_number, line in enumerate(read_text(path).splitlines(), 1):
        cells = line.split("___", 4)
        if not line.strip():
            continue
        try:
            clips.append(TranscribedClip(int(cells[1]), cells[4], float(cells[2])))
        except (IndexError, ValueError):
            raise ValueError(
                f"{path} line {line_number} is {line[:60]!r}; expected `video___k___start___end___text`."
            ) from None
    return clips


CORPUS = Corpus(
    name="cmu_mosei",
    title=NAME,
    license=LICENSE,
    citation=CITATION,
    access=(
        "Request the files from the CMU MultiComp Lab (http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/), whose SDK "
        "(https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK) describes the files."
    ),
    layouts=(
        MoseiSdkLayout,
        MoseiRawLayout,
        MoseiHhmpnLayout,
        MoseiMultLayout,
        MoseiMmsaLayout,
        MoseiLabelsLayout,
        MoseiClassesLayout,
    ),
    counts=FOLD_COUNTS,
)
