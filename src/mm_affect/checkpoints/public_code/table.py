# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The table that describes the conversion of the checkpoints of one public code."""

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
    """Conversion of checkpoints of one public code.

    Args:
        model_class: the architecture.
        read_fields: function of the public shapes and the labels (None: those of the authors) that returns the fields of the
            config that the shapes determine.
        names: pieces of our names -> pieces of the public names. A piece is one or more whole parts between dots; longer
            pieces take precedence.
        unused: pattern of full public names that the public code saves but never uses.
        undetermined: fields of the config that the shapes do not determine.
        transforms: end of our name, or the full name -> function from the public tensor to ours, where they differ;
            scalars are never transformed.
    """

    model_class: type[AffectPreTrainedModel]
    read_fields: Callable[[Shapes, list[str] | None], dict]
    names: dict[str, str]
    unused: str
    undetermined: tuple[str, ...]
    transforms: dict[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)

    def get_public_name(self, name: str) -> str:
        """Return the public name of our weight `name`."""
        pieces = "|".join(re.escape(piece) for piece in sorted(self.names, key=len, reverse=True))
        return re.sub(rf"(?<![^.])(?:{pieces})(?![^.])", lambda match: self.names[match[0]], name)

    def convert_weight(self, name: str, public: torch.Tensor) -> torch.Tensor:
        """Convert the public tensor to our weight `name`."""
        transforms = (transform for ending, transform in self.transforms.items() if f".{name}".endswith(f".{ending}"))
        return next(transforms, lambda tensor: tensor)(public) if public.ndim else public


def make_emotion_task(labels: list[str] | None, count: int, **fields) -> Task:
    """Make the task `emotion` with `count` labels, by default in the order of the public loaders of CMU-MOSEI.

    Raises:
        ValueError: the number of labels differs from `count`.
    """
    names = EMOTIONS if labels is None else tuple(labels)
    if len(names) != count or not all(names):
        raise ValueError(
            f"The checkpoint has {count} labels, but `labels` has {len(names)} ({', '.join(names)}); name every label in order."
        )
    return Task("emotion", labels=names, **fields)
