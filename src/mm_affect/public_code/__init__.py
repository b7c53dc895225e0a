# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is known of the authors' public code: for each, what it calls our weights, and what of its own it never reads."""

from .table import Conversion
from .tailor import TAILOR


__all__ = ["CONVERSIONS", "Conversion"]

CONVERSIONS = {"tailor": TAILOR}
