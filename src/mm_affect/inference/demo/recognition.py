# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One clip, read once, answered many times: whole, for every subset of its modalities, and along its time."""

from dataclasses import dataclass
from itertools import combinations

from ..pipeline import answers, cut_windows, predict_logits, require_steps
from .clips import LIMIT, Clip


SHORTEST_WINDOW = 1.0  # seconds
MAX_WINDOWS = 20  # that do not overlap; each begins where the one before is half over
NOUNS = {"text": "words", "audio": "sound", "visual": "faces"}


@dataclass(frozen=True)
class ClipFeatures:
    """A clip with its features.

    Args:
        row: a feature row.
        steps: measured steps per modality of the model.
        duration: seconds that were read; 0 for words alone.
        whole: seconds that the file lasts.
    """

    clip: Clip
    row: dict
    steps: dict[str, int]
    duration: float
    whole: float

    @property
    def present(self) -> list[str]:
        """The modalities in which something was measured."""
        return [modality for modality, steps in self.steps.items() if steps]

    @property
    def end(self) -> float | None:
        """The second up to which the file was read; None if to its end."""
        return LIMIT if self.whole > LIMIT else None


class Recognizer:
    """A model with its processor."""

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self.tasks = model.config.tasks
        self.modalities = model.config.modalities

    def read(self, clip: Clip) -> ClipFeatures:
        """Extract the features of a clip.

        Raises:
            ValueError: nothing was given, the file is no media, or nothing that the model reads is in it.
            ImportError: what an extractor needs is not installed.
        """
        row, whole = clip.row()
        row = self.processor.extract(row)
        steps = require_steps(self.processor, row, clip.path or "transcript")
        return ClipFeatures(clip, row, steps, min(whole, LIMIT), whole)

    def answers(self, rows: list[dict]) -> list[dict]:
        """What the model says of each feature row: `{task: answer}`, as the pipeline words it."""
        return [answers(self.tasks, logits) for logits in predict_logits(self.model, self.processor, rows)]

    def only(self, row: dict, modalities) -> dict:
        """A feature row with these modalities alone."""
        left = {m: row[m] if m in modalities else row[m][:0] for m in self.processor.feature_sizes}
        if "text" not in modalities:
            left |= {"transcript": None, "spans": None}
        return row | left

    def subsets(self, reading: ClipFeatures) -> dict[tuple[str, ...], dict]:
        """The answers to every subset of what the clip has, the largest first."""
        present = reading.present
        chosen = [subset for size in range(len(present), 0, -1) for subset in combinations(present, size)]
        rows = [self.only(reading.row, subset) for subset in chosen]
        return dict(zip(chosen, self.answers(rows), strict=True))

    def timeline(self, reading: ClipFeatures, modalities) -> list[dict]:
        """The answers along the clip, in windows that overlap by half: `start`, `end` in seconds, `tasks`."""
        row = self.only(reading.row, modalities)
        window = max(SHORTEST_WINDOW, reading.duration / MAX_WINDOWS)
        windows = cut_windows(self.processor, row, window, window / 2) if reading.duration else []
        found = self.answers([part for _, part in windows])
        return [
            {"start": start, "end": end, "tasks": tasks}
            for ((start, end), _), tasks in zip(windows, found, strict=True)
        ]
