# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training on ragged lengths: batches of rows of similar length, as in the trainer, compared with batches padded to the longest row.

Rows as in CMU-MOSEI (three aligned streams of 300 / 74 / 35 features, 5 to 60 words, median 20), EF-LF-LSTM of the size of the paper, batch
size 32, AdamW. The same model is trained alternately on the same rows: on 16 random batches padded to 60 steps, then on the 50 batches that the
sampler of the trainer sorts together, drawn from the complete corpus. The result is the time per real step (without padding) of building
batches, of forward and backward passes, and of the optimizer.

    python benchmarks/ragged_training.py

Expected: a ratio of times within 20 % of the ratio of padded to real steps.
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
    """Return random rows with lengths as in CMU-MOSEI."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(MEDIAN), 0.6, count), SHORTEST, LONGEST).astype(int)
    lengths[0] = LONGEST
    return [
        {m: rng.normal(size=(steps, size)).astype(np.float32) for m, size in sizes.items()}
        | {"id": f"row{i}", "labels": {"emotion": rng.integers(0, 2, outputs).astype(float).tolist()}}
        for i, steps in enumerate(lengths)
    ]


def pad_to_longest(collator):
    """Return a collator that pads every stream to the length of the longest row of the corpus."""

    def collate(rows: list[dict]) -> dict:
        batch = collator(rows)
        for m in MODALITIES:
            missing = LONGEST - batch[m].shape[1]
            batch |= {m: F.pad(batch[m], (0, 0, 0, missing)), f"{m}_mask": F.pad(batch[f"{m}_mask"], (0, missing))}
        return batch

    return collate


def train(model, optimizer, batches) -> tuple[dict[str, float], float]:
    """Return the CPU milliseconds per real step of each part of training, and the steps of the batches per real step."""
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
    """Train alternately on both kinds of batches and print times and ratios."""
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
    padded, grouped = "padded to longest row", "batches of the trainer"
    collator = pad_to_longest(trainer.training_collator)
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
    expected = len(rows) * LONGEST / sum(lengths)
    print(f"{len(rows)} rows of {min(lengths)} to {max(lengths)} steps, median {statistics.median(lengths):.0f}")
    print(f"median (range) of {options.rounds} rounds, one thread, CPU time per real step")
    for name in loaders:
        parts = {part: statistics.median(taken[name][0][part] for taken in rounds) for part in PARTS}
        steps = statistics.median(taken[name][1] for taken in rounds)
        times = "   ".join(f"{part} {milliseconds:.3f} ms" for part, milliseconds in parts.items())
        print(f"{name}: {steps:.2f} steps per real step   {times}")
    print(f"steps: padded to longest row / real {expected:.2f}")
    for title, parts in (("training", PARTS), ("forward and backward only", PARTS[1:2])):
        ratios = [
            sum(taken[padded][0][part] for part in parts) / sum(taken[grouped][0][part] for part in parts)
            for taken in rounds
        ]
        middle = statistics.median(ratios)
        print(
            f"time: padded / batches of the trainer {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {title}: "
            f"{100 * middle / expected:.0f} % of the ratio of steps"
        )


if __name__ == "__main__":
    main()
