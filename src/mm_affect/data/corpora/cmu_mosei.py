# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CMU-MOSEI: sentiment and six emotions in 23,259 segments of monologues (Zadeh et al. 2018).

By the official folds over all labels 16,327/1,871/4,662 segments; 399 are of videos in no fold, and are dropped. The
processed files hold 16,326/1,871/4,659 after their clean-up. Intensities of emotions are kept as they are ([0, 3]; present
means above 0), segments without any emotion too.
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
from .cmu_mosi import FOLDS, IN_FILE, SENTIMENT
from .cmu_raw_release import Clip, RawReleaseLayout
from .cmu_sdk import SdkLayout
from .cmu_segment_labels import Segments, read_segments
from .hhmpn_torch import HhmpnLayout
from .layouts import Corpus, CorpusLayout, LayoutFile, deduplicate_ids, finite_or_none
from .mmsa_pickle import MmsaPickleLayout
from .mult_pickle import MultPickleLayout
from .official_folds import split_of


NAME = "CMU-MOSEI"
LICENSE = "CMU-MOSEI research data, for research alone"
CITATION = (
    "A. Zadeh, P. P. Liang, S. Poria, E. Cambria, L.-P. Morency: Multimodal language analysis in the wild: CMU-MOSEI "
    "dataset and interpretable dynamic fusion graph. ACL 2018."
)
BY_FOLDS = {"train": 16327, "validation": 1871, "test": 4662}
PROCESSED = {"train": 16326, "validation": 1871, "test": 4659}
ABOUT = CorpusRecord(NAME, license=LICENSE, citation=CITATION, split_protocol=FOLDS)
COLUMNS = ("sentiment", *EMOTIONS)  # the order of the label sequence
EMOTION = LabelField("emotion", "multi_label_classification", EMOTIONS, (0.0, 3.0), strict=False)
CLASS_COLUMNS = {  # of s3prl's table: the label field, and the value of its first class
    "label2a": (["negative", "not negative"], 0),
    "label2b": (["negative", "neutral", "positive"], -1),
    "label6": (list(EMOTIONS), 0),
    "label7": ([str(value) for value in range(-3, 4)], -3),
}
START_TOLERANCE = 0.05  # seconds by which sources differ


def mosei_labels(values: np.ndarray) -> dict:
    """Sentiment and the intensities of the emotions; emotions are unknown if one of them is not finite."""
    emotions = [finite_or_none(value) for value in values[1:]]
    return {"sentiment": finite_or_none(values[0]), "emotion": None if None in emotions else emotions}


class MoseiSdkLayout(SdkLayout):
    """Computational sequences."""

    corpus, about, label_fields, counts = "cmu_mosei", ABOUT, [SENTIMENT, EMOTION], BY_FOLDS

    def labels_of(self, values) -> dict:
        return mosei_labels(values)


class MoseiRawLayout(RawReleaseLayout):
    """`Raw/Transcript/Segmented/Combined/<video>.txt` has lines `video___k___start___end___text`.

    The k of clips and of labels differ, so they are joined by their starts.
    """

    corpus, about, label_fields, counts = "cmu_mosei", ABOUT, [SENTIMENT, EMOTION], BY_FOLDS
    label_columns = COLUMNS

    def labels_of(self, values) -> dict:
        return mosei_labels(values)

    def clips(self, video: str) -> list[Clip]:
        path = self.folder / "Raw" / "Transcript" / "Segmented" / "Combined" / f"{video}.txt"
        return read_transcript(path) if path.is_file() else []

    def match(self, segments: Segments, clips: list[Clip]) -> list[Clip | None]:
        left, matched = list(clips), []
        for start in segments.times[:, 0]:
            near = min(left, key=lambda clip: abs(clip.start - start), default=None)
            if near is not None and abs(near.start - start) > START_TOLERANCE:
                near = None
            matched.append(near)
            if near is not None:
                left.remove(near)
        return matched


class MoseiMultLayout(MultPickleLayout):
    """`mosei_senti_data.pkl`: sentiment; emotions too, if the label sequence or `mosei.csv` is beside it.

    They are joined by video and start; where the table has no such segment, emotions are unknown.
    """

    stem, about, label_field, counts = "mosei_senti", replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, PROCESSED
    beside = (
        LayoutFile("*Labels*.csd", "emotions, joined by video and start", required=False),
        LayoutFile("mosei.csv", "the same as a table", required=False),
    )

    @property
    def label_fields(self) -> list[LabelField]:
        return [SENTIMENT] if self._table is None else [SENTIMENT, EMOTION]

    def clips(self, split: str) -> Iterator[tuple[int, dict, dict]]:
        for index, row, labels in super().clips(split):
            joined = {"emotion": self._emotions_at(row["group"], row["start"])} if self._table is not None else {}
            yield index, row, labels | joined

    def _emotions_at(self, video: str, start: float | None) -> list[float] | None:
        segments = self._table.get(video)
        if segments is None or start is None:
            return None
        near = int(np.abs(segments.times[:, 0] - start).argmin())
        close = abs(segments.times[near, 0] - start) <= START_TOLERANCE
        return mosei_labels(segments.values[near])["emotion"] if close else None

    @cached_property
    def _table(self) -> dict[str, Segments] | None:
        found = [path for wanted in self.beside for path in self.find_files(self.folder, wanted)]
        return read_segments(found[0], COLUMNS)[0] if found else None


class MoseiMmsaLayout(MmsaPickleLayout):
    """`aligned_50.pkl` and `unaligned_50.pkl`: sentiment alone."""

    about, label_field, counts = replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, PROCESSED


class MoseiHhmpnLayout(HhmpnLayout):
    """Which of the six emotions are present."""

    about, counts = replace(ABOUT, split_protocol=IN_FILE), PROCESSED


class MoseiLabelsLayout(CorpusLayout):
    """Labels and times alone, of `mosei.csv`."""

    name = "labels_csv"
    title = "labels and times alone (mosei.csv)"
    files = (LayoutFile("mosei.csv", "times, sentiment and six emotions of every segment"),)

    def describe(self) -> CorpusRecord:
        return replace(ABOUT, label_fields=[SENTIMENT, EMOTION], counts=BY_FOLDS)

    def rows(self, split: str) -> Iterator[dict]:
        for video, segments in self._segments.items():
            lines = zip(segments.ids, segments.times.tolist(), segments.values, strict=True)
            for clip, (start, end), values in lines:
                if _is_in(self, video, clip, split):
                    labels = self.audit_labels(mosei_labels(values), [SENTIMENT, EMOTION])
                    yield {"id": clip, "group": video, "start": start, "end": end, "labels": labels}

    @cached_property
    def _segments(self) -> dict[str, Segments]:
        segments, twice = read_segments(self.folder / self.files[0].path, COLUMNS)
        self.reported.update({"duplicate": twice} if twice else {})
        return segments


class MoseiClassesLayout(CorpusLayout):
    """Times and classes of `CMU_MOSEI_Labels.csv`, as s3prl derives them.

    `label6` is the strongest emotion, and happy where there is none; `label7` is not the rounded sentiment.
    """

    name = "classes_csv"
    title = "classes and times alone (CMU_MOSEI_Labels.csv of s3prl)"
    files = (LayoutFile("CMU_MOSEI_Labels.csv", "times and classes of every segment"),)

    def describe(self) -> CorpusRecord:
        fields = [
            LabelField(name, "single_label_classification", tuple(labels))
            for name, (labels, _) in CLASS_COLUMNS.items()
        ]
        return replace(ABOUT, label_fields=fields, counts=BY_FOLDS)

    def rows(self, split: str) -> Iterator[dict]:
        lines = list(read_table(self.folder / self.files[0].path, ("file", "index", "start", "end", *CLASS_COLUMNS)))
        ids, twice = deduplicate_ids(f"{cells['file']}[{cells['index']}]" for _, cells in lines)
        self.reported.update({"duplicate": twice} if twice and split == "train" else {})
        for clip, (where, cells) in zip(ids, lines, strict=True):
            if _is_in(self, cells["file"], clip, split):
                times = {key: parse_float(cells[key], where, key) for key in ("start", "end")}
                labels = {n: int(parse_float(cells[n], where, n)) - first for n, (_, first) in CLASS_COLUMNS.items()}
                yield {"id": clip, "group": cells["file"], "labels": labels} | times


def _is_in(layout: CorpusLayout, video: str, clip: str, split: str) -> bool:
    """Whether a video is in a split; what is in no fold is noted as dropped, once."""
    home = split_of("cmu_mosei").get(video)
    if home is None and split == "train":
        layout.dropped.append(DroppedClip(clip, "its video is in no official fold"))
    return home == split


def read_transcript(path: Path) -> list[Clip]:
    """The clips of a transcript: lines `video___k___start___end___text`."""
    clips = []
    for line_number, line in enumerate(read_text(path).splitlines(), 1):
        cells = line.split("___", 4)
        if not line.strip():
            continue
        try:
            clips.append(Clip(int(cells[1]), cells[4], float(cells[2])))
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
        "Ask the CMU MultiComp Lab (http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/), whose SDK "
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
    counts=BY_FOLDS,
)
