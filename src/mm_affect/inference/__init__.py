# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Answers for raw clips: the pipeline and the demo page."""

import transformers  # noqa: F401 - first, so that its import registers ours before a module of this room is half loaded
