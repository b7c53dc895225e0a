# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Feature extraction of a corpus, in processes or on a Ray cluster."""
