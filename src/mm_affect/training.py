# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training and measuring one model: the Trainer of transformers, with what affect recognition needs of it."""

import warnings

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import EvalPrediction, PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from .data import RowReader
from .metrics import compute_task_metrics, tune_thresholds
from .models.configuration import MODALITIES, Task
from .models.modeling import AffectPreTrainedModel
from .models.processing import AffectCollator, AffectProcessor
from .optimizers import BertAdam, decay_groups


class RowDataset(Dataset):
    """Rows for a DataLoader, read as views of the memory-mapped file.

    Args:
        rows: a `datasets.Dataset` of feature rows, or any sequence of row dicts.
        modalities: the modalities that are kept; the others are missing.
    """

    def __init__(self, rows, modalities=MODALITIES):
        self.reader = RowReader(rows) if hasattr(rows, "features") else rows
        self.modalities = tuple(modalities)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> dict:
        row = self.reader[index]
        return {name: value for name, value in row.items() if name not in MODALITIES or name in self.modalities}

    def lengths(self) -> list[int]:
        """Steps of the longest stream of each row."""
        return [max(len(row[m]) for m in MODALITIES if row.get(m) is not None) for row in self]


class EpochProgress(TrainerCallback):
    """A progress bar over epochs with the last losses and the score that selects the epoch."""

    bar = None  # only while training: `evaluate` may be called on its own

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(
            total=round(state.num_train_epochs), initial=round(state.epoch or 0), desc="train", unit="epoch"
        )
        self.shown = {}

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.bar is None:
            return
        selecting = args.metric_for_best_model or "eval_loss"
        wanted = {"loss": "loss", selecting: selecting.replace("eval_", "validation ")}
        self.shown |= {wanted[name]: f"{value:.3f}" for name, value in (logs or {}).items() if name in wanted}
        self.bar.set_postfix(self.shown)

    def on_epoch_end(self, args, state, control, **kwargs):
        self.bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()
        self.bar = None


def quietly(function):
    """`function` without its warnings: what is undefined on a small validation split is said once, at the end."""

    def quiet(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments)

    return quiet


class AffectTrainer(Trainer):
    """`Trainer` that logs every loss, batches rows of like length in training, and evaluates in the data set's order.

    Args:
        processor: makes the batches; saved with every checkpoint.
        label_fields: the label fields of the corpus.
        augment: `augmentation.Augmentation` of the training rows.
        group_by_length: batch rows of like length in training; otherwise at random.
        bert_adam: train with `optimizers.BertAdam` instead of what `args` names.

    The other arguments are `Trainer`'s. The test split has no place here: select on validation, then call
    `evaluate_subsets`.
    """

    def __init__(
        self,
        model,
        args,
        train_dataset=None,
        eval_dataset=None,
        *,
        processor,
        label_fields,
        augment=None,
        group_by_length=True,
        bert_adam=False,
        **kwargs,
    ):
        args.remove_unused_columns = False
        args.disable_tqdm = True  # one bar over the epochs instead
        args.label_names = ["labels"]
        tasks = model.config.tasks
        self.training_collator = AffectCollator(processor, tasks, label_fields, augment)
        super().__init__(
            model,
            args,
            AffectCollator(processor, tasks, label_fields),
            train_dataset,
            eval_dataset,
            compute_metrics=quietly(lambda prediction: compute_metrics(tasks, prediction)),
            **kwargs,
        )
        self.remove_callback(PrinterCallback)
        self.add_callback(EpochProgress())
        self.processor = processor  # not `processing_class`: Trainer expects a tokenizer in it
        self.group_by_length = group_by_length
        self.bert_adam = bert_adam
        self._sums, self._count = {}, 0

    def save_model(self, output_dir=None, _internal_call=False):
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            self.processor.save_pretrained(output_dir or self.args.output_dir)

    def get_train_dataloader(self):
        evaluation_collator, self.data_collator = self.data_collator, self.training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = evaluation_collator

    def create_optimizer(self, model=None):
        if self.bert_adam and self.optimizer is None:
            groups = decay_groups(self.model if model is None else model, self.args.weight_decay)
            betas = (self.args.adam_beta1, self.args.adam_beta2)
            self.optimizer = BertAdam(groups, self.args.learning_rate, betas, self.args.adam_epsilon)
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset=None):
        if not self.group_by_length:
            return super()._get_train_sampler(train_dataset)
        train_dataset = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(batch, lengths=train_dataset.lengths())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        if model.training:
            for name, value in outputs.losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + value.detach()
            self._count += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs, start_time=None):
        if "loss" in logs and self._count:
            logs |= {f"loss_{name}": round((total / self._count).item(), 6) for name, total in self._sums.items()}
            self._sums, self._count = {}, 0
        super().log(logs, start_time)


def compute_metrics(tasks: list[Task], prediction: EvalPrediction) -> dict[str, float]:
    """Metrics of every task with labels, keyed `<task>.<metric>`."""
    metrics = {}
    for task in tasks:
        if task.name in prediction.label_ids:
            scores = task.scores(prediction.predictions[task.name])
            found = compute_task_metrics(as_field(task), prediction.label_ids[task.name], scores, task.threshold)
            metrics |= {f"{task.name}.{name}": value for name, value in found.items()}
    return metrics


def as_field(task: Task) -> dict:
    """A task in the words of a label field, as `metrics` reads it."""
    labels = list(task.labels) or [task.name]
    return {"name": task.name, "problem_type": task.problem_type, "labels": labels, "range": task.value_range}


@torch.no_grad()
def predict(model: AffectPreTrainedModel, collator: AffectCollator, rows, batch_size: int = 64) -> EvalPrediction:
    """Logits and labels of every row, in order, per task."""
    model.eval()
    logits, labels = {}, {}
    for start in range(0, len(rows), batch_size):
        batch = collator([rows[i] for i in range(start, min(start + batch_size, len(rows)))])
        truth = batch.pop("labels")
        output = model(**{name: values.to(model.device) for name, values in batch.items()})
        for name, values in output.logits.items():
            logits.setdefault(name, []).append(values.float().cpu().numpy())
        for name, values in truth.items():
            labels.setdefault(name, []).append(values.numpy())
    join = lambda parts: {name: np.concatenate(values) for name, values in parts.items()}  # noqa: E731
    return EvalPrediction(predictions=join(logits), label_ids=join(labels))


def modality_subsets(modalities) -> list[tuple[str, ...]]:
    """Every non-empty subset of the modalities, the fullest first."""
    count = len(modalities)
    subsets = [
        tuple(m for i, m in enumerate(modalities) if bits >> (count - 1 - i) & 1) for bits in range(1, 2**count)
    ]
    return sorted(subsets, key=lambda subset: (-len(subset), [MODALITIES.index(m) for m in subset]))


def evaluate_subsets(model, processor: AffectProcessor, rows, label_fields, batch_size: int = 64) -> dict[str, dict]:
    """Metrics with every subset of the model's modalities, keyed like `"text+audio"`; the others are missing."""
    collator = AffectCollator(processor, model.config.tasks, label_fields)
    results = {}
    for subset in modality_subsets(model.config.modalities):
        prediction = predict(model, collator, RowDataset(rows, subset), batch_size)
        results["+".join(subset)] = compute_metrics(model.config.tasks, prediction)
    return results


def with_tuned_thresholds(tasks: list[Task], validation: EvalPrediction, metric: str) -> list[Task]:
    """The tasks, multi-label ones with a threshold per label chosen on validation predictions.

    Args:
        metric: `"f1_binary"` or `"weighted_accuracy"`, among others of `metrics.tune_thresholds`.
    """
    tuned = []
    for task in tasks:
        if task.problem_type == "multi_label_classification" and task.name in validation.label_ids:
            scores = task.scores(validation.predictions[task.name])
            thresholds = tune_thresholds(validation.label_ids[task.name], scores, metric)
            task = Task.from_dict(task.to_dict() | {"threshold": [round(float(t), 4) for t in thresholds]})
        tuned.append(task)
    return tuned
