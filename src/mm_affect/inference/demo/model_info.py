# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Facts about a checkpoint, read from its own files: its corpus, whether that was synthetic, the ranges of its tasks."""

from dataclasses import dataclass
from pathlib import Path

from ...checkpoints.loading import find_checkpoint
from ...evaluation.results import read_results
from ...models.modeling import AffectPreTrainedModel


LIMITS = (
    "This page estimates how annotators would label a clip, not what a person feels. Use it for research, with the "
    "consent of everyone seen and heard. Inferring emotions at work or in education is prohibited in the European Union "
    "(AI Act, Art. 5(1)(f))."
)


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a checkpoint.

    Args:
        corpus: name of the training corpus; None if the files do not name it.
        ranges: lowest and highest value of each regression task.
    """

    name: str
    architecture: str
    parameters: int
    modalities: list[str]
    corpus: str | None
    synthetic: bool
    ranges: dict[str, tuple[float, float]]


def read_model_info(name: str, model: AffectPreTrainedModel) -> ModelInfo:
    """Read the facts about the checkpoint `name` (a folder or a Hub name), which is loaded as `model`."""
    path = find_checkpoint(name) / "results.json"
    results = read_results(path) if path.is_file() else None
    ranges = {task["name"]: task["range"] for task in (results.tasks if results else [])}
    ranges |= {task.name: task.value_range for task in model.config.tasks if task.value_range}
    return ModelInfo(
        (results.name if results else Path(name).name) if Path(name).exists() else name,
        type(model).__name__.removesuffix("ForAffect"),
        sum(parameter.numel() for parameter in model.parameters()),
        list(model.config.modalities),
        results.corpus.name if results else None,
        bool(results and results.corpus.synthetic),
        {task: (low_high[0], low_high[1]) for task, low_high in ranges.items() if low_high},
    )
