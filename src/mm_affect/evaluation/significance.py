# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Is one run better than another, or was it lucky with its samples and seeds? A paired bootstrap over both.

The difference of two runs is that of their mean scores over the seeds, as in `results.json`. It would be another one on
other test samples and with other seeds:

* Samples: the test rows are drawn again with replacement, thousands of times, the same rows for both runs and all seeds,
  and both runs are collect_predictions on them (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 16).
* Seeds: runs are paired by seed, too, and the mean difference is moved by s / sqrt(n) times a draw from Student's t with
  n - 1 degrees of freedom; s is the deviation of the difference over the n seeds. To draw the seeds with replacement as
  well is the usual way, but five are too few for it: in simulation, where the seeds decide, its 95 % intervals hold
  the truth in 87 % of the cases, and these in 96 %. One seed says nothing of others, and they are left out then.

The interval is that of the percentiles, and p is its counterpart: twice the share of draws on the far side of 0.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..messages import did_you_mean
from .metrics import ALL_LABELS, PER_LABEL, REGRESSION, SENTIMENT, SINGLE_LABEL, f1_binary, get_primary_metric
from .predictions import PREDICTIONS_FILE, Predictions, read_predictions
from .results import read_results


MAX_CELLS = 2_000_000  # drawn rows that are held at a time: a bound on memory


# Metrics on many draws at a time


def _f1(tp, fp, fn):
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


# Metrics that are the mean over samples of what they are on one sample ...
MEANS = ("accuracy", "subset_accuracy", "jaccard_accuracy", "mae",
         "acc7", "acc5", "acc2_has0", "acc2_non0", "acc2_clip01")  # fmt: skip
# ... and those made of the numbers of true and false positives, false and true negatives. Any other is computed draw by draw.
COUNTS = {
    "weighted_accuracy": lambda tp, fp, fn, tn: (tp / (tp + fn) + tn / (tn + fp)) / 2,
    "f1_binary": lambda tp, fp, fn, tn: _f1(tp, fp, fn),
    "f1_micro": lambda tp, fp, fn, tn: _f1(tp, fp, fn),
    "f1_weighted": lambda tp, fp, fn, tn: (
        ((tp + fn) * _f1(tp, fp, fn) + (fp + tn) * _f1(tn, fn, fp)) / (tp + fp + fn + tn)
    ),
    "precision_micro": lambda tp, fp, fn, tn: tp / np.maximum(tp + fp, 1),
    "recall_micro": lambda tp, fp, fn, tn: tp / np.maximum(tp + fn, 1),
    "hamming_loss": lambda tp, fp, fn, tn: (fp + fn) / (tp + fp + fn + tn),
}


class BootstrapMetric:
    """One metric function of `metrics` on one truth and prediction: of a task, or of one label of it.

    Args:
        binary: whether truth and prediction are 0 and 1, or unknown.
    """

    def __init__(self, function: Callable, truth: np.ndarray, prediction: np.ndarray, binary: bool):
        self.function, self.truth, self.prediction = function, truth, prediction
        self.finish = None
        if function.__name__ in MEANS:
            pairs = np.concatenate([array.reshape(len(truth), -1) for array in (truth, prediction)], axis=1)
            _, first, same = np.unique(pairs, axis=0, return_index=True, return_inverse=True)  # classes make few pairs
            each = np.array([function(truth[i : i + 1], prediction[i : i + 1]) for i in first])[
                same.ravel()
            ]  # a column in numpy 2.0
            self.sums = np.stack([np.nan_to_num(each), ~np.isnan(each)], -1)
            self.finish = lambda total, known: total / known
        elif binary and function.__name__ in COUNTS:
            true, false, predicted = truth == 1, truth == 0, prediction == 1
            cells = [true & predicted, false & predicted, true & ~predicted, false & ~predicted]
            self.sums = np.stack([kind.reshape(len(truth), -1).sum(1) for kind in cells], -1)
            self.finish = COUNTS[function.__name__]

    def compute(self) -> float:
        """The metric on all samples."""
        return self.function(self.truth, self.prediction)

    def resample(self, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The metric on each draw, `(draws,)`: `rows` are the samples of each, `times` how often each sample is among them."""
        if self.finish is None:
            return np.array([self.function(self.truth[draw], self.prediction[draw]) for draw in rows])
        with np.errstate(invalid="ignore", divide="ignore"):  # undefined on this draw
            return self.finish(*(times @ self.sums.astype(np.float64)).T)


def make_bootstrap_metrics(predictions: Predictions, metric: str) -> list[BootstrapMetric]:
    """The parts whose mean, where they are defined, is `task.metric` (or `task.metric.label`).

    Raises:
        ValueError: there is no such metric.
    """
    name, kind, label = (*metric.split(".", 2), None, None)[:3]
    task, truth, scores = predictions.tasks[name], predictions.truth[name], predictions.scores[name]
    labels, several = task["labels"], task["problem_type"] == "multi_label_classification"
    if several:
        known = PER_LABEL | ALL_LABELS
        truth = np.where(np.isnan(truth), np.nan, truth > 0)
        threshold = (task.get("metric_thresholds") or {}).get(kind, task["threshold"])  # older files have one for all
        decided = (scores > np.asarray(threshold)).astype(np.float64)
    elif task["problem_type"] == "regression":
        known = REGRESSION | (SENTIMENT if task["range"] and list(task["range"]) == [-3, 3] else {})
    else:
        known = SINGLE_LABEL | ({"f1_binary": f1_binary} if len(labels) == 2 else {})
        scores = scores.argmax(1)
    if kind not in known:
        raise ValueError(f"There is no metric {kind!r} of {name!r}.{did_you_mean(str(kind), known)}")
    if label is not None and not (several and kind in PER_LABEL):
        raise ValueError(f"The metric {kind!r} of {name!r} is not measured per label; write {name}.{kind}.")
    if label is not None and label not in labels:
        raise ValueError(f"The task {name!r} has no label {label!r}.{did_you_mean(label, labels)}")
    if not several:
        return [BootstrapMetric(known[kind], truth, scores, binary=len(labels) == 2)]
    if kind in ALL_LABELS:
        return [BootstrapMetric(known[kind], truth, decided, binary=True)]
    values = scores if kind == "auc" else decided
    chosen = range(len(labels)) if label is None else [labels.index(label)]
    return [BootstrapMetric(known[kind], truth[:, i], values[:, i], binary=True) for i in chosen]


def average_defined(values: list) -> np.ndarray:
    """Mean over parts where they are defined, NaN where none is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(np.stack(values), axis=0)


# Two runs


def compare(
    one: str | Path, other: str | Path, metric: str | None = None, resamples: int = 10_000, seed: int = 0
) -> dict:
    """How far `one` is above `other`, both folders of finished runs.

    Args:
        metric: `task.metric` or, for several labels, `task.metric.label`; default: the primary metric of the first task.
        resamples: number of draws.
        seed: of the draws.

    Returns: `metric`, `scores` (of both runs, mean over the seeds), `difference`, `interval` (95 %), `p` (two-sided),
        `samples`, `seeds` (their numbers) and `resamples` (those on which the metric is defined).

    Raises:
        FileNotFoundError: a run is not finished, or was trained before predictions were kept.
        ValueError: the runs differ in seeds, task or test rows, or the metric is unknown or undefined.
    """
    if resamples < 100:
        raise ValueError(f"The number of resamples is {resamples}; a 95 % interval needs 100 or more.")
    folders = [Path(one), Path(other)]
    results = [read_results(folder / "results.json") for folder in folders]
    if metric is None:
        task = results[0].tasks[0]
        metric = f"{task['name']}.{get_primary_metric(task)[0]}"
    seeds = list(results[0].seeds)
    if set(seeds) != set(results[1].seeds):
        raise ValueError(
            f"{one} has the seeds {', '.join(seeds)} and {other} {', '.join(results[1].seeds)}; runs are compared seed "
            "by seed, so train both with the same."
        )
    runs = [
        [read_predictions(folder / "seeds" / f"seed-{name}" / PREDICTIONS_FILE) for name in seeds]
        for folder in folders
    ]
    task, first = metric.split(".")[0], runs[0][0]
    parts = [
        [make_bootstrap_metrics(align_predictions(first, predictions, task, folder), metric) for predictions in run]
        for folder, run in zip(folders, runs, strict=True)
    ]
    return {"metric": metric, "samples": len(first.ids), "seeds": len(seeds)} | paired_bootstrap(
        parts, resamples, seed
    )


def paired_bootstrap(parts: list[list[list[BootstrapMetric]]], resamples: int, seed: int) -> dict:
    """Scores, difference, interval and p of `compare` from the parts of each seed of each of the two runs.

    Raises:
        ValueError: the metric is undefined for one of the seeds.
    """
    scores = np.array([[average_defined([part.compute() for part in one]) for one in run] for run in parts])
    if np.isnan(scores).any():
        raise ValueError("The metric is undefined for these rows and predictions; choose another one.")
    differences = scores[0] - scores[1]  # (seeds,)
    rng = np.random.default_rng(seed)
    drawn = resample_differences(parts, resamples, rng)
    moved = drawn[~np.isnan(drawn)]
    if len(differences) > 1:
        error = differences.std(ddof=1) / np.sqrt(len(differences))
        moved = moved + error * rng.standard_t(len(differences) - 1, len(moved))
    far_side = min((moved <= 0).sum(), (moved >= 0).sum())
    return {
        "scores": [float(mean) for mean in scores.mean(1)],
        "difference": float(differences.mean()),
        "interval": [float(bound) for bound in np.quantile(moved, [0.025, 0.975])],
        "p": float(min(1.0, 2 * (far_side + 1) / (len(moved) + 1))),
        "resamples": len(moved),
    }


def iter_resamples(samples: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws of the samples with replacement, some at a time: the rows of each, and how often each sample is among them."""
    for begin in range(0, resamples, step := max(1, MAX_CELLS // samples)):
        draws = min(step, resamples - begin)
        rows = rng.integers(0, samples, (draws, samples))
        places = rows + samples * np.arange(draws)[:, None]
        times = np.bincount(places.ravel(), minlength=draws * samples).reshape(draws, samples).astype(np.float64)
        yield rows, times


def resample_differences(
    parts: list[list[list[BootstrapMetric]]], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean over the seeds of the one run less that of the other, on each draw of the samples: `(resamples,)`."""
    found = []
    for rows, times in iter_resamples(len(parts[0][0][0].truth), resamples, rng):
        one, other = (
            np.mean([average_defined([part.resample(rows, times) for part in seed]) for seed in run], axis=0)
            for run in parts
        )
        found.append(one - other)
    return np.concatenate(found)


def compute_intervals(
    predictions: Predictions, metrics: Iterable[str], resamples: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """The 95 % interval of each metric of one seed, by a bootstrap over the samples (percentiles).

    It tells how the score moves with the test rows, not with the seed; rows are drawn one by one, so that where many are of one
    speaker the true interval is wider. Only metrics that are made of counts or means over the rows have one: not those
    of ranks and correlations, which take long. One that is undefined has none.

    Args:
        metrics: `task.metric` or `task.metric.label`.
    """
    parts = {metric: make_bootstrap_metrics(predictions, metric) for metric in metrics}
    drawn = {metric: [] for metric, several in parts.items() if all(part.finish for part in several)}
    for rows, times in iter_resamples(len(predictions.ids), resamples, np.random.default_rng(seed)):
        for metric, found in drawn.items():
            found.append(average_defined([part.resample(rows, times) for part in parts[metric]]))
    bounds = {}
    for metric, found in drawn.items():
        known = np.concatenate(found)
        known = known[~np.isnan(known)]
        if len(known):
            bounds[metric] = [round(float(bound), 6) for bound in np.quantile(known, [0.025, 0.975])]
    return bounds


def align_predictions(first: Predictions, predictions: Predictions, task: str, folder: Path) -> Predictions:
    """The predictions in the order of the `first` ones' rows.

    Raises:
        ValueError: the test rows, the task or the labels are others; `folder` is the run's, for the message.
    """
    place = {name: i for i, name in enumerate(predictions.ids)}
    missing = [name for name in first.ids if name not in place]
    if missing or len(place) != len(first.ids):
        lacking = f"{folder} lacks {missing[0]!r}" if missing else f"{folder} has more"
        raise ValueError(
            f"The runs were tested on different rows: {len(first.ids)} and {len(place)}, and {lacking}; train both on "
            "the same rows."
        )
    if task not in predictions.tasks:
        raise ValueError(f"{folder} has no task {task!r} with labels.{did_you_mean(task, predictions.tasks)}")
    described = [
        {name: run.tasks.get(task, {}).get(name) for name in ("problem_type", "labels", "range")}
        for run in (first, predictions)
    ]
    if described[0] != described[1]:
        raise ValueError(f"The runs differ in the task {task!r}: {described[0]} and, in {folder}, {described[1]}.")
    order = [place[name] for name in first.ids]
    truth, scores = ({task: values[task][order]} for values in (predictions.truth, predictions.scores))
    differs = [
        name
        for name, a, b in zip(first.ids, first.truth[task], truth[task], strict=True)
        if not np.array_equal(a, b, True)
    ]
    if differs:
        raise ValueError(
            f"The label {task!r} of {len(differs)} test rows differs between the runs, first of {differs[0]!r}; train both on "
            "the same rows."
        )
    return Predictions(first.ids, {task: predictions.tasks[task]}, truth, scores)
