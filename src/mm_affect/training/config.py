# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Config of a run: rows, model, training and seeds. Importing it loads neither torch nor transformers."""

import copy
import json
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

from ..files import write_atomically
from ..messages import did_you_mean, validation_reason
from .label_subset import LabelFraction, check_label_fraction
from .options import Augmentation, Mixture, TrainingOptions


PRESETS = ("paper", "reference")
Config = TypeVar("Config")


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the fields of a config file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON, or not an object.
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


def build_config(kind: type[Config], values: dict[str, Any], overrides: dict[str, Any] | None = None) -> Config:
    """Return a config dataclass from its fields; dataclasses within it are built from dicts.

    Args:
        kind: Dataclass, made with `strict`.
        values: Its fields; left unchanged.
        overrides: Values of single fields by dotted names: `"training.epochs"`, or `"model.encoder"` for one entry of a dict.

    Raises:
        ValueError: A field is unknown, missing or of the wrong type.
    """
    values = copy.deepcopy(values)
    for name, value in (overrides or {}).items():
        *parents, last = name.split(".")
        part = values
        for parent in parents:
            part = part.setdefault(parent, {})
            if not isinstance(part, dict):
                raise ValueError(f"Config {name} cannot be set: `{parent}` is {part!r}; expected an object of fields.")
        part[last] = value
    return _build(kind, values, "")


def _build(kind: Any, values: Any, prefix: str) -> Any:
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


@strict
@dataclass
class RunConfig:
    """Config of a run; `load` reads it from JSON, `save` writes all of its fields.

    Args:
        name: Name of the run.
        rows: Folder of rows, as `mm-affect extract` writes it.
        output: Folder for checkpoint, results, card and plots.
        auxiliary: Folders of rows of other corpora that are trained on beside `rows`, the target: only the target is
            validated and tested on, and an epoch is one pass over it.
        mixture: Proportions of the corpora in every batch; see `Mixture`. Rows are then drawn at random, whatever
            `group_by_length` says.
        architecture: `model_type` of the model's config.
        preset: Config that the model starts from: `"paper"`, or `"reference"`, the authors' public code.
        model: Fields of the model's config that differ from the preset; sizes and tasks are filled in from the rows.
        tasks: Tasks as dicts of `Task` fields; default: every label column of the rows. A task without a `weight` is weighted
            by the confidence of its labels if they are weak, else by 1; a task of weight 0 is not used.
        label_fraction: Train with the labels of only this fraction of the training rows of `rows`, or of the label columns by
            name, such as `{"emotion": 0.1}`; see `LabelSubset`. Validation and test keep theirs.
        modalities: Modalities that the model reads; default: all that the rows have.
        pretrained: Folder or Hub name (`name@revision` for one revision) of a checkpoint of this architecture whose weights
            training starts from; see `warm_start`. `training.learning_rates` slows or freezes parts.
        text_encoder: Folder or Hub name of a pretrained encoder such as `"bert-base-uncased"`: it reads the transcripts of
            the rows instead of their text features, and is trained with the rest of the model.
        max_tokens: Maximum number of tokens of a transcript for the text encoder; default: what it can read, at most 512.
        normalization: `"standard"` or `"none"` per modality; default: that of the processor saved with the rows.
        augmentation: Random changes to training rows; see `Augmentation`.
        training: Options of the training; see `TrainingOptions`.
        seeds: Seeds; the run is repeated with each, and results are mean and standard deviation over them.
    """

    name: str
    rows: str
    output: str
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

    def __post_init__(self) -> None:
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
    def load(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> "RunConfig":
        """Read a config from a JSON file.

        Args:
            path: The file.
            overrides: Values of single fields; see `build_config`.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not JSON; or a field is unknown, missing or of the wrong type.
        """
        return cls.from_dict(read_config(path), overrides)

    @classmethod
    def from_dict(cls, values: dict[str, Any], overrides: dict[str, Any] | None = None) -> "RunConfig":
        """Return a config from its fields; `overrides` and errors as for `load`."""
        return build_config(cls, values, overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return asdict(self)

    def save(self, path: str | Path) -> None:
        """Write all fields to a JSON file."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1) + "\n")
