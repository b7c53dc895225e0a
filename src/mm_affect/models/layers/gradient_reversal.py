# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Gradient reversal of Ganin and Lempitsky (2015)."""

import torch


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, values, scale):
        context.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(context, gradient):
        return -context.scale * gradient, None


def reverse_gradient(values: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Return `values` unchanged; the gradient is multiplied by `-scale` (Ganin and Lempitsky, 2015)."""
    return _ReverseGradient.apply(values, scale)
