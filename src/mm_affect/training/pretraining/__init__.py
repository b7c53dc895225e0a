# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts of pretraining by speech recognition and person identification; `examples/pretrain_multitask.py` puts them together.

options ▶ rows (streamed from shards) ▶ survey ▶ plan ▶ batches ▶ step ▶ checkpoints, evaluation
"""

from .batches import PlannedBatches, PretrainingCollator, batch_loader
from .checkpoints import Checkpoints, full_state, run_folder, save_model
from .evaluation import Evaluation
from .log import Log
from .options import PretrainingOptions
from .plan import BatchPlan
from .rows import StreamedRows, new_processor, open_rows
from .steps import Interruption, learning_rate, train_step
from .survey import Survey, rows_of_others, take_survey


__all__ = [
    "BatchPlan",
    "Checkpoints",
    "Evaluation",
    "Interruption",
    "Log",
    "PlannedBatches",
    "PretrainingCollator",
    "PretrainingOptions",
    "StreamedRows",
    "Survey",
    "batch_loader",
    "full_state",
    "learning_rate",
    "new_processor",
    "open_rows",
    "rows_of_others",
    "run_folder",
    "save_model",
    "take_survey",
    "train_step",
]
