# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Base configuration of every architecture: the modalities it reads and the tasks it predicts."""

from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ..messages import did_you_mean
from ..tasks import Task
from ..traveling_code import TravelingCode
from ..vocabulary import EMOTIONS, MODALITIES


def published_emotions(corpus: str) -> dict:
    """Return the `tasks` field of a config for the emotions of a corpus.

    Args:
        corpus: `"iemocap"`, or `"cmu_mosei"`, whose emotions are the default tasks.

    Returns:
        `{"tasks": [...]}` for IEMOCAP and an empty dict for CMU-MOSEI.

    Raises:
        ValueError: another corpus.
    """
    if corpus not in ("cmu_mosei", "iemocap"):
        raise ValueError(f"There are published settings for cmu_mosei and iemocap, not for {corpus!r}.")
    return {"tasks": [Task("emotion", labels=("neutral", "happy", "sad", "anger"))]} if corpus == "iemocap" else {}


# Types of fields that may be None in the constructor and are filled in by `__post_init__`, so that no reader sees None.
if TYPE_CHECKING:
    FilledDict = dict
    FilledList = list
    FilledInt = int
    FilledStr = str
    TextConfig = PreTrainedConfig | None
else:
    FilledDict = dict | None
    FilledList = list | tuple | None
    FilledInt = int | None
    FilledStr = str | None
    TextConfig = dict | PreTrainedConfig | None

DEFAULT_TASKS = (Task("emotion", "multi_label_classification", EMOTIONS),)

# Names that transformers stores in a config in addition to the declared fields.
_TRANSFORMERS_EXTRAS = {
    "attn_implementation", "_attn_implementation_internal", "auto_map", "_commit_hash", "dtype", "torch_dtype", "model_type",
    "_experts_implementation_internal", "name_or_path", "_name_or_path", "num_labels", "output_attentions",
    "transformers_version", "experts_implementation", "use_cache",
}  # fmt: skip


@strict
class AffectConfig(TravelingCode, PreTrainedConfig):
    """Configuration fields that every architecture shares.

    Args:
        modalities: Modalities that the model reads; always kept in the order text, audio, visual.
        feature_sizes: Number of features per step of each modality.
        tasks: Prediction tasks of the model, as `Task` objects or as dicts of their fields.
        loss_weights: Weight of each auxiliary loss of the architecture; tasks carry their own weight.
        text_config: Configuration of a pretrained text encoder; with it the model takes `input_ids` instead of `text`.
    """

    model_type = "mm_affect"
    sub_configs_defaults: ClassVar = {"text_config": SubConfigSpec(AutoConfig, model_type="bert", optional=True)}
    keys_to_ignore_at_inference: ClassVar = [
        "pooler_output", "losses", "representations", "hidden_states", "attentions",
    ]  # fmt: skip

    modalities: list | tuple = MODALITIES
    feature_sizes: FilledDict = None  # type: ignore[assignment]
    tasks: list | tuple = DEFAULT_TASKS
    loss_weights: dict | None = None
    text_config: TextConfig = None

    def __post_init__(self, **kwargs):
        known = {field.name for field in fields(self)}
        for name in kwargs:
            if name not in _TRANSFORMERS_EXTRAS | known:
                raise ValueError(f"Unknown field {name!r} of {type(self).__name__}.{did_you_mean(name, known)}")
        unknown = [m for m in self.modalities if m not in MODALITIES]
        if unknown or not self.modalities:
            raise ValueError(
                f"`modalities` is {list(self.modalities)}; expected one or more of {', '.join(MODALITIES)}."
            )
        self.modalities = [m for m in MODALITIES if m in self.modalities]
        sizes = {"text": 300, "audio": 74, "visual": 35} | (self.feature_sizes or {})
        surplus = set(sizes) - set(MODALITIES)
        if surplus:
            raise ValueError(
                f"`feature_sizes` names the unknown modality {sorted(surplus)[0]!r}; expected {', '.join(MODALITIES)}."
            )
        self.feature_sizes = {m: sizes[m] for m in self.modalities}
        self.tasks = [Task.from_dict(task) for task in self.tasks]
        super().__post_init__(**kwargs)
        if self.text_config is not None and "text" in self.modalities:
            self.feature_sizes["text"] = self.text_config.hidden_size

    @classmethod
    def paper(cls, **fields) -> "AffectConfig":
        """Return the settings of the paper, which are the defaults unless an architecture overrides this."""
        return cls(**fields)

    def get_text_config(self, decoder=None, encoder=None) -> PreTrainedConfig:
        """Return the configuration of the text encoder, or this configuration if there is none.

        transformers would take any field named `decoder` or `encoder` for a nested configuration; here they are
        options.
        """
        return self if self.text_config is None else self.text_config

    def validate_tasks(self):
        """Check that task names are unique and that generated labels have a source."""
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"`tasks` has the names {names}; expected at least one task and unique names.")
        origins = [t.name for t in self.tasks if t.problem_type == "regression" and t.generated_from is None]
        for task in self.tasks:
            if task.generated_from is not None and task.generated_from not in origins:
                raise ValueError(
                    f"Task {task.name!r} has `generated_from` {task.generated_from!r}; expected a regression task with "
                    f"labels of its own: {', '.join(origins) or 'there is none'}."
                )

    def validate_feature_sizes(self):
        """Check that every feature size is a positive integer."""
        for modality, size in self.feature_sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"`feature_sizes[{modality!r}]` is {size!r}; expected a positive integer.")

    def to_dict(self) -> dict:
        """Return the configuration as JSON values, tasks included."""
        return super().to_dict() | {"tasks": [task.to_dict() for task in self.tasks]}
