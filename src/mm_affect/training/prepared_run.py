# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prepare a run: load its rows, build tasks and processor, and check everything that can fail before training."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import datasets

from ..data import RowReader, load
from ..data.ragged import RowDataset
from ..evaluation.cards import describe_start
from ..evaluation.selection import check_selection
from ..features.collator import AffectCollator
from ..features.processor import AffectProcessor
from ..label_field import LabelField
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from . import warm_start
from .config import RunConfig
from .joint_corpora import JointRows, RunCorpora, check_features, join_corpora, read_corpora
from .label_subset import LabelSubset, label_fractions
from .model_building import make_model, make_processor
from .optimizers import make_parameter_groups
from .options import TrainingOptions
from .run_tasks import check_classes, label_columns, make_tasks
from .text_encoder import check_transcripts
from .trainer import initialize_labels


@dataclass(frozen=True)
class PreparedRun:
    """Everything that the seeds of a run are trained with.

    Args:
        config: Config of the run.
        corpora: Records of the target corpus and of the auxiliary corpora.
        tasks: Tasks of the model, with class weights.
        processor: Processor, fitted to the training rows.
        training_fields: Label fields of the training rows, including those of auxiliary corpora.
        train: Training rows.
        validation: Validation rows of the target corpus.
        test: Test rows of the target corpus; None if they are not measured.
        labels_used: Label column -> number of known and of used training labels, if only a fraction is used.
        warm_start: Summary of the pretrained weights that training starts from, see `warm_start.summarize`.
    """

    config: RunConfig
    corpora: RunCorpora
    tasks: list[Task]
    processor: AffectProcessor
    training_fields: list[LabelField]
    train: datasets.Dataset | LabelSubset | JointRows
    validation: datasets.Dataset
    test: datasets.Dataset | None
    labels_used: dict[str, dict[str, int]] = field(default_factory=dict)
    warm_start: dict | None = None

    @property
    def label_fields(self) -> list[LabelField]:
        """Label fields of the target corpus."""
        return self.corpora.target.label_fields

    def make_model(self) -> AffectPreTrainedModel:
        """Create a model to be trained; its new weights are drawn from torch's generator."""
        return make_model(self.config, self.tasks, self.processor)


def prepare(config: RunConfig, measure_test: bool = True) -> PreparedRun:
    """Prepare a run.

    Args:
        config: Config of the run.
        measure_test: Give the run the test split.

    Raises:
        ValueError: If the config cannot run on its rows.
    """
    splits, corpora = load(config.rows), read_corpora(config.rows, config.auxiliary)
    for split in ("train", "validation", *(["test"] if measure_test else [])):
        if split not in splits:
            raise ValueError(f"{config.rows} has no {split} split; it has {', '.join(splits)}.")
    rows, fields = splits["train"], corpora.target.label_fields
    subset = subset_labels(config, rows, fields)
    if config.auxiliary:
        own_rows = RowReader(rows) if subset is None else subset
        rows, fields = join_corpora(config.rows, config.auxiliary, label_columns(config), own_rows)
    elif subset is not None:
        rows = subset
    train, validation = RowDataset(rows), RowDataset(splits["validation"])
    tasks = make_tasks(config, fields, train)
    check_classes(tasks, fields, train, f"the training split of {', '.join([config.rows, *config.auxiliary])}")
    where = f"the validation split of {config.rows}"
    check_selection(
        config.training.select_by, tasks, check_classes(tasks, corpora.target.label_fields, validation, where)
    )
    processor = make_processor(config, corpora.target)
    processor.fit(train, keep=list(processor.statistics))
    for folder in config.auxiliary:
        check_features(processor, corpora.target, folder)
    if config.text_encoder is not None:
        check_transcripts(train, config.rows)
    model = make_model(config, tasks, processor)
    start = None
    if config.pretrained is not None:
        start = warm_start.summarize(model, warm_start.find_checkpoint(config.pretrained))
        print(f"{config.name}: {describe_start(start)}", file=sys.stderr)
    check_training(config.training, model, AffectCollator(processor, tasks, fields), train)
    return PreparedRun(
        config,
        corpora,
        tasks,
        processor,
        fields,
        rows,
        splits["validation"],
        splits["test"] if measure_test else None,
        labels_used={} if subset is None else subset.counts,
        warm_start=start,
    )


def subset_labels(config: RunConfig, rows: datasets.Dataset, fields: list[LabelField]) -> LabelSubset | None:
    """Return the training rows of the target corpus with a fraction of their labels, or None if the run uses all."""
    if config.label_fraction == 1:
        return None
    used = label_columns(config)
    columns = [field.name for field in fields if used is None or field.name in used]
    return LabelSubset(RowReader(rows), label_fractions(config.label_fraction, columns))


def check_training(
    options: TrainingOptions, model: AffectPreTrainedModel, collator: AffectCollator, rows: Sequence[dict]
) -> None:
    """Check before training the parts of the model that options name, and the labels that others are generated from.

    Raises:
        ValueError: If the model lacks a part, or no labels can be generated from those of the rows.
    """
    make_parameter_groups(model, options.weight_decay, options.learning_rates, options.weight_decays)
    if any(task.generated_from for task in model.config.tasks):
        initialize_labels(model.config.tasks, collator, rows, options.unimodal_labels)
