# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Inference on raw clips: the pipeline and the demo page."""

import transformers  # noqa: F401 - first: importing it registers our pipeline before a module of this package is half loaded
