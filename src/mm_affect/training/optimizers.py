# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Optimizers that the Trainer lacks, and parameter groups with learning rates and weight decays per part of a model.

BertAdam is the Adam of Google's BERT, which the public code of several papers trains with.
"""

from collections.abc import Iterable

import torch
from torch import nn

from ..messages import did_you_mean


class BertAdam(torch.optim.Optimizer):
    """Adam without bias correction, with decoupled weight decay and gradient clipping per tensor.

    With gradient g of a parameter w, clipped to `max_grad_norm` (no change if the gradient of all parameters together was
    clipped to that norm before):

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  w = w - lr (m / (sqrt(v) + eps) + weight_decay w)

    Without the correction the first steps are larger than Adam's, (1 - beta1) / sqrt(1 - beta2) = 3.2 learning rates, so
    use a scheduler with warm-up. Source: `AdamWeightDecayOptimizer` of Devlin et al. 2019, "BERT".

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the first and of the second moment.
        eps: Added to the root of the second moment.
        weight_decay: Weight decay.
        max_grad_norm: Norm that the gradient of each tensor is clipped to.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "max_grad_norm": max_grad_norm}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Update the parameters; return the loss of `closure` if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        gradient = gradient * (group["max_grad_norm"] / (gradient.norm() + 1e-6)).clamp_max(1.0)
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
    """Group the parameters of a model by weight decay and learning rate, those with weight decay first.

    Biases and layer norms have no weight decay, as in the public code. That code finds its layer norms by their name, which
    the layer norms of the inputs (`input_norms`) do not have, so the weights of these do decay. (SUGRM's code exempts only
    the layer norms of BERT.)

    Args:
        model: The model; frozen parameters are left out.
        weight_decay: Weight decay of the parts that `weight_decays` does not name.
        learning_rates: Part of the model, such as `"text_encoder"` -> its learning rate; the longest matching name counts.
        weight_decays: Part of the model -> its weight decay.

    Returns:
        Parameter groups; those without an own learning rate have no `"lr"`.

    Raises:
        ValueError: If the model has no part of a given name.
    """
    learning_rates, weight_decays = learning_rates or {}, weight_decays or {}
    names = [name for name, _ in model.named_parameters()]
    for part in learning_rates | weight_decays:
        if not any(_is_within(name, part) for name in names):
            known = {name.partition(".")[0] for name in names}
            raise ValueError(
                f"{type(model).__name__} has no part {part!r} to train with its own learning rate or weight decay."
                f"{did_you_mean(part, known)}"
            )
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and not name.startswith("input_norms.")
    }
    groups: dict[tuple[bool, float | None, float | None], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            exempt = name in norms or name.rpartition(".")[2].startswith("bias")
            decay = 0.0 if exempt else _select_value(name, weight_decays, weight_decay)
            groups.setdefault((exempt, _select_value(name, learning_rates, None), decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay} | ({} if rate is None else {"lr": rate})
        for (_, rate, decay), parameters in sorted(groups.items(), key=lambda group: group[0][0])
    ]


def _is_within(name: str, part: str) -> bool:
    """Return True if a parameter belongs to the part of a model with this name."""
    return f"{name}.".startswith(f"{part}.")


def _select_value(name: str, by_part: dict[str, float], otherwise: float | None) -> float | None:
    """Return the value of the part with the longest name that the parameter belongs to."""
    parts = [part for part in by_part if _is_within(name, part)]
    return by_part[max(parts, key=len)] if parts else otherwise
