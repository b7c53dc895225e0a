# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Studies of many runs: grid search, benchmarks, reproduction of cards, and the papers' figures."""
