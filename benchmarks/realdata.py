# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where the real data lie that the accuracy benchmarks read, and how their results are kept."""

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


def folder(name: str) -> Path:
    """`MM_AFFECT_REALDATA`, or `../shared/realdata` beside the checkout; exits with a sentence if it is not there."""
    found = Path(os.environ.get("MM_AFFECT_REALDATA", ROOT.parent / "shared" / "realdata")) / name
    if not found.is_dir():
        sys.exit(f"{found} is not there: set MM_AFFECT_REALDATA to the folder that holds {name!r}.")
    return found


def combine_folds(folds: list[Results], name: str, protocol: str) -> Results:
    """One result from those of every fold: each seed's scores become their mean over the folds."""
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
    """How far the runs of the folds in `one` are above those in `other`, in words: a paired bootstrap over the test rows of all
    folds, each tested once, and over the seeds.

    Raises:
        ValueError: the runs have other seeds.
    """
    seeds = [list(read_results(folds[0] / "results.json").seeds) for folds in (one, other)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"{one[0]} has the seeds {', '.join(seeds[0])} and {other[0]} {', '.join(seeds[1])}.")
    parts = [
        [make_bootstrap_metrics(_pooled(folds, seed, metric.split(".")[0]), metric) for seed in seeds[0]]
        for folds in (one, other)
    ]
    found = paired_bootstrap(parts, 10_000, 0)
    low, high = found["interval"]
    return f"{found['difference']:+.4f} {metric} (95 %: {low:+.4f} to {high:+.4f}, p {found['p']:.2f})"


def _pooled(folds: list[Path], seed: str, task: str) -> Predictions:
    """What one seed predicted for the test rows of all folds."""
    parts = [read_predictions(folder / "seeds" / f"seed-{seed}" / PREDICTIONS_FILE) for folder in folds]
    together = ({task: np.concatenate([values[task] for values in kind])} for kind in zip(*(p[2:] for p in parts)))
    return Predictions([name for part in parts for name in part.ids], parts[0].tasks, *together)


def _mean(values: list) -> float | None:
    known = [value for value in values if value is not None and value == value]
    return sum(known) / len(known) if known else None


def keep(results: Results) -> None:
    """Write results and card to `model_cards/<name>/`, from which README's table is made.

    What the program that made them says of itself (recipe, what to compare with) becomes their notes.
    """
    program = shlex.split(results.command)[1]
    told = ast.get_docstring(ast.parse((ROOT / program).read_text(encoding="utf-8")))
    results = replace(results, notes=f"`{program}`, the program that made this card, says:\n\n{told}")
    target = ROOT / "model_cards" / results.name
    target.mkdir(parents=True, exist_ok=True)
    write_results(target / "results.json", results)
    write_card(results, target)
    print(f"kept: {target / 'results.json'}")


def show(runs: list[Results], metric: str) -> None:
    """The runs' test scores with all their modalities."""
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
