# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""ICT-MMMO: sentiment from 1 to 5 of 340 film reviews on video (Woellmer et al. 2013), in the h5 files of MFN."""

from ...label_field import LabelField
from ..record import CorpusRecord
from .layouts import Corpus
from .mfn_h5 import MfnH5Layout


LICENSE = "ICT-MMMO research data, for research alone"
CITATION = (
    "M. Woellmer, F. Weninger, T. Knaup, B. Schuller, C. Sun, K. Sagae, L.-P. Morency: YouTube movie reviews: sentiment "
    "analysis in an audio-visual context. IEEE Intelligent Systems 28(3), 2013."
)
COUNTS = {"train": 220, "validation": 40, "test": 80}


class IctMmmoLayout(MfnH5Layout):
    """Known copies lack the text of the training split."""

    about = CorpusRecord(
        "ICT-MMMO",
        license=LICENSE,
        citation=CITATION,
        split_protocol={"name": "220/40/80 of MFN; clips name no speaker", "groups_may_cross": True},
    )
    label_field = LabelField("sentiment", "regression", range=(1.0, 5.0), strict=False)
    counts = COUNTS


CORPUS = Corpus(
    name="ict_mmmo",
    title="ICT-MMMO",
    license=LICENSE,
    citation=CITATION,
    access="The h5 files are in https://github.com/pliang279/MFN (new_data/mmmo); the videos are with USC ICT.",
    layouts=(IctMmmoLayout,),
    counts=COUNTS,
)
