# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a model is, from its own files: its corpus, whether that was synthetic, the ranges of its tasks."""

from dataclasses import dataclass
from pathlib import Path

from ...checkpoints.loading import folder_of_checkpoint
from ...evaluation.results import read_results


LIMITS = (
    "An estimate of how annotators would label a clip, not of what a person feels: for research, with the consent of "
    "those who are seen and heard. Inferring emotions at work or in education is prohibited in the European Union "
    "(AI Act, Art. 5(1)(f))."
)


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a checkpoint; `corpus` is None where its files do not name one. `ranges`: of its regressions."""

    name: str
    architecture: str
    parameters: int
    modalities: list[str]
    corpus: str | None
    synthetic: bool
    ranges: dict[str, tuple[float, float]]


def read_model_info(name: str, model) -> ModelInfo:
    """The facts of the checkpoint `name`, a folder or a name on the Hub, loaded as `model`."""
    path = folder_of_checkpoint(name) / "results.json"
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
        {task: tuple(ends) for task, ends in ranges.items() if ends},
    )
