# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""BertAdam: the Adam of Google's BERT, with which the public code of several papers trains."""

import torch
from torch import nn


class BertAdam(torch.optim.Optimizer):
    """Adam without bias correction; the decay is apart from the moments, and every tensor's gradient is clipped.

    With gradient g of a parameter w, clipped to `max_grad_norm` (which changes nothing where the gradient of all
    parameters together was clipped to as little before):

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  w = w - lr (m / (sqrt(v) + eps) + weight_decay w)

    Without the correction the first steps are larger than Adam's, (1 - beta1) / sqrt(1 - beta2) = 3.2 learning rates,
    so it needs a warm-up, which is the scheduler's. Source: `AdamWeightDecayOptimizer` of Devlin et al. 2019, "BERT".
    """

    def __init__(self, params, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, max_grad_norm=1.0):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "max_grad_norm": max_grad_norm}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter, group):
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        gradient = parameter.grad * (group["max_grad_norm"] / (parameter.grad.norm() + 1e-6)).clamp_max(1.0)
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        change = mean / (square.sqrt() + group["eps"])
        parameter.add_(change.add_(parameter, alpha=group["weight_decay"]), alpha=-group["lr"])


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """The parameters of a model in two groups, as the public code has them: with decay, and without.

    Biases and layer norms are without; but that code knows its layer norms by their name, which those of the inputs,
    `input_norms`, do not have, so their weights decay.
    """
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and not name.startswith("input_norms.")
    }
    with_decay, without = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = name in norms or name.rpartition(".")[2].startswith("bias")
            (without if spared else with_decay).append(parameter)
    return [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]
