# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Config of a pretraining run. Importing it loads neither torch nor transformers."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict

from ..config import build_config, read_config


# Fields that may change when a run is resumed, because they do not affect the numbers that it computes.
RESUMABLE_CHANGES = (
    "output",
    "streaming",
    "workers",
    "steps",
    "log_every",
    "evaluate_every",
    "save_every",
    "keep",
    "num_beams",
)

POSITIVE = (
    "steps", "batch_steps", "batches_per_step", "pool_rows", "warmup_steps", "log_every", "evaluate_every", "save_every",
    "keep", "evaluation_clips", "num_beams", "learning_rate", "max_grad_norm",
)  # fmt: skip


@strict
@dataclass
class PretrainingOptions:
    """Config of a pretraining run.

    Where Khare et al. (2021) are silent, schedule and Adam are those of Vaswani et al. (2017).

    Args:
        rows: Folder of rows.
        output: Folder for checkpoints, log and the finished model.
        model: Fields of `JointEmbeddingsConfig`, such as `modalities`; feature sizes and speakers come from the rows.
        split: Split that is trained on, except for the fraction `held_out` of it, chosen by ids.
        unseen_split: Split with other speakers, on which recognition and verification are measured as well; null: none.
        held_out: Fraction of the clips of `split` that are held out for evaluation.
        seed: Seed of weights, order of rows and dropout.
        steps: Total number of optimizer steps.
        batch_steps: Maximum number of audio steps in a batch; longer clips are left out.
        batches_per_step: Batches per optimizer step over all processes; a multiple of the number of processes.
        pool_rows: Approximate number of rows that are shuffled and batched by length together; this bounds memory.
        hide_words: Fraction of the clips whose transcript is hidden from the encoder in training: 0 is the paper, which feeds
            the transcript to be recognized as input, too. Recognition is always measured without it.
        optimizer: `"adam"` or `"adamw"`.
        learning_rate: Peak learning rate, reached after `warmup_steps`; it then decays with the inverse square root of the step.
        warmup_steps: Steps over which the learning rate rises.
        weight_decay: Weight decay of the optimizer.
        betas: Betas of the optimizer.
        epsilon: Epsilon of the optimizer.
        max_grad_norm: Gradients are clipped to this norm.
        bf16: Train in mixed precision; false: as the configuration of Accelerate says.
        streaming: Read Parquet shards directly; false makes a memory-mapped copy in the cache of `datasets` first.
        workers: Processes that prefetch batches.
        log_every: Steps between entries of the log.
        evaluate_every: Steps between evaluations.
        save_every: Steps between checkpoints.
        keep: Number of checkpoints that are kept.
        evaluation_clips: Maximum number of clips of each kind that are measured.
        num_beams: Beams of the last evaluation; earlier ones are greedy.
    """

    rows: str
    output: str
    model: dict = field(default_factory=dict)
    split: str = "train"
    unseen_split: str | None = "validation"
    held_out: float = 0.1
    seed: int = 0
    steps: int = 100_000
    batch_steps: int = 8_000
    batches_per_step: int = 1
    pool_rows: int = 4_000
    hide_words: float | int = 0.0
    optimizer: str = "adam"
    learning_rate: float = 7e-4
    warmup_steps: int = 4_000
    weight_decay: float | int = 0.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = 1e-9
    max_grad_norm: float | int = 1.0
    bf16: bool = False
    streaming: bool = True
    workers: int = 0
    log_every: int = 10
    evaluate_every: int = 1_000
    save_every: int = 1_000
    keep: int = 2
    evaluation_clips: int = 500
    num_beams: int = 4

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"Option {name} is {getattr(self, name)}; it must be more than 0.")
        if self.workers < 0 or self.weight_decay < 0:
            raise ValueError("Options workers and weight_decay must be 0 or more.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"Option held_out is {self.held_out}; expected a fraction above 0 and below 1.")
        if not 0 <= self.hide_words <= 1:
            raise ValueError(f"Option hide_words is {self.hide_words}; expected a fraction from 0 to 1.")
        if self.optimizer not in ("adam", "adamw"):
            raise ValueError(f"Option optimizer is {self.optimizer!r}; expected one of adam, adamw.")
        if self.unseen_split == self.split:
            raise ValueError(f"Option unseen_split is {self.split!r}, which is trained on; choose another, or null.")

    @classmethod
    def load(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> "PretrainingOptions":
        """Read a config from a JSON file.

        Args:
            path: The file.
            overrides: Values of single fields; see `training.config.build_config`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not JSON; or a field is unknown, missing or of the wrong type.
        """
        return build_config(cls, read_config(path), overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    def check_same_run(self, earlier: dict[str, Any]) -> None:
        """Raise `ValueError` if a run with these options cannot continue an earlier one, naming the first difference."""
        for name, value in self.to_dict().items():
            if name not in RESUMABLE_CHANGES and earlier.get(name) != value:
                raise ValueError(
                    f"The run to be resumed has {name} {earlier.get(name)!r}, not {value!r}; resume it with the same "
                    "options, or start a new run in another folder."
                )
