# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Generators of unimodal labels: what one modality alone would say of a sample, from where its feature lies among others.

Two of them, both without parameters:

- `SharedSpace`, the ULGM of Hwang and Kim 2023, "Self-Supervised Unimodal Label Generation Strategy Using Recalibrated
  Modality Representations for Multimodal Sentiment Analysis" (SUGRM), section 3.3: all features lie in one space, in which
  distances are proportional to distances of labels.
- `OwnSpaces`, the ULGM of Yu et al. 2021, "Learning Modality-Specific Representations with Self-Supervised Multi-Task
  Learning for Multimodal Sentiment Analysis" (Self-MM), section 3.3: every modality has a space of its own, in which only
  relative distances count.

Where we differ from the papers and their public code (thuiar/Self-MM, skystarhyw/SUGRM), and why:

- A zero label belongs to neither center, as in both papers; `positive_includes_zero` is the code of both.
- Each sample counts once in the means of the extremes; in SUGRM's code the first samples count once per batch.
- The extremes are the samples of the largest and of the smallest label: +3 and -3 where a split has them, as in the paper;
  the code fails without. The distance of the labels D^L is theirs (6 in the paper).
- Generated labels are clamped to the task's range, as in both codes and in neither paper; `clamp` leaves it out.
- Labels count from the middle of the task's range: in ratings from 1 to 5 those above 3 are the positive ones.
- Means are over samples seen so far, and divisions by a distance are guarded by 1e-8. Where a mean has no sample or a target
  is not finite, the label stays as it was.
- A sample without a modality, or whose own label is unknown, gets no label of that modality, and no center counts it.
- A row whose modality is first seen in a later epoch starts from its own label, as all do in the first epoch.

Updated batch by batch, labels first differ from the origin's after their samples' steps of the second epoch: so in the first
two epochs the losses of the unimodal tasks, which are weighted by that difference, are exactly zero, in the public code too.

All of it is on the CPU and in double precision: it is little, and while the centers are still close together, rounding would
have a say in the direction.
"""

import torch

from ..tasks import Task
from .options import LabelGeneration


EPS = 1e-8


class GroupMeans:
    """The latest feature of every sample, and its mean over groups of samples.

    The means are taken anew from everything that is stored, so they depend on nothing else; one product of matrices, 0.5 ms
    for the 16,326 samples of CMU-MOSEI.

    Args:
        groups: how many; a sample may be in several.
        samples: how many.
    """

    def __init__(self, groups: int, samples: int):
        self.members = torch.zeros(groups, samples, dtype=torch.float64)
        self.features = torch.zeros(samples, 0, dtype=torch.float64)  # the width is known from the first batch on

    def put(self, rows: torch.Tensor, features: torch.Tensor, members: torch.Tensor) -> None:
        """Replace features `(n, size)` and memberships `(groups, n)` of the samples `rows` `(n,)`."""
        if not self.features.shape[1]:
            self.features = features.new_zeros(len(self.features), features.shape[1])
        self.members[:, rows], self.features[rows] = members.to(features), features

    def means(self) -> torch.Tensor:
        """`(groups, size)`; NaN for a group without samples."""
        return self.members @ self.features / self.members.sum(1, keepdim=True)


class LabelGenerator:
    """Generated labels of the tasks of one origin: one number per training sample and task, NaN = none.

    Args:
        origin: the regression task whose labels others are generated from.
        tasks: the tasks with `generated_from=origin.name`; each reads the feature that is the view of its head.
        labels: the origin's labels of every training sample `(samples,)`, float64, NaN = unknown.

    Raises:
        ValueError: there is no positive or no negative label, so there is no such center.
    """

    def __init__(self, origin: Task, tasks: list[Task], labels: torch.Tensor, options: LabelGeneration):
        self.origin, self.tasks, self.options = origin, tasks, options
        self.origin_labels = labels
        self.neutral = sum(origin.value_range) / 2 if origin.value_range else 0.0
        self.labels = {task.name: torch.full_like(labels, torch.nan) for task in tasks}
        for name, members in zip(("positive", "negative"), self.signs(labels)):
            if not members.any():
                raise ValueError(
                    f"No training row has a {name} label of {origin.name!r} (neutral is {self.neutral:g}), so labels of {tasks[0].name!r} cannot be "
                    "generated from it: it takes a center of the positive rows and one of the negative; use labels of both "
                    "signs, or remove the tasks with `generated_from`."
                )
        self.highest, self.lowest = labels[~labels.isnan()].max(), labels[~labels.isnan()].min()
        self.bounds = origin.value_range or (self.lowest.item(), self.highest.item())

    def signs(self, labels: torch.Tensor) -> torch.Tensor:
        """Who is positive, who is negative, `(2, n)`."""
        positive = labels >= self.neutral if self.options.positive_includes_zero else labels > self.neutral
        return torch.stack([positive, labels < self.neutral])

    def current(self, rows: torch.Tensor, present: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Labels of the samples `rows` per task `(n,)`; NaN where the modality is not present.

        Args:
            present: per task, who has its modality `(n,)`.
        """
        return {
            task.name: self._current_labels(task, rows).masked_fill(~present[task.name], torch.nan)
            for task in self.tasks
        }

    def generate(self, rows: torch.Tensor, views: dict, present: dict, epoch: int) -> None:
        """Move the labels of the samples `rows` toward their targets: y = (e - 1)/(e + 1) y + 2/(e + 1) target.

        In the first epoch they are the origin's own.

        Args:
            views: features `(n, size)` per view.
            epoch: from 1.
        """
        targets = self.targets(rows, views) if epoch > 1 else {}
        for task in self.tasks:
            label = self._current_labels(task, rows)
            if epoch > 1:
                target = targets[task.name].clamp(*self.bounds) if self.options.clamp else targets[task.name]
                moved = (epoch - 1) / (epoch + 1) * label + 2 / (epoch + 1) * target
                label = torch.where(target.isfinite(), moved, label)
            here = present[task.name]
            self.labels[task.name][rows[here]] = label[here]

    def targets(self, rows: torch.Tensor, views: dict) -> dict[str, torch.Tensor]:
        """Per task, what the features say now `(n,)`; not finite where they cannot say anything."""
        raise TypeError(f"{type(self).__name__} is the base of the generators; use one of them.")

    def remember(self, rows: torch.Tensor, views: dict, present: dict) -> None:
        """Keep the features of the samples `rows` for the means."""
        raise TypeError(f"{type(self).__name__} is the base of the generators; use one of them.")

    def _current_labels(self, task: Task, rows: torch.Tensor) -> torch.Tensor:
        """The labels of the samples; the origin's own for those without one yet."""
        label = self.labels[task.name][rows]
        return torch.where(label.isnan(), self.origin_labels[rows], label)

    # what is saved and moved -------------------------------------------------------------------------------------

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that training changes, by name."""
        stored = {f"{part}/{name}": tensor for name, means in self.stores.items()
                  for part, tensor in (("features", means.features), ("members", means.members))}  # fmt: skip
        return stored | {f"labels/{name}": labels for name, labels in self.labels.items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.labels = {name: state[f"labels/{name}"] for name in self.labels}
        for name, means in self.stores.items():
            means.features, means.members = state[f"features/{name}"], state[f"members/{name}"]


class SharedSpace(LabelGenerator):
    """SUGRM's generator. A modality's label differs from the origin's by a distance and a direction.

    The distance is that of its feature to the fused one, at most D_max, in units of labels:
    ``D^L min(|f_m - f_s|, D_max) / D_max``, where D_max is the distance between the mean features of the two extremes. The
    direction is up if its feature lies relatively nearer to the positive center than the fused one does,
    ``|f_s - c+| / |f_s - c-| < |f_m - c+| / |f_m - c-|``, down if further, and none if equal.
    """

    def __init__(self, origin, tasks, labels, options):
        super().__init__(origin, tasks, labels, options)
        self.stores = {origin.name: GroupMeans(4, len(labels))}

    def remember(self, rows, views, present):
        for task in self.tasks:
            sizes = [views[view].shape[-1] for view in (task.view, self.origin.view)]
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"The feature of {task.name!r} has the size {sizes[0]}, that of {self.origin.name!r} {sizes[1]}; this "
                    "generator compares them, so give the model features of one size, or use the generator 'self_mm'."
                )
        labels = self.origin_labels[rows]
        groups = torch.stack([labels == self.highest, labels == self.lowest, *self.signs(labels)])
        self.stores[self.origin.name].put(rows, views[self.origin.view], groups)

    def targets(self, rows, views):
        highest, lowest, positive, negative = self.stores[self.origin.name].means()
        fused = views[self.origin.view]
        farthest = (highest - lowest).norm()

        def ratio(feature):
            return (feature - positive).norm(dim=-1) / ((feature - negative).norm(dim=-1) + EPS)

        found = {}
        for task in self.tasks:
            own = views[task.view]
            share = torch.minimum((fused - own).norm(dim=-1), farthest) / (farthest + EPS)
            direction = (ratio(fused) - ratio(own)).sign()
            found[task.name] = self.origin_labels[rows] + direction * share * (self.highest - self.lowest)
        return found


class OwnSpaces(LabelGenerator):
    """Self-MM's generator. Each space, the fused one and each modality's, has the centers of the samples whose own label (the
    origin's, or the generated one) is positive or negative; a sample is at ``a = (|f - c-| - |f - c+|) / |f - c+|`` in it.
    The target is the mean of two relations to the origin's label y, counted from the neutral one: ``y a_s / a_m`` and ``y + a_s - a_m``.
    """

    def __init__(self, origin, tasks, labels, options):
        super().__init__(origin, tasks, labels, options)
        self.stores = {task.name: GroupMeans(2, len(labels)) for task in (origin, *tasks)}

    def remember(self, rows, views, present):
        self.stores[self.origin.name].put(rows, views[self.origin.view], self.signs(self.origin_labels[rows]))
        for task in self.tasks:
            here = present[task.name]
            signs = self.signs(self._current_labels(task, rows))
            self.stores[task.name].put(rows[here], views[task.view][here], signs[:, here])

    def targets(self, rows, views):
        label = self.origin_labels[rows] - self.neutral
        fused = self._place(self.origin, views)
        found = {}
        for task in self.tasks:
            own = self._place(task, views)
            found[task.name] = (own / (fused + EPS) * label + label + own - fused) / 2 + self.neutral
        return found

    def _place(self, task: Task, views: dict) -> torch.Tensor:
        to_positive, to_negative = (
            (views[task.view] - center).norm(dim=-1) for center in self.stores[task.name].means()
        )
        return (to_negative - to_positive) / (to_positive + EPS)


# Keys: `options.GENERATOR_NAMES`.
GENERATORS = {"ulgm": SharedSpace, "self_mm": OwnSpaces}
