# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A run from its config to checkpoint, results.json, card and plots: every seed trained, selected on validation only."""

import json
import shutil
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoProcessor,
    EarlyStoppingCallback,
    TrainingArguments,
    set_seed,
)

from ..data import RowReader, load
from ..data.ragged import RowDataset
from ..data.record import CorpusRecord
from ..evaluation.cards import describe_start, write_card
from ..evaluation.evaluator import compute_metrics, predict, predict_subsets, tune_task_thresholds
from ..evaluation.predictions import PREDICTIONS_FILE, collect_predictions, read_predictions, write_predictions
from ..evaluation.results import (
    BestSeed,
    CorpusSummary,
    Environment,
    ModelRecord,
    Results,
    SeedResult,
    read_results,
    write_results,
)
from ..evaluation.selection import add_selection_mean, check_selection, get_selection_metric, select_best_seed
from ..evaluation.significance import compute_intervals
from ..features.collator import AffectCollator
from ..features.processor import AffectProcessor
from ..files import write_atomically
from ..label_field import LabelField
from ..messages import did_you_mean, validation_reason
from ..models.configuration import AffectConfig
from ..models.modeling import AffectPreTrainedModel
from ..tasks import Task
from ..vocabulary import MODALITIES
from . import warm_start
from .augmentation import FeatureAugmentation
from .config import RunConfig
from .joint_corpora import RunCorpus, check_features, join_corpora, read_corpora
from .label_subset import LabelSubset, label_fractions
from .mixture import MixtureSampler
from .optimizers import make_parameter_groups
from .options import SCHEDULERS, TrainingOptions
from .parallel import run_parallel
from .run_tasks import check_classes, label_columns, make_tasks, record_tasks
from .text_encoder import check_transcripts, load_text_config, load_text_tokenizer
from .trainer import AffectTrainer, initialize_labels


def run(config: RunConfig, command: str = "", resume: bool = False, overwrite: bool = False, jobs: int = 1) -> Results:
    """Train every seed of a run, keep the one that validation prefers, measure all of them on the test split once.

    `output_dir` then holds the checkpoint (weights, config, processor), `run.json`, `results.json`, the card, plots, and
    under `seeds/` each seed's own checkpoint, history and predictions of the test split.

    Args:
        command: what repeats this run, for results and card.
        resume: go on where an interrupted run with the same config stopped.
        overwrite: replace the output of an earlier run.
        jobs: so many seeds are trained at a time, each in a process of its own.

    Returns: the results, see `mm_affect.results`.

    Raises:
        FileExistsError: `output_dir` exists, and is not a run's, or neither `resume` nor `overwrite` is given.
    """
    prepared = prepare(config, ("train", "validation", "test"))
    _, corpus, tasks, processor = prepared
    output = claim_output(config, corpus, resume, overwrite)  # last: a config that cannot run costs no earlier run
    folders = {seed: output / "seeds" / f"seed-{seed}" for seed in config.seeds}
    unfinished = {seed: folder for seed, folder in folders.items() if not (folder / "seed.json").exists()}
    run_parallel(train_seed, [(config, *seed, *prepared) for seed in unfinished.items()], jobs)
    seeds = {
        str(seed): SeedResult.from_dict(json.loads((folder / "seed.json").read_text()))
        for seed, folder in folders.items()
    }
    best = select_best_seed(config, tasks, seeds)
    model = AutoModel.from_pretrained(output / "seeds" / f"seed-{best}")
    model.save_pretrained(output)
    processor.save_pretrained(output)
    results = Results(
        name=config.name,
        model=ModelRecord(type(model).__name__, model.num_parameters(), corpus.pretrained),
        config=config.to_dict(),
        tasks=record_tasks(tasks, corpus.training_fields),
        corpus=CorpusSummary.from_dict(
            corpus.to_dict() | {"extractors": describe_extractors(config, corpus.target, model.config)}
        ),
        seeds=seeds,
        environment=Environment.current(str(model.device)),
        command=command,
        seconds=round(sum(seed.seconds for seed in seeds.values()), 1),
        date=date.today().isoformat(),
        best=describe_best_seed(output, best, get_selection_metric(config, tasks)[0], seeds),
    )
    write_results(output / "results.json", results)
    publish(output, best)
    return results


def describe_best_seed(output: Path, best: int, metric: str, seeds: dict[str, SeedResult]) -> BestSeed:
    """`best` of results: the seed that validation preferred, by which metric, and the intervals of its test scores."""
    scores = next(iter(seeds[str(best)].test.values()))  # with all the modalities
    predictions = read_predictions(output / "seeds" / f"seed-{best}" / PREDICTIONS_FILE)
    return BestSeed(str(best), metric, seeds[str(best)].validation[metric], compute_intervals(predictions, scores))


def prepare(config: RunConfig, names: tuple[str, ...]) -> tuple[dict, RunCorpus, list[Task], AffectProcessor]:
    """What every seed of a run is trained with: splits of these names, what the rows say of themselves, tasks, processor.

    Raises:
        ValueError: the config cannot run on these rows.
    """
    splits, corpus = load(config.rows), read_corpora(config.rows, config.auxiliary)
    for split in names:
        if split not in splits:
            raise ValueError(f"{config.rows} has no {split} split; it has {', '.join(splits)}.")
    few = subset_labels(config, splits["train"], corpus.target.label_fields)
    if few is not None:
        splits["train"], corpus = few, replace(corpus, labels_used=few.counts)
    if config.auxiliary:
        splits, fields = join_corpora(config.rows, config.auxiliary, label_columns(config), few)
        corpus = replace(corpus, training_fields=fields)
    fields, train = corpus.training_fields, RowDataset(splits["train"])
    tasks = make_tasks(config, fields, train)
    check_classes(tasks, fields, train, f"the training split of {', '.join([config.rows, *config.auxiliary])}")
    validated = RowDataset(splits["validation"])
    where = f"the validation split of {config.rows}"
    check_selection(config, tasks, check_classes(tasks, corpus.target.label_fields, validated, where))
    processor = make_processor(config, corpus.target)
    processor.fit(train, keep=list(processor.statistics))
    for folder in config.auxiliary:
        check_features(processor, corpus.target, folder)
    if config.text_encoder is not None:
        check_transcripts(train, config.rows)
    model = make_model(config, tasks, processor)
    if config.pretrained is not None:
        start = warm_start.summarize(model, warm_start.find_checkpoint(config.pretrained))
        corpus = replace(corpus, pretrained=start)
        print(f"{config.name}: {describe_start(start)}", file=sys.stderr)
    check_training(config.training, model, AffectCollator(processor, tasks, fields), train)
    return {split: splits[split] for split in names}, corpus, tasks, processor


def subset_labels(config: RunConfig, rows, fields: list[LabelField]) -> LabelSubset | None:
    """The target's training rows with the labels of only a share of them, if the run asks for it."""
    if config.label_fraction == 1:
        return None
    read = label_columns(config)
    columns = [field.name for field in fields if read is None or field.name in read]
    return LabelSubset(RowReader(rows), label_fractions(config.label_fraction, columns))


def publish(output: Path, best: int) -> None:
    """Card and plots of a finished run, made from its files; without its seeds' own, no plot of the training."""
    from ..evaluation import plots

    results = read_results(output / "results.json")
    write_card(results, output)
    history = output / "seeds" / f"seed-{best}" / "history.json"
    (output / "plots").mkdir(exist_ok=True)
    try:
        if history.is_file():
            plots.plot_training(json.loads(history.read_text()), output / "plots" / "training.png")
        plots.plot_subsets(results, output / "plots" / "subsets.png")
    except ImportError as error:
        print(f"No plots: {error}")


def claim_output(config: RunConfig, corpus: RunCorpus, resume: bool, overwrite: bool) -> Path:
    """The output folder, with `run.json` and `rows.json` in it; refuses what is not ours to change, or has changed."""
    output = Path(config.output_dir)
    recorded = output / "run.json"
    rows = identify_inputs(config, corpus)
    if output.exists() and any(output.iterdir() if output.is_dir() else [output]):
        if not recorded.is_file():
            raise FileExistsError(
                f"{output} exists and is not the output of a run; it is left alone: choose another folder."
            )
        if resume:
            check_unchanged(config, rows)
        elif overwrite:
            shutil.rmtree(output)
        else:
            raise FileExistsError(
                f"{output} holds an earlier run; add --resume to continue it, --overwrite to replace it (in Python `resume=True`, "
                "`overwrite=True`), or choose another folder."
            )
    output.mkdir(parents=True, exist_ok=True)
    config.save(recorded)
    write_atomically(output / "rows.json", json.dumps(rows, indent=1))
    return output


def identify_inputs(config: RunConfig, corpus: RunCorpus) -> dict:
    """What tells whether the rows, and the weights that training starts from, are still the same."""
    known = {name: getattr(corpus.target, name) for name in ("name", "counts", "manifest_hash")}
    if config.pretrained is not None:
        known["pretrained"] = warm_start.find_checkpoint(config.pretrained).sha256()
    return known | ({"auxiliary": corpus.auxiliary} if corpus.auxiliary else {})


def check_unchanged(config: RunConfig, rows: dict) -> None:
    """Refuse a run in the output folder that began with another config but for seeds, or other rows (see `identity`)."""
    recorded, known = (Path(config.output_dir) / name for name in ("run.json", "rows.json"))
    if replace(RunConfig.load(recorded), seeds=config.seeds) != config:  # seeds may be added
        raise ValueError(
            f"{recorded} differs from this config, so the run can neither be resumed nor reused; use its own "
            "config, or replace the run (`--overwrite`, in Python `overwrite=True`)."
        )
    if not known.is_file() or json.loads(known.read_text()) != rows:
        raise ValueError(
            f"{' or '.join(filter(None, (config.rows, config.pretrained)))} has changed since the run in "
            f"{config.output_dir} began, so it can neither be resumed nor "
            "reused; replace it (`--overwrite`, in Python `overwrite=True`)."
        )


def read_finished(config: RunConfig) -> Results | None:
    """The results of this run if it was finished before, with this config, its seeds and these rows."""
    output = Path(config.output_dir)
    if not all((output / name).is_file() for name in ("run.json", "results.json")):
        return None
    check_unchanged(config, identify_inputs(config, read_corpora(config.rows, config.auxiliary)))
    results = read_results(output / "results.json")
    return results if list(results.seeds) == [str(seed) for seed in config.seeds] else None


def make_processor(config: RunConfig, corpus: CorpusRecord) -> AffectProcessor:
    """The processor saved with the rows, or one without extractors, narrowed to the run's modalities; with the tokenizer of
    the text encoder if the run has one, and the scale of features that pretrained weights are used to."""
    encoder, tokenizer = config.text_encoder, None
    if encoder is not None:
        tokenizer = load_text_tokenizer(encoder, load_text_config(encoder))
    sizes = {m: size for m, size in corpus.sizes.items() if m != "text" or tokenizer is None}
    modalities = config.modalities or list(sizes)
    modalities = [m for m in modalities if m != "text" or tokenizer is None]
    for modality in modalities:
        if modality not in sizes:
            raise ValueError(
                f"The rows have no {modality!r} features; they have {', '.join(m for m in MODALITIES if m in sizes)}."
            )
    normalization, statistics, given = {}, {}, {}
    if (Path(config.rows) / "processor_config.json").exists():
        saved = AutoProcessor.from_pretrained(config.rows)
        normalization = saved.normalization
        given = {m: extractor for m, extractor in saved.made_extractors().items() if m in modalities}
    if config.pretrained is not None:
        ways, statistics = warm_start.read_normalization(
            warm_start.find_checkpoint(config.pretrained), corpus.extractors, modalities
        )
        normalization = normalization | ways
    normalization = normalization | config.normalization
    processor = AffectProcessor(
        {m: sizes[m] for m in modalities},
        {m: corpus.extractors[m] for m in modalities if m in corpus.extractors},
        normalization,
        {m: known for m, known in statistics.items() if normalization[m] == "standard"},
        tokenizer=tokenizer,
        max_tokens=config.max_tokens,
    )
    processor.share_extractors(given)
    return processor


def make_model_config(config: RunConfig, tasks: list[Task], processor: AffectProcessor) -> AffectConfig:
    """The model's config: the preset with the fields of the run, tasks and sizes filled in."""
    known = {name: kind for name, kind in CONFIG_MAPPING.items() if issubclass(kind, AffectConfig)}
    if config.architecture not in known:
        raise ValueError(f"Unknown architecture {config.architecture!r}.{did_you_mean(config.architecture, known)}")
    filled = {"tasks": tasks, "modalities": processor.modalities, "feature_sizes": processor.feature_sizes}
    for name in (*filled, "text_config"):
        if name in config.model:
            raise ValueError(
                f"Config model.{name} is filled in from the rows; remove it (see `tasks`, `modalities`, `text_encoder`)."
            )
    if config.text_encoder is not None:
        filled["text_config"] = load_text_config(config.text_encoder)
    preset = getattr(known[config.architecture], config.preset, None)
    if preset is None:
        raise ValueError(f"The architecture {config.architecture!r} has no preset {config.preset!r}; leave it out.")
    try:
        return preset(**config.model, **filled)
    except StrictDataclassError as error:
        raise ValueError(f"Config model: {validation_reason(error)}.") from None


def make_model(config: RunConfig, tasks: list[Task], processor: AffectProcessor) -> AffectPreTrainedModel:
    """A model to be trained: new, but for the text encoder and for pretrained weights if the run has such."""
    model_config = make_model_config(config, tasks, processor)
    if config.text_encoder is None:
        model = AutoModel.from_config(model_config)
    else:
        model = MODEL_MAPPING[type(model_config)].from_encoders_pretrained(model_config, config.text_encoder)
    if config.pretrained is not None:
        warm_start.copy_weights(model, warm_start.find_checkpoint(config.pretrained))
    return model


def describe_extractors(config: RunConfig, corpus: CorpusRecord, model_config: AffectConfig) -> dict:
    """What makes the features that the model reads."""
    if config.text_encoder is None:
        return corpus.extractors
    size = model_config.feature_sizes["text"]
    return corpus.extractors | {"text": {"name": config.text_encoder, "size": size, "steps": "one per token"}}


def train_seed(config: RunConfig, seed: int, folder: Path, splits, corpus, tasks, processor) -> None:
    """Train one seed, restore the best epoch by validation, tune thresholds there, then measure the test split if given."""
    began = time.time()
    set_seed(seed)
    options = config.training
    model = make_model(config, tasks, processor)
    metric, greater = get_selection_metric(config, tasks)
    schedule = {"mode": "max" if greater else "min", "factor": 0.1, "patience": 5}
    checkpoints = folder / "checkpoints"
    last, epochs_left = find_resumable_checkpoint(checkpoints, options)
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
        RowDataset(splits["train"], processor.modalities),
        validation,
        processor=processor,
        label_fields=corpus.target.label_fields,
        training_fields=corpus.training_fields,
        train_sampler=MixtureSampler(splits["train"].sizes, config.mixture) if config.auxiliary else None,
        augment=FeatureAugmentation(config.augmentation),
        group_by_length=options.group_by_length,
        optimizer_name=options.optimizer,
        learning_rates=options.learning_rates,
        weight_decays=options.weight_decays,
        generation=options.unimodal_labels,
        extend_metrics=lambda found: add_selection_mean(found, metric),
        callbacks=[EarlyStoppingCallback(options.patience)],
    )
    trainer.train(resume_from_checkpoint=last)
    history = trainer.state.log_history
    epochs = [entry for entry in history if f"eval_{metric}" in entry]
    best = (max if greater else min)(epochs, key=lambda entry: entry[f"eval_{metric}"])

    collator = AffectCollator(processor, tasks, corpus.target.label_fields)
    prediction = predict(model, collator, validation)
    if options.tune_thresholds:
        model.config.tasks = tune_task_thresholds(model.config.tasks, prediction, options.tune_thresholds)
    found = {
        "epochs": len(epochs),
        "best_epoch": round(best["epoch"]),
        "validation": add_selection_mean(compute_metrics(model.config.tasks, prediction), metric)
        | {"loss": best["eval_loss"]},
    }
    model.save_pretrained(folder)
    if trainer.unimodal_labels is not None:
        trainer.unimodal_labels.save(folder)
    if "test" in splits:
        answers = predict_subsets(model, processor, splits["test"], corpus.target.label_fields)
        found["test"] = {subset: compute_metrics(model.config.tasks, answer) for subset, answer in answers.items()}
        complete = next(iter(answers.values()))  # with all the modalities
        ids = list(splits["test"]["id"])
        write_predictions(folder / PREDICTIONS_FILE, collect_predictions(ids, model.config.tasks, complete))
    found["seconds"] = round(time.time() - began, 1)
    write_atomically(folder / "history.json", json.dumps(history, indent=1))
    write_atomically(folder / "seed.json", json.dumps(found, indent=1))  # last: it says that the seed is finished
    shutil.rmtree(checkpoints, ignore_errors=True)


def find_resumable_checkpoint(checkpoints: Path, options: TrainingOptions) -> tuple[str | None, int]:
    """The newest complete checkpoint of an interrupted seed, if any, and up to which epoch to train."""
    states = sorted(checkpoints.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    if not states:  # a checkpoint without its state was cut off while it was written
        return None, options.epochs
    state = json.loads(states[-1].read_text())
    stopping = state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]
    stopped = stopping["early_stopping_patience_counter"] >= options.patience
    return str(states[-1].parent), round(state["epoch"]) if stopped else options.epochs


def check_training(options: TrainingOptions, model, collator: AffectCollator, train) -> None:
    """Refuse, before training, rates of parts that the model does not have, and labels that none can be generated from."""
    make_parameter_groups(model, options.weight_decay, options.learning_rates, options.weight_decays)
    if any(task.generated_from for task in model.config.tasks):
        initialize_labels(model.config.tasks, collator, train, options.unimodal_labels)
