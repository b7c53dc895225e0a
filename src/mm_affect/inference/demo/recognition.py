# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recognition of one clip: extract its features once, then predict the whole, every modality subset, and windows."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ...features.processor import AffectProcessor
from ...models.modeling import AffectPreTrainedModel
from ..pipeline import cut_windows, decode_tasks, predict_logits, require_steps
from .clips import LIMIT, InputClip


MIN_WINDOW = 1.0  # seconds
MAX_WINDOWS = 20  # without overlap; each window starts in the middle of the one before
MODALITY_NOUNS = {"text": "words", "audio": "audio", "visual": "faces"}

Answers = dict[str, dict[str, Any]]  # per task, as the pipeline returns them


@dataclass(frozen=True)
class ClipFeatures:
    """A clip with its features.

    Args:
        row: a feature row.
        steps: measured steps per modality of the model.
        duration: seconds that were read; 0 without a file.
        file_duration: duration of the whole file in seconds.
    """

    clip: InputClip
    row: dict[str, Any]
    steps: dict[str, int]
    duration: float
    file_duration: float

    @property
    def present(self) -> list[str]:
        """The modalities with measured steps."""
        return [modality for modality, steps in self.steps.items() if steps]

    @property
    def end(self) -> float | None:
        """The second at which the clip was cut; None if it was read to its end."""
        return LIMIT if self.file_duration > LIMIT else None


class Recognizer:
    """A model with its processor."""

    def __init__(self, model: AffectPreTrainedModel, processor: AffectProcessor):
        self.model, self.processor = model, processor
        self.tasks = model.config.tasks
        self.modalities = model.config.modalities

    def extract(self, clip: InputClip) -> ClipFeatures:
        """Extract the features of a clip.

        Raises:
            ValueError: If the clip is empty, its file is not media, or it has nothing that the model reads.
            ImportError: If a package that an extractor needs is not installed.
        """
        row, file_duration = clip.to_row()
        row = self.processor.extract(row)
        steps = require_steps(self.processor, row, clip.path or "transcript")
        return ClipFeatures(clip, row, steps, min(file_duration, LIMIT), file_duration)

    def predict(self, rows: list[dict[str, Any]]) -> list[Answers]:
        """Predict every task for each feature row."""
        return [decode_tasks(self.tasks, logits) for logits in predict_logits(self.model, self.processor, rows)]

    def drop_modalities(self, row: dict[str, Any], keep: Collection[str]) -> dict[str, Any]:
        """Return a feature row without the modalities that are not in `keep`."""
        kept = {m: row[m] if m in keep else row[m][:0] for m in self.processor.feature_sizes}
        if "text" not in keep:
            kept |= {"transcript": None, "spans": None}
        return row | kept

    def predict_subsets(self, features: ClipFeatures) -> dict[tuple[str, ...], Answers]:
        """Predict every subset of the modalities of a clip, the largest first."""
        present = features.present
        subsets = [subset for size in range(len(present), 0, -1) for subset in combinations(present, size)]
        rows = [self.drop_modalities(features.row, subset) for subset in subsets]
        return dict(zip(subsets, self.predict(rows), strict=True))

    def predict_timeline(self, features: ClipFeatures, modalities: Collection[str]) -> list[dict[str, Any]]:
        """Predict windows along the clip that overlap by half; each has `start` and `end` in seconds, and `tasks`."""
        row = self.drop_modalities(features.row, modalities)
        length = max(MIN_WINDOW, features.duration / MAX_WINDOWS)
        windows = cut_windows(self.processor, row, length, length / 2) if features.duration else []
        answers = self.predict([window.row for window in windows])
        return [
            {"start": window.start, "end": window.end, "tasks": tasks}
            for window, tasks in zip(windows, answers, strict=True)
        ]
