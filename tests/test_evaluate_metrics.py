# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metrics of `evaluate`: the same numbers as the numpy functions, by class and by path, in parts, combined, and what is refused."""

import importlib
import sys

import evaluate
import numpy as np
import pytest

from mm_affect.evaluation import hf_evaluate as evaluate_metrics
from mm_affect.evaluation import metrics
from mm_affect.evaluation.hf_evaluate import FUNCTIONS, AffectMetric


TASKS = {
    "regression": {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3, 3]},
    "single": {
        "name": "sarcasm",
        "problem_type": "single_label_classification",
        "labels": ["no", "yes"],
        "range": None,
    },
    "multi": {
        "name": "emotion",
        "problem_type": "multi_label_classification",
        "labels": ["a", "b", "c"],
        "range": None,
    },
}


def inputs_of(name, samples=24):
    """Truth and prediction of the kind that the metric takes."""
    rng = np.random.default_rng(0)
    if name in evaluate_metrics.TEXT:
        words = ["no", "yes", "perhaps"]
        return [[" ".join(rng.choice(words, 3)) for _ in range(samples)] for _ in range(2)]
    if name in metrics.REGRESSION | metrics.SENTIMENT:
        return [rng.uniform(-3, 3, samples) for _ in range(2)]
    if name in ("auc", "eer"):
        return [rng.integers(0, 2, samples), rng.random(samples)]
    if name in metrics.ALL_LABELS:
        return [rng.integers(0, 2, (samples, 3)).astype(float) for _ in range(2)]
    return [rng.integers(0, 2, samples) for _ in range(2)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What `evaluate` writes goes to the folder of the test."""
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path / "cache")
    return {"cache_dir": str(tmp_path / "cache")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_metric_equals_its_function_whole_and_in_parts(name, cache):
    truth, prediction = inputs_of(name)
    metric, expected = AffectMetric(name, **cache), {name: FUNCTIONS[name](truth, prediction)}
    assert metric.compute(predictions=prediction, references=truth) == expected
    for half in (slice(0, 10), slice(10, None)):
        metric.add_batch(predictions=prediction[half], references=truth[half])
    assert metric.compute() == expected


def test_truth_and_prediction_are_not_exchanged(cache):
    truth, always = np.repeat([1, 0], [3, 7]), np.ones(10, int)
    found = AffectMetric("f1_weighted", **cache).compute(predictions=always, references=truth)
    assert found == {"f1_weighted": metrics.f1_weighted(truth, always)}
    assert found["f1_weighted"] < metrics.f1_weighted(always, truth) - 0.2


@pytest.mark.parametrize("name", metrics.PER_LABEL)
def test_of_several_labels_it_is_the_mean_where_it_is_defined(name, cache):
    rng = np.random.default_rng(1)
    truth, prediction = (rng.random((2, 20, 3)) < 0.5).astype(float)
    truth[0, 1] = np.nan
    expected = [FUNCTIONS[name](truth[:, i], prediction[:, i]) for i in range(3)]
    assert AffectMetric(name, **cache).compute(predictions=prediction, references=truth) == {name: np.mean(expected)}
    truth[:, 2] = 0
    if name in ("wacc", "auc"):
        with pytest.warns(UserWarning, match="label 2"):
            found = AffectMetric(name, **cache).compute(predictions=prediction, references=truth)
        assert found == {name: np.mean(expected[:2])}


@pytest.mark.parametrize("kind", TASKS)
def test_all_metrics_of_a_task_from_the_scores_of_a_model(kind, cache):
    rng, task = np.random.default_rng(2), TASKS[kind]
    truth, scores = {
        "regression": (rng.uniform(-3, 3, 20), rng.normal(size=20)),
        "single": (rng.integers(0, 2, 20), rng.normal(size=(20, 2))),
        "multi": (np.where(rng.random((20, 3)) < 0.1, np.nan, rng.random((20, 3)) < 0.5), rng.random((20, 3))),
    }[kind]
    metric, expected = (
        AffectMetric(task=task, threshold=0.4, **cache),
        metrics.compute_task_metrics(task, truth, scores, 0.4),
    )
    assert metric.compute(predictions=scores, references=truth) == expected
    for half in (slice(0, 10), slice(10, 20)):
        metric.add_batch(predictions=scores[half], references=truth[half])
    assert metric.compute() == expected


def test_by_path_and_combined(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.loading.init_dynamic_modules", lambda: modules(tmp_path, monkeypatch))
    path, (truth, prediction) = evaluate_metrics.__file__, inputs_of("accuracy")
    loaded = [evaluate.load(path, name, **cache) for name in ("accuracy", "wacc", "f1_macro")]
    assert loaded[0].__module__ != AffectMetric.__module__, "it is the copy that evaluate made"
    both = evaluate.combine([*loaded, AffectMetric("auc", **cache)])
    expected = {name: FUNCTIONS[name](truth, prediction) for name in ("accuracy", "wacc", "f1_macro", "auc")}
    assert both.compute(predictions=prediction, references=truth) == expected
    whole = evaluate.load(path, task=TASKS["regression"], **cache)
    assert whole.compute(predictions=[1.0, -2.0], references=[1.0, -1.0])["mae"] == 0.5


def modules(folder, monkeypatch):
    """A package for the copies that `evaluate.load` makes, instead of the one in the home folder."""
    package = folder / "evaluate_copies"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder)
    return str(package)


def test_what_is_no_metric_is_refused():
    with pytest.raises(ValueError, match="no metric 'f1'; expected one of mae, .*, eer"):
        AffectMetric("f1")
    with pytest.raises(ValueError, match="Expected either the name of a metric"):
        AffectMetric()
    with pytest.raises(ValueError, match="Expected either the name of a metric"):
        AffectMetric("mae", task=TASKS["regression"])
    with pytest.raises(ValueError, match="problem type 'ranking'"):
        AffectMetric(task=TASKS["regression"] | {"problem_type": "ranking"})


def test_without_evaluate_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    monkeypatch.delitem(sys.modules, "mm_affect.evaluation.hf_evaluate")
    with pytest.raises(ImportError, match=r"mm_affect\[metrics\]"):
        importlib.import_module("mm_affect.evaluation.hf_evaluate")
