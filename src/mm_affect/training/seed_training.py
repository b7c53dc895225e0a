# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Train one seed of a run, and measure its best epoch."""

import json
import shutil
import time
from pathlib import Path

from transformers import EarlyStoppingCallback, TrainingArguments, set_seed

from ..data.ragged import RowDataset
from ..evaluation.evaluator import compute_metrics, predict, predict_subsets, tune_task_thresholds
from ..evaluation.predictions import PREDICTIONS_FILE, collect_predictions, write_predictions
from ..evaluation.selection import add_selection_mean, get_selection_metric
from ..features.collator import AffectCollator
from ..files import write_atomically
from ..models.modeling import AffectPreTrainedModel
from .augmentation import FeatureAugmentation
from .joint_corpora import JointRows
from .mixture import MixtureSampler
from .options import SCHEDULERS, TrainingOptions
from .prepared_run import PreparedRun
from .trainer import AffectTrainer


def train_seed(prepared: PreparedRun, seed: int, folder: Path) -> None:
    """Train one seed, restore its best epoch, tune thresholds on validation, then measure the test split if there is one.

    Args:
        prepared: The run.
        seed: The seed.
        folder: Folder of the seed; gets the checkpoint, `history.json`, `seed.json`, and the predictions on the test split.
    """
    started = time.time()
    set_seed(seed)
    options, tasks = prepared.config.training, prepared.tasks
    model = prepared.make_model()
    metric, greater = get_selection_metric(prepared.config.training.select_by, tasks)
    checkpoints = folder / "checkpoints"
    checkpoint, epochs = find_resumable_checkpoint(checkpoints, options)
    arguments = make_arguments(options, checkpoints, seed, epochs, metric, greater)
    trainer = make_trainer(prepared, model, arguments, metric)
    trainer.train(resume_from_checkpoint=checkpoint)
    history = trainer.state.log_history
    evaluated = [entry for entry in history if f"eval_{metric}" in entry]
    best = (max if greater else min)(evaluated, key=lambda entry: entry[f"eval_{metric}"])

    collator = AffectCollator(prepared.processor, tasks, prepared.label_fields)
    prediction = predict(model, collator, RowDataset(prepared.validation))
    if options.tune_thresholds:
        model.config.tasks = tune_task_thresholds(model.config.tasks, prediction, options.tune_thresholds)
    validation = add_selection_mean(compute_metrics(model.config.tasks, prediction), metric)
    result = {
        "epochs": len(evaluated),
        "best_epoch": round(best["epoch"]),
        "validation": validation | {"loss": best["eval_loss"]},
    }
    model.save_pretrained(folder)
    if trainer.unimodal_labels is not None:
        trainer.unimodal_labels.save(folder)
    if prepared.test is not None:
        predictions = predict_subsets(model, prepared.processor, prepared.test, prepared.label_fields)
        result["test"] = {
            subset: compute_metrics(model.config.tasks, prediction) for subset, prediction in predictions.items()
        }
        complete = next(iter(predictions.values()))  # with all modalities
        ids = list(prepared.test["id"])
        write_predictions(folder / PREDICTIONS_FILE, collect_predictions(ids, model.config.tasks, complete))
    result["seconds"] = round(time.time() - started, 1)
    write_atomically(folder / "history.json", json.dumps(history, indent=1))
    write_atomically(folder / "seed.json", json.dumps(result, indent=1))  # last: it marks the seed as finished
    shutil.rmtree(checkpoints, ignore_errors=True)


def make_arguments(
    options: TrainingOptions, folder: Path, seed: int, epochs: int, metric: str, greater: bool
) -> TrainingArguments:
    """Translate the training options of a run into arguments of the Trainer.

    Args:
        options: Training options.
        folder: Folder of the checkpoints.
        seed: The seed.
        epochs: Number of the last epoch.
        metric: Validation metric that selects the epoch.
        greater: True if greater values of the metric are better.
    """
    plateau = {"mode": "max" if greater else "min", "factor": 0.1, "patience": 5}
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=max(64, options.batch_size),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        adam_epsilon=options.adam_epsilon,
        max_grad_norm=options.max_grad_norm,
        lr_scheduler_type=SCHEDULERS[options.scheduler],
        lr_scheduler_kwargs=plateau if options.scheduler == "plateau" else None,
        warmup_steps=options.warmup,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{metric}",
        greater_is_better=greater,
        restore_callback_states_from_checkpoint=True,  # a resumed run continues to count the epochs of early stopping
        bf16=options.bf16,
        dataloader_pin_memory=False,
        report_to="none",
    )


def make_trainer(
    prepared: PreparedRun, model: AffectPreTrainedModel, arguments: TrainingArguments, metric: str
) -> AffectTrainer:
    """Create the Trainer of one seed.

    Args:
        prepared: The run.
        model: Model to be trained.
        arguments: Arguments of the Trainer.
        metric: Validation metric that selects the epoch.
    """
    config, options, rows = prepared.config, prepared.config.training, prepared.train
    return AffectTrainer(
        model,
        arguments,
        RowDataset(rows, prepared.processor.modalities),
        RowDataset(prepared.validation),
        processor=prepared.processor,
        label_fields=prepared.label_fields,
        training_fields=prepared.training_fields,
        train_sampler=MixtureSampler(rows.sizes, config.mixture) if isinstance(rows, JointRows) else None,
        augment=FeatureAugmentation(config.augmentation),
        group_by_length=options.group_by_length,
        optimizer_name=options.optimizer,
        learning_rates=options.learning_rates,
        weight_decays=options.weight_decays,
        generation=options.unimodal_labels,
        extend_metrics=lambda metrics: add_selection_mean(metrics, metric),
        callbacks=[EarlyStoppingCallback(options.patience)],
    )


def find_resumable_checkpoint(checkpoints: Path, options: TrainingOptions) -> tuple[str | None, int]:
    """Return the newest complete checkpoint of an interrupted seed, None without one, and the epoch to train up to."""
    states = sorted(checkpoints.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    if not states:  # a checkpoint without this file was interrupted while it was written
        return None, options.epochs
    state = json.loads(states[-1].read_text())
    stopping = state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]
    stopped = stopping["early_stopping_patience_counter"] >= options.patience
    return str(states[-1].parent), round(state["epoch"]) if stopped else options.epochs
