# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Weak labels: predictions of a model for the rows of another corpus, as a new label column of these rows.

Dai et al. 2021, "Weakly-supervised Multi-task Learning for Multimodal Affect Recognition", section 5.2. The source model and
its measured confidence are recorded with the column, and copied to results and cards. Differences from the paper:

- Labels are hard (a class, 0 or 1 per label, a value), as in the paper, or soft: the probabilities, where the paper uses
  "soft" only for a smaller weight.
- Confidence is measured on the validation split of the source, where its checkpoint was selected, not on the test split.
- Labels with little confidence may be left unknown, and a row without any modality that the model reads has no label.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..checkpoints.loading import find_checkpoint
from ..data import RowReader
from ..data.ragged import RowDataset
from ..data.record import CorpusRecord
from ..data.schema import check_label
from ..evaluation.results import read_results
from ..features.pretrained_files import compute_sha256, list_weights
from ..features.processor import AffectProcessor
from ..label_field import LabelField, WeakLabels
from ..messages import did_you_mean
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from .row_rewriting import Progress, read_rows_corpus, rewrite_rows


BATCH_SIZE = 64
CONFIDENCE_METRICS = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "wacc",
    "regression": "pearson",
}


@dataclass(frozen=True)
class LabelSource:
    """Source of weak labels: a model with its task, and the `confidence` of its predictions, measured by `metric`."""

    model: str
    weights_sha256: str
    task: str
    metric: str
    confidence: float


@dataclass
class Labeler:
    """A model that predicts labels with one of its tasks.

    Args:
        model: model of the checkpoint, in evaluation mode.
        processor: processor of the checkpoint.
        task: the task, with the thresholds of its decisions.
        modalities: modalities that the model reads; the others are missing.
        soft: return probabilities instead of decisions.
        least_confidence: a label is unknown if the model gives its decision (in multi-label tasks, the least certain one) a
            lower probability than this.

    Raises:
        ValueError: If an option does not apply to this type of task, or is out of range.
    """

    model: AffectPreTrainedModel
    processor: AffectProcessor
    task: Task
    modalities: tuple[str, ...]
    soft: bool = False
    least_confidence: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_confidence < 1:
            raise ValueError(f"--least-confidence is {self.least_confidence}; expected a probability below 1.")
        if self.task.problem_type == "regression" and (self.soft or self.least_confidence):
            raise ValueError(
                f"Task {self.task.name!r} is a regression, whose values have neither probabilities nor a confidence; leave "
                "--soft and --least-confidence out."
            )

    @torch.no_grad()
    def __call__(self, rows: RowDataset) -> list[Any]:
        """Return one label per row as rows hold it: a value, a class index, a list of numbers, or None for unknown."""
        labels: list[Any] = []
        for start in range(0, len(rows), BATCH_SIZE):
            features = self.processor([rows[i] for i in range(start, min(start + BATCH_SIZE, len(rows)))])
            masks = [values.bool().any(1) for name, values in features.items() if name.endswith("mask")]
            has_steps = torch.stack(masks).any(0).tolist()
            batch = {name: values.to(self.model.device) for name, values in features.items()}
            scores = self.task.scores(self.model(**batch).logits[self.task.name].float().cpu().numpy())
            labels += [label if known else None for label, known in zip(self._decide(scores), has_steps, strict=True)]
        return labels

    def _decide(self, scores: np.ndarray) -> list[Any]:
        if self.task.problem_type == "regression":
            low, high = self.task.value_range or (-np.inf, np.inf)
            return np.clip(scores, low, high).tolist()
        if self.task.problem_type == "single_label_classification":
            hard, confidence = scores.argmax(1), scores.max(1)
        else:
            present = scores > np.asarray(0.5 if self.soft else self.task.threshold)
            hard, confidence = present.astype(float), np.where(present, scores, 1 - scores).min(1)
        labels = (scores if self.soft else hard).tolist()
        return [
            label if probability >= self.least_confidence else None
            for label, probability in zip(labels, confidence, strict=True)
        ]

    def build_field(self, name: str, source: LabelSource) -> LabelField:
        """Build the label field of the new column `name`."""
        has_threshold = self.task.problem_type == "multi_label_classification" and not self.soft
        weak = WeakLabels(
            **asdict(source),
            threshold=self.task.threshold if has_threshold else None,
            least_confidence=self.least_confidence,
            soft=self.soft,
        )
        return LabelField(
            name,
            "multi_label_classification" if self.soft else self.task.problem_type,
            self.task.labels,
            (0.0, 1.0) if self.soft else self.task.value_range,
            weak=weak,
        )


def select_task(tasks: Sequence[Task], name: str | None, threshold: float | list[float] | None = None) -> Task:
    """Select the task of this name, by default the only one, and replace its thresholds if some are given."""
    by_name = {task.name: task for task in tasks}
    if name is None and len(by_name) > 1:
        raise ValueError(f"The model has the tasks {', '.join(by_name)}; select one with --task.")
    if name is not None and name not in by_name:
        raise ValueError(f"The model has no task {name!r}.{did_you_mean(name, by_name)}")
    task = by_name[name] if name else tasks[0]
    if threshold is None:
        return task
    if task.problem_type != "multi_label_classification":
        raise ValueError(f"Task {task.name!r} ({task.problem_type}) has no threshold; leave --threshold out.")
    thresholds = np.atleast_1d(threshold)
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        raise ValueError(f"--threshold is {threshold}; expected probabilities from 0 to below 1.")
    return Task.from_dict(task.to_dict() | {"threshold": threshold})


def read_label_source(checkpoint: str | Path, task: Task, confidence: float | None = None) -> LabelSource:
    """Read the source of weak labels from a checkpoint.

    Args:
        checkpoint: folder or Hub name of the model.
        task: the task that predicts.
        confidence: confidence from another measurement; default: the validation score of the checkpoint in its
            results.json, which is accuracy, WAcc for multi-label tasks, or Pearson's r (at least 0) for regressions.

    Raises:
        ValueError: If no results.json has this score, and `confidence` is not given.
    """
    folder = find_checkpoint(checkpoint)
    name = folder.resolve().name if Path(checkpoint).exists() else str(checkpoint)
    weights_sha256 = compute_sha256(list_weights(folder))
    metric = CONFIDENCE_METRICS[task.problem_type]
    if confidence is not None:
        return LabelSource(name, weights_sha256, task.name, metric, float(confidence))
    if not (folder / "results.json").is_file():
        raise ValueError(
            f"{checkpoint} has no results.json, so the confidence of its labels is unknown; measure {metric} of "
            f"{task.name!r} on a validation split, and give it with --confidence."
        )
    from ..evaluation.selection import read_best_seed

    results = read_results(folder / "results.json")
    if any(measured["name"] == task.name and measured.get("weak") for measured in results.tasks):
        raise ValueError(
            f"{checkpoint} was trained on weak labels of {task.name!r} and measured against them; predict with the model "
            "that they came from."
        )
    score = results.seeds[str(read_best_seed(folder))].validation.get(f"{task.name}.{metric}")
    if score is None:
        raise ValueError(
            f"The results.json of {checkpoint} has no {task.name}.{metric} of the validation split; give the confidence of "
            "its labels with --confidence."
        )
    return LabelSource(results.name, weights_sha256, task.name, metric, round(max(0.0, score), 6))


def select_modalities(
    processor: AffectProcessor, corpus: CorpusRecord, requested: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Select the modalities of rows that a model reads: the requested ones, by default all that it supports.

    Raises:
        ValueError: If the rows lack one, or have it from another extractor or in another size.
    """
    for modality in requested or ():
        if modality not in processor.modalities:
            raise ValueError(f"The model does not read {modality!r}; it reads {', '.join(processor.modalities)}.")
    selected = [m for m in processor.modalities if m in (requested or processor.modalities)]
    for modality in selected:
        size = processor.feature_sizes.get(modality)
        if size is not None and modality not in corpus.sizes:
            available = [m for m in processor.modalities if m in corpus.sizes]
            raise ValueError(
                f"The rows have no {modality} features, which the model reads; to predict without them, give "
                f"--modalities {' '.join(available) or '(none is left)'}."
            )
        if size not in (None, corpus.sizes.get(modality)):
            raise ValueError(
                f"The {modality} features of the rows have {corpus.sizes[modality]} numbers per step; the model "
                f"needs {size}. Extract them with the model's processor."
            )
    processor.check_extractors(corpus.extractors, selected)
    return tuple(selected)


def add_weak_labels(
    labeler: Labeler,
    field: LabelField,
    rows: str | Path,
    output: str | Path,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CorpusRecord:
    """Write rows with a new label column, in every split, and return their record.

    Args:
        labeler: the model that predicts.
        field: label field of the new column, from `Labeler.build_field`.
        rows: folder of rows; it is not changed.
        output: folder to write; it appears when complete.
        overwrite: replace earlier rows in `output`.
        progress: called with the number of finished shards and of all shards.

    Raises:
        ValueError: If the rows already have a label column of this name.
        FileExistsError: If `output` is not empty, unless it holds rows and `overwrite` is True.
    """
    source = read_rows_corpus(rows)
    for existing in source.label_fields:
        if existing.name == field.name:
            kind = "weak labels" if existing.weak else "labels"
            raise ValueError(
                f"{rows} has {kind} {field.name!r} already, which are not replaced; give the new column another name, such "
                f"as --name {field.name}_weak."
            )

    def add_labels(table: pa.Table, schema: pa.Schema) -> dict[str, pa.Array]:
        labels = labeler(RowDataset(RowReader(datasets.Dataset(table)), labeler.modalities))
        ids = table.column("id").to_pylist()
        labels = [check_label(label, field, f"Row `{id}`") for id, label in zip(ids, labels, strict=True)]
        struct = schema.field("labels").type
        existing = table.column("labels").combine_chunks().flatten() if "labels" in table.column_names else []
        arrays = [*existing, pa.array(labels, type=struct.field(field.name).type)]
        return {"labels": pa.StructArray.from_arrays(arrays, fields=list(struct))}

    def count_unknown(folder: Path, shards: list[str], record: CorpusRecord) -> CorpusRecord:
        unknown = sum(_count_nulls(folder / name, field.name) for name in shards)
        return replace(record, reported=record.reported | ({f"unknown_{field.name}": unknown} if unknown else {}))

    plan = {"field": field.to_dict(), "modalities": labeler.modalities}
    corpus = replace(source, label_fields=[*source.label_fields, field])
    return rewrite_rows(rows, output, plan, corpus, add_labels, count_unknown, overwrite, progress)


def _count_nulls(shard: Path, name: str) -> int:
    """Count the rows of a shard without a label of this name."""
    labels = pq.read_table(shard, columns=["labels"]).column("labels")
    return sum(chunk.field(name).null_count for chunk in labels.chunks)
