# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training: a run's config, its data, the Trainer, and pretraining."""
