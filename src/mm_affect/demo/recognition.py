# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One clip, read once, answered many times: whole, for every subset of its modalities, and along its time."""

from dataclasses import dataclass
from itertools import combinations

import torch

from ..pipelines import answer, cut, steps_of, windows_of
from .clips import LIMIT, Clip


STEPS_AT_ONCE = 8000  # of the longest modality, over the rows of a batch: bounds the memory of attention
SHORTEST_WINDOW = 1.0  # seconds
MOST_WINDOWS = 20  # that do not overlap; each begins where the one before is half over
NOUNS = {"text": "words", "audio": "sound", "visual": "faces"}


@dataclass(frozen=True)
class Reading:
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


class Recogniser:
    """A model with its processor."""

    def __init__(self, model, processor):
        self.model, self.processor = model, processor
        self.tasks = model.config.tasks
        self.modalities = model.config.modalities

    def read(self, clip: Clip) -> Reading:
        """Extract the features of a clip.

        Raises:
            ValueError: nothing was given, the file is no media, or nothing that the model reads is in it.
            ImportError: what an extractor needs is not installed.
        """
        row, whole = clip.row()
        row = self.processor.extract(row)
        steps = steps_of(self.processor, row)
        if not any(steps.values()):
            missing = ", ".join(f"no {NOUNS[modality]}" for modality in steps)
            raise ValueError(
                f"There is nothing to recognise in this clip: {missing}. Add a transcript, or try another."
            )
        return Reading(clip, row, steps, min(whole, LIMIT), whole)

    def answers(self, rows: list[dict]) -> list[dict]:
        """What the model says of each feature row: `{task: answer}`, as the pipeline words it."""
        return [{task.name: answer(task, logits[task.name]) for task in self.tasks} for logits in self.logits(rows)]

    @torch.no_grad()
    def logits(self, rows: list[dict]) -> list[dict]:
        """Per feature row `{task: (outputs,)}`; batches are small where rows are long."""
        longest = max((len(row[m]) for row in rows for m in self.processor.feature_sizes), default=1)
        size = max(1, STEPS_AT_ONCE // max(1, longest))
        found = []
        for start in range(0, len(rows), size):
            batch = self.processor(rows[start : start + size]).to(self.model.device)
            logits = {task: values.float().cpu().numpy() for task, values in self.model(**batch).logits.items()}
            found += [
                {task: values[i] for task, values in logits.items()} for i in range(len(rows[start : start + size]))
            ]
        return found

    def only(self, row: dict, modalities) -> dict:
        """A feature row with these modalities alone."""
        left = {m: row[m] if m in modalities else row[m][:0] for m in self.processor.feature_sizes}
        if "text" not in modalities:
            left |= {"transcript": None, "spans": None}
        return row | left

    def subsets(self, reading: Reading) -> dict[tuple[str, ...], dict]:
        """The answers to every subset of what the clip has, the largest first."""
        present = reading.present
        chosen = [subset for size in range(len(present), 0, -1) for subset in combinations(present, size)]
        rows = [self.only(reading.row, subset) for subset in chosen]
        return dict(zip(chosen, self.answers(rows), strict=True))

    def timeline(self, reading: Reading, modalities) -> list[dict]:
        """The answers along the clip, in windows that overlap by half: `start`, `end` in seconds, `tasks`."""
        row = self.only(reading.row, modalities)
        window = max(SHORTEST_WINDOW, reading.duration / MOST_WINDOWS)
        stretches = windows_of(self.processor, row, window, window / 2) if reading.duration else []
        parts = [(stretch, cut(self.processor, row, *stretch)) for stretch in stretches]
        parts = [(stretch, part) for stretch, part in parts if any(steps_of(self.processor, part).values())]
        answers = self.answers([part for _, part in parts]) if parts else []
        return [
            {"start": start, "end": end, "tasks": tasks}
            for ((start, end), _), tasks in zip(parts, answers, strict=True)
        ]
