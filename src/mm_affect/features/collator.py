# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Collation of feature rows into the arguments of a model's forward pass."""

from collections.abc import Iterable

import numpy as np
import torch

from ..label_field import LabelField
from .label_encoding import label_encoder
from .processor import AffectProcessor


class AffectCollator:
    """Collates feature rows into the keyword arguments of a model's forward pass, `labels` included.

    Args:
        processor: processor that pads and normalizes.
        tasks: tasks of the model.
        label_fields: label fields of the corpus; a task without a field gets no labels.
        augment: augmentation, in training only; see `AffectProcessor.__call__`.
        soft: keep labels that are probabilities, in training only; see `label_encoder`.

    Raises:
        ValueError: no task can be read from the label fields.
    """

    def __init__(
        self, processor: AffectProcessor, tasks, label_fields: Iterable[LabelField], augment=None, soft=False
    ):
        self.processor, self.augment = processor, augment
        fields = {field.name: field for field in label_fields}
        read = [task for task in tasks if task.generated_from is None and task.source in fields]
        self.encoders = {task.name: (task, label_encoder(task, fields[task.source], soft)) for task in read}
        if not self.encoders:
            raise ValueError(
                f"No task can be read from the labels {', '.join(fields) or 'none'}; the tasks read "
                f"{', '.join(t.source for t in tasks)}."
            )

    def __call__(self, rows: list[dict]) -> dict:
        """Return the batch of the rows: features, masks and, by the name of each task, `labels`."""
        batch = dict(self.processor(rows, augment=self.augment))
        batch["labels"] = {}
        for name, (task, encode) in self.encoders.items():
            targets = np.array([encode((row.get("labels") or {}).get(task.source)) for row in rows])
            classes = task.problem_type == "single_label_classification" and targets.ndim == 1
            batch["labels"][name] = torch.tensor(targets, dtype=torch.int64 if classes else torch.float32)
        return batch
