# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""ICT-MMMO: sentiment of 340 online movie reviews on video (Woellmer et al. 2013), in the HDF5 files of MFN.

Source: the files in the MFN repository; the videos are available from USC ICT. License: research only.

Splits: 220/40/80 reviews, as in the MFN repository. The clips do not name their speakers, so speakers may be in several
splits.

Labels: sentiment in [1, 5].
"""

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
    """MFN files of ICT-MMMO. The published files lack the text of the training split."""

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
    access="The h5 files are in https://github.com/pliang279/MFN (new_data/mmmo); the videos are available from USC ICT.",
    layouts=(IctMmmoLayout,),
    counts=COUNTS,
)
