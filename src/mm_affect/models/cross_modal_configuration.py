# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Configuration fields that MulT and LMR-CBT share."""

from huggingface_hub.dataclasses import strict

from .configuration import AffectConfig, check_choices, check_dropouts, check_heads, check_sizes


@strict
class CrossModalConfig(AffectConfig):
    """What the configurations of MulT and LMR-CBT share.

    Args:
        hidden_size, num_attention_heads, num_hidden_layers: of the encoders.
        kernel_sizes: steps that the convolution of each modality spans.
        conv_padding: `"same"` keeps the length of a stream and needs odd kernels; `"valid"` shortens it.
        future_mask: query i of T sees the keys 0 to i + |S - T| of S only.
        norm_first: layer norm before attention and feed-forward step, or, if False, after the sums.
        pe_zero_first_channel: a step whose first feature is exactly 0 gets no position, as in the public code.
        embedding_dropout_prob: of text features and of what the encoders read.
        attention_dropout: of attention weights.
        activation_dropout: inside the feed-forward step.
        hidden_dropout_prob: of what attention and feed-forward step add.
        head_dropout_prob: inside the step before the heads.
    """

    hidden_size: int = 40
    num_attention_heads: int = 8
    num_hidden_layers: int = 4
    kernel_sizes: dict | None = None
    conv_padding: str = "same"
    future_mask: bool = True
    norm_first: bool = True
    pe_zero_first_channel: bool = False
    embedding_dropout_prob: float | int = 0.3
    attention_dropout: float | int = 0.1
    activation_dropout: float | int = 0.1
    hidden_dropout_prob: float | int = 0.1
    head_dropout_prob: float | int = 0.1

    def validate_convolutions(self):
        check_choices(self, {"conv_padding": ("same", "valid")})
        check_sizes(self, (), by_modality=("kernel_sizes",))
        for modality, size in self.kernel_sizes.items():
            if self.conv_padding == "same" and size % 2 == 0:
                raise ValueError(
                    f"`kernel_sizes[{modality!r}]` is {size}; with conv_padding='same' kernels are odd: use {size + 1}, or "
                    "'valid'."
                )

    def validate_sizes(self):
        check_sizes(self, ("hidden_size", "num_attention_heads", "num_hidden_layers"))
        check_dropouts(self, ("embedding_dropout_prob", "attention_dropout", "activation_dropout"))
        check_dropouts(self, ("hidden_dropout_prob", "head_dropout_prob"))
        check_heads(self)
        if self.hidden_size < 4:
            raise ValueError(f"`hidden_size` is {self.hidden_size}; sinusoidal positions need at least 4.")
