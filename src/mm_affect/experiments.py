# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A run from its config to checkpoint, results.json, card and plots: every seed trained, selected on validation only."""

import json
import shutil
import time
from datetime import date
from pathlib import Path

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoProcessor,
    EarlyStoppingCallback,
    TrainingArguments,
    set_seed,
)

from .cards import write_card
from .data import load, read_corpus
from .metrics import compute_task_metrics, primary_metric
from .models.configuration import MODALITIES, AffectConfig, Task, suggestion
from .models.processing import AffectCollator, AffectProcessor, label_encoder
from .results import environment, read_results, summarise, write_atomically, write_results
from .runs import SCHEDULERS, RunConfig, TrainingOptions, reason_of
from .training import (
    AffectTrainer,
    RowDataset,
    as_field,
    compute_metrics,
    evaluate_subsets,
    predict,
    quietly,
    with_tuned_thresholds,
)


def run(config: RunConfig, command: str = "", resume: bool = False, overwrite: bool = False) -> dict:
    """Train every seed of a run, keep the one that validation prefers, measure all of them on the test split once.

    `output_dir` then holds the checkpoint (weights, config, processor), `run.json`, `results.json`, the card, plots, and
    under `seeds/` each seed's own checkpoint and history.

    Args:
        command: what repeats this run, for results and card.
        resume: go on where an interrupted run with the same config stopped.
        overwrite: replace the output of an earlier run.

    Returns: the results, see `mm_affect.results`.

    Raises:
        FileExistsError: `output_dir` exists, and is not a run's, or neither `resume` nor `overwrite` is given.
    """
    splits, corpus = load(config.data), read_corpus(config.data)
    for split in ("train", "validation", "test"):
        if split not in splits:
            raise ValueError(f"{config.data} has no {split} split; it has {', '.join(splits)}.")
    train = RowDataset(splits["train"])
    tasks = tasks_of(config, corpus, train)
    check_selection(config, tasks)
    processor = processor_of(config, corpus).fit(train)
    model_config_of(config, tasks, processor)
    output = claim_output(config, corpus, resume, overwrite)  # last: a config that cannot run costs no earlier run
    seeds = {}
    for seed in config.seeds:
        folder = output / "seeds" / f"seed-{seed}"
        if not (folder / "seed.json").exists():
            train_seed(config, seed, folder, splits, corpus, tasks, processor)
        seeds[str(seed)] = json.loads((folder / "seed.json").read_text())
    best = best_seed(config, tasks, seeds)
    model = AutoModel.from_pretrained(output / "seeds" / f"seed-{best}")
    model.save_pretrained(output)
    processor.save_pretrained(output)
    results = {
        "format": "mm_affect results",
        "version": 1,
        "name": config.name,
        "model": {"architecture": type(model).__name__, "parameters": model.num_parameters()},
        "config": config.to_dict(),
        "tasks": [as_field(task) for task in tasks],
        "corpus": {name: corpus.get(name) for name in
                   ("name", "synthetic", "licence", "counts", "manifest_hash", "split_protocol", "extractors")},
        "seeds": seeds,
        "summary": summarise(seeds),
        "command": command,
        "seconds": round(sum(seed["seconds"] for seed in seeds.values()), 1),
        "date": date.today().isoformat(),
    } | environment(str(model.device))  # fmt: skip
    write_results(output / "results.json", results)
    publish(output, best)
    return results


def publish(output: Path, best: int) -> None:
    """Card and plots of a finished run, made from its files."""
    from . import plots

    results = read_results(output / "results.json")
    write_card(results, output)
    history = json.loads((output / "seeds" / f"seed-{best}" / "history.json").read_text())
    (output / "plots").mkdir(exist_ok=True)
    try:
        plots.plot_training(history, output / "plots" / "training.png")
        plots.plot_subsets(results, output / "plots" / "subsets.png")
    except ImportError as error:
        print(f"No plots: {error}")


def claim_output(config: RunConfig, corpus: dict, resume: bool, overwrite: bool) -> Path:
    """The output folder, with `run.json` and `rows.json` in it; refuses what is not ours to change, or has changed."""
    output = Path(config.output_dir)
    recorded = output / "run.json"
    rows = identity(corpus)
    if output.exists() and any(output.iterdir() if output.is_dir() else [output]):
        if not recorded.is_file():
            raise FileExistsError(
                f"{output} exists and is not the output of a run; it is left alone: choose another folder."
            )
        if resume:
            check_same(config, rows)
        elif overwrite:
            shutil.rmtree(output)
        else:
            raise FileExistsError(f"{output} holds an earlier run; resume it, overwrite it, or choose another folder.")
    output.mkdir(parents=True, exist_ok=True)
    config.save(recorded)
    write_atomically(output / "rows.json", json.dumps(rows, indent=1))
    return output


def identity(corpus: dict) -> dict:
    """What tells whether the rows are still the same."""
    return {name: corpus[name] for name in ("name", "counts", "manifest_hash")}


def check_same(config: RunConfig, rows: dict) -> None:
    """Refuse a run in the output folder that began with another config, or with other rows (see `identity`)."""
    recorded, known = (Path(config.output_dir) / name for name in ("run.json", "rows.json"))
    if RunConfig.load(recorded) != config:
        raise ValueError(
            f"{recorded} differs from this config, so the run cannot be resumed, nor stand for it; use its own "
            "config, or overwrite it."
        )
    if not known.is_file() or json.loads(known.read_text()) != rows:
        raise ValueError(
            f"{config.data} has changed since the run in {config.output_dir} began, so it cannot be resumed, nor "
            "stand for it; overwrite it."
        )


def finished(config: RunConfig) -> dict | None:
    """The results of this run if it was finished before, with this config and these rows."""
    output = Path(config.output_dir)
    if not all((output / name).is_file() for name in ("run.json", "results.json")):
        return None
    check_same(config, identity(read_corpus(config.data)))
    return read_results(output / "results.json")


def tasks_of(config: RunConfig, corpus: dict, train: RowDataset) -> list[Task]:
    """The tasks of the run: those of the config or one per label column, with class weights if `balance` asks for them."""
    columns = {column["name"]: column for column in corpus["label_fields"]}
    described = config.tasks or [
        {"name": name, "problem_type": column["problem_type"], "value_range": column.get("range"),
         "labels": column["labels"] if column["problem_type"] != "regression" else []}
        for name, column in columns.items()
    ]  # fmt: skip
    tasks = [Task.from_dict(task) for task in described]
    for task in tasks:
        if task.source not in columns:
            raise ValueError(
                f"Task {task.name!r} reads {task.source!r}; the rows have the labels {', '.join(columns)}."
            )
    if not config.training.balance:
        return tasks
    return [balanced(task, columns[task.source], train) for task in tasks]


def balanced(task: Task, column: dict, train: RowDataset) -> Task:
    """The task with class weights from the training rows: N_negative / N_positive per label, or N / (K N_k) per class."""
    if task.class_weights is not None or task.problem_type == "regression":
        return task
    encode = label_encoder(task, column)
    targets = np.array([encode(row["labels"].get(task.source)) for row in train], dtype=np.float64)
    if task.problem_type == "multi_label_classification":
        positive, known = np.nansum(targets, 0), (~np.isnan(targets)).sum(0)
        weights = (known - positive) / np.maximum(positive, 1)
    else:
        counts = np.array([(targets == i).sum() for i in range(task.num_outputs)])
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return Task.from_dict(task.to_dict() | {"class_weights": [round(float(w), 4) for w in weights]})


def processor_of(config: RunConfig, corpus: dict) -> AffectProcessor:
    """The processor saved with the rows, or one without extractors, narrowed to the run's modalities."""
    modalities = config.modalities or list(corpus["sizes"])
    for modality in modalities:
        if modality not in corpus["sizes"]:
            raise ValueError(
                f"The rows have no {modality!r} features; they have {', '.join(m for m in MODALITIES if m in corpus['sizes'])}."
            )
    normalisation = config.normalisation
    given = {}
    if (Path(config.data) / "processor_config.json").exists():
        saved = AutoProcessor.from_pretrained(config.data)
        normalisation = saved.normalisation | normalisation
        given = {m: saved.extractor(m) for m in modalities if m in saved.extractors}
    processor = AffectProcessor(
        {m: corpus["sizes"][m] for m in modalities},
        {m: corpus["extractors"][m] for m in modalities if m in corpus["extractors"]},
        normalisation,
    )
    processor.share_extractors(given)
    return processor


def model_config_of(config: RunConfig, tasks: list[Task], processor: AffectProcessor) -> AffectConfig:
    """The model's config: the preset with the fields of the run, tasks and sizes filled in."""
    known = {name: kind for name, kind in CONFIG_MAPPING.items() if issubclass(kind, AffectConfig)}
    if config.architecture not in known:
        raise ValueError(f"Unknown architecture {config.architecture!r}.{suggestion(config.architecture, known)}")
    filled = {"tasks": tasks, "modalities": list(processor.feature_sizes), "feature_sizes": processor.feature_sizes}
    for name in filled:
        if name in config.model:
            raise ValueError(f"Config model.{name} is filled in from the rows; remove it (see `tasks`, `modalities`).")
    preset = getattr(known[config.architecture], config.preset, None)
    if preset is None:
        raise ValueError(f"The architecture {config.architecture!r} has no preset {config.preset!r}; leave it out.")
    try:
        return preset(**config.model, **filled)
    except StrictDataclassError as error:
        raise ValueError(f"Config model: {reason_of(error)}.") from None


def train_seed(config: RunConfig, seed: int, folder: Path, splits, corpus, tasks, processor) -> None:
    """Train one seed, restore the best epoch by validation, tune thresholds there, then measure the test split."""
    began = time.time()
    set_seed(seed)
    options = config.training
    model = AutoModel.from_config(model_config_of(config, tasks, processor))
    metric, greater = selection_of(config, tasks)
    schedule = {"mode": "max" if greater else "min", "factor": 0.1, "patience": 5}
    checkpoints = folder / "checkpoints"
    last, epochs_left = resumable(checkpoints, options)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        seed=seed,
        num_train_epochs=epochs_left,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=max(64, options.batch_size),
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        adam_epsilon=options.adam_epsilon,
        max_grad_norm=options.max_grad_norm,
        lr_scheduler_type=SCHEDULERS[options.scheduler],
        lr_scheduler_kwargs=schedule if options.scheduler == "plateau" else None,
        warmup_steps=options.warmup,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{metric}",
        greater_is_better=greater,
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting
        bf16=options.bf16,
        dataloader_pin_memory=False,
        report_to="none",
    )
    validation = RowDataset(splits["validation"])
    trainer = AffectTrainer(
        model,
        arguments,
        RowDataset(splits["train"], tuple(processor.feature_sizes)),
        validation,
        processor=processor,
        label_fields=corpus["label_fields"],
        augment=config.augmentation,
        group_by_length=options.group_by_length,
        bert_adam=options.optimizer == "bert_adam",
        callbacks=[EarlyStoppingCallback(options.patience)],
    )
    trainer.train(resume_from_checkpoint=last)
    history = trainer.state.log_history
    epochs = [entry for entry in history if f"eval_{metric}" in entry]
    best = (max if greater else min)(epochs, key=lambda entry: entry[f"eval_{metric}"])

    collator = AffectCollator(processor, tasks, corpus["label_fields"])
    prediction = predict(model, collator, validation)
    if options.tune_thresholds:
        model.config.tasks = with_tuned_thresholds(tasks, prediction, options.tune_thresholds)
    found = {
        "epochs": len(epochs),
        "best_epoch": round(best["epoch"]),
        "validation": compute_metrics(model.config.tasks, prediction) | {"loss": best["eval_loss"]},
        "test": evaluate_subsets(model, processor, splits["test"], corpus["label_fields"]),
        "seconds": round(time.time() - began, 1),
    }
    model.save_pretrained(folder)
    write_atomically(folder / "history.json", json.dumps(history, indent=1))
    write_atomically(folder / "seed.json", json.dumps(found, indent=1))  # last: it says that the seed is finished
    shutil.rmtree(checkpoints, ignore_errors=True)


def resumable(checkpoints: Path, options: TrainingOptions) -> tuple[str | None, int]:
    """The newest complete checkpoint of an interrupted seed, if any, and up to which epoch to train."""
    states = sorted(checkpoints.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    if not states:  # a checkpoint without its state was cut off while it was written
        return None, options.epochs
    state = json.loads(states[-1].read_text())
    stopping = state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]
    stopped = stopping["early_stopping_patience_counter"] >= options.patience
    return str(states[-1].parent), round(state["epoch"]) if stopped else options.epochs


def check_selection(config: RunConfig, tasks: list[Task]) -> None:
    """Refuse, before training, a metric that no epoch will have."""
    truth = {"regression": np.zeros(2), "single_label_classification": np.zeros(2, int)}
    known = ["loss"]
    for task in tasks:
        scores = np.zeros((2, task.num_outputs))
        zeros = truth.get(task.problem_type, scores)
        known += [f"{task.name}.{name}" for name in quietly(compute_task_metrics)(as_field(task), zeros, scores)]
    wanted = selection_of(config, tasks)[0]
    if wanted not in known:
        raise ValueError(f"Config training.select_by is {wanted!r}, which is not measured.{suggestion(wanted, known)}")


def selection_of(config: RunConfig, tasks: list[Task]) -> tuple[str, bool]:
    """The validation metric that chooses the epoch, and whether greater is better."""
    if config.training.select_by == "loss":
        return "loss", False
    if config.training.select_by is None:
        name, greater = primary_metric(as_field(tasks[0]))
        return f"{tasks[0].name}.{name}", greater
    name = config.training.select_by.split(".")[-1]
    return config.training.select_by, name not in ("mae", "hamming_loss")


def best_of(output: Path) -> int:
    """The seed that validation preferred, of a finished run."""
    results = read_results(output / "results.json")
    config = RunConfig.from_dict(results["config"])
    tasks = [Task.from_dict({"name": t["name"], "problem_type": t["problem_type"],
                             "labels": t["labels"] if t["problem_type"] != "regression" else []})
             for t in results["tasks"]]  # fmt: skip
    return best_seed(config, tasks, results["seeds"])


def best_seed(config: RunConfig, tasks: list[Task], seeds: dict) -> int:
    """The seed with the best validation score; of equal ones the first."""
    metric, greater = selection_of(config, tasks)
    return int((max if greater else min)(seeds, key=lambda seed: seeds[seed]["validation"][metric]))
