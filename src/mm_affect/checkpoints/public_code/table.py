# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How checkpoints of one public code become ours: the table that each of them fills in."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ...models.modeling import AffectPreTrainedModel
from ...tasks import Task
from ...vocabulary import EMOTIONS


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Conversion:
    """How checkpoints of one public code become ours.

    Args:
        model_class: the architecture.
        read_fields: from the public shapes and the labels, or None for those of the authors, to the config's fields that
            the shapes tell.
        names: pieces of our names and what the public code calls them; a piece is one or more whole parts between dots,
            and longer pieces go first.
        unused: pattern of whole public names that no computation of the public code reads.
        undetermined: fields of the config that shapes do not tell.
        values: by the last parts of our names, or all of them, from the public tensor, of any shape but a number's, to ours,
            where they differ.
    """

    model_class: type[AffectPreTrainedModel]
    read_fields: Callable[[Shapes, list[str] | None], dict]
    names: dict[str, str]
    unused: str
    undetermined: tuple[str, ...]
    transforms: dict[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)

    def get_public_name(self, name: str) -> str:
        """What the public code calls our weight `name`."""
        pieces = "|".join(re.escape(piece) for piece in sorted(self.names, key=len, reverse=True))
        return re.sub(rf"(?<![^.])(?:{pieces})(?![^.])", lambda found: self.names[found[0]], name)

    def convert_weight(self, name: str, public: torch.Tensor) -> torch.Tensor:
        """Our weight `name`, from the public tensor."""
        differing = (ours for ending, ours in self.transforms.items() if f".{name}".endswith(f".{ending}"))
        return next(differing, lambda same: same)(public) if public.ndim else public


def make_emotion_task(labels: list[str] | None, count: int, **fields) -> Task:
    """The task `emotion` of `count` labels: the given ones, or the order of the public loaders of CMU-MOSEI."""
    labels = EMOTIONS if labels is None else tuple(labels)
    if len(labels) != count or not all(labels):
        raise ValueError(
            f"The checkpoint has {count} labels, `labels` has {len(labels)} ({', '.join(labels)}); name each, in order."
        )
    return Task("emotion", labels=labels, **fields)
