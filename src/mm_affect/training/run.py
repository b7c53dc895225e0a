# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run a config: train every seed, select on the validation split, and write checkpoint, results.json, card and plots."""

import json
from datetime import date
from pathlib import Path

from transformers import AutoModel

from ..evaluation.cards import write_card
from ..evaluation.predictions import PREDICTIONS_FILE, read_predictions
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
from ..evaluation.selection import get_selection_metric, select_best_seed
from ..evaluation.significance import compute_intervals
from ..models.modeling import AffectPreTrainedModel
from .config import RunConfig
from .parallel import run_parallel
from .prepared_run import PreparedRun, prepare
from .run_output import claim_output
from .run_tasks import record_tasks
from .seed_training import train_seed


def run(config: RunConfig, command: str = "", resume: bool = False, overwrite: bool = False, jobs: int = 1) -> Results:
    """Train every seed of a run, select the best one on the validation split, and measure all on the test split once.

    `output` then contains the checkpoint (weights, config, processor), `run.json`, `results.json`, the card, plots, and
    under `seeds/` the checkpoint, the history and the predictions on the test split of each seed.

    Args:
        config: Config of the run.
        command: Command that repeats the run, for results and card.
        resume: Continue an interrupted run that has the same config.
        overwrite: Replace the output of an earlier run.
        jobs: Number of seeds that are trained in parallel, each in its own process.

    Returns:
        The results, as in results.json.

    Raises:
        FileExistsError: If `output` exists and is not the output of a run, or neither `resume` nor `overwrite` is given.
        ValueError: If the config cannot run on the rows.
    """
    prepared = prepare(config)
    # After `prepare`, so that a config that cannot run does not delete the output of an earlier run.
    output = claim_output(config, prepared.corpora, resume, overwrite)
    folders = {seed: output / "seeds" / f"seed-{seed}" for seed in config.seeds}
    unfinished = {seed: folder for seed, folder in folders.items() if not (folder / "seed.json").exists()}
    run_parallel(train_seed, [(prepared, seed, folder) for seed, folder in unfinished.items()], jobs)
    seeds = {
        str(seed): SeedResult.from_dict(json.loads((folder / "seed.json").read_text()))
        for seed, folder in folders.items()
    }
    best = select_best_seed(config.training.select_by, prepared.tasks, seeds)
    model = AutoModel.from_pretrained(folders[best])
    model.save_pretrained(output)
    prepared.processor.save_pretrained(output)
    results = collect_results(prepared, seeds, best, model, command)
    write_results(output / "results.json", results)
    publish(output, best)
    return results


def collect_results(
    prepared: PreparedRun, seeds: dict[str, SeedResult], best: int, model: AffectPreTrainedModel, command: str
) -> Results:
    """Collect the results of a run whose seeds are finished.

    Args:
        prepared: The run.
        seeds: Results of each seed.
        best: Seed with the best validation score.
        model: Model of that seed.
        command: Command that repeats the run.
    """
    config, corpus = prepared.config, prepared.corpora.target
    metric, _ = get_selection_metric(config.training.select_by, prepared.tasks)
    validation = seeds[str(best)].validation[metric]
    assert validation is not None  # seeds with an undefined score are never the best
    test_scores = next(iter(seeds[str(best)].test.values()))  # with all modalities
    predictions = read_predictions(Path(config.output) / "seeds" / f"seed-{best}" / PREDICTIONS_FILE)
    return Results(
        name=config.name,
        model=ModelRecord(type(model).__name__, model.num_parameters(), prepared.warm_start),
        config=config.to_dict(),
        tasks=record_tasks(prepared.tasks, prepared.training_fields),
        corpus=CorpusSummary(
            corpus.name,
            corpus.synthetic,
            corpus.license,
            dict(corpus.counts),
            corpus.manifest_hash,
            corpus.split_protocol,
            describe_extractors(prepared, model.config.feature_sizes),
            auxiliary=prepared.corpora.auxiliary,
            labels_used=prepared.labels_used,
        ),
        seeds=seeds,
        environment=Environment.current(str(model.device)),
        command=command,
        seconds=round(sum(seed.seconds for seed in seeds.values()), 1),
        date=date.today().isoformat(),
        best=BestSeed(str(best), metric, validation, compute_intervals(predictions, test_scores)),
    )


def describe_extractors(prepared: PreparedRun, feature_sizes: dict[str, int]) -> dict[str, dict]:
    """Describe the extractors, and the text encoder, of the features that the model reads, by modality."""
    extractors, encoder = prepared.corpora.target.extractors, prepared.config.text_encoder
    if encoder is None:
        return extractors
    return extractors | {"text": {"name": encoder, "size": feature_sizes["text"], "steps": "one per token"}}


def publish(output: Path, best: int) -> None:
    """Write the card and the plots of a finished run; the training is plotted only if its history is there."""
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
