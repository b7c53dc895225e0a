# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Build the processor and the model of a run from its config and the record of its rows."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoModel, AutoProcessor

from ..data.record import CorpusRecord
from ..features.processor import AffectProcessor
from ..messages import did_you_mean, validation_reason
from ..models.configuration import AffectConfig
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from ..vocabulary import MODALITIES
from . import warm_start
from .config import RunConfig
from .text_encoder import load_text_config, load_text_tokenizer


def make_processor(config: RunConfig, corpus: CorpusRecord) -> AffectProcessor:
    """Create the processor of a run.

    It has the modalities of the run, the extractors of the processor saved with the rows, the tokenizer of the text
    encoder, and the normalization of the features that pretrained weights were trained on.

    Args:
        config: Config of the run.
        corpus: Record of the rows.

    Raises:
        ValueError: If the rows lack a modality, or their features differ from those of the pretrained weights.
    """
    encoder, tokenizer = config.text_encoder, None
    if encoder is not None:
        tokenizer = load_text_tokenizer(encoder, load_text_config(encoder))
    sizes = {m: size for m, size in corpus.sizes.items() if m != "text" or tokenizer is None}
    modalities = [m for m in config.modalities or list(sizes) if m != "text" or tokenizer is None]
    for modality in modalities:
        if modality not in sizes:
            raise ValueError(
                f"The rows have no {modality!r} features; they have {', '.join(m for m in MODALITIES if m in sizes)}."
            )
    normalization: dict[str, str] = {}
    statistics: dict[str, dict] = {}
    extractors: dict[str, Any] = {}
    if (Path(config.rows) / "processor_config.json").exists():
        saved = AutoProcessor.from_pretrained(config.rows)
        normalization = saved.normalization
        extractors = {m: extractor for m, extractor in saved.made_extractors().items() if m in modalities}
    if config.pretrained is not None:
        checkpoint = warm_start.find_checkpoint(config.pretrained)
        pretrained, statistics = warm_start.read_normalization(checkpoint, corpus.extractors, modalities)
        normalization = normalization | pretrained
    normalization = normalization | config.normalization
    processor = AffectProcessor(
        {m: sizes[m] for m in modalities},
        {m: corpus.extractors[m] for m in modalities if m in corpus.extractors},
        normalization,
        {m: values for m, values in statistics.items() if normalization[m] == "standard"},
        tokenizer=tokenizer,
        max_tokens=config.max_tokens,
    )
    processor.share_extractors(extractors)
    return processor


def make_model_config(config: RunConfig, tasks: list[Task], processor: AffectProcessor) -> AffectConfig:
    """Create the config of the model: the preset of the run with its own fields, its tasks and the sizes of the features.

    Raises:
        ValueError: If the architecture or its preset does not exist, or a field is invalid.
    """
    known = {name: kind for name, kind in CONFIG_MAPPING.items() if issubclass(kind, AffectConfig)}
    if config.architecture not in known:
        raise ValueError(f"Unknown architecture {config.architecture!r}.{did_you_mean(config.architecture, known)}")
    filled: dict[str, Any] = {
        "tasks": tasks,
        "modalities": processor.modalities,
        "feature_sizes": processor.feature_sizes,
    }
    for name in (*filled, "text_config"):
        if name in config.model:
            raise ValueError(
                f"Config model.{name} is filled in from the rows; remove it (see `tasks`, `modalities`, `text_encoder`)."
            )
    if config.text_encoder is not None:
        filled["text_config"] = load_text_config(config.text_encoder)
    preset = getattr(known[config.architecture], config.preset, None)
    if preset is None:
        raise ValueError(f"The architecture {config.architecture!r} has no preset {config.preset!r}; leave it out.")
    try:
        return preset(**config.model, **filled)
    except StrictDataclassError as error:
        raise ValueError(f"Config model: {validation_reason(error)}.") from None


def make_model(config: RunConfig, tasks: list[Task], processor: AffectProcessor) -> AffectPreTrainedModel:
    """Create the model of a run: newly initialized, except for the text encoder and pretrained weights.

    Raises:
        ValueError: If the config of the model is invalid, or pretrained weights do not fit.
    """
    model_config = make_model_config(config, tasks, processor)
    if config.text_encoder is None:
        model = AutoModel.from_config(model_config)
    else:
        model_class: Any = MODEL_MAPPING[type(model_config)]
        model = model_class.from_encoders_pretrained(model_config, config.text_encoder)
    if config.pretrained is not None:
        warm_start.copy_weights(model, warm_start.find_checkpoint(config.pretrained))
    return model
