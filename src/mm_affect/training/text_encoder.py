# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Config and tokenizer of the pretrained text encoder of a run, checked before training starts."""

from collections.abc import Iterable

from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from ..features.pretrained_files import load_tokenizer


def load_text_config(name: str) -> PreTrainedConfig:
    """Load the config of the text encoder at `name`, a folder or a Hub name.

    Raises:
        ValueError: If there is no config, or its model does not encode a sequence of tokens.
    """
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Config text_encoder: cannot load an encoder from {name} ({str(error).splitlines()[0]}). Give a folder with an "
            "encoder and its tokenizer, or a name on the Hub (needs the network for the first download)."
        ) from error
    reads_tokens = all(hasattr(config, field) for field in ("vocab_size", "hidden_size"))
    if not reads_tokens or config.is_encoder_decoder:
        raise ValueError(
            f"Config text_encoder: {name} is a model of type {config.model_type!r}, which does not encode tokens into one "
            "sequence of features. Use an encoder such as BERT or RoBERTa."
        )
    return config


def load_text_tokenizer(name: str, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer of the text encoder at `name`, with `model_max_length` limited to the positions of the encoder.

    Raises:
        ValueError: If there is no tokenizer, or it belongs to another encoder.
    """
    tokenizer = load_tokenizer(name)
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"Config text_encoder: the tokenizer at {name} has {len(tokenizer)} tokens, but the vocabulary of the "
            f"encoder has {config.vocab_size}; they do not belong together."
        )
    positions = getattr(config, "max_position_embeddings", tokenizer.model_max_length)
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def check_transcripts(rows: Iterable[dict], source: str) -> None:
    """Check that at least one row has a transcript.

    Args:
        rows: Training rows.
        source: Folder of the rows, for the error message.

    Raises:
        ValueError: If no row has a transcript.
    """
    if not any((row.get("transcript") or "").strip() for row in rows):
        raise ValueError(
            f"Config text_encoder: no training row of {source} has a transcript. Add transcripts to the corpus, or "
            "remove text_encoder."
        )
