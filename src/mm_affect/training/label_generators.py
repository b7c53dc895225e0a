# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Generators of unimodal labels, which a single modality would give a sample, from the position of its features.

There are two, both without parameters:

- `SharedSpace`, the ULGM of Hwang and Kim 2023, "Self-Supervised Unimodal Label Generation Strategy Using Recalibrated
  Modality Representations for Multimodal Sentiment Analysis" (SUGRM), section 3.3: all features share one space, in which
  distances are proportional to differences of labels.
- `OwnSpaces`, the ULGM of Yu et al. 2021, "Learning Modality-Specific Representations with Self-Supervised Multi-Task
  Learning for Multimodal Sentiment Analysis" (Self-MM), section 3.3: every modality has its own space, in which only
  relative distances count.

Differences to the papers and their public code (thuiar/Self-MM, skystarhyw/SUGRM):

- A zero label belongs to neither center, as in both papers; `positive_includes_zero` does what both codes do.
- Each sample counts once in the means of the extremes; in SUGRM's code the first samples count once per batch.
- The extremes are the samples with the largest and the smallest label: +3 and -3 if a split has them, as in the paper; the
  code fails without these. The label distance D^L is the difference of the extremes (6 in the paper).
- Generated labels are clamped to the task's range, as in both codes and in neither paper; `clamp=False` disables it.
- Labels are measured from the middle of the task's range: of ratings from 1 to 5, those above 3 are positive.
- Means are over the samples seen so far, and 1e-8 is added to distances that are divided by. If a mean has no sample or a
  target is not finite, the label does not change.
- A sample that lacks a modality, or whose own label is unknown, gets no label of that modality and counts in no center.
- A row whose modality is first seen in a later epoch starts from its own label, as all rows do in the first epoch.

Updated batch by batch, labels first differ from those of the origin task after the steps of the second epoch. In the first
two epochs the losses of the unimodal tasks, which are weighted by that difference, are therefore exactly zero, as in the
public code.

All tensors are on the CPU and in double precision: they are small, and while the centers are still close together, rounding
errors would change the direction of a label.
"""

import torch

from ..tasks import Task
from .options import LabelGeneration


EPS = 1e-8


class GroupMeans:
    """Latest features of every sample, and their means over groups of samples.

    The means are recomputed from all stored features, so they do not depend on the order of updates; this is one matrix
    product, which takes 0.5 ms for the 16,326 samples of CMU-MOSEI.

    Args:
        groups: Number of groups; a sample may belong to several.
        samples: Number of samples.
    """

    def __init__(self, groups: int, samples: int):
        self.members = torch.zeros(groups, samples, dtype=torch.float64)
        self.features = torch.zeros(samples, 0, dtype=torch.float64)  # resized by the first batch

    def put(self, rows: torch.Tensor, features: torch.Tensor, members: torch.Tensor) -> None:
        """Store features `(n, size)` and memberships `(groups, n)` of the samples `rows` `(n,)`."""
        if not self.features.shape[1]:
            self.features = features.new_zeros(len(self.features), features.shape[1])
        self.members[:, rows], self.features[rows] = members.to(features), features

    def means(self) -> torch.Tensor:
        """Return the mean features of each group, `(groups, size)`; NaN for a group without samples."""
        return self.members @ self.features / self.members.sum(1, keepdim=True)


class LabelGenerator:
    """Labels of the tasks generated from one origin task: a number per training sample and task; NaN where there is none.

    Args:
        origin: Regression task that labels are generated from.
        tasks: Tasks with `generated_from=origin.name`; each uses the features of the view of its head.
        labels: Labels of the origin task for every training sample, `(samples,)`, float64; NaN if unknown.
        options: Options of the generation.

    Raises:
        ValueError: If there is no positive or no negative label, and hence no center of them.
    """

    stores: dict[str, GroupMeans]

    def __init__(self, origin: Task, tasks: list[Task], labels: torch.Tensor, options: LabelGeneration):
        self.origin, self.tasks, self.options = origin, tasks, options
        self.origin_labels = labels
        self.neutral = sum(origin.value_range) / 2 if origin.value_range else 0.0
        self.labels = {task.name: torch.full_like(labels, torch.nan) for task in tasks}
        for name, members in zip(("positive", "negative"), self.signs(labels)):
            if not members.any():
                raise ValueError(
                    f"No training row has a {name} label of {origin.name!r} (neutral is {self.neutral:g}), so labels of "
                    f"{tasks[0].name!r} cannot be generated from it. Use rows with positive and negative labels, or remove "
                    "the tasks with `generated_from`."
                )
        self.highest, self.lowest = labels[~labels.isnan()].max(), labels[~labels.isnan()].min()
        self.bounds = origin.value_range or (self.lowest.item(), self.highest.item())

    def signs(self, labels: torch.Tensor) -> torch.Tensor:
        """Return which labels are positive and which are negative, `(2, n)`."""
        positive = labels >= self.neutral if self.options.positive_includes_zero else labels > self.neutral
        return torch.stack([positive, labels < self.neutral])

    def get_labels(self, rows: torch.Tensor, present: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the current labels of samples, by task, `(n,)`; NaN where the modality is missing.

        Args:
            rows: Positions of the samples, `(n,)`.
            present: Task -> True for samples that have its modality, `(n,)`.
        """
        return {
            task.name: self._current_labels(task, rows).masked_fill(~present[task.name], torch.nan)
            for task in self.tasks
        }

    def move_labels(
        self,
        rows: torch.Tensor,
        views: dict[str, torch.Tensor],
        present: dict[str, torch.Tensor],
        epoch: int,
    ) -> None:
        """Move the labels of samples toward their targets: y = (e - 1)/(e + 1) y + 2/(e + 1) target.

        In the first epoch they are set to the labels of the origin task.

        Args:
            rows: Positions of the samples, `(n,)`.
            views: View -> features, `(n, size)`.
            present: Task -> True for samples that have its modality, `(n,)`.
            epoch: Number of the epoch, from 1.
        """
        targets = self.targets(rows, views) if epoch > 1 else {}
        for task in self.tasks:
            label = self._current_labels(task, rows)
            if epoch > 1:
                target = targets[task.name].clamp(*self.bounds) if self.options.clamp else targets[task.name]
                moved = (epoch - 1) / (epoch + 1) * label + 2 / (epoch + 1) * target
                label = torch.where(target.isfinite(), moved, label)
            has_modality = present[task.name]
            self.labels[task.name][rows[has_modality]] = label[has_modality]

    def targets(self, rows: torch.Tensor, views: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute the target labels of samples from their features, by task, `(n,)`; not finite where undefined."""
        raise NotImplementedError

    def store_features(
        self, rows: torch.Tensor, views: dict[str, torch.Tensor], present: dict[str, torch.Tensor]
    ) -> None:
        """Store the features of samples for the means."""
        raise NotImplementedError

    def _current_labels(self, task: Task, rows: torch.Tensor) -> torch.Tensor:
        """Return the labels of samples; those of the origin task for samples without a generated label."""
        label = self.labels[task.name][rows]
        return torch.where(label.isnan(), self.origin_labels[rows], label)

    def state(self) -> dict[str, torch.Tensor]:
        """Return all tensors that training changes, by name."""
        stored = {f"{part}/{name}": tensor for name, means in self.stores.items()
                  for part, tensor in (("features", means.features), ("members", means.members))}  # fmt: skip
        return stored | {f"labels/{name}": labels for name, labels in self.labels.items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the tensors that `state` returned."""
        self.labels = {name: state[f"labels/{name}"] for name in self.labels}
        for name, means in self.stores.items():
            means.features, means.members = state[f"features/{name}"], state[f"members/{name}"]


class SharedSpace(LabelGenerator):
    """SUGRM's generator: the label of a modality differs from the origin's by a distance and a direction.

    The distance is that of its features to the fused ones, at most D_max, in units of labels:
    ``D^L min(|f_m - f_s|, D_max) / D_max``, where D_max is the distance between the mean features of the two extremes. The
    direction is the sign of ``|f_s - c+| / |f_s - c-| - |f_m - c+| / |f_m - c-|``: up if the features of the modality are
    relatively nearer to the positive center than the fused ones, down if they are further.
    """

    def __init__(self, origin: Task, tasks: list[Task], labels: torch.Tensor, options: LabelGeneration):
        super().__init__(origin, tasks, labels, options)
        self.stores = {origin.name: GroupMeans(4, len(labels))}

    def store_features(self, rows, views, present):
        """Store the fused features; raise `ValueError` if those of a modality have another size."""
        for task in self.tasks:
            sizes = [views[view].shape[-1] for view in (task.view, self.origin.view)]
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"The features of {task.name!r} have the size {sizes[0]}, those of {self.origin.name!r} {sizes[1]}, but the "
                    "generator 'ulgm' compares them. Use a model with features of one size, or the generator 'self_mm'."
                )
        labels = self.origin_labels[rows]
        groups = torch.stack([labels == self.highest, labels == self.lowest, *self.signs(labels)])
        self.stores[self.origin.name].put(rows, views[self.origin.view], groups)

    def targets(self, rows, views):
        """Compute the target labels of samples."""
        highest, lowest, positive, negative = self.stores[self.origin.name].means()
        fused = views[self.origin.view]
        farthest = (highest - lowest).norm()

        def ratio(feature):
            return (feature - positive).norm(dim=-1) / ((feature - negative).norm(dim=-1) + EPS)

        targets = {}
        for task in self.tasks:
            own = views[task.view]
            distance = torch.minimum((fused - own).norm(dim=-1), farthest) / (farthest + EPS)
            direction = (ratio(fused) - ratio(own)).sign()
            targets[task.name] = self.origin_labels[rows] + direction * distance * (self.highest - self.lowest)
        return targets


class OwnSpaces(LabelGenerator):
    """Self-MM's generator: the label of a modality follows the relative position of its features between two centers.

    Each space, the fused one and that of each modality, has a center of the samples whose label (of the origin task, or
    generated) is positive, and one of the negative ones. The position of a sample is ``a = (|f - c-| - |f - c+|) / |f - c+|``.
    The target is the mean of two relations to the label y of the origin task, measured from the neutral label:
    ``y a_s / a_m`` and ``y + a_s - a_m``, where, as in the paper, s is the modality and m the fusion.
    """

    def __init__(self, origin: Task, tasks: list[Task], labels: torch.Tensor, options: LabelGeneration):
        super().__init__(origin, tasks, labels, options)
        self.stores = {task.name: GroupMeans(2, len(labels)) for task in (origin, *tasks)}

    def store_features(self, rows, views, present):
        """Store the fused features, and those of each modality."""
        self.stores[self.origin.name].put(rows, views[self.origin.view], self.signs(self.origin_labels[rows]))
        for task in self.tasks:
            has_modality = present[task.name]
            signs = self.signs(self._current_labels(task, rows))
            self.stores[task.name].put(rows[has_modality], views[task.view][has_modality], signs[:, has_modality])

    def targets(self, rows, views):
        """Compute the target labels of samples."""
        label = self.origin_labels[rows] - self.neutral
        fused = self._position(self.origin, views)
        targets = {}
        for task in self.tasks:
            own = self._position(task, views)
            targets[task.name] = (own / (fused + EPS) * label + label + own - fused) / 2 + self.neutral
        return targets

    def _position(self, task: Task, views: dict[str, torch.Tensor]) -> torch.Tensor:
        to_positive, to_negative = (
            (views[task.view] - center).norm(dim=-1) for center in self.stores[task.name].means()
        )
        return (to_negative - to_positive) / (to_positive + EPS)


# Keys: `options.GENERATOR_NAMES`.
GENERATORS = {"ulgm": SharedSpace, "self_mm": OwnSpaces}
