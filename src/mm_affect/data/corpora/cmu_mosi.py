# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CMU-MOSI: sentiment in 2,199 segments of 93 opinion videos (Zadeh et al. 2016), official folds 1,284/229/686."""

from dataclasses import replace
from pathlib import Path

from ...label_field import LabelField
from ..readers.tables import read_text
from ..record import CorpusRecord
from .bclstm_csv import BcLstmLayout
from .cmu_raw_release import Clip, RawReleaseLayout, sentiment_of
from .cmu_sdk import SdkLayout
from .cmu_segment_labels import Segments
from .layouts import Corpus
from .mfn_h5 import MfnH5Layout
from .misa_pickle import MisaPickleLayout
from .mmsa_pickle import MmsaPickleLayout
from .mult_pickle import MultPickleLayout


NAME = "CMU-MOSI"
LICENSE = "CMU-MOSI research data, for research alone"
CITATION = (
    "A. Zadeh, R. Zellers, E. Pincus, L.-P. Morency: Multimodal sentiment intensity analysis in videos: facial gestures "
    "and verbal messages. IEEE Intelligent Systems 31(6), 2016."
)
COUNTS = {"train": 1284, "validation": 229, "test": 686}
FOLDS = {
    "name": "official folds of the CMU Multimodal SDK, by video",
    "validation": "official",
    "groups_may_cross": False,
}
IN_FILE = FOLDS | {"name": "official folds of the CMU Multimodal SDK, as the file has them"}
ABOUT = CorpusRecord(NAME, license=LICENSE, citation=CITATION, split_protocol=FOLDS)
SENTIMENT = LabelField("sentiment", "regression", range=(-3.0, 3.0), strict=False)


class MosiSdkLayout(SdkLayout):
    """Computational sequences."""

    corpus, about, label_fields, counts = "cmu_mosi", ABOUT, [SENTIMENT], COUNTS

    def labels_of(self, values) -> dict:
        return sentiment_of(values)


class MosiRawLayout(RawReleaseLayout):
    """`Raw/Transcript/Segmented/<video>.annotprocessed` has lines `k_DELIM_text`; k counts from 1, labels from 0."""

    corpus, about, label_fields, counts = "cmu_mosi", ABOUT, [SENTIMENT], COUNTS
    label_columns = ("sentiment",)

    def labels_of(self, values) -> dict:
        return sentiment_of(values)

    def clips(self, video: str) -> list[Clip]:
        path = self.folder / "Raw" / "Transcript" / "Segmented" / f"{video}.annotprocessed"
        return read_annotprocessed(path) if path.is_file() else []

    def match(self, segments: Segments, clips: list[Clip]) -> list[Clip | None]:
        numbered = {clip.number: clip for clip in clips}
        return [numbered.get(k + 1, Clip(k + 1, "")) for k in range(len(segments.ids))]


class MosiMultLayout(MultPickleLayout):
    """`mosi_data.pkl`: audio has 5 features, visual 20."""

    stem, about, label_field, counts = "mosi", replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, COUNTS


class MosiMmsaLayout(MmsaPickleLayout):
    """`aligned_50.pkl` and `unaligned_50.pkl`."""

    about, label_field, counts = replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, COUNTS


class MosiMisaLayout(MisaPickleLayout):
    """`train.pkl`, `dev.pkl` and `test.pkl`."""

    about, label_field, counts = replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, COUNTS


class MosiMfnLayout(MfnH5Layout):
    """`y_train.h5` and so on."""

    about, label_field, counts = replace(ABOUT, split_protocol=IN_FILE), SENTIMENT, COUNTS


class MosiBcLstmLayout(BcLstmLayout):
    """The binary label, on another split."""

    about = CorpusRecord(f"{NAME}, bc-LSTM features", license=LICENSE, citation=CITATION)


def read_annotprocessed(path: Path) -> list[Clip]:
    """The clips of a transcript: lines `k_DELIM_text`."""
    clips = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        k, delimiter, text = line.partition("_DELIM_")
        if not line.strip():
            continue
        if not delimiter or not k.strip().isdecimal():
            raise ValueError(f"{path} line {number} is {line[:60]!r}; expected `k_DELIM_text`.")
        clips.append(Clip(int(k), text))
    return clips


CORPUS = Corpus(
    name="cmu_mosi",
    title=NAME,
    license=LICENSE,
    citation=CITATION,
    access=(
        "Ask the CMU MultiComp Lab (http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/), whose SDK "
        "(https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK) describes the files."
    ),
    layouts=(
        MosiSdkLayout,
        MosiRawLayout,
        MosiMultLayout,
        MosiMmsaLayout,
        MosiMisaLayout,
        MosiMfnLayout,
        MosiBcLstmLayout,
    ),
    counts=COUNTS,
)
