# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics of affect recognition: one numpy function per published definition, with the definition in its name.

Every function takes the truth first and the prediction second. Unknown labels (NaN in a float array, -100 in an array of
classes) are excluded. A metric without known labels, or one that is undefined, is NaN.

All functions raise `ValueError` if the two arrays differ in shape, if values that should be classes are not, or if a value
is infinite.
"""

import warnings

import numpy as np


UNKNOWN_CLASS = -100


# Checks of the two arguments that all metrics share


def _known_mask(truth: np.ndarray, prediction: np.ndarray, axes: int) -> np.ndarray:
    if truth.shape != prediction.shape or truth.ndim != axes:
        raise ValueError(
            f"This metric expects a truth and a prediction of the same shape with {axes} axes; the truth has shape "
            f"{truth.shape} and the prediction {prediction.shape}."
        )
    return ~np.isnan(truth) if truth.dtype.kind == "f" else truth != UNKNOWN_CLASS


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = values.size - np.isfinite(values).sum()
    if bad:
        raise ValueError(
            f"{bad} of {values.size} values of the {name} are NaN or infinite; check whether the model diverged."
        )


def _values(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    """Return the known real values as float64, each (n,)."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    known = _known_mask(truth, prediction, axes=1)
    truth, prediction = truth[known].astype(np.float64), prediction[known].astype(np.float64)
    _check_finite("truth", truth)
    _check_finite("prediction", prediction)
    return truth, prediction


def _classes(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    """Return the known class indices as int64, each (n,)."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    known = _known_mask(truth, prediction, axes=1) & (truth != UNKNOWN_CLASS)
    for name, array in (("truth", truth[known]), ("prediction", prediction[known])):
        if (array != np.round(array)).any() or (array < 0).any():
            raise ValueError(
                f"The {name} has values from {array.min()} to {array.max()}; classes are 0, 1, 2 and so on."
            )
    return truth[known].astype(np.int64), prediction[known].astype(np.int64)


def _cells(truth, prediction, axes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, prediction and the mask of known cells, all bool; unknown cells are False in all three."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    known = _known_mask(truth, prediction, axes) & (truth != UNKNOWN_CLASS)
    for name, array in (("truth", truth[known]), ("prediction", prediction[known])):
        if not np.isin(array, (0, 1)).all():
            raise ValueError(
                f"The {name} has values from {array.min()} to {array.max()}, but this metric takes 0 and 1 only; "
                "apply a threshold to intensities or probabilities first."
            )
    return (truth == 1) & known, (prediction == 1) & known, known


def _ratio(numerator: float, denominator: float, empty: float) -> float:
    return float(numerator / denominator) if denominator else empty


# One label or one set of classes: (n,) against (n,)


def weighted_accuracy(truth, prediction) -> float:
    """Mean of the true positive rate and the true negative rate of one label (WAcc), NaN if either class is absent.

    With P positives and N negatives this is (TP N / P + TN) / (2 N). Source: Tong et al. 2017, "Combating human
    trafficking with multimodal deep models"; used for CMU-MOSEI emotions by Bagher Zadeh et al. 2018.
    """
    true, predicted, known = _cells(truth, prediction, axes=1)
    positives, negatives = true.sum(), (known & ~true).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    return float(((true & predicted).sum() / positives + (known & ~true & ~predicted).sum() / negatives) / 2)


def f1_binary(truth, prediction) -> float:
    """F1 of the positive class of one label, 2 TP / (2 TP + FP + FN), and 0 if that denominator is 0.

    Source: van Rijsbergen 1979, "Information Retrieval", chapter 7, with beta = 1.
    """
    true, predicted, known = _cells(truth, prediction, axes=1)
    return _ratio(2 * (true & predicted).sum(), true.sum() + predicted.sum(), empty=0.0 if known.any() else np.nan)


def _f1_and_support_per_class(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 and number of true samples of each class in the truth or the prediction, each (classes,)."""
    truth, prediction = _classes(truth, prediction)
    classes, index = np.unique(np.concatenate([truth, prediction]), return_inverse=True)
    true, predicted = np.split(index, 2)
    support = np.bincount(true, minlength=len(classes))
    hits = np.bincount(true[true == predicted], minlength=len(classes))
    return 2 * hits / (support + np.bincount(predicted, minlength=len(classes))), support


def f1_weighted(truth, prediction) -> float:
    """Mean of the F1 of each class, weighted by the number of true samples of the class.

    For one binary label this is (P F1(positive) + N F1(negative)) / (P + N). The weights come from the truth: with
    swapped arguments, as in the public code of several papers, a constant predictor scores far too high.
    Source: `f1_score(average="weighted")` of scikit-learn.
    """
    f1, support = _f1_and_support_per_class(truth, prediction)
    return _ratio(f1 @ support, support.sum(), empty=np.nan)


def f1_macro(truth, prediction) -> float:
    """Unweighted mean of the F1 of each class that occurs in the truth or in the prediction.

    Source: `f1_score(average="macro")` of scikit-learn.
    """
    f1, _ = _f1_and_support_per_class(truth, prediction)
    return _ratio(f1.sum(), len(f1), empty=np.nan)


def accuracy(truth, prediction) -> float:
    """Fraction of samples whose class is predicted correctly."""
    truth, prediction = _classes(truth, prediction)
    return _ratio((truth == prediction).sum(), len(truth), empty=np.nan)


def confusion_matrix(truth, prediction, num_classes: int) -> np.ndarray:
    """Number of samples of each true class (row) that were predicted as each class (column).

    Returns:
        An integer array (classes, classes).

    Raises:
        ValueError: if a class is not less than `num_classes`.
    """
    truth, prediction = _classes(truth, prediction)
    highest = max(truth.max(initial=0), prediction.max(initial=0))
    if highest >= num_classes:
        raise ValueError(f"Class {highest} is beyond the {num_classes} classes of the confusion matrix.")
    return np.bincount(truth * num_classes + prediction, minlength=num_classes**2).reshape(num_classes, num_classes)


def roc_auc(truth, scores) -> float:
    """Area under the ROC curve of one label from its scores, NaN if either class is absent.

    It is the probability that a positive sample scores above a negative one, where equal scores count one half.
    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    true, _, known = _cells(truth, np.zeros(np.shape(scores)), axes=1)
    true, scores = true[known], np.asarray(scores, dtype=np.float64)[known]
    _check_finite("score", scores)
    positives, negatives = true.sum(), (~true).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    _, index, count = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count - 1) / 2  # of each distinct score, ranks from 1
    return float((mean_rank[index][true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


# Several labels at once: (n, labels) against (n, labels)


def precision_micro(truth, prediction) -> float:
    """Precision TP / (TP + FP) over all (sample, label) cells, and 0 if nothing is predicted."""
    true, predicted, known = _cells(truth, prediction, axes=2)
    return _ratio((true & predicted).sum(), predicted.sum(), empty=0.0 if known.any() else np.nan)


def recall_micro(truth, prediction) -> float:
    """Recall TP / (TP + FN) over all (sample, label) cells, and 0 if nothing is true."""
    true, predicted, known = _cells(truth, prediction, axes=2)
    return _ratio((true & predicted).sum(), true.sum(), empty=0.0 if known.any() else np.nan)


def f1_micro(truth, prediction) -> float:
    """F1 over all (sample, label) cells, 2 TP / (2 TP + FP + FN), and 0 if that denominator is 0."""
    true, predicted, known = _cells(truth, prediction, axes=2)
    return _ratio(2 * (true & predicted).sum(), true.sum() + predicted.sum(), empty=0.0 if known.any() else np.nan)


def jaccard_accuracy(truth, prediction, empty_value: float = 0.0) -> float:
    """Mean over samples of labels true and predicted divided by labels true or predicted (multi-label "Acc").

    A sample with neither true nor predicted labels counts as `empty_value`: 0 in the code of Zhang et al. 2022 (TAILOR)
    and in scikit-learn, 1 in some papers. Unknown cells are in neither set; samples without known cells are excluded.
    Source: Godbole and Sarawagi 2004, "Discriminative methods for multi-labeled classification".
    """
    true, predicted, known = _cells(truth, prediction, axes=2)
    union, both = (true | predicted).sum(axis=1), (true & predicted).sum(axis=1)
    score = np.where(union == 0, empty_value, both / np.maximum(union, 1))[known.any(axis=1)]
    return _ratio(score.sum(), len(score), empty=np.nan)


def subset_accuracy(truth, prediction) -> float:
    """Fraction of samples whose known labels are all predicted correctly."""
    true, predicted, known = _cells(truth, prediction, axes=2)
    right = (true == predicted).all(axis=1)[known.any(axis=1)]
    return _ratio(right.sum(), len(right), empty=np.nan)


def hamming_loss(truth, prediction) -> float:
    """Fraction of (sample, label) cells that are predicted wrongly."""
    true, predicted, known = _cells(truth, prediction, axes=2)
    return _ratio((true != predicted).sum(), known.sum(), empty=np.nan)


# Regression: (n,) against (n,)


def mae(truth, prediction) -> float:
    """Mean absolute error, in the unit of the label."""
    truth, prediction = _values(truth, prediction)
    return _ratio(np.abs(truth - prediction).sum(), len(truth), empty=np.nan)


def pearson(truth, prediction) -> float:
    """Pearson correlation, NaN if the truth or the prediction is constant."""
    truth, prediction = _values(truth, prediction)
    if len(truth) == 0 or np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return float("nan")
    truth, prediction = truth - truth.mean(), prediction - prediction.mean()
    deviations = np.sqrt(truth @ truth) * np.sqrt(prediction @ prediction)
    return float(np.clip(_ratio(truth @ prediction, deviations, empty=np.nan), -1, 1))


def ccc(truth, prediction) -> float:
    """Concordance correlation, 2 cov / (var + var + (mean - mean)^2) with 1/n moments, NaN for equal constants.

    Source: Lin 1989, "A concordance correlation coefficient to evaluate reproducibility".
    """
    truth, prediction = _values(truth, prediction)
    if len(truth) == 0:
        return float("nan")
    shift = truth.mean() - prediction.mean()
    covariance = ((truth - truth.mean()) * (prediction - prediction.mean())).mean()
    return _ratio(2 * covariance, truth.var() + prediction.var() + shift**2, empty=np.nan)


# Sentiment in [-3, 3]: (n,) against (n,); definitions of the public evaluation code of CMU-MOSI and CMU-MOSEI


def _rounded_accuracy(truth, prediction, low: float, high: float) -> float:
    truth, prediction = _values(truth, prediction)
    right = np.round(np.clip(truth, low, high)) == np.round(np.clip(prediction, low, high))
    return _ratio(right.sum(), len(right), empty=np.nan)


def acc7(truth, prediction) -> float:
    """Fraction of samples with equal sentiment after clipping to [-3, 3] and rounding half to even (Acc-7)."""
    return _rounded_accuracy(truth, prediction, -3, 3)


def acc5(truth, prediction) -> float:
    """Fraction of samples with equal sentiment after clipping to [-2, 2] and rounding half to even (Acc-5)."""
    return _rounded_accuracy(truth, prediction, -2, 2)


def acc2_clip01(truth, prediction) -> float:
    """Fraction of samples with equal sentiment after clipping to [0, 1] and rounding, zeros and negatives as one class.

    Source: "Acc2" in the public code of Fu et al. 2021 (LMR-CBT); neither `acc2_has0` nor `acc2_non0`.
    """
    return _rounded_accuracy(truth, prediction, 0, 1)


def _has0(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = _values(truth, prediction)
    return (truth >= 0).astype(np.int64), (prediction >= 0).astype(np.int64)


def _non0(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = _values(truth, prediction)
    return (truth[truth != 0] > 0).astype(np.int64), (prediction[truth != 0] > 0).astype(np.int64)


def acc2_has0(truth, prediction) -> float:
    """Accuracy of negative against non-negative sentiment (>= 0), all samples (Acc-2 "has0")."""
    return accuracy(*_has0(truth, prediction))


def acc2_non0(truth, prediction) -> float:
    """Accuracy of negative against positive sentiment (> 0), samples of true sentiment 0 excluded (Acc-2 "non0")."""
    return accuracy(*_non0(truth, prediction))


def f1_weighted_has0(truth, prediction) -> float:
    """Weighted F1 of negative against non-negative sentiment (>= 0), all samples."""
    return f1_weighted(*_has0(truth, prediction))


def f1_weighted_non0(truth, prediction) -> float:
    """Weighted F1 of negative against positive sentiment (> 0), samples of true sentiment 0 excluded."""
    return f1_weighted(*_non0(truth, prediction))


# All metrics of one task

REGRESSION = {"mae": mae, "pearson": pearson, "ccc": ccc}
SENTIMENT = {
    "acc7": acc7,
    "acc5": acc5,
    "acc2_has0": acc2_has0,
    "acc2_non0": acc2_non0,
    "f1_weighted_has0": f1_weighted_has0,
    "f1_weighted_non0": f1_weighted_non0,
    "acc2_clip01": acc2_clip01,
}
SINGLE_LABEL = {"accuracy": accuracy, "f1_weighted": f1_weighted, "f1_macro": f1_macro}
PER_LABEL = {"wacc": weighted_accuracy, "f1_binary": f1_binary, "f1_weighted": f1_weighted, "auc": roc_auc}
ALL_LABELS = {
    "f1_micro": f1_micro,
    "precision_micro": precision_micro,
    "recall_micro": recall_micro,
    "jaccard_accuracy": jaccard_accuracy,
    "subset_accuracy": subset_accuracy,
    "hamming_loss": hamming_loss,
}
PRIMARY = {
    "regression": ("mae", False),
    "single_label_classification": ("accuracy", True),
    "multi_label_classification": ("wacc", True),
}
TUNABLE = {function.__name__: function for function in (f1_binary, f1_weighted, weighted_accuracy, accuracy)}


def get_primary_metric(task: dict) -> tuple[str, bool]:
    """Return the name of the metric that selects a model for this task, and True if greater is better.

    Raises:
        ValueError: if the problem type is unknown.
    """
    if task["problem_type"] not in PRIMARY:
        raise ValueError(f"Unknown problem type {task['problem_type']!r}; expected one of {', '.join(PRIMARY)}.")
    return PRIMARY[task["problem_type"]]


def get_definition(metric: str) -> str:
    """Return one sentence that defines a metric of `compute_task_metrics`, for tables and cards.

    Raises:
        ValueError: if there is no such metric.
    """
    functions = REGRESSION | SENTIMENT | SINGLE_LABEL | PER_LABEL | ALL_LABELS
    if metric not in functions:
        raise ValueError(f"Unknown metric {metric!r}; expected one of {', '.join(functions)}.")
    return (functions[metric].__doc__ or "").split("\n")[0]


def compute_task_metrics(task: dict, truth, scores, threshold=0.5) -> dict[str, float]:
    """Compute all metrics of one task.

    Args:
        task: label field with `name`, `problem_type`, `labels` and `range`. The range [-3, 3] adds the sentiment metrics to a
            regression.
        truth: values (n,) of a regression, class indices (n,) of a single-label task, or intensities (n, labels) of a
            multi-label task, positive above 0.
        scores: values (n,), or logits or probabilities (n, labels), the largest of which is the prediction of a single-label
            task; probabilities (n, labels) of a multi-label task, positive above `threshold`.
        threshold: one number, or one per label.

    Returns:
        A flat dict. In a multi-label task `wacc.happy` is the metric of one label and `wacc` the mean over the labels for
        which it is defined; a warning names the others.

    Raises:
        ValueError: if shapes do not fit the task, or a score is not finite.
    """
    get_primary_metric(task)
    labels, truth, scores = task["labels"], np.asarray(truth), np.asarray(scores)
    if task["problem_type"] == "regression":
        scores = scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores
        functions = REGRESSION | (SENTIMENT if list(task.get("range") or ()) == [-3, 3] else {})
        metrics = {name: function(truth, scores) for name, function in functions.items()}
        _warn_of_undefined(task["name"], metrics, *_values(truth, scores))
        return metrics
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            f"The scores of {task['name']!r} have shape {scores.shape}; expected (samples, {len(labels)}), one column "
            f"for each of {', '.join(labels)}."
        )
    _check_finite(f"score of {task['name']!r}", scores)
    if task["problem_type"] == "single_label_classification":
        prediction = scores.argmax(axis=1)
        functions = SINGLE_LABEL | ({"f1_binary": f1_binary} if len(labels) == 2 else {})
        return {name: function(truth, prediction) for name, function in functions.items()}

    truth, prediction = _binarize(truth), (scores > _threshold_vector(threshold, labels)).astype(np.float64)
    metrics = {}
    for name, function in PER_LABEL.items():
        decided = scores if name == "auc" else prediction
        values = [function(truth[:, i], decided[:, i]) for i in range(len(labels))]
        metrics[name] = average_over_labels(name, values, labels)
        metrics |= {f"{name}.{label}": value for label, value in zip(labels, values, strict=True)}
    return metrics | {name: function(truth, prediction) for name, function in ALL_LABELS.items()}


def _warn_of_undefined(task: str, metrics: dict[str, float], truth: np.ndarray, prediction: np.ndarray) -> None:
    undefined = [f"`{name}`" for name, value in metrics.items() if np.isnan(value)]
    if undefined:
        constant = [name for name, array in zip(("truth", "prediction"), (truth, prediction)) if len(set(array)) == 1]
        reason = f"{' and '.join(constant) or 'all'} without variation" if len(truth) else "no label is known"
        warnings.warn(f"{', '.join(undefined)} of {task!r}: undefined, {reason}.", stacklevel=3)


def _binarize(intensities: np.ndarray) -> np.ndarray:
    """Return intensities as 1.0 (above 0), 0.0 or NaN (unknown)."""
    intensities = intensities.astype(np.float64)
    known = ~np.isnan(intensities) & (intensities != UNKNOWN_CLASS)
    return np.where(known, intensities > 0, np.nan)


def _threshold_vector(threshold, labels: list[str]) -> np.ndarray:
    threshold = np.asarray(threshold, dtype=np.float64)
    if threshold.shape not in ((), (len(labels),)):
        raise ValueError(
            f"The threshold has shape {threshold.shape}; expected one number or {len(labels)}, one per label."
        )
    return threshold


def average_over_labels(name: str, values: list[float], labels: list[str]) -> float:
    """Return the mean of a metric over the labels for which it is defined, NaN if there are none, and warn of the others."""
    undefined = [label for label, value in zip(labels, values, strict=True) if np.isnan(value)]
    if undefined:
        warnings.warn(
            f"`{name}` is undefined for {', '.join(undefined)}, where positives or negatives are absent; "
            f"its mean is over the other {len(labels) - len(undefined)} of {len(labels)} labels.",
            stacklevel=3,
        )
    return float(np.nanmean(values)) if len(undefined) < len(labels) else float("nan")


def tune_thresholds(truth, probabilities, metric: str = "f1_binary", grid=None) -> np.ndarray:
    """Return the threshold of each label that maximizes `metric` of that label on these samples.

    Use validation data only. Among equally good thresholds the one nearest to 0.5 is chosen, then the lower one; a label
    whose metric is undefined gets the one nearest to 0.5.

    Args:
        truth: intensities (n, labels), positive above 0.
        probabilities: (n, labels).
        metric: one of `TUNABLE`.
        grid: thresholds to try; default: 0.05, 0.10, ..., 0.95.

    Returns:
        Thresholds (labels,).

    Raises:
        ValueError: if the metric cannot be tuned, shapes differ, or a probability is not finite.
    """
    if metric not in TUNABLE:
        raise ValueError(f"Cannot tune thresholds for {metric!r}; expected one of {', '.join(TUNABLE)}.")
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    _known_mask(truth, probabilities, axes=2)
    _check_finite("probability", probabilities)
    truth = _binarize(truth)
    grid = np.sort(np.arange(1, 20) / 20 if grid is None else np.asarray(grid, dtype=np.float64))
    grid = grid[np.argsort(np.round(np.abs(grid - 0.5), 9), kind="stable")]  # the first best is the nearest to 0.5
    scores = [
        [TUNABLE[metric](truth[:, i], (probabilities[:, i] > threshold).astype(np.float64)) for threshold in grid]
        for i in range(truth.shape[1])
    ]
    return grid[np.nan_to_num(np.array(scores).reshape(truth.shape[1], len(grid)), nan=-1.0).argmax(axis=1)]
