# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every metric against scikit-learn, SciPy or its definition written out sample by sample."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy import stats

from mm_affect.evaluation import metrics


EMOTION = {
    "name": "emotion",
    "problem_type": "multi_label_classification",
    "labels": ["happy", "sad", "angry"],
    "range": [0, 3],
}
SENTIMENT = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3, 3]}
SARCASM = {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"], "range": None}
SPEAKER = {"name": "style", "problem_type": "single_label_classification", "labels": ["a", "b", "c"], "range": None}


def same(value, expected):
    return value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.fixture(params=range(4))
def rng(request):
    return np.random.default_rng(request.param)


@pytest.fixture
def indicators(rng):
    """Skewed labels, so that an exchange of the arguments shows."""
    truth = (rng.random((60, 3)) < [0.1, 0.5, 0.8]).astype(float)
    return truth, (rng.random((60, 3)) < [0.3, 0.4, 0.9]).astype(float)


@pytest.fixture
def sentiments(rng):
    truth = np.round(rng.uniform(-3, 3, 200) * 3) / 3  # thirds, as the mean of three annotators, with exact zeros
    truth[:20] = 0
    prediction = truth + rng.normal(0, 1.5, 200)
    prediction[20:30] = [0.5, -0.5, 1.5, 2.5, -1.5, -2.5, 0, 3.7, -4, 0.25]
    return truth, prediction


def test_one_label_equals_scikit_learn(indicators):
    for true, predicted in zip(*(array.T for array in indicators), strict=True):
        assert same(metrics.f1_binary(true, predicted), sk.f1_score(true, predicted, zero_division=0))
        assert same(metrics.f1_weighted(true, predicted), sk.f1_score(true, predicted, average="weighted"))
        assert same(metrics.weighted_accuracy(true, predicted), sk.balanced_accuracy_score(true, predicted))


def test_weighted_accuracy_is_the_published_formula(indicators):
    for true, predicted in zip(*(array.T for array in indicators), strict=True):
        counts = dict.fromkeys(["tp", "tn", "fp", "fn"], 0)
        for t, p in zip(true, predicted, strict=True):
            counts[("t" if t == p else "f") + ("p" if p else "n")] += 1
        positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
        expected = (counts["tp"] * negatives / positives + counts["tn"]) / (2 * negatives)
        assert same(metrics.weighted_accuracy(true, predicted), expected)


def test_several_labels_equal_scikit_learn(indicators):
    truth, prediction = indicators
    assert same(metrics.precision_micro(truth, prediction), sk.precision_score(truth, prediction, average="micro"))
    assert same(metrics.recall_micro(truth, prediction), sk.recall_score(truth, prediction, average="micro"))
    assert same(metrics.f1_micro(truth, prediction), sk.f1_score(truth, prediction, average="micro"))
    jaccard = sk.jaccard_score(truth, prediction, average="samples", zero_division=0)
    assert same(metrics.jaccard_accuracy(truth, prediction), jaccard)
    assert same(metrics.subset_accuracy(truth, prediction), sk.accuracy_score(truth, prediction))
    assert same(metrics.hamming_loss(truth, prediction), sk.hamming_loss(truth, prediction))


def test_classes_equal_scikit_learn(rng):
    truth, prediction = rng.choice(5, 80, p=[0.5, 0.3, 0.1, 0.1, 0]), rng.choice([0, 1, 2, 4], 80)
    assert same(metrics.accuracy(truth, prediction), sk.accuracy_score(truth, prediction))
    assert same(metrics.f1_macro(truth, prediction), sk.f1_score(truth, prediction, average="macro"))
    assert same(metrics.f1_weighted(truth, prediction), sk.f1_score(truth, prediction, average="weighted"))
    expected = sk.confusion_matrix(truth, prediction, labels=range(6))
    np.testing.assert_array_equal(metrics.confusion_matrix(truth, prediction, 6), expected)


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_roc_auc_equals_scikit_learn_and_pair_counting(rng, decimals):
    truth, scores = rng.integers(0, 2, 50), np.round(rng.random(50) * 3, decimals)  # few decimals: many ties
    assert same(metrics.roc_auc(truth, scores), sk.roc_auc_score(truth, scores))
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[truth == 1] for n in scores[truth == 0]]
    assert same(metrics.roc_auc(truth, scores), sum(pairs) / len(pairs))


def test_real_values_equal_scipy_and_the_definition(sentiments):
    truth, prediction = sentiments
    assert same(metrics.mae(truth, prediction), sk.mean_absolute_error(truth, prediction))
    assert same(metrics.pearson(truth, prediction), stats.pearsonr(truth, prediction).statistic)
    n, mean_t, mean_p = len(truth), sum(truth) / len(truth), sum(prediction) / len(prediction)
    covariance = sum((t - mean_t) * (p - mean_p) for t, p in zip(truth, prediction, strict=True)) / n
    variances = sum((t - mean_t) ** 2 for t in truth) / n + sum((p - mean_p) ** 2 for p in prediction) / n
    assert same(metrics.ccc(truth, prediction), 2 * covariance / (variances + (mean_t - mean_p) ** 2))


def test_sentiment_metrics_equal_their_definition_sample_by_sample(sentiments):
    truth, prediction = sentiments
    pairs = list(zip(truth.tolist(), prediction.tolist(), strict=True))

    def rounded(low, high):  # the built-in round is half to even
        return sum(round(min(max(t, low), high)) == round(min(max(p, low), high)) for t, p in pairs) / len(pairs)

    assert same(metrics.acc7(truth, prediction), rounded(-3, 3))
    assert same(metrics.acc5(truth, prediction), rounded(-2, 2))
    assert same(metrics.acc2_clip01(truth, prediction), rounded(0, 1))
    has0 = [[t >= 0 for t, _ in pairs], [p >= 0 for _, p in pairs]]
    non0 = [[t > 0 for t, _ in pairs if t != 0], [p > 0 for t, p in pairs if t != 0]]
    assert same(metrics.acc2_has0(truth, prediction), sk.accuracy_score(*has0))
    assert same(metrics.acc2_non0(truth, prediction), sk.accuracy_score(*non0))
    assert same(metrics.f1_weighted_has0(truth, prediction), sk.f1_score(*has0, average="weighted"))
    assert same(metrics.f1_weighted_non0(truth, prediction), sk.f1_score(*non0, average="weighted"))
    assert len(non0[0]) < len(has0[0])


def test_acc7_rounds_half_to_even():
    # 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0; half away from zero would match none of them
    assert metrics.acc7([0.0, 2.0, 2.0, 0.0], [0.5, 1.5, 2.5, -0.5]) == 1
    assert metrics.acc7([1.0, 3.0, -1.0], [0.5, 2.5, -0.5]) == 0
    assert metrics.acc7([3.0], [99.0]) == 1


def test_acc2_has0_and_non0_differ_at_zero():
    assert metrics.acc2_has0([0.0, 1.0], [0.0, 0.0]) == 1  # zero counts as positive, and nothing is left out
    assert (
        metrics.acc2_non0([0.0, 1.0], [0.0, 0.0]) == 0
    )  # the true zero is left out, a predicted zero is not positive
    assert math.isnan(metrics.acc2_non0([0.0, 0.0], [1.0, 1.0]))


def test_precision_and_recall_are_not_exchanged():
    truth, prediction = np.array([[1, 1, 1, 1]]), np.array([[1, 0, 0, 0]])
    assert metrics.precision_micro(truth, prediction) == 1
    assert metrics.recall_micro(truth, prediction) == 0.25


def test_always_positive_predictor_gains_nothing():
    truth = np.repeat([1.0, 0.0], [60, 40])
    always = np.ones(100)
    assert metrics.weighted_accuracy(truth, always) == 0.5
    assert same(metrics.f1_binary(truth, always), 0.75)
    assert same(metrics.f1_weighted(truth, always), 0.45)  # weights from the truth
    assert same(metrics.f1_weighted(always, truth), 0.75)  # exchanged arguments: the fault of published code
    sentiment = np.where(truth == 1, 1.0, -1.0)
    assert same(metrics.f1_weighted_non0(sentiment, always), 0.45)


def test_absent_classes():
    assert math.isnan(metrics.weighted_accuracy([0, 0], [0, 1]))
    assert math.isnan(metrics.weighted_accuracy([1, 1], [0, 1]))
    assert math.isnan(metrics.roc_auc([1, 1], [0.2, 0.3]))
    assert metrics.f1_binary([0, 0], [0, 0]) == 0
    nothing, something = np.zeros((2, 3)), np.eye(3)[:2]
    assert metrics.precision_micro(something, nothing) == metrics.recall_micro(nothing, something) == 0
    assert metrics.f1_micro(nothing, nothing) == 0
    assert metrics.jaccard_accuracy(nothing, nothing) == 0
    assert metrics.jaccard_accuracy(nothing, nothing, empty_value=1.0) == 1
    assert metrics.subset_accuracy(nothing, nothing) == 1


def test_constants_have_no_correlation():
    assert math.isnan(metrics.pearson([1.0, 2.0], [0.3, 0.3]))
    assert metrics.ccc([1.0, 2.0], [0.3, 0.3]) == 0
    assert math.isnan(metrics.ccc([0.3, 0.3], [0.3, 0.3]))


def test_hardly_varying_predictions_are_no_crash():
    truth, tiny = np.array([1.0, 2.0, 3.0]), np.array([1e-200, 2e-200, 3e-200])  # their squares are 0 in float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(metrics.pearson(truth, tiny))
        assert same(metrics.pearson(truth, truth * 1e150), 1.0)  # the product of their variances overflows
        assert (
            same(metrics.pearson(truth, -1e-9 * truth + 5), -1.0) or metrics.pearson(truth, -1e-9 * truth + 5) < -0.99
        )


ONE_AXIS = ["weighted_accuracy", "f1_binary", "f1_weighted", "f1_macro", "accuracy", "roc_auc"]
REAL = ["mae", "pearson", "ccc", *metrics.SENTIMENT]
TWO_AXES = list(metrics.ALL_LABELS)


@pytest.mark.parametrize("name", ONE_AXIS)
@pytest.mark.parametrize("unknown", [np.nan, -100])
def test_unknown_classes_are_left_out(rng, name, unknown):
    truth, prediction = rng.integers(0, 2, 40).astype(float), rng.integers(0, 2, 40).astype(float)
    function, keep = getattr(metrics, name), rng.random(40) < 0.7
    expected = function(truth[keep], prediction[keep])
    truth[~keep] = unknown
    assert function(truth, prediction) == expected
    if unknown == -100:
        assert function(truth.astype(int), prediction.astype(int)) == expected
    assert math.isnan(function(np.full(5, unknown), np.ones(5)))


@pytest.mark.parametrize("name", REAL)
def test_unknown_values_are_left_out(sentiments, name):
    truth, prediction = sentiments
    function = getattr(metrics, name)
    expected = function(truth[::2], prediction[::2])
    truth[1::2] = np.nan
    assert same(function(truth, prediction), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(function(np.full(3, np.nan), np.ones(3)))


@pytest.mark.parametrize("name", TWO_AXES)
def test_unknown_samples_of_several_labels_are_left_out(indicators, name):
    truth, prediction = indicators
    function = getattr(metrics, name)
    expected = function(truth[::2], prediction[::2])
    truth[1::2] = np.nan
    assert same(function(truth, prediction), expected)
    assert math.isnan(function(np.full((2, 3), np.nan), np.ones((2, 3))))


def test_unknown_cells_are_left_out():
    truth, prediction = np.array([[1, np.nan, 0], [0, 1, np.nan]]), np.array([[1, 1, 1], [0, 1, 1]])
    assert same(metrics.precision_micro(truth, prediction), 2 / 3)
    assert metrics.recall_micro(truth, prediction) == 1
    assert same(metrics.f1_micro(truth, prediction), 4 / 5)
    assert same(metrics.jaccard_accuracy(truth, prediction), (1 / 2 + 1) / 2)
    assert metrics.subset_accuracy(truth, prediction) == 0.5
    assert metrics.hamming_loss(truth, prediction) == 0.25


@pytest.mark.parametrize("name", ONE_AXIS + REAL + TWO_AXES)
def test_wrong_shapes_are_refused(name):
    function, shape = getattr(metrics, name), (4, 3) if name in TWO_AXES else (4,)
    with pytest.raises(ValueError, match="shape"):
        function(np.zeros(shape), np.zeros((5, *shape[1:])))
    with pytest.raises(ValueError, match="shape"):
        function(np.zeros((*shape, 1)), np.zeros((*shape, 1)))


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="threshold"):
        metrics.f1_binary([0, 1], [0.2, 0.7])
    with pytest.raises(ValueError, match="classes are 0, 1, 2"):
        metrics.f1_macro([0, 1], [0.2, 0.7])
    with pytest.raises(ValueError, match="1 of 2 values of the prediction are NaN"):
        metrics.mae([0.0, 1.0], [0.2, np.nan])
    with pytest.raises(ValueError, match="Class 3"):
        metrics.confusion_matrix([0, 3], [0, 1], 3)


# One label field


def test_multi_label_field(rng):
    intensities, scores = np.maximum(rng.normal(0, 1, (50, 3)), 0), rng.random((50, 3))
    threshold = np.array([0.3, 0.5, 0.7])
    result = metrics.compute_task_metrics(EMOTION, intensities, scores, threshold)
    truth, prediction = intensities > 0, scores > threshold
    for i, label in enumerate(EMOTION["labels"]):
        assert same(result[f"wacc.{label}"], sk.balanced_accuracy_score(truth[:, i], prediction[:, i]))
        assert same(result[f"f1_binary.{label}"], sk.f1_score(truth[:, i], prediction[:, i]))
        assert same(result[f"auc.{label}"], sk.roc_auc_score(truth[:, i], scores[:, i]))
    for name in ("wacc", "f1_binary", "f1_weighted", "auc"):
        assert same(result[name], np.mean([result[f"{name}.{label}"] for label in EMOTION["labels"]]))
    assert same(result["f1_binary"], sk.f1_score(truth, prediction, average="macro"))
    assert same(result["f1_micro"], sk.f1_score(truth, prediction, average="micro"))
    assert set(metrics.ALL_LABELS) < set(result)
    assert all(type(value) is float for value in result.values())
    assert result != metrics.compute_task_metrics(EMOTION, intensities, scores, 0.5)


def test_probability_equal_to_the_threshold_is_negative():
    task = EMOTION | {"labels": ["happy"]}
    result = metrics.compute_task_metrics(task, [[1.0], [0.0]], [[0.5], [0.4]], 0.5)
    assert result["recall_micro"] == 0


def test_label_without_positives_is_left_out_of_the_average_with_a_warning():
    truth = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    with pytest.warns(UserWarning, match="angry.*2 of 3"):
        result = metrics.compute_task_metrics(EMOTION, truth, truth * 0.8, 0.5)
    assert math.isnan(result["wacc.angry"]) and result["wacc"] == 1
    assert same(result["f1_binary"], 2 / 3)  # F1 is defined there, and 0


def test_unknown_labels_of_a_field_are_left_out(rng):
    truth, scores = (rng.random((40, 3)) < 0.5).astype(float), rng.random((40, 3))
    expected = metrics.compute_task_metrics(EMOTION, truth[:30], scores[:30], 0.5)
    truth[30:35], truth[35:] = np.nan, -100
    assert metrics.compute_task_metrics(EMOTION, truth, scores, 0.5) == expected


def test_regression_field(sentiments):
    truth, scores = sentiments
    result = metrics.compute_task_metrics(SENTIMENT, truth, scores)
    assert set(result) == set(metrics.REGRESSION) | set(metrics.SENTIMENT)
    assert result == metrics.compute_task_metrics(SENTIMENT, truth, scores[:, None])
    assert set(metrics.compute_task_metrics(SENTIMENT | {"range": [0, 1]}, truth, scores)) == set(metrics.REGRESSION)
    assert set(metrics.compute_task_metrics(SENTIMENT | {"range": None}, truth, scores)) == set(metrics.REGRESSION)


@pytest.mark.parametrize(
    ("truth", "prediction", "undefined", "reason"),
    [
        ([1.0, -2.0, 0.5], [0.3] * 3, {"pearson"}, "prediction without variation"),
        ([2.0] * 3, [1.0, -2.0, 0.5], {"pearson"}, "truth without variation"),
        ([0.0] * 3, [1.0, -2.0, 0.5], {"pearson", "acc2_non0", "f1_weighted_non0"}, "truth without variation"),
        ([0.5] * 3, [0.5] * 3, {"pearson", "ccc"}, "truth and prediction without variation"),
        ([np.nan] * 3, [0.5] * 3, set(metrics.REGRESSION) | set(metrics.SENTIMENT), "no label is known"),
    ],
)
def test_undefined_metrics_of_a_regression_are_nan_and_say_why(truth, prediction, undefined, reason):
    with pytest.warns(UserWarning, match=f" of 'sentiment': undefined, {reason}.$") as said:
        found = metrics.compute_task_metrics(SENTIMENT, truth, prediction)
    assert {name for name, value in found.items() if math.isnan(value)} == undefined
    assert len(said) == 1 and all(f"`{name}`" in str(said[0].message) for name in undefined)


def test_one_class_only_is_no_crash(rng):
    """Every sentiment positive: a constant answer is right, and says nothing."""
    truth = rng.uniform(0.5, 3, 20)
    with pytest.warns(UserWarning, match="`pearson` of 'sentiment': undefined, prediction without variation"):
        found = metrics.compute_task_metrics(SENTIMENT, truth, np.full(20, 1.0))
    assert found["acc2_has0"] == found["acc2_non0"] == found["f1_weighted_has0"] == found["f1_weighted_non0"] == 1
    assert found["ccc"] == 0 and math.isnan(found["pearson"])


def test_the_rule_of_every_sentiment_metric_is_in_its_definition():
    for name, rule in {
        "acc7": "clipping to [-3, 3]", "acc5": "clipping to [-2, 2]", "acc2_has0": "non-negative", "ccc": "1/n moments",
        "acc2_non0": "sentiment 0 excluded", "f1_weighted_has0": "non-negative", "f1_weighted_non0": "0 excluded",
    }.items():  # fmt: skip
        assert rule in metrics.get_definition(name)


def test_single_label_field(rng):
    truth, scores = rng.integers(0, 2, 40), rng.normal(size=(40, 2))
    result = metrics.compute_task_metrics(SARCASM, truth, scores)
    assert same(result["f1_binary"], sk.f1_score(truth, scores[:, 1] > scores[:, 0]))
    assert set(result) == {"accuracy", "f1_weighted", "f1_macro", "f1_binary"}
    truth = np.array([0, 1, 2, -100])
    assert metrics.compute_task_metrics(SPEAKER, truth, np.eye(4, 3)) == dict.fromkeys(metrics.SINGLE_LABEL, 1.0)


def test_field_with_wrong_scores_is_refused():
    with pytest.raises(ValueError, match="happy, sad, angry"):
        metrics.compute_task_metrics(EMOTION, np.zeros((4, 3)), np.zeros((4, 2)), 0.5)
    with pytest.raises(ValueError, match="threshold has shape"):
        metrics.compute_task_metrics(EMOTION, np.zeros((4, 3)), np.zeros((4, 3)), [0.5, 0.5])
    with pytest.raises(ValueError, match="NaN or infinite"):
        metrics.compute_task_metrics(SARCASM, np.zeros(4, int), np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match="regression, single_label"):
        metrics.compute_task_metrics(SARCASM | {"problem_type": "ranking"}, np.zeros(4, int), np.zeros((4, 2)))


@pytest.mark.parametrize("task", [EMOTION, SENTIMENT, SARCASM])
def test_primary_metric_is_computed_and_every_metric_is_defined(task):
    rng = np.random.default_rng(0)
    n = len(task["labels"])
    truth = rng.integers(0, 2, (30, n) if task is EMOTION else 30).astype(float)
    result = metrics.compute_task_metrics(task, truth, rng.random((30, n)), 0.5)
    name, greater_is_better = metrics.get_primary_metric(task)
    assert name in result and greater_is_better == (task is not SENTIMENT)
    for key in result:
        assert metrics.get_definition(key.split(".")[0]).endswith(".")


# Thresholds


@pytest.mark.parametrize("metric", metrics.TUNABLE)
def test_tuned_thresholds_are_the_best_of_the_grid(rng, metric):
    truth, probabilities = (rng.random((60, 3)) < [0.1, 0.4, 0.7]).astype(float), rng.random((60, 3))
    probabilities = (probabilities + truth) / 2
    thresholds = metrics.tune_thresholds(truth, probabilities, metric)
    for i, threshold in enumerate(thresholds):
        scores = {}
        for step in range(1, 20):
            candidate = step * 5 / 100
            scores[candidate] = metrics.TUNABLE[metric](truth[:, i], probabilities[:, i] > candidate)
        best = [candidate for candidate, score in scores.items() if score == max(scores.values())]
        assert threshold == min(best, key=lambda candidate: (round(abs(candidate - 0.5), 9), candidate))


def test_tuned_threshold_is_half_when_nothing_decides():
    truth = np.array([[1.0, 1, 0, np.nan], [0.0, 1, 0, np.nan]])
    probabilities = np.array([[0.9, 0.9, 0.1, 0.4], [0.1, 0.9, 0.1, 0.4]])
    assert metrics.tune_thresholds(truth, probabilities, "weighted_accuracy").tolist() == [0.5] * 4
    assert metrics.tune_thresholds([[1.0]], [[0.5]]).tolist() == [0.45]  # above 0.5 is asked for
    for pair in ([0.45, 0.55], [0.7, 0.3]):  # as near to 0.5 up to rounding errors: the lower
        assert metrics.tune_thresholds([[1.0], [0.0]], [[0.9], [0.1]], grid=pair).tolist() == [min(pair)]
    assert metrics.tune_thresholds([[1.0]], [[0.9]], grid=[0.8, 0.2, 0.7]).tolist() == [0.7]


def test_wrong_tuning_is_refused():
    with pytest.raises(ValueError, match="f1_binary"):
        metrics.tune_thresholds([[1.0]], [[0.5]], metric="f1")
    with pytest.raises(ValueError, match="shape"):
        metrics.tune_thresholds([[1.0]], [[0.5, 0.5]])
