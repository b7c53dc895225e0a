# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What training can use instead of the Trainer's own optimizer: BertAdam, the Adam of Google's BERT, with which the public
code of several papers trains, plain Adam, and rates and decays for single parts of a model.
"""

import torch
from torch import nn

from ..messages import did_you_mean


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


# Keys: `options.OPTIMIZER_NAMES`. In `torch.optim.Adam` the decay is part of the gradient (L2), not apart from it.
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "bert_adam": BertAdam}


def make_parameter_groups(
    model: nn.Module,
    weight_decay: float,
    learning_rates: dict[str, float] | None = None,
    weight_decays: dict[str, float] | None = None,
) -> list[dict]:
    """The parameters of a model in groups, those with decay first: two, or more if parts of it are trained in their own way.

    Biases and layer norms are without decay, as in the public code; but that code knows its layer norms by their name, which
    those of the inputs, `input_norms`, do not have, so their weights decay. (SUGRM's spares those of BERT alone.)

    Args:
        weight_decay: of what `weight_decays` does not name.
        learning_rates, weight_decays: by name of a part, such as `"text_encoder"`; of several that hold, the longest counts.

    Raises:
        ValueError: a name of which the model has no part.
    """
    learning_rates, weight_decays = learning_rates or {}, weight_decays or {}
    names = [name for name, _ in model.named_parameters()]
    for part in learning_rates | weight_decays:
        if not any(_is_within(name, part) for name in names):
            known = {name.partition(".")[0] for name in names}
            raise ValueError(
                f"{type(model).__name__} has no part {part!r} to train in its own way.{did_you_mean(part, known)}"
            )
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and not name.startswith("input_norms.")
    }
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = name in norms or name.rpartition(".")[2].startswith("bias")
            decay = 0.0 if spared else _select_value(name, weight_decays, weight_decay)
            groups.setdefault((spared, _select_value(name, learning_rates, None), decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay} | ({} if rate is None else {"lr": rate})
        for (_, rate, decay), parameters in sorted(groups.items(), key=lambda group: group[0][0])
    ]


def _is_within(name: str, part: str) -> bool:
    """Whether a parameter belongs to the part of a model with this name."""
    return f"{name}.".startswith(f"{part}.")


def _select_value(name: str, by_part: dict[str, float], otherwise: float | None) -> float | None:
    """The value of the longest part that the parameter belongs to."""
    parts = [part for part in by_part if _is_within(name, part)]
    return by_part[max(parts, key=len)] if parts else otherwise
