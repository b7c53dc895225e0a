# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Weak labels: what a model of one task predicts for the rows of another corpus, as one more label column of these rows.

Dai et al. 2021, "Weakly-supervised Multi-task Learning for Multimodal Affect Recognition", section 5.2. The source model and
its measured confidence are recorded with the column, and travel from there into results and cards. Where we differ:

- A label is hard (a class, 0 or 1 for each label, a value), as in the paper, or soft: the probabilities, which the paper
  means only in the sense of a smaller weight.
- Confidence is measured on the validation split of the source, where its checkpoint was chosen, and not on the test split.
- Labels of little confidence may be left unknown, and a row without any modality that the model reads has no label.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

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
from ..features.pretrained_files import sha256_of, weights_in
from ..features.processor import AffectProcessor
from ..label_field import LabelField, WeakLabels
from ..messages import did_you_mean
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from .row_rewriting import read_rows_corpus, rewrite_rows


BATCH = 64
CONFIDENCE = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "wacc",
    "regression": "pearson",
}


@dataclass
class Labeler:
    """A model's task as a source of labels.

    Args:
        model, processor: of the checkpoint, evaluating.
        task: the task that is read, with the thresholds that decide.
        modalities: what the model is given; the others are missing.
        soft: give probabilities instead of decisions.
        least_confidence: a row is unknown where the probability that the model gives to its decision (of several labels
            to the least certain one) is below this.

    Raises:
        ValueError: an option that this kind of task has no use for, or that is out of range.
    """

    model: AffectPreTrainedModel
    processor: AffectProcessor
    task: Task
    modalities: tuple[str, ...]
    soft: bool = False
    least_confidence: float = 0.0

    def __post_init__(self):
        if not 0 <= self.least_confidence < 1:
            raise ValueError(f"The least confidence is {self.least_confidence}; expected a probability below 1.")
        if self.task.problem_type == "regression" and (self.soft or self.least_confidence):
            raise ValueError(
                f"The task {self.task.name!r} is a regression, whose values are neither soft nor of a known "
                "confidence; leave `soft` and `least_confidence` out."
            )

    @torch.no_grad()
    def __call__(self, rows: RowDataset) -> list:
        """One label per row, in the words of a row: value, class index, list of numbers, or None for unknown."""
        labels = []
        for start in range(0, len(rows), BATCH):
            batch = self.processor([rows[i] for i in range(start, min(start + BATCH, len(rows)))])
            seen = torch.stack([v.bool().any(1) for name, v in batch.items() if name.endswith("mask")]).any(0)
            batch = {name: values.to(self.model.device) for name, values in batch.items()}
            scores = self.task.scores(self.model(**batch).logits[self.task.name].float().cpu().numpy())
            found = self._labels(scores)
            labels += [label if row else None for label, row in zip(found, seen.tolist(), strict=True)]
        return labels

    def _labels(self, scores: np.ndarray) -> list:
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
            label if sure >= self.least_confidence else None for label, sure in zip(labels, confidence, strict=True)
        ]

    def field(self, name: str, source: dict) -> LabelField:
        """The label field of the column `name`; `source` is what `read_label_source` found."""
        task, soft = self.task, self.soft
        multi = task.problem_type == "multi_label_classification"
        weak = WeakLabels(
            **source,
            threshold=task.threshold if multi and not soft else None,
            least_confidence=self.least_confidence,
            soft=soft,
        )
        return LabelField(
            name,
            "multi_label_classification" if soft else task.problem_type,
            task.labels,
            (0.0, 1.0) if soft else task.value_range,
            weak=weak,
        )


def select_task(tasks: list[Task], name: str | None, threshold: float | list[float] | None = None) -> Task:
    """The task of this name, or the only one, with these thresholds instead of its own."""
    known = {task.name: task for task in tasks}
    if name is None and len(known) > 1:
        raise ValueError(f"The model has the tasks {', '.join(known)}; say which one is to be predicted.")
    if name is not None and name not in known:
        raise ValueError(f"The model has no task {name!r}.{did_you_mean(name, known)}")
    task = known[name] if name else tasks[0]
    if threshold is None:
        return task
    if task.problem_type != "multi_label_classification":
        raise ValueError(f"The task {task.name!r} ({task.problem_type}) has no threshold; leave it out.")
    several = np.atleast_1d(threshold)
    if not ((several >= 0) & (several < 1)).all():
        raise ValueError(f"The threshold is {threshold}; expected probabilities from 0 to below 1.")
    return Task.from_dict(task.to_dict() | {"threshold": threshold})


def read_label_source(checkpoint: str | Path, task: Task, confidence: float | None = None) -> dict:
    """Who predicts: `model`, `weights_sha256`, `task`, and its `confidence` by `metric`.

    Args:
        confidence: measured elsewhere; default: the score of the checkpoint that was kept, on its validation split, as
            results.json beside it tells: accuracy, for several labels WAcc, for values Pearson's r (below 0: 0).

    Raises:
        ValueError: no results.json that has measured this task, and no `confidence`.
    """
    folder = find_checkpoint(checkpoint)
    name = folder.resolve().name if Path(checkpoint).exists() else str(checkpoint)
    known = {"model": name, "weights_sha256": sha256_of(weights_in(folder)), "task": task.name}
    metric = CONFIDENCE[task.problem_type]
    if confidence is not None:
        return known | {"metric": metric, "confidence": float(confidence)}
    if not (folder / "results.json").is_file():
        raise ValueError(
            f"{checkpoint} has no results.json, so the confidence of its labels is unknown; measure {metric} of "
            f"{task.name!r} on a validation split, and give it as confidence."
        )
    from ..evaluation.selection import read_best_seed

    results = read_results(folder / "results.json")
    if any(known_task["name"] == task.name and known_task.get("weak") for known_task in results.tasks):
        raise ValueError(
            f"{checkpoint} learned {task.name!r} from weak labels itself, and was measured against them; predict with the "
            "model that they came from."
        )
    score = results.seeds[str(read_best_seed(folder))].validation.get(f"{task.name}.{metric}")
    if score is None:
        raise ValueError(
            f"{checkpoint} was not measured by {task.name}.{metric} on its validation split; give the confidence of "
            "its labels."
        )
    return known | {"model": results.name, "metric": metric, "confidence": round(max(0.0, score), 6)}


def select_modalities(
    processor: AffectProcessor, corpus: CorpusRecord, wanted: list[str] | None = None
) -> tuple[str, ...]:
    """The modalities of rows that a model is given: all that it reads, or those `wanted`.

    Raises:
        ValueError: the rows lack one, or have it from another extractor, or in another size.
    """
    for modality in wanted or ():
        if modality not in processor.modalities:
            raise ValueError(f"The model does not read {modality!r}; it reads {', '.join(processor.modalities)}.")
    chosen = [m for m in processor.modalities if m in (wanted or processor.modalities)]
    for modality in chosen:
        size = processor.feature_sizes.get(modality)
        if size is not None and modality not in corpus.sizes:
            there = [m for m in processor.modalities if m in corpus.sizes]
            raise ValueError(
                f"The rows have no {modality} features, which the model reads; say that it is to predict without "
                f"them by naming the modalities it may use: {' '.join(there) or 'none is left'}."
            )
        if size not in (None, corpus.sizes.get(modality)):
            raise ValueError(
                f"The {modality} features of the rows have {corpus.sizes[modality]} numbers per step; the model "
                f"needs {size}. Extract them with the model's processor."
            )
    processor.check_extractors(corpus.extractors, chosen)
    return tuple(chosen)


def add_weak_labels(
    labeler: Labeler,
    field: LabelField,
    rows: str | Path,
    output: str | Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CorpusRecord:
    """Write the rows with one more label column, in every split; return their record.

    Args:
        labeler, field: who predicts, and `Labeler.field` of the column.
        rows: a folder of rows; nothing in it changes.
        output: the folder to write; it appears when complete.
        progress: called with the number of shards that are done, and of all.

    Raises:
        ValueError: the rows have a label column of this name already.
        FileExistsError: `output` holds something, unless it holds rows and `overwrite` is given.
    """
    corpus = read_rows_corpus(rows)
    for known in corpus.label_fields:
        if known.name == field.name:
            kind = "weak labels" if known.weak else "labels"
            raise ValueError(
                f"{rows} has {kind} {field.name!r} already, which are neither replaced nor mixed with others; give "
                f"the new column another name, such as --name {field.name}_weak."
            )

    def labeled(table: pa.Table, schema: pa.Schema) -> dict[str, pa.Array]:
        labels = labeler(RowDataset(RowReader(datasets.Dataset(table)), labeler.modalities))
        ids = table.column("id").to_pylist()
        labels = [check_label(label, field, f"Row `{id}`") for id, label in zip(ids, labels, strict=True)]
        kinds = schema.field("labels").type
        given = table.column("labels").combine_chunks().flatten() if "labels" in table.column_names else []
        arrays = [*given, pa.array(labels, type=kinds.field(field.name).type)]
        return {"labels": pa.StructArray.from_arrays(arrays, fields=list(kinds))}

    def counted(folder: Path, shards: list[str], record: CorpusRecord) -> CorpusRecord:
        unknown = sum(_unknown(folder / name, field.name) for name in shards)
        return replace(record, reported=record.reported | ({f"unknown_{field.name}": unknown} if unknown else {}))

    plan = {"field": field.to_dict(), "modalities": labeler.modalities}
    described = replace(corpus, label_fields=[*corpus.label_fields, field])
    return rewrite_rows(rows, output, plan, described, labeled, counted, overwrite, progress)


def _unknown(shard: Path, name: str) -> int:
    """How many rows of a shard have no label of this name."""
    labels = pq.read_table(shard, columns=["labels"]).column("labels")
    return sum(chunk.field(name).null_count for chunk in labels.chunks)
