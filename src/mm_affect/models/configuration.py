# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every architecture is configured with: the modalities it reads and the tasks it answers."""

from dataclasses import fields
from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ..messages import did_you_mean
from ..tasks import Task
from ..traveling_code import TravelingCode
from ..vocabulary import EMOTIONS, MODALITIES


def check_choices(config, choices: dict[str, tuple]) -> None:
    """Refuse a field of `config` that is none of its choices."""
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; expected one of {', '.join(map(str, allowed))}.")


def check_sizes(config, names: tuple[str, ...], by_modality: tuple[str, ...] = ()) -> None:
    """Refuse sizes of `config` that are not positive whole numbers, or are given for an unknown modality."""
    sizes = {name: getattr(config, name) for name in names}
    for name in by_modality:
        for modality, size in getattr(config, name).items():
            if modality not in MODALITIES:
                raise ValueError(f"`{name}` names the unknown modality {modality!r}.")
            sizes[f"{name}[{modality!r}]"] = size
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"`{name}` is {size!r}; it must be a positive whole number.")


def check_dropouts(config, names: tuple[str, ...]) -> None:
    """Refuse probabilities of `config` that are negative, or 1 or more."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; it must be at least 0 and less than 1.")


def check_heads(config) -> None:
    """Refuse attention heads that do not share `hidden_size` equally."""
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"`hidden_size` is {config.hidden_size}, which {config.num_attention_heads} attention heads do not divide."
        )


def published_emotions(corpus: str) -> dict:
    """The config's field `tasks` for the emotions of `"iemocap"`; nothing for `"cmu_mosei"`, whose emotions are the default."""
    if corpus not in ("cmu_mosei", "iemocap"):
        raise ValueError(f"The paper has settings for cmu_mosei and iemocap, not for {corpus!r}.")
    return {"tasks": [Task("emotion", labels=("neutral", "happy", "sad", "anger"))]} if corpus == "iemocap" else {}


DEFAULT_TASKS = (Task("emotion", "multi_label_classification", EMOTIONS),)

# Names that transformers itself stores in a config beside the declared fields.
_TRANSFORMERS_EXTRAS = {
    "attn_implementation", "_attn_implementation_internal", "auto_map", "_commit_hash", "dtype", "torch_dtype", "model_type",
    "_experts_implementation_internal", "name_or_path", "_name_or_path", "num_labels", "output_attentions",
    "transformers_version", "experts_implementation", "use_cache",
}  # fmt: skip


@strict
class AffectConfig(TravelingCode, PreTrainedConfig):
    """Fields that every architecture shares.

    Args:
        modalities: the streams the model reads; always kept in the order text, audio, visual, because a JSON
            object forgets the order of its keys.
        feature_sizes: features per step of each modality.
        tasks: the heads, as `Task` or as dicts of its fields.
        loss_weights: factor of each loss of the architecture's own (not of the tasks, which carry their weight).
        text_config: configuration of a pretrained text encoder; with it the model takes `input_ids`.
    """

    model_type = "mm_affect"
    sub_configs_defaults: ClassVar = {"text_config": SubConfigSpec(AutoConfig, model_type="bert", optional=True)}
    keys_to_ignore_at_inference: ClassVar = [
        "pooler_output", "losses", "representations", "hidden_states", "attentions",
    ]  # fmt: skip

    modalities: list | tuple = MODALITIES
    feature_sizes: dict | None = None
    tasks: list | tuple = DEFAULT_TASKS
    loss_weights: dict | None = None
    text_config: dict | PreTrainedConfig | None = None

    def __post_init__(self, **kwargs):
        known = {field.name for field in fields(self)}
        for name in kwargs:
            if name not in _TRANSFORMERS_EXTRAS | known:
                raise ValueError(f"Unknown field {name!r} of {type(self).__name__}.{did_you_mean(name, known)}")
        unknown = [m for m in self.modalities if m not in MODALITIES]
        if unknown or not self.modalities:
            raise ValueError(f"Unknown modalities {unknown}; expected some of {', '.join(MODALITIES)}.")
        self.modalities = [m for m in MODALITIES if m in self.modalities]
        sizes = {"text": 300, "audio": 74, "visual": 35} | (self.feature_sizes or {})
        surplus = set(sizes) - set(MODALITIES)
        if surplus:
            raise ValueError(f"`feature_sizes` names the unknown modality {sorted(surplus)[0]!r}.")
        self.feature_sizes = {m: sizes[m] for m in self.modalities}
        self.tasks = [Task.from_dict(task) for task in self.tasks]
        super().__post_init__(**kwargs)
        if self.text_config is not None and "text" in self.modalities:
            self.feature_sizes["text"] = self.text_config.hidden_size

    @classmethod
    def paper(cls, **fields) -> "AffectConfig":
        """The paper's settings: the defaults, where an architecture does not say otherwise."""
        return cls(**fields)

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """Of the text encoder, if there is one. Here `decoder` and the like are names of choices; transformers would take a
        field of such a name for a configuration."""
        return self if self.text_config is None else self.text_config

    def validate_tasks(self):
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"`tasks` must have at least one task and no name twice; got {names}.")
        origins = [t.name for t in self.tasks if t.problem_type == "regression" and t.generated_from is None]
        for task in self.tasks:
            if task.generated_from is not None and task.generated_from not in origins:
                raise ValueError(
                    f"Labels of the task {task.name!r} are to be generated from {task.generated_from!r}, which must be a "
                    f"regression whose own labels the rows have; there are: {', '.join(origins) or 'none'}."
                )

    def validate_feature_sizes(self):
        for modality, size in self.feature_sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`feature_sizes[{modality!r}]` is {size!r}; it must be a positive whole number.")

    def to_dict(self) -> dict:
        return super().to_dict() | {"tasks": [task.to_dict() for task in self.tasks]}
