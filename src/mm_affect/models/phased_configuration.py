# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Configuration fields that SPT and SUGRM share."""

from huggingface_hub.dataclasses import strict

from ..tasks import Task
from .config_checks import check_choices, check_dropouts, check_heads, check_sizes
from .configuration import AffectConfig


SHIFTS = ("S", "P", "R")


@strict
class PhasedConfig(AffectConfig):
    """Configuration fields that SPT and SUGRM share.

    Args:
        hidden_size: Number of features per hidden state.
        num_attention_heads: Number of attention heads.
        num_hidden_layers: Number of times that the one layer of weights is applied.
        stride: Number of input steps per hidden state.
        radii: Radii of the windows of input, cross and self attention; a window spans `2 * radius + 1` steps.
        window: `"wrap"`: windows wrap around at the ends of a row; `"clip"`: they end there.
        input_shift: Phase shifts of input attention: `"S"` one step per layer, `"P"` a sine of the position of the
            hidden state, `"R"` random, in training only.
        cross_shift: Phase shifts of cross attention, as `input_shift`.
        self_shift: Phase shifts of self attention, as `input_shift`.
        pe_zero_first_channel: Give no position to a step whose first feature is exactly 0, as the public code does.
        embedding_dropout_prob: Dropout of inputs and initial hidden states.
        attention_dropout: Dropout of attention weights.
        activation_dropout: Dropout inside the feed-forward step.
        hidden_dropout_prob: Dropout of the outputs of attention and feed-forward step.
        head_dropout_prob: Dropout inside the residual step before the heads.
    """

    tasks: list | tuple = (Task("sentiment", "regression", value_range=(-3.0, 3.0)),)
    hidden_size: int = 32
    num_attention_heads: int = 8
    num_hidden_layers: int = 4
    stride: int = 5
    radii: list | tuple = (8, 4, 3)
    window: str = "wrap"
    input_shift: list | tuple = ()
    cross_shift: list | tuple = ("S",)
    self_shift: list | tuple = ("S",)
    pe_zero_first_channel: bool = False
    embedding_dropout_prob: float | int = 0.3
    attention_dropout: float | int = 0.2
    activation_dropout: float | int = 0.1
    hidden_dropout_prob: float | int = 0.1
    head_dropout_prob: float | int = 0.1

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        for name in ("radii", "input_shift", "cross_shift", "self_shift"):
            setattr(self, name, list(getattr(self, name)))

    def validate_windows(self):
        """Check windows and phase shifts."""
        check_choices(self, {"window": ("wrap", "clip")})
        if len(self.radii) != 3 or not all(isinstance(radius, int) and radius > 0 for radius in self.radii):
            raise ValueError(
                f"`radii` is {self.radii}; expected three positive integers, for input, cross and self attention."
            )
        for name in ("input_shift", "cross_shift", "self_shift"):
            if unknown := [letter for letter in getattr(self, name) if letter not in SHIFTS]:
                raise ValueError(f"`{name}` has {unknown[0]!r}; expected letters from {', '.join(SHIFTS)}.")

    def validate_sizes(self):
        """Check sizes, dropout probabilities and heads."""
        check_sizes(self, ("hidden_size", "num_attention_heads", "num_hidden_layers", "stride"))
        check_dropouts(self, ("embedding_dropout_prob", "attention_dropout", "activation_dropout"))
        check_dropouts(self, ("hidden_dropout_prob", "head_dropout_prob"))
        check_heads(self)
        if self.hidden_size < 4:
            raise ValueError(f"`hidden_size` is {self.hidden_size}; sinusoidal positions need at least 4.")
        for modality, size in self.feature_sizes.items():
            if size < 4:
                raise ValueError(f"`{modality}` has {size} features per step; sinusoidal positions need at least 4.")
