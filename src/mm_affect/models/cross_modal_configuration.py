# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Configuration fields that MulT and LMR-CBT share."""

from huggingface_hub.dataclasses import strict

from .config_checks import check_choices, check_dropouts, check_heads, check_sizes
from .configuration import AffectConfig, FilledDict


@strict
class CrossModalConfig(AffectConfig):
    """Configuration fields that MulT and LMR-CBT share.

    Args:
        hidden_size: Number of features per step in the encoders.
        num_attention_heads: Number of attention heads in the encoders.
        num_hidden_layers: Number of layers of each encoder.
        kernel_sizes: Number of steps that the convolution of each modality spans.
        conv_padding: `"same"` keeps the length of a stream and needs odd kernels; `"valid"` shortens it.
        future_mask: Let query i of T attend only to the keys 0 to i + |S - T| of S.
        norm_first: Apply layer norm before attention and feed-forward step; if False, after the residual sums.
        pe_zero_first_channel: Give no position to a step whose first feature is exactly 0, as the public code does.
        embedding_dropout_prob: Dropout of text features and of the inputs of the encoders.
        attention_dropout: Dropout of attention weights.
        activation_dropout: Dropout inside the feed-forward step.
        hidden_dropout_prob: Dropout of the outputs of attention and feed-forward step.
        head_dropout_prob: Dropout inside the residual step before the heads.
    """

    hidden_size: int = 40
    num_attention_heads: int = 8
    num_hidden_layers: int = 4
    kernel_sizes: FilledDict = None  # type: ignore[assignment]
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
        """Check the kernel sizes against the padding of the convolutions."""
        check_choices(self, {"conv_padding": ("same", "valid")})
        check_sizes(self, (), by_modality=("kernel_sizes",))
        for modality, size in self.kernel_sizes.items():
            if self.conv_padding == "same" and size % 2 == 0:
                raise ValueError(
                    f"`kernel_sizes[{modality!r}]` is {size}; `conv_padding` 'same' needs odd kernels. Use {size + 1}, or "
                    "'valid'."
                )

    def validate_sizes(self):
        """Check sizes, dropout probabilities and heads."""
        check_sizes(self, ("hidden_size", "num_attention_heads", "num_hidden_layers"))
        check_dropouts(self, ("embedding_dropout_prob", "attention_dropout", "activation_dropout"))
        check_dropouts(self, ("hidden_dropout_prob", "head_dropout_prob"))
        check_heads(self)
        if self.hidden_size < 4:
            raise ValueError(f"`hidden_size` is {self.hidden_size}; sinusoidal positions need at least 4.")
