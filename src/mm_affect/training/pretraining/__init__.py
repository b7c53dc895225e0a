# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pretraining by speech recognition and person identification; `run.run_pretraining` puts the parts together.

options ▶ rows (streamed from shards) ▶ survey ▶ plan ▶ batches ▶ steps ▶ checkpoints, evaluation
"""
