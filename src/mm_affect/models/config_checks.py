# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checks that the configurations of several architectures share."""

from transformers import PreTrainedConfig

from ..vocabulary import MODALITIES


def check_choices(config: PreTrainedConfig, choices: dict[str, tuple]) -> None:
    """Check that fields of a config have one of their allowed values.

    Args:
        config: the config to check.
        choices: allowed values by field name.

    Raises:
        ValueError: a field has another value.
    """
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; expected one of {', '.join(map(str, allowed))}.")


def check_sizes(config: PreTrainedConfig, names: tuple[str, ...], by_modality: tuple[str, ...] = ()) -> None:
    """Check that fields of a config are positive integers.

    Args:
        config: the config to check.
        names: fields that hold one integer.
        by_modality: fields that hold one integer per modality.

    Raises:
        ValueError: a value is not a positive integer, or a modality is unknown.
    """
    sizes = {name: getattr(config, name) for name in names}
    for name in by_modality:
        for modality, size in getattr(config, name).items():
            if modality not in MODALITIES:
                raise ValueError(
                    f"`{name}` names the unknown modality {modality!r}; expected {', '.join(MODALITIES)}."
                )
            sizes[f"{name}[{modality!r}]"] = size
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"`{name}` is {size!r}; expected a positive integer.")


def check_dropouts(config: PreTrainedConfig, names: tuple[str, ...]) -> None:
    """Check that fields of a config are dropout probabilities, at least 0 and less than 1.

    Raises:
        ValueError: a field is outside this range.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"`{name}` is {getattr(config, name)!r}; expected at least 0 and less than 1.")


def check_heads(config: PreTrainedConfig) -> None:
    """Check that `num_attention_heads` divides `hidden_size`.

    Raises:
        ValueError: it does not.
    """
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"`hidden_size` is {config.hidden_size}, which is not divisible by {config.num_attention_heads} attention heads."
        )
