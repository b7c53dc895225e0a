# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Published corpora: one file per corpus or family of files, their layouts and folds."""
