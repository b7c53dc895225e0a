# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Words that every part of the package shares; imports nothing."""

MODALITIES = ("text", "audio", "visual")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
