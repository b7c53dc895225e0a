# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Location of the real data that the accuracy benchmarks read, and storage of their results."""

import ast
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from mm_affect.evaluation.cards import write_card
from mm_affect.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from mm_affect.evaluation.results import (
    Results,
    SeedResult,
    format_markdown_table,
    format_score,
    read_results,
    write_results,
)
from mm_affect.evaluation.significance import make_bootstrap_metrics, paired_bootstrap


ROOT = Path(__file__).resolve().parent.parent


def find_data(name: str) -> Path:
    """Return the folder `name` in `MM_AFFECT_REALDATA` or, by default, in `../shared/realdata` beside the checkout.

    Raises:
        SystemExit: the folder does not exist.
    """
    path = Path(os.environ.get("MM_AFFECT_REALDATA", ROOT.parent / "shared" / "realdata")) / name
    if not path.is_dir():
        sys.exit(f"{path} does not exist. Set MM_AFFECT_REALDATA to the folder that contains {name!r}.")
    return path


def combine_folds(folds: list[Results], name: str, protocol: str) -> Results:
    """Combine the results of all folds into one: the scores of each seed are averaged over the folds."""
    first = folds[0]

    def mean(scores: list[dict]) -> dict:
        return {key: _mean([score[key] for score in scores]) for key in scores[0]}

    seeds = {}
    for seed in first.seeds:
        runs = [fold.seeds[seed] for fold in folds]
        seeds[seed] = SeedResult(
            epochs=round(sum(run.epochs for run in runs) / len(runs), 1),
            best_epoch=round(sum(run.best_epoch for run in runs) / len(runs), 1),
            validation=mean([run.validation for run in runs]),
            test={subset: mean([run.test[subset] for run in runs]) for subset in runs[0].test},
            seconds=round(sum(run.seconds for run in runs), 1),
        )
    corpus = replace(first.corpus, split_protocol=protocol)
    seconds = round(sum(fold.seconds for fold in folds), 1)
    return replace(first, name=name, corpus=corpus, seeds=seeds, seconds=seconds)


def compare_folds(one: list[Path], other: list[Path], metric: str) -> str:
    """Compare two runs by a paired bootstrap over the seeds and the test rows of all folds, each of which is tested once.

    Args:
        one: output folders of a run, one per fold.
        other: output folders of the run to compare with.
        metric: name of the metric, with its task.

    Returns:
        The difference `one - other` with its 95 % interval and p value, as text.

    Raises:
        ValueError: the seeds of the runs differ.
    """
    seeds = [list(read_results(folds[0] / "results.json").seeds) for folds in (one, other)]
    if seeds[0] != seeds[1]:
        raise ValueError(
            f"{one[0]} has seeds {', '.join(seeds[0])}, {other[0]} has {', '.join(seeds[1])}; train both with the same."
        )
    parts = [
        [make_bootstrap_metrics(_pool_predictions(folds, seed, metric.split(".")[0]), metric) for seed in seeds[0]]
        for folds in (one, other)
    ]
    result = paired_bootstrap(parts, 10_000, 0)
    low, high = result["interval"]
    return f"{result['difference']:+.4f} {metric} (95 %: {low:+.4f} to {high:+.4f}, p {result['p']:.2f})"


def _pool_predictions(folds: list[Path], seed: str, task: str) -> Predictions:
    """Return the predictions of one seed for the test rows of all folds."""
    parts = [read_predictions(folder / "seeds" / f"seed-{seed}" / PREDICTIONS_FILE) for folder in folds]
    pooled = ({task: np.concatenate([values[task] for values in kind])} for kind in zip(*(p[2:] for p in parts)))
    return Predictions([name for part in parts for name in part.ids], parts[0].tasks, *pooled)


def _mean(values: list) -> float | None:
    known = [value for value in values if value is not None and value == value]
    return sum(known) / len(known) if known else None


def save_card(results: Results) -> None:
    """Write results and card to `model_cards/<name>/`, from which `make cards` makes the table of the README.

    The notes of the results are the docstring of the program that produced them (recipe, scores for comparison).
    """
    program = shlex.split(results.command)[1]
    description = ast.get_docstring(ast.parse((ROOT / program).read_text(encoding="utf-8")))
    results = replace(results, notes=f"`{program}`, the program that produced this card, states:\n\n{description}")
    target = ROOT / "model_cards" / results.name
    target.mkdir(parents=True, exist_ok=True)
    write_results(target / "results.json", results)
    write_card(results, target)
    print(f"Saved: {target / 'results.json'}")


def print_scores(runs: list[Results], metric: str) -> None:
    """Print a table of the test scores of runs with all of their modalities."""
    lines = [
        [
            run.name,
            run.full_subset,
            format_score(run.summary[run.full_subset][metric]),
            f"{run.seconds:.0f}",
        ]
        for run in runs
    ]
    print(format_markdown_table(["run", "modalities", f"test {metric}", "seconds"], lines))
