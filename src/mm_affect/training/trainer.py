# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Trainer of transformers with the logging, batching and generated labels that affect recognition needs."""

from collections.abc import Callable, Iterable
from multiprocessing import parent_process
from typing import Any

import torch
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..evaluation.evaluator import compute_metrics, without_warnings
from ..features.collator import AffectCollator
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from .generated_labels import Observation, UnimodalLabels, concatenate, deduplicate, modality_presence
from .optimizers import OPTIMIZERS, make_parameter_groups
from .options import LabelGeneration


class IndexedCollator:
    """Collator that adds the positions of the rows in the training set to a batch, as `rows` `(batch,)`.

    Args:
        collator: Collator of the batch.
        positions: Id of a row -> its position.
    """

    def __init__(self, collator: AffectCollator, positions: dict[str, int]):
        self.collator, self.positions = collator, positions

    def __call__(self, rows: list[dict]) -> dict:
        """Return a batch with the positions of its rows."""
        return self.collator(rows) | {"rows": torch.tensor([self.positions[row["id"]] for row in rows])}


class EpochProgress(TrainerCallback):
    """Progress bar over the epochs, with the latest loss and the metric that selects the epoch."""

    bar: tqdm | None = None  # only during training: `evaluate` may be called on its own

    def on_train_begin(self, args, state, control, **kwargs):
        """Open the bar."""
        self.bar = tqdm(
            total=round(state.num_train_epochs),
            initial=round(state.epoch or 0),
            desc="train",
            unit="epoch",
            disable=parent_process() is not None,  # the bars of parallel processes (`run_parallel`) would mix
        )
        self.postfix: dict[str, str] = {}

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Show the loss and the selecting metric."""
        if self.bar is None:
            return
        selecting = args.metric_for_best_model or "eval_loss"
        names = {"loss": "loss", selecting: selecting.replace("eval_", "validation ")}
        self.postfix |= {names[name]: f"{value:.3f}" for name, value in (logs or {}).items() if name in names}
        self.bar.set_postfix(self.postfix)

    def on_epoch_end(self, args, state, control, **kwargs):
        """Advance the bar."""
        if self.bar is not None:
            self.bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def initialize_labels(
    tasks: list[Task], collator: AffectCollator, rows: Iterable[dict], generation: LabelGeneration
) -> UnimodalLabels:
    """Create the generated labels of a training from the labels of every training row.

    Raises:
        ValueError: If the rows lack the labels that others are generated from.
    """
    labels: dict[str, list[float]] = {
        name: [] for name in sorted({task.generated_from for task in tasks if task.generated_from})
    }
    for name in labels:
        if name not in collator.encoders:
            raise ValueError(
                f"Tasks have `generated_from` {name!r}, but the training rows have no labels of it; use rows that have "
                "them, or remove these tasks."
            )
    ids = []
    for row in rows:
        ids.append(row["id"])
        for name, values in labels.items():
            task, encode = collator.encoders[name]
            values.append(encode((row.get("labels") or {}).get(task.source)))
    origins = {name: torch.tensor(values, dtype=torch.float64) for name, values in labels.items()}
    return UnimodalLabels(tasks, ids, origins, generation)


class LabelUpdateCallback(TrainerCallback):
    """Callback that updates generated labels once per epoch, if chosen, and records them before a checkpoint is saved."""

    def __init__(self, trainer: "AffectTrainer", labels: UnimodalLabels):
        self.trainer, self.labels = trainer, labels

    def on_epoch_end(self, args, state, control, **kwargs):
        """Update and record the labels."""
        labels = self.labels
        if labels.options.update == "epoch":
            labels.update_all(self.trainer.observe_all(labels.views))
        labels.finish_epoch()


class AffectTrainer(Trainer):
    """`Trainer` that logs every loss, batches training rows of similar length, and evaluates in the order of the rows.

    Tasks with `generated_from` get their labels from `unimodal_labels`, which is saved and loaded with the optimizer.

    Do not pass the test split: select on validation, then call `evaluate_subsets`.

    Args:
        model: Model with `config.tasks`.
        args: Training arguments.
        train_dataset: Training rows.
        eval_dataset: Validation rows.
        processor: Processor that makes the batches; saved with every checkpoint.
        label_fields: Label fields of the corpus.
        training_fields: Label fields of the training rows, if they come from several corpora.
        train_sampler: Sampler of the training rows, such as `mixture.MixtureSampler`; default: see `group_by_length`.
        augment: `augmentation.FeatureAugmentation` of the training rows.
        group_by_length: Batch training rows of similar length; otherwise at random.
        optimizer_name: `"adam"` or `"bert_adam"`; `"adamw"` leaves the choice to `args`, unless parts have own values.
        learning_rates: Part of the model -> learning rate, see `optimizers.make_parameter_groups`.
        weight_decays: Part of the model -> weight decay.
        generation: Options of the labels of tasks with `generated_from`; default: those of SUGRM.
        extend_metrics: Function that adds metrics to those of an evaluation, such as the mean of some.
        kwargs: Further arguments of `Trainer`.
    """

    model: AffectPreTrainedModel
    train_dataset: Any  # a `RowDataset`, which has the two methods of a map-style dataset but not its base class
    data_collator: Callable[[list[dict]], dict]

    def __init__(
        self,
        model,
        args,
        train_dataset=None,
        eval_dataset=None,
        *,
        processor,
        label_fields,
        training_fields=None,
        train_sampler=None,
        augment=None,
        group_by_length=True,
        optimizer_name="adamw",
        learning_rates=None,
        weight_decays=None,
        generation=None,
        extend_metrics=lambda metrics: metrics,
        **kwargs,
    ):
        args.remove_unused_columns = False
        args.disable_tqdm = True  # one bar over the epochs instead
        args.label_names = ["labels"]
        tasks = model.config.tasks
        self.training_collator = AffectCollator(processor, tasks, training_fields or label_fields, augment, soft=True)
        super().__init__(
            model,
            args,
            AffectCollator(processor, tasks, label_fields),
            train_dataset,
            eval_dataset,
            compute_metrics=without_warnings(lambda prediction: extend_metrics(compute_metrics(tasks, prediction))),
            **kwargs,
        )
        self.remove_callback(PrinterCallback)
        self.add_callback(EpochProgress())
        self.processor = processor  # not `processing_class`: Trainer expects a tokenizer in it
        self.group_by_length, self.train_sampler = group_by_length, train_sampler
        self.optimizer_name = optimizer_name
        self.learning_rates, self.weight_decays = learning_rates or {}, weight_decays or {}
        self.unimodal_labels: UnimodalLabels | None = None
        if train_dataset is not None and any(task.generated_from for task in tasks):
            generation = generation or LabelGeneration()
            self.unimodal_labels = initialize_labels(tasks, self.training_collator, train_dataset, generation)
            self.add_callback(LabelUpdateCallback(self, self.unimodal_labels))
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0

    def save_model(self, output_dir=None, _internal_call=False):
        """Save the model and its processor."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            self.processor.save_pretrained(output_dir or self.args.output_dir)

    def _push_from_checkpoint(self, checkpoint_folder):
        if self.is_world_process_zero():  # otherwise the Hub has no processor until training ends
            self.processor.save_pretrained(self.args.output_dir)
        super()._push_from_checkpoint(checkpoint_folder)

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.unimodal_labels is not None and self.args.should_save:
            self.unimodal_labels.save(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.unimodal_labels is not None and checkpoint is not None:
            self.unimodal_labels.load(checkpoint)

    def get_train_dataloader(self):
        """Return the DataLoader of the training rows, with their own collator."""
        evaluation_collator, self.data_collator = self.data_collator, self.training_collator
        if self.unimodal_labels is not None:
            self.data_collator = IndexedCollator(self.training_collator, self.unimodal_labels.positions)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = evaluation_collator

    def create_optimizer(self, model=None):
        """Create the optimizer named by `optimizer_name`, with a parameter group per learning rate and weight decay."""
        special = self.optimizer_name != "adamw" or self.learning_rates or self.weight_decays
        if special and self.optimizer is None:
            groups = make_parameter_groups(
                self.model if model is None else model, self.args.weight_decay, self.learning_rates, self.weight_decays
            )
            self.optimizer = OPTIMIZERS[self.optimizer_name](
                groups,
                lr=self.args.learning_rate,
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.args.adam_epsilon,
            )
        return super().create_optimizer(model)

    def _get_train_sampler(self, train_dataset=None):
        if self.train_sampler is not None:
            return self.train_sampler
        if not self.group_by_length:
            return super()._get_train_sampler(train_dataset)
        train_dataset = self.train_dataset if train_dataset is None else train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedSampler(batch, lengths=train_dataset.lengths())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Compute the loss, with the generated labels of the batch, which are updated by its features."""
        rows, labels = inputs.pop("rows", None), self.unimodal_labels
        if rows is not None and labels is not None:
            present = modality_presence(inputs, rows)
            inputs["labels"] = inputs["labels"] | labels.get(rows, present)
        outputs = model(**inputs)
        if rows is not None and labels is not None and labels.options.update == "batch":
            labels.update(self._gather_observation(_observe(rows, outputs, labels.views, present)))
        if model.training:
            for name, value in outputs.losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + value.detach()
            self._count += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _gather_observation(self, observation: Observation) -> Observation:
        """Return the samples of this step from all processes, each once, so that all processes keep the same labels."""

        def gather(tensor: torch.Tensor, fill: int = 0) -> torch.Tensor:
            return self.accelerator.gather(self.accelerator.pad_across_processes(tensor.contiguous(), pad_index=fill))

        views = {view: gather(features) for view, features in observation.views.items()}
        present = {modality: gather(mask.long()).bool() for modality, mask in observation.present.items()}
        return deduplicate(Observation(gather(observation.rows, -1), views, present))

    @torch.no_grad()
    def observe_all(self, views: list[str]) -> Observation:
        """Compute the features of every training row, without augmentation and in evaluation mode.

        Args:
            views: Views of the features.
        """
        model, rows, device, size = self.model, self.train_dataset, self.args.device, self.args.eval_batch_size
        was_training = model.training
        model.eval()
        observations = []
        for start in range(0, len(rows), size):
            positions = torch.arange(start, min(start + size, len(rows)), device=device)
            batch = self.data_collator([rows[i] for i in positions.tolist()])
            inputs = {name: values.to(device) for name, values in batch.items() if name != "labels"}
            present = modality_presence(inputs, positions)
            observations.append(_observe(positions, model(**inputs), views, present).to_cpu())
        model.train(was_training)
        return concatenate(observations)

    def log(self, logs, start_time=None):
        """Log the mean of every loss since the last log."""
        if "loss" in logs and self._count:
            logs |= {f"loss_{name}": round((total / self._count).item(), 6) for name, total in self._sums.items()}
            self._sums, self._count = {}, 0
        super().log(logs, start_time)


def _observe(rows: torch.Tensor, outputs, views: list[str], present: dict[str, torch.Tensor]) -> Observation:
    """Return the observation of samples from the outputs of a model."""
    return Observation(rows, {view: outputs.representations[view].detach() for view in views}, present)
