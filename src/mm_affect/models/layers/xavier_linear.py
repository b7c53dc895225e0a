# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Linear layer with the initialization of the public code of MulT, LMR-CBT, SPT and SUGRM."""

from torch import nn


class XavierLinear(nn.Linear):
    """A linear layer with Xavier-uniform weights and a zero bias.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        fans: inputs plus outputs of the matrix that the bound of the weights is computed from, for a layer that is
            one part of a larger matrix in the public code; default: those of the layer itself.
    """

    def __init__(self, in_features: int, out_features: int, fans: int | None = None):
        self.fans = fans or in_features + out_features
        super().__init__(in_features, out_features)

    def reset_parameters(self):
        """Draw the weights from a uniform distribution with bound sqrt(6 / fans)."""
        bound = (6 / self.fans) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.bias)
