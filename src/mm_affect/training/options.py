# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options of a training run, grouped as in its config. Importing them loads neither torch nor transformers."""

from collections.abc import Collection
from dataclasses import dataclass, field

from huggingface_hub.dataclasses import strict

from ..evaluation.metrics import TUNABLE


# Learning rate schedules -> their names in transformers.
SCHEDULERS = {"plateau": "reduce_lr_on_plateau", "cosine": "cosine", "linear": "linear", "constant": "constant"}
OPTIMIZER_NAMES = ("adamw", "adam", "bert_adam")  # keys of `optimizers.OPTIMIZERS`
GENERATOR_NAMES = ("ulgm", "self_mm")  # keys of `label_generators.GENERATORS`
LABEL_UPDATES = ("batch", "epoch")
MIXTURE_STRATEGIES = ("proportional", "temperature", "round_robin")


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")


@strict
@dataclass
class Augmentation:
    """Random changes to the normalized features of training rows; see `augmentation.FeatureAugmentation`.

    Args:
        noise: Standard deviation of Gaussian noise, in standard deviations of the training split.
        noise_range: Draw the noise level of each row and modality from 0 to `noise` instead of using `noise` itself.
        time_mask: Largest fraction of a row's time steps that one masked span may cover (SpecAugment, Park et al. 2019).
        feature_mask: Largest fraction of the features that one masked band may cover; masked features are set to 0, their mean.
        gain: Standard deviation of one offset added to every feature of every step of a row (the loudness of log-mels).
        modality_dropout: Probability that a modality of a row is dropped.
        modalities: Modalities that are changed; default: all.
    """

    noise: float | int = 0.0
    noise_range: bool = False
    time_mask: float | int = 0.0
    feature_mask: float | int = 0.0
    gain: float | int = 0.0
    modality_dropout: float | int = 0.0
    modalities: list[str] | None = None

    def __post_init__(self) -> None:
        for name in ("time_mask", "feature_mask", "modality_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Augmentation `{name}` is {getattr(self, name)}; expected a fraction from 0 to 1.")
        for name in ("noise", "gain"):
            if getattr(self, name) < 0:
                raise ValueError(f"Augmentation `{name}` is {getattr(self, name)}; expected 0 or more.")


@strict
@dataclass
class Mixture:
    """Proportions of the corpora of joint training in every batch; see `mixture.MixtureSampler`.

    Args:
        strategy: `"proportional"` to the sizes of the corpora; `"temperature"`: to their sizes to the power of
            1 / `temperature`, which favors small corpora; `"round_robin"`: equal proportions, taking turns.
        temperature: Temperature of the strategy of that name; 1 is proportional, larger values are closer to equal.
    """

    strategy: str = "proportional"
    temperature: float | int = 2.0

    def __post_init__(self) -> None:
        _check_choice("Mixture `strategy`", self.strategy, MIXTURE_STRATEGIES)
        if self.temperature < 1:
            raise ValueError(f"Mixture `temperature` is {self.temperature}; expected 1 or more.")


@strict
@dataclass
class LabelGeneration:
    """Generation of the labels of tasks with `generated_from`; see `label_generators`.

    Args:
        generator: `"ulgm"` (SUGRM) or `"self_mm"`.
        update: `"batch"`: update the labels after every batch, from the features of that training step, with dropout, as the
            public code does; `"epoch"`: after every epoch, from one pass in evaluation mode.
        positive_includes_zero: Count samples with the label 0, the middle of the range, as positive ones.
        clamp: Keep generated labels within the task's `value_range` (without one: within the labels of the split).
    """

    generator: str = "ulgm"
    update: str = "batch"
    positive_includes_zero: bool = False
    clamp: bool = True

    def __post_init__(self) -> None:
        _check_choice("Unimodal labels: `generator`", self.generator, GENERATOR_NAMES)
        _check_choice("Unimodal labels: `update`", self.update, LABEL_UPDATES)
        if self.generator == "self_mm" and not self.clamp:
            raise ValueError(
                "Unimodal labels of Self-MM grow without bound unless they are clamped; leave `clamp` true."
            )


@strict
@dataclass
class TrainingOptions:
    """Options of one training; defaults follow Dai et al. (2021), section 5, and their public code where it is silent.

    Args:
        epochs: Maximum number of epochs.
        batch_size: Rows per batch and device.
        optimizer: `"adamw"`, `"adam"` (the weight decay is part of the gradient: L2), or `"bert_adam"` (see
            `optimizers.BertAdam`).
        learning_rate: Learning rate of the optimizer.
        weight_decay: Weight decay of the optimizer; biases and layer norms never decay.
        learning_rates: Other learning rates for parts of the model by their names, such as `{"text_encoder": 5e-5}`; a rate of 0
            freezes a part.
        weight_decays: Other weight decays for parts of the model by their names.
        adam_epsilon: Epsilon of the optimizer.
        scheduler: `"plateau"` (factor 0.1 after 5 epochs without a better validation score), `"cosine"`, `"linear"` or
            `"constant"`.
        warmup: Fraction of the training steps over which the learning rate rises from 0.
        max_grad_norm: Gradients are clipped to this norm.
        patience: Stop after this many epochs without a better validation score.
        gradient_accumulation_steps: Batches per step of the optimizer.
        select_by: Validation metric that selects the epoch and the seed, such as `"emotion.wacc"`, the mean of several, such
            as `"emotion.wacc+emotion.f1_weighted"`, or `"loss"`; default: the primary metric of the first task.
        balance: Weight classes by their rarity in the training split (N_negative / N_positive for multi-label tasks).
        tune_thresholds: Metric that the thresholds of multi-label tasks are tuned for on validation; null: 0.5. Each metric
            of a list is measured with its own thresholds; predictions and other metrics use those of the first.
        group_by_length: Batch rows of similar length, which saves padding; false draws them at random, which suits batch
            normalization and small corpora better.
        bf16: Train in mixed precision, on GPUs that support it.
        unimodal_labels: Generation of the labels of tasks with `generated_from`; see `LabelGeneration`.
    """

    epochs: int = 100
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float | int = 1e-3
    weight_decay: float | int = 1e-5
    learning_rates: dict[str, float | int] = field(default_factory=dict)
    weight_decays: dict[str, float | int] = field(default_factory=dict)
    adam_epsilon: float | int = 1e-8
    scheduler: str = "plateau"
    warmup: float | int = 0.0
    max_grad_norm: float | int = 1.0
    patience: int = 8
    gradient_accumulation_steps: int = 1
    select_by: str | None = None
    balance: bool = True
    tune_thresholds: str | list[str] | None = None
    group_by_length: bool = True
    bf16: bool = False
    unimodal_labels: LabelGeneration = field(default_factory=LabelGeneration)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"Config training.{name} is {getattr(self, name)}; it must be 1 or more.")
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Config training.{name} is {getattr(self, name)}; it must be more than 0.")
        if self.weight_decay < 0:
            raise ValueError(f"Config training.weight_decay is {self.weight_decay}; it must be 0 or more.")
        for name in ("learning_rates", "weight_decays"):
            for part, value in getattr(self, name).items():
                if value < 0:
                    raise ValueError(f"Config training.{name}.{part} is {value}; it must be 0 or more.")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"Config training.warmup is {self.warmup}; expected a fraction from 0 to below 1.")
        _check_choice("Config training.optimizer", self.optimizer, OPTIMIZER_NAMES)
        _check_choice("Config training.scheduler", self.scheduler, SCHEDULERS)
        tuned = self.tune_thresholds
        metrics = tuned if isinstance(tuned, list) else [tuned]
        if tuned is not None and (not metrics or not set(metrics) <= TUNABLE.keys()):
            raise ValueError(
                f"Config training.tune_thresholds is {tuned!r}; expected one of null, {', '.join(TUNABLE)}, or a list."
            )
