# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Heads and losses of all tasks of a model."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


class TaskHeads(nn.Module):
    """One head per task on the view that the task names.

    Args:
        tasks: the tasks of the model.
        build_head: function from a task to its head, a module from a view `(batch, size)` to logits `(batch,
            outputs)`.
    """

    def __init__(self, tasks, build_head):
        super().__init__()
        self.tasks = {task.name: task for task in tasks}
        self.heads = nn.ModuleDict({task.name: build_head(task) for task in tasks})

    def forward(self, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the logits of each task."""
        return {name: head(views[self.tasks[name].view]) for name, head in self.heads.items()}

    def losses(self, logits: dict[str, torch.Tensor], labels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the mean loss over the known labels of each task in `labels`; NaN and -100 are unknown.

        For generated labels y whose originals y' are also given, the loss of each sample is multiplied by tanh(|y -
        y'|), so that samples count by how much their modality disagrees (SUGRM, section 3.4; Self-MM).

        Raises:
            ValueError: `labels` has an unknown task, or labels of another shape.
        """
        for name in labels:
            if name not in self.tasks:
                raise ValueError(f"`labels` has the unknown task {name!r}; expected {', '.join(self.tasks)}.")
        return {
            name: self._loss(task, logits[name], labels[name], labels.get(task.generated_from))
            for name, task in self.tasks.items()
            if name in labels
        }

    def supervise(self, logits, labels, rows: torch.Tensor) -> torch.Tensor:
        """Return the weighted loss of additional predictions of the same labels, on the rows of a mask `(batch,)`."""
        kept = {}
        for name, target in labels.items():
            ignored = ~rows.view(-1, *[1] * (target.ndim - 1))
            kept[name] = target.masked_fill(ignored, torch.nan if target.is_floating_point() else -100)
        losses = self.losses(logits, kept)
        return sum(
            (self.tasks[name].weight * loss for name, loss in losses.items()), rows.new_zeros((), dtype=torch.float)
        )

    def _loss(self, task, logits, labels, origin=None):
        soft = task.problem_type == "single_label_classification" and labels.ndim == 2  # class probabilities
        expected = logits.shape if soft or task.problem_type == "multi_label_classification" else logits.shape[:1]
        if labels.shape != expected:
            raise ValueError(f"Labels of {task.name!r} have shape {tuple(labels.shape)}; expected {tuple(expected)}.")
        logits = logits.float()
        weights = None if task.class_weights is None else torch.tensor(task.class_weights, device=logits.device)
        if task.problem_type == "single_label_classification":
            known = ~torch.isnan(labels).any(1) if soft else labels != -100
            loss = F.cross_entropy(
                logits,
                torch.where(known.unsqueeze(1), labels, 0.0).float() if soft else labels.long(),
                weights,
                ignore_index=-100,
                label_smoothing=task.label_smoothing if self.training else 0.0,
                reduction="none",
            )
        else:
            known = ~torch.isnan(labels)
            target = torch.where(known, labels, 0.0).float()
            if task.problem_type == "multi_label_classification":
                loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
            else:
                criteria: dict[str, Callable[..., torch.Tensor]] = {
                    "l1": F.l1_loss,
                    "l2": F.mse_loss,
                    "huber": F.huber_loss,
                }
                criterion = criteria[task.regression_loss]
                loss = criterion(logits.squeeze(-1), target, reduction="none")
                if origin is not None:
                    known = known & ~torch.isnan(origin)
                    loss = loss * torch.tanh((target - torch.where(known, origin, target)).abs())
        return (loss * known).sum() / known.sum().clamp_min(1)
