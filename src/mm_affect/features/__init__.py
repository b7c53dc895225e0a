# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Raw media to batches: extractors of each modality, the processor, label encoding and the collator."""

import transformers  # noqa: F401 - first, so that its import registers ours before a module of this room is half loaded
