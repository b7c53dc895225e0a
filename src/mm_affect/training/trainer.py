# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training and measuring one model: the Trainer of transformers, with what affect recognition needs of it."""

from multiprocessing import parent_process

import torch
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..evaluation.evaluator import compute_metrics, quietly
from ..features.collator import AffectCollator
from .generated_labels import Observation, UnimodalLabels, concatenate, deduplicate, modality_presence
from .optimizers import OPTIMIZERS, make_parameter_groups
from .options import LabelGeneration


class IndexedCollator:
    """A collator whose batches also tell the place of each row in the training set, as `rows` `(batch,)`, by its id."""

    def __init__(self, collator: AffectCollator, places: dict[str, int]):
        self.collator, self.places = collator, places

    def __call__(self, rows: list[dict]) -> dict:
        return self.collator(rows) | {"rows": torch.tensor([self.places[row["id"]] for row in rows])}


class EpochProgress(TrainerCallback):
    """A progress bar over epochs with the last losses and the score that selects the epoch."""

    bar = None  # only while training: `evaluate` may be called on its own

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(
            total=round(state.num_train_epochs),
            initial=round(state.epoch or 0),
            desc="train",
            unit="epoch",
            disable=parent_process() is not None,  # one of several at a time (`run_parallel`), whose bars would mix
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


def initialize_labels(tasks, collator: AffectCollator, rows, generation: LabelGeneration) -> UnimodalLabels:
    """The generated labels before training, from the labels of every training row.

    Raises:
        ValueError: the rows have no labels that the generator can work with.
    """
    origins = {name: [] for name in sorted({task.generated_from for task in tasks if task.generated_from})}
    for name in origins:
        if name not in collator.encoders:
            raise ValueError(f"Labels are to be generated from {name!r}, of which the training rows have no labels.")
    ids = []
    for row in rows:
        ids.append(row["id"])
        for name, labels in origins.items():
            task, encode = collator.encoders[name]
            labels.append(encode((row.get("labels") or {}).get(task.source)))
    origins = {name: torch.tensor(labels, dtype=torch.float64) for name, labels in origins.items()}
    return UnimodalLabels(tasks, ids, origins, generation)


class LabelUpdateCallback(TrainerCallback):
    """At the end of an epoch, before anything is saved: generated labels are moved, if they are once per epoch, and noted."""

    def __init__(self, trainer: "AffectTrainer"):
        self.trainer = trainer

    def on_epoch_end(self, args, state, control, **kwargs):
        labels = self.trainer.unimodal_labels
        if labels.options.update == "epoch":
            labels.update_all(self.trainer.observe_all())
        labels.finish_epoch()


class AffectTrainer(Trainer):
    """`Trainer` that logs every loss, batches rows of like length in training, and evaluates in the data set's order.

    Tasks with `generated_from` get their labels from `unimodal_labels`, which is saved and loaded with the optimizer.

    Args:
        processor: makes the batches; saved with every checkpoint.
        label_fields: the label fields of the corpus.
        training_fields: those of the training rows where they come from several corpora; default: the same.
        train_sampler: the order of the training rows, such as `mixture.MixtureSampler`; default: see `group_by_length`.
        augment: `augmentation.FeatureAugmentation` of the training rows.
        group_by_length: batch rows of like length in training; otherwise at random.
        optimizer_name: `"adam"` or `"bert_adam"`; `"adamw"` leaves the choice to `args`, unless parts are named.
        learning_rates, weight_decays: values for parts of the model, see `optimizers.make_parameter_groups`.
        generation: how labels of tasks with `generated_from` are made; default: as in SUGRM.
        extend_metrics: called with the metrics of an evaluation, gives them with more, such as the mean of some.

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
            compute_metrics=quietly(lambda prediction: extend_metrics(compute_metrics(tasks, prediction))),
            **kwargs,
        )
        self.remove_callback(PrinterCallback)
        self.add_callback(EpochProgress())
        self.processor = processor  # not `processing_class`: Trainer expects a tokenizer in it
        self.group_by_length, self.train_sampler = group_by_length, train_sampler
        self.optimizer_name = optimizer_name
        self.learning_rates, self.weight_decays = learning_rates or {}, weight_decays or {}
        self.unimodal_labels = None
        if train_dataset is not None and any(task.generated_from for task in tasks):
            generation = generation or LabelGeneration()
            self.unimodal_labels = initialize_labels(tasks, self.training_collator, train_dataset, generation)
            self.add_callback(LabelUpdateCallback(self))
        self._sums, self._count = {}, 0

    def save_model(self, output_dir=None, _internal_call=False):
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            self.processor.save_pretrained(output_dir or self.args.output_dir)

    def _push_from_checkpoint(self, checkpoint_folder):
        if self.is_world_process_zero():  # or the Hub has no processor until the end of training
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
        evaluation_collator, self.data_collator = self.data_collator, self.training_collator
        if self.unimodal_labels is not None:
            self.data_collator = IndexedCollator(self.training_collator, self.unimodal_labels.places)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = evaluation_collator

    def create_optimizer(self, model=None):
        special = self.optimizer_name != "adamw" or self.learning_rates or self.weight_decays
        if special and self.optimizer is None:
            trained = self.model if model is None else model
            groups = make_parameter_groups(trained, self.args.weight_decay, self.learning_rates, self.weight_decays)
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
        rows = inputs.pop("rows", None)
        if rows is not None:
            present = modality_presence(inputs, rows)
            inputs["labels"] = inputs["labels"] | self.unimodal_labels.get(rows, present)
        outputs = model(**inputs)
        if rows is not None and self.unimodal_labels.options.update == "batch":
            self.unimodal_labels.update(self._gather_observation(self._observation(rows, outputs, present)))
        if model.training:
            for name, value in outputs.losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + value.detach()
            self._count += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _observation(self, rows, outputs, present) -> Observation:
        views = {view: outputs.representations[view].detach() for view in self.unimodal_labels.views}
        return Observation(rows, views, present)

    def _gather_observation(self, seen: Observation) -> Observation:
        """What all processes saw in this step, so that each keeps the same labels; a row drawn twice counts once."""

        def gather(tensor, fill=0):
            return self.accelerator.gather(self.accelerator.pad_across_processes(tensor.contiguous(), pad_index=fill))

        views = {view: gather(features) for view, features in seen.views.items()}
        present = {modality: gather(here.long()).bool() for modality, here in seen.present.items()}
        return deduplicate(Observation(gather(seen.rows, -1), views, present))

    @torch.no_grad()
    def observe_all(self) -> Observation:
        """The features of every training row, without augmentation, in evaluation mode."""
        was_training, device, found = self.model.training, self.args.device, []
        self.model.eval()
        size, rows = self.args.eval_batch_size, self.train_dataset
        for start in range(0, len(rows), size):
            places = torch.arange(start, min(start + size, len(rows)), device=device)
            batch = self.data_collator([rows[i] for i in places.tolist()])
            inputs = {name: values.to(device) for name, values in batch.items() if name != "labels"}
            found.append(self._observation(places, self.model(**inputs), modality_presence(inputs, places)).to_cpu())
        self.model.train(was_training)
        return concatenate(found)

    def log(self, logs, start_time=None):
        if "loss" in logs and self._count:
            logs |= {f"loss_{name}": round((total / self._count).item(), 6) for name, total in self._sums.items()}
            self._sums, self._count = {}, 0
        super().log(logs, start_time)
