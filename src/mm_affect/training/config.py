# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One config describes a run: which rows, which model, how it is trained, with which seeds."""

import copy
import json
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

from ..files import write_atomically
from ..messages import did_you_mean, validation_reason
from .label_subset import LabelFraction, check_label_fraction
from .options import Augmentation, Mixture, TrainingOptions


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
class RunConfig:
    """A run; `load` reads it from JSON, `save` writes it resolved.

    Args:
        name: of the run.
        rows: folder of feature rows, as `mm-affect extract` writes it.
        output_dir: where checkpoint, results, card and plots go.
        auxiliary: folders of rows of other corpora that are trained on beside `rows`, the target: it alone is validated and
            tested on, and an epoch is one pass over it.
        mixture: how batches mix them; see `Mixture`. Rows are then drawn at random, whatever `group_by_length` says.
        architecture: `model_type` of the model's config.
        preset: where the model's config starts from: `"paper"`, or `"reference"`, the authors' public code.
        model: fields of the model's config that differ from it; sizes and tasks are filled in from the rows.
        tasks: the tasks, as dicts of `Task` fields; default: every label column of the rows. A task without a `weight` counts
            by the confidence of its labels if they are weak, else by 1; one of weight 0 is not used.
        label_fraction: train with the labels of only this share of the training rows of `rows`, or of each label column that is
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
    rows: str
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
