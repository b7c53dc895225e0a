# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Everything that travels with a checkpoint: flat modules that import only their siblings."""

import transformers  # noqa: F401 - first, so that its import registers ours before a module of this room is half loaded
