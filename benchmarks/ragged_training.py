# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training on ragged lengths: the trainer's batches of like length against batches padded to the corpus maximum.

Rows as in CMU-MOSEI (three aligned streams of 300 / 74 / 35 features, 5 to 60 words, median 20), EF-LF-LSTM at the
paper's size, batch 32, AdamW. Both sides train the same model on the same rows, in turns: 16 random batches padded to
60 steps, then the 50 batches that the trainer's sampler sorts together, drawn from the whole corpus. What counts is
the time per real step: that of making batches, of forward and backward passes, and of the optimizer.

    python benchmarks/ragged_training.py

Expected: the ratio of the times within 20 % of the ratio of padded to real steps.
"""

import argparse
import statistics
import tempfile
import time
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import TrainingArguments

from mm_affect import MODALITIES, AffectProcessor, FusionConfig, FusionForAffect
from mm_affect.data import LabelField
from mm_affect.data.ragged import RowDataset
from mm_affect.training.trainer import AffectTrainer


BATCH, SHORTEST, MEDIAN, LONGEST = 32, 5, 20, 60
PARTS = ("batches", "forward and backward", "optimizer")


def make_rows(count: int, sizes: dict[str, int], outputs: int) -> list[dict]:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(MEDIAN), 0.6, count), SHORTEST, LONGEST).astype(int)
    lengths[0] = LONGEST
    return [
        {m: rng.normal(size=(steps, size)).astype(np.float32) for m, size in sizes.items()}
        | {"id": f"row{i}", "labels": {"emotion": rng.integers(0, 2, outputs).astype(float).tolist()}}
        for i, steps in enumerate(lengths)
    ]


def padded_to_longest(collator):
    """The collator's batch, every stream of it padded to the length of the longest row of the corpus."""

    def collate(rows: list[dict]) -> dict:
        batch = collator(rows)
        for m in MODALITIES:
            missing = LONGEST - batch[m].shape[1]
            batch |= {m: F.pad(batch[m], (0, 0, 0, missing)), f"{m}_mask": F.pad(batch[f"{m}_mask"], (0, missing))}
        return batch

    return collate


def train(model, optimizer, batches) -> tuple[dict[str, float], float]:
    """Processor milliseconds per real step of each part of training, and steps of the batches per real step."""
    taken, steps, real, mark = dict.fromkeys(PARTS, 0.0), 0, 0, time.process_time()

    def lap(part: str) -> None:
        nonlocal mark
        now = time.process_time()
        taken[part] += now - mark
        mark = now

    for batch in batches:
        lap("batches")
        steps, real = steps + batch["text_mask"].numel(), real + int(batch["text_mask"].sum())
        model(**batch).loss.backward()
        lap("forward and backward")
        optimizer.step()
        optimizer.zero_grad()
        lap("optimizer")
    return {part: 1000 * seconds / real for part, seconds in taken.items()}, steps / real


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = FusionConfig.paper()
    model = FusionForAffect(config).train()
    task = config.tasks[0]
    field = LabelField(task.name, task.problem_type, task.labels)
    rows = RowDataset(make_rows(options.rows, config.feature_sizes, task.num_outputs))
    processor = AffectProcessor(config.feature_sizes, normalization=dict.fromkeys(MODALITIES, "none"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, per_device_train_batch_size=BATCH, report_to="none", use_cpu=True)
        trainer = AffectTrainer(model, arguments, rows, processor=processor, label_fields=[field])
    padded, grouped = "padded to longest", "trainer's batches"
    collator = padded_to_longest(trainer.training_collator)
    loaders = {
        padded: (DataLoader(rows, BATCH, shuffle=True, collate_fn=collator), 16),
        grouped: (trainer.get_train_dataloader(), 50),
    }
    optimizer = torch.optim.AdamW(model.parameters())
    for loader, _ in loaders.values():  # warm up
        train(model, optimizer, islice(loader, 2))

    rounds = [
        {name: train(model, optimizer, islice(loader, count)) for name, (loader, count) in loaders.items()}
        for _ in range(options.rounds)
    ]
    lengths = rows.lengths()
    wanted = len(rows) * LONGEST / sum(lengths)
    print(f"{len(rows)} rows of {min(lengths)} to {max(lengths)} steps, median {statistics.median(lengths):.0f}")
    print(f"median (least to greatest) of {options.rounds} rounds, one thread, processor time per real step")
    for name in loaders:
        parts = {part: statistics.median(taken[name][0][part] for taken in rounds) for part in PARTS}
        steps = statistics.median(taken[name][1] for taken in rounds)
        shown = "   ".join(f"{part} {milliseconds:.3f} ms" for part, milliseconds in parts.items())
        print(f"{name}: {steps:.2f} steps per real step   {shown}")
    print(f"steps: padded to longest / real {wanted:.2f}")
    for title, parts in (("training", PARTS), ("forward and backward alone", PARTS[1:2])):
        found = [
            sum(taken[padded][0][part] for part in parts) / sum(taken[grouped][0][part] for part in parts)
            for taken in rounds
        ]
        middle = statistics.median(found)
        print(
            f"time: padded / trainer's batches {middle:.2f} ({min(found):.2f} to {max(found):.2f}), {title}: "
            f"{100 * middle / wanted:.0f} % of the ratio of steps"
        )


if __name__ == "__main__":
    main()
