# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One JSON file describes a pretraining run."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

from ...messages import did_you_mean
from ..config import read_config
from ..optimizers import OPTIMIZERS


# What may differ when a run goes on: nothing that decides which numbers it computes.
FREE = (
    "output_dir",
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
    """Options of a run. Where Khare et al. (2021) are silent, the schedule is that of Vaswani et al. (2017), with its Adam.

    Args:
        rows: folder of feature rows.
        output_dir: where checkpoints, log and the finished model go.
        model: fields of `JointEmbeddingsConfig`, such as `modalities`; sizes of features and speakers come from the rows.
        split: the rows that are trained on, but for the share `held_out` of them, chosen by their ids.
        unseen_split: rows of other speakers, on which recognition and verification are measured as well; None = none.
        seed: of weights, order of rows and dropout.
        steps: of the optimizer, in all.
        batch_steps: steps of audio in a batch, at most; longer clips are left out.
        batches_per_step: batches whose gradients make one step, over all processes; a multiple of their number.
        pool_rows: rows are shuffled, and batches of like length made, among about so many; this bounds memory.
        hide_words: share of the clips whose words are hidden from the encoder in training: 0 is the paper, which gives the
            words that are to be recognized as input too. Recognition is always measured without words.
        optimizer: `"adam"` or `"adamw"`.
        learning_rate: the highest, reached after `warmup_steps`; then it falls with the inverse square root of the step.
        weight_decay, betas, epsilon: of the optimizer.
        max_grad_norm: gradients are clipped to this norm.
        bf16: mixed precision; otherwise what the configuration of Accelerate says.
        streaming: read Parquet shards as they are; False makes a memory-mapped copy in the cache of `datasets` first.
        workers: processes that read batches ahead.
        log_every, evaluate_every, save_every: steps.
        keep: checkpoints that are kept.
        evaluation_clips: at most so many clips of each kind are measured.
        num_beams: of the last evaluation; those before are greedy.
    """

    rows: str
    output_dir: str
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

    def __post_init__(self):
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"Option {name} is {getattr(self, name)}; it must be more than 0.")
        if self.workers < 0 or self.weight_decay < 0:
            raise ValueError("Options workers and weight_decay must be 0 or more.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"Option held_out is {self.held_out}; it is a share of the clips, above 0 and below 1.")
        if not 0 <= self.hide_words <= 1:
            raise ValueError(f"Option hide_words is {self.hide_words}; it is a share of the clips, from 0 to 1.")
        if self.optimizer not in ("adam", "adamw"):
            raise ValueError(f"Option optimizer is {self.optimizer!r}; expected one of adam, adamw.")
        if self.unseen_split == self.split:
            raise ValueError(f"Option unseen_split is {self.split!r}, which is trained on; choose another, or null.")

    @classmethod
    def load(cls, path: str | Path, overrides: dict | None = None) -> "PretrainingOptions":
        """Read a config; `overrides` replaces fields.

        Raises:
            ValueError: no JSON object, an unknown field, a field that is missing or of the wrong type.
            OSError: the file cannot be read.
        """
        values = read_config(path)
        values |= overrides or {}
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise ValueError(f"{path} has the unknown field {name!r}.{did_you_mean(name, known)}")
        try:
            return cls(**values)
        except (StrictDataclassError, TypeError) as error:
            raise ValueError(f"{path}: {error.__cause__ or error!s}") from None

    def to_dict(self) -> dict:
        return asdict(self)

    def check_same_run(self, earlier: dict) -> None:
        """Refuse to go on with a run of other options.

        Raises:
            ValueError: naming the first option that differs.
        """
        for name, value in self.to_dict().items():
            if name not in FREE and earlier.get(name) != value:
                raise ValueError(
                    f"The run that is to go on has {name} {earlier.get(name)!r}, and now {value!r} is asked for; go on with "
                    "the same options, or start anew in another folder."
                )

    def make_optimizer(self, model):
        """The optimizer of all weights of `model`."""
        rates = {"lr": self.learning_rate, "betas": tuple(self.betas), "eps": self.epsilon}
        return OPTIMIZERS[self.optimizer](model.parameters(), weight_decay=self.weight_decay, **rates)
