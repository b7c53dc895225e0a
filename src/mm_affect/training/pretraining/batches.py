# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Collation of rows into batches for pretraining, and the loader that distributes them to the processes."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...features.characters import TranscriptTokenizer
from ...features.processor import AffectProcessor
from .plan import BatchPlan


UNKNOWN = -100  # a speaker or a character that no loss counts


class PretrainingCollator:
    """Collate rows into the arguments of `JointEmbeddingsForPreTraining.forward`.

    Args:
        processor: Pads and normalizes the features.
        tokenizer: Tokenizer of the transcripts.
        speakers: Speakers that can be identified; rows with another `group` have an unknown speaker.
    """

    def __init__(self, processor: AffectProcessor, tokenizer: TranscriptTokenizer, speakers: list[str]):
        self.processor, self.tokenizer = processor, tokenizer
        self.classes = {speaker: number for number, speaker in enumerate(speakers)}

    def __call__(self, rows: list[dict], hide_words: np.ndarray | None = None) -> dict:
        """Return the batch; the encoder gets no text of the rows in the mask `hide_words` `(rows,)`."""
        if hide_words is not None and "text" in self.processor.modalities:
            none = np.zeros((0, self.processor.feature_sizes["text"]), np.float32)
            rows = [row | {"text": none} if hidden else row for row, hidden in zip(rows, hide_words, strict=True)]
        batch = dict(self.processor(rows))
        spelled = [torch.tensor(self.tokenizer(row["transcript"])["input_ids"]) for row in rows]
        batch["characters"] = torch.nn.utils.rnn.pad_sequence(spelled, batch_first=True, padding_value=UNKNOWN)
        batch["labels"] = {"person": torch.tensor([self.classes.get(row["group"], UNKNOWN) for row in rows])}
        return batch


class PlannedBatches(Dataset):
    """The batch at each position `(epoch, number)` of the plan, with the seed of the random numbers of its training step."""

    def __init__(self, rows, plan: BatchPlan, collator: PretrainingCollator, hide_words: float):
        self.rows, self.plan, self.collator, self.hide_words = rows, plan, collator, hide_words

    def __getitem__(self, place: tuple[int, int]) -> tuple[int, dict]:
        epoch, number = place
        words = np.random.SeedSequence([self.plan.seed, epoch, number])
        numbers = self.plan.epoch(epoch)[number].tolist()
        hidden = np.random.default_rng(words).random(len(numbers)) < self.hide_words
        return int(words.generate_state(1)[0]), self.collator([self.rows[n] for n in numbers], hidden)


class _ProcessSampler:
    """Every n-th position, for one of n processes."""

    def __init__(self, places: Iterable, process: int, processes: int):
        self.places, self.process, self.processes = places, process, processes

    def __iter__(self):
        return islice(self.places, self.process, None, self.processes)


def batch_loader(
    batches: PlannedBatches, epoch: int, number: int, process: int, processes: int, workers: int
) -> DataLoader:
    """Return a loader of the batches of one process from a position of the plan on, without end."""
    sampler = _ProcessSampler(batches.plan.walk(epoch, number), process, processes)
    return DataLoader(batches, sampler=sampler, batch_size=None, num_workers=workers)
