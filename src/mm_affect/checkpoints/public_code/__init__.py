# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conversion tables of the authors' public code: names of the weights, and weights that the code never uses."""

from .emo_emb import EMO_EMB
from .lmr_cbt import LMR_CBT
from .mult import MULT
from .spt import SPT
from .sugrm import SUGRM
from .table import Conversion
from .tailor import TAILOR


__all__ = ["CONVERSIONS", "Conversion"]

CONVERSIONS = {"emo_emb": EMO_EMB, "lmr_cbt": LMR_CBT, "mult": MULT, "spt": SPT, "sugrm": SUGRM, "tailor": TAILOR}
