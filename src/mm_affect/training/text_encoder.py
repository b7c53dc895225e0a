# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pretrained text encoder that a run names: its config and its tokenizer, checked before anything is trained."""

from transformers import AutoConfig, PreTrainedConfig

from ..features.processor import load_tokenizer


def load_text_config(name: str) -> PreTrainedConfig:
    """The config of the encoder at `name`, a folder or a Hub name. Raises `ValueError` if there is none that reads tokens."""
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Config text_encoder: no encoder can be read at {name} ({str(error).splitlines()[0]}); give the folder of "
            "one with its tokenizer, or the name of one on the Hub, which is fetched once while the network is there."
        ) from error
    reads_tokens = all(hasattr(config, field) for field in ("vocab_size", "hidden_size"))
    if not reads_tokens or config.is_encoder_decoder:
        raise ValueError(
            f"Config text_encoder: {name} is a model of type {config.model_type!r}, which does not turn tokens into one "
            "sequence of features; give an encoder such as BERT or RoBERTa."
        )
    return config


def load_text_tokenizer(name: str, config: PreTrainedConfig):
    """The tokenizer of the encoder at `name`, whose `model_max_length` is what the encoder can read.

    Raises:
        ValueError: there is none, or it belongs to another encoder.
    """
    tokenizer = load_tokenizer(name)
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"Config text_encoder: the tokenizer at {name} has {len(tokenizer)} tokens and the encoder knows "
            f"{config.vocab_size}; they do not belong together."
        )
    room = getattr(config, "max_position_embeddings", tokenizer.model_max_length)
    tokenizer.model_max_length = min(tokenizer.model_max_length, room)
    return tokenizer


def check_transcripts(rows, source: str) -> None:
    """Refuse rows without a single transcript. Rows without one among others lack text."""
    if not any((row.get("transcript") or "").strip() for row in rows):
        raise ValueError(
            f"Config text_encoder: no training row of {source} has a transcript for it to read; add transcripts to the "
            "corpus, or leave the text encoder out."
        )
