# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CMU-MOSI: sentiment in 2,199 segments of 93 opinion videos (Zadeh et al. 2016).

Source: CMU MultiComp Lab and the CMU Multimodal SDK. License: research only.

Splits: the official folds of the SDK, by video: 1,284/229/686 segments. The bc-LSTM files have a split of their own.

Labels: sentiment in [-3, 3].
"""

from dataclasses import replace
from pathlib import Path

from ...label_field import LabelField
from ..readers.tables import read_text
from ..record import CorpusRecord
from .bclstm_csv import BcLstmLayout
from .cmu_raw_release import RawReleaseLayout, TranscribedClip, parse_sentiment
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
FILE_FOLDS = FOLDS | {"name": "official folds of the CMU Multimodal SDK, as the file has them"}
ABOUT = CorpusRecord(NAME, license=LICENSE, citation=CITATION, split_protocol=FOLDS)
SENTIMENT = LabelField("sentiment", "regression", range=(-3.0, 3.0), strict=False)


class MosiSdkLayout(SdkLayout):
    """Computational sequences of CMU-MOSI."""

    corpus, about, label_fields, counts = "cmu_mosi", ABOUT, [SENTIMENT], COUNTS

    def parse_labels(self, values) -> dict:
        """Parse the labels of a segment."""
        return parse_sentiment(values)


class MosiRawLayout(RawReleaseLayout):
    """Raw release of CMU-MOSI, with transcripts in `Raw/Transcript/Segmented/<video>.annotprocessed`.

    Clips are numbered from 1, labels from 0.
    """

    corpus, about, label_fields, counts = "cmu_mosi", ABOUT, [SENTIMENT], COUNTS
    label_columns = ("sentiment",)

    def parse_labels(self, values) -> dict:
        """Parse the labels of a segment."""
        return parse_sentiment(values)

    def clips(self, video: str) -> list[TranscribedClip]:
        """Return the clips in the transcript of a video."""
        path = self.folder / "Raw" / "Transcript" / "Segmented" / f"{video}.annotprocessed"
        return read_annotprocessed(path) if path.is_file() else []

    def match(self, segments: Segments, clips: list[TranscribedClip]) -> list[TranscribedClip | None]:
        """Return the clip of every segment, or None."""
        numbered = {clip.number: clip for clip in clips}
        return [numbered.get(k + 1, TranscribedClip(k + 1, "")) for k in range(len(segments.ids))]


class MosiMultLayout(MultPickleLayout):
    """MulT pickles of CMU-MOSI, with 5 audio and 20 visual features."""

    stem, about, label_field, counts = "mosi", replace(ABOUT, split_protocol=FILE_FOLDS), SENTIMENT, COUNTS


class MosiMmsaLayout(MmsaPickleLayout):
    """MMSA pickles of CMU-MOSI."""

    about, label_field, counts = replace(ABOUT, split_protocol=FILE_FOLDS), SENTIMENT, COUNTS


class MosiMisaLayout(MisaPickleLayout):
    """MISA pickles of CMU-MOSI."""

    about, label_field, counts = replace(ABOUT, split_protocol=FILE_FOLDS), SENTIMENT, COUNTS


class MosiMfnLayout(MfnH5Layout):
    """MFN files of CMU-MOSI."""

    about, label_field, counts = replace(ABOUT, split_protocol=FILE_FOLDS), SENTIMENT, COUNTS


class MosiBcLstmLayout(BcLstmLayout):
    """bc-LSTM files of CMU-MOSI, with a binary label and another split."""

    about = CorpusRecord(f"{NAME}, bc-LSTM features", license=LICENSE, citation=CITATION)


def read_annotprocessed(path: Path) -> list[TranscribedClip]:
    """Read the clips of a transcript with lines `k_DELIM_text`."""
    clips = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        k, delimiter, text = line.partition("_DELIM_")
        if not line.strip():
            continue
        if not delimiter or not k.strip().isdecimal():
            raise ValueError(f"{path} line {number} is {line[:60]!r}; expected `k_DELIM_text`.")
        clips.append(TranscribedClip(int(k), text))
    return clips


CORPUS = Corpus(
    name="cmu_mosi",
    title=NAME,
    license=LICENSE,
    citation=CITATION,
    access=(
        "Request the files from the CMU MultiComp Lab (http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/), whose SDK "
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
