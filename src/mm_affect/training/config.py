# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One config describes a run: which rows, which model, how it is trained, with which seeds."""

import copy
import json
from collections.abc import Collection
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

from ..evaluation.metrics import TUNABLE
from ..files import write_atomically
from ..messages import did_you_mean, validation_reason
from .augmentation import Augmentation
from .label_generators import LabelGeneration
from .label_subset import LabelFraction, check_label_fraction
from .mixture import Mixture
from .optimizers import OPTIMIZERS


# Names of transformers' learning rate schedules.
SCHEDULERS = {"plateau": "reduce_lr_on_plateau", "cosine": "cosine", "linear": "linear", "constant": "constant"}
PRESETS = ("paper", "reference")


def read_config(path: str | Path) -> dict:
    """The fields of a config file.

    Raises:
        FileNotFoundError, ValueError: no file, no JSON, or no object.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no config file {path}; expected a JSON file that describes a run.")
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); correct it there.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a JSON {type(values).__name__}; expected an object of fields.")
    return values


@strict
@dataclass
class TrainingOptions:
    """Options of one training; defaults follow Dai et al. (2021), section 5, and their public code where it is silent.

    Args:
        epochs: at most this many.
        batch_size: rows per step (and device).
        optimizer: `"adamw"`, `"adam"` (the decay is in the gradient: L2), or `"bert_adam"` (see `optimizers.BertAdam`).
        learning_rate, weight_decay, adam_epsilon: of the optimizer.
        learning_rates, weight_decays: other values for parts of the model, by their name, such as
            `{"text_encoder": 5e-5}`; a part of rate 0 stays as it is; biases and layer norms never decay.
        scheduler: `"plateau"` (factor 0.1 after 5 epochs without a better validation score), `"cosine"`, `"linear"` or
            `"constant"`.
        warmup: share of the steps in which the rate rises from 0.
        max_grad_norm: gradients are clipped to this norm.
        patience: stop after this many epochs without a better validation score.
        gradient_accumulation_steps: batches per step.
        select_by: validation metric that chooses the epoch and the seed, such as `"emotion.wacc"`, the mean of several, such
            as `"emotion.wacc+emotion.f1_weighted"`, or `"loss"`; default: the primary metric of the first task.
        balance: weight classes by their rarity in the training split (N_negative / N_positive for several labels).
        tune_thresholds: metric for which the thresholds of multi-label tasks are chosen on validation; None = 0.5. Of a list of
            metrics each is measured with its own; predictions and other metrics use those of the first.
        group_by_length: make batches of rows of like length, which saves padding; False draws them at random, which suits
            batch normalization and small corpora better.
        bf16: mixed precision, for GPUs that have it.
        unimodal_labels: how labels of tasks with `generated_from` are made; see `LabelGeneration`.
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

    def __post_init__(self):
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
            raise ValueError(
                f"Config training.warmup is {self.warmup}; it is a share of the steps, from 0 to below 1."
            )
        choices: dict[str, Collection[str]] = {"optimizer": OPTIMIZERS, "scheduler": SCHEDULERS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"Config training.{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}."
                )
        tuned = self.tune_thresholds
        several = tuned if isinstance(tuned, list) else [tuned]
        if tuned is not None and (not several or not set(several) <= TUNABLE.keys()):
            raise ValueError(
                f"Config training.tune_thresholds is {tuned!r}; expected one of null, {', '.join(TUNABLE)}, or a list."
            )


@strict
@dataclass
class RunConfig:
    """A run; `load` reads it from JSON, `save` writes it resolved.

    Args:
        name: of the run.
        data: folder of feature rows, as `mm-affect extract` writes it.
        output_dir: where checkpoint, results, card and plots go.
        auxiliary: folders of rows of other corpora that are trained on beside `data`, the target: it alone is validated and
            tested on, and an epoch is one pass over it.
        mixture: how batches mix them; see `Mixture`. Rows are then drawn at random, whatever `group_by_length` says.
        architecture: `model_type` of the model's config.
        preset: where the model's config starts from: `"paper"`, or `"reference"`, the authors' public code.
        model: fields of the model's config that differ from it; sizes and tasks are filled in from the rows.
        tasks: the tasks, as dicts of `Task` fields; default: every label column of the rows. A task without a `weight` counts
            by the confidence of its labels if they are weak, else by 1; one of weight 0 is not used.
        label_fraction: train with the labels of only this share of the training rows of `data`, or of each label column that is
            named its own, such as `{"emotion": 0.1}`; see `LabelSubset`. Validation and test keep theirs.
        modalities: what the model reads; default: all that the rows have.
        pretrained: folder or Hub name (with `@revision` behind it, if not the newest) of a checkpoint of this architecture, whose
            weights training starts from; see `warm_start`. `training.learning_rates` slows or freezes parts.
        text_encoder: folder or Hub name of a pretrained encoder such as `"bert-base-uncased"`: it reads the transcripts of
            the rows, in place of their features of text, and is trained with the rest of the model.
        max_tokens: longer transcripts are cut for it; default: what it can read, at most 512.
        normalization: per modality `"standard"` or `"none"`; default: that of the processor saved with the rows.
        augmentation, training: see `Augmentation` and `TrainingOptions`.
        seeds: the run is repeated with each; results are mean and standard deviation over them.
    """

    name: str
    data: str
    output_dir: str
    auxiliary: list[str] = field(default_factory=list)
    mixture: Mixture = field(default_factory=Mixture)
    architecture: str = "mm_affect_fusion"
    preset: str = "paper"
    model: dict = field(default_factory=dict)
    tasks: list[dict] | None = None
    label_fraction: LabelFraction = 1
    modalities: list[str] | None = None
    pretrained: str | None = None
    text_encoder: str | None = None
    max_tokens: int | None = None
    normalization: dict = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])

    def __post_init__(self):
        if self.preset not in PRESETS:
            raise ValueError(f"Config preset is {self.preset!r}; expected one of {', '.join(PRESETS)}.")
        check_label_fraction(self.label_fraction)
        if self.text_encoder is None and self.max_tokens is not None:
            raise ValueError(f"Config max_tokens is {self.max_tokens}; it belongs to a text_encoder.")
        if self.text_encoder is not None and self.modalities is not None and "text" not in self.modalities:
            raise ValueError(f"Config text_encoder is {self.text_encoder!r}, but modalities leaves text out.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"Config seeds is {self.seeds}; expected one or more different whole numbers from 0.")

    @classmethod
    def load(cls, path: str | Path, overrides: dict | None = None) -> "RunConfig":
        """Read a config; `overrides` replaces single fields, named like `"training.epochs"`.

        Raises:
            ValueError: no JSON, an unknown field, or a field of the wrong type.
        """
        return cls.from_dict(read_config(path), overrides)

    @classmethod
    def from_dict(cls, values: dict, overrides: dict | None = None) -> "RunConfig":
        """A config from its fields; `overrides` as for `load`."""
        values = copy.deepcopy(values)
        for name, value in (overrides or {}).items():
            *parents, last = name.split(".")
            part = values
            for parent in parents:
                part = part.setdefault(parent, {})
                if not isinstance(part, dict):
                    raise ValueError(
                        f"Config {name} cannot be set: `{parent}` is {part!r}; expected an object of fields."
                    )
            part[last] = value
        return _build(cls, values, "")

    def to_dict(self) -> dict:
        return asdict(self)

    def save(self, path: str | Path) -> None:
        write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")


def _build(kind, values, prefix):
    """A dataclass from a dict, nested ones too; unknown, missing and mistyped fields are refused."""
    if not isinstance(values, dict):
        raise ValueError(f"`{prefix.rstrip('.') or 'config'}` is {values!r}; expected an object of fields.")
    known = {f.name: f for f in fields(kind)}
    for name in values:
        if name not in known:
            raise ValueError(f"Unknown config field {prefix + name!r}.{did_you_mean(name, known)}")
    for name, f in known.items():
        if name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"The config lacks the field {prefix + name!r}.")
    nested = {
        name: _build(f.type, values[name], f"{prefix}{name}.")
        for name, f in known.items()
        if is_dataclass(f.type) and name in values
    }
    try:
        return kind(**values | nested)
    except StrictDataclassError as error:
        raise ValueError(f"Config {prefix.rstrip('.') or 'of the run'}: {validation_reason(error)}.") from None
