# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paired bootstrap over samples and seeds: known cases, the analytic tests it must agree with, and its coverage."""

import json
import re

import numpy as np
import pytest
from corpora import summarize_seeds, tiny_run
from scipy import stats
from transformers import EvalPrediction

from mm_affect import Task
from mm_affect.cli.main import main
from mm_affect.evaluation import significance
from mm_affect.evaluation.metrics import accuracy, compute_task_metrics
from mm_affect.evaluation.predictions import (
    PREDICTIONS_FILE,
    Predictions,
    collect_predictions,
    read_predictions,
    write_predictions,
)
from mm_affect.evaluation.significance import (
    BootstrapMetric,
    compare,
    make_bootstrap_metrics,
    paired_bootstrap,
    resample_differences,
)


TASKS = [
    Task("emotion", labels=("happy", "sad", "fear"), threshold=(0.4, 0.5, 0.6)),
    Task("sarcasm", "single_label_classification", ("no", "yes")),
    Task("style", "single_label_classification", ("a", "b", "c")),
    Task("sentiment", "regression", value_range=(-3, 3)),
]


def answers(rng, rows: int = 60) -> Predictions:
    """Random truth, some of it unknown, and random scores."""
    labels = {
        "emotion": (rng.random((rows, 3)) < 0.3).astype(float),
        "sarcasm": rng.integers(0, 2, rows),
        "style": rng.integers(0, 3, rows),
        "sentiment": np.round(rng.uniform(-3, 3, rows) * 3) / 3,
    }
    labels["emotion"][rng.random((rows, 3)) < 0.1] = np.nan
    labels["sentiment"][:5], labels["sarcasm"][3:8], labels["style"][:2] = np.nan, -100, -100
    sizes = {"emotion": 3, "sarcasm": 2, "style": 3, "sentiment": 1}
    logits = {name: rng.normal(size=(rows, size)) for name, size in sizes.items()}
    return collect_predictions([f"row{i}" for i in range(rows)], TASKS, EvalPrediction(logits, labels))


def accuracy_parts(right: np.ndarray) -> list[list[BootstrapMetric]]:
    """The parts of one run of these `(seeds, samples)` right and wrong answers."""
    zeros = np.zeros(right.shape[1], int)
    return [[BootstrapMetric(accuracy, zeros, (~seed).astype(int), binary=True)] for seed in right]


@pytest.fixture
def run(tmp_path):
    """Writes a finished run whose seeds made these predictions."""

    def write(name, *predictions):
        template = json.loads((tiny_run() / "results.json").read_text())
        seeds = {str(seed): template["seeds"]["0"] for seed in range(len(predictions))}
        results = template | {"seeds": seeds, "summary": summarize_seeds(seeds)}
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results))
        for seed, found in enumerate(predictions):
            write_predictions(tmp_path / name / "seeds" / f"seed-{seed}" / PREDICTIONS_FILE, found)
        return tmp_path / name

    return write


# kept predictions -------------------------------------------------------------------------------------------------


def test_written_predictions_are_read(tmp_path):
    made = answers(np.random.default_rng(0))
    write_predictions(tmp_path / PREDICTIONS_FILE, made)
    found = read_predictions(tmp_path / PREDICTIONS_FILE)
    assert found.ids == made.ids and found.tasks == json.loads(json.dumps(made.tasks))
    for kind in ("truth", "scores"):
        for name in made.tasks:
            np.testing.assert_array_equal(getattr(found, kind)[name], getattr(made, kind)[name])
    assert [path.name for path in tmp_path.iterdir()] == [PREDICTIONS_FILE]


@pytest.mark.full
def test_a_run_keeps_what_its_test_scores_were_computed_from():
    results = json.loads((tiny_run() / "results.json").read_text())
    for seed, measured in results["seeds"].items():
        kept = read_predictions(tiny_run() / "seeds" / f"seed-{seed}" / PREDICTIONS_FILE)
        assert kept.ids == [f"test-{i}" for i in range(12)]
        for name, task in kept.tasks.items():
            found = compute_task_metrics(task, kept.truth[name], kept.scores[name], task["threshold"])
            recorded = {metric: measured["test"]["text+audio+visual"][f"{name}.{metric}"] for metric in found}
            assert found == pytest.approx({m: np.nan if v is None else v for m, v in recorded.items()}, nan_ok=True)


# every metric -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_metric_on_many_draws_is_its_definition_on_each(task):
    rng = np.random.default_rng(1)
    made = answers(rng)
    rows = rng.integers(0, 60, (5, 60))
    times = np.stack([np.bincount(draw, minlength=60) for draw in rows]).astype(float)
    field, truth, scores = made.tasks[task.name], made.truth[task.name], made.scores[task.name]
    expected = [compute_task_metrics(field, truth[draw], scores[draw], field["threshold"]) for draw in rows]
    whole = compute_task_metrics(field, truth, scores, field["threshold"])
    vectorised = 0
    for metric in whole:
        parts = make_bootstrap_metrics(made, f"{task.name}.{metric}")
        found = np.mean([part.resample(rows, times) for part in parts], axis=0)
        np.testing.assert_allclose(found, [draw[metric] for draw in expected], rtol=1e-12)
        assert np.mean([part.compute() for part in parts]) == pytest.approx(whole[metric], rel=1e-12)
        vectorised += parts[0].finish is not None
    assert vectorised >= 1


def test_a_label_without_positives_in_a_draw_is_left_out_of_the_mean():
    truth, rows = np.eye(4)[:, :2], np.array([[1, 2, 3, 3]])
    made = Predictions(list("abcd"), {"e": {"problem_type": "multi_label_classification", "labels": ["x", "y"],
                                            "range": None, "threshold": 0.5}}, {"e": truth}, {"e": truth})  # fmt: skip
    x, y = (part.resample(rows, np.array([[0.0, 1, 1, 2]])) for part in make_bootstrap_metrics(made, "e.wacc"))
    assert np.isnan(x) and y == 1 and significance.average_defined([x, y]) == 1


# known cases ------------------------------------------------------------------------------------------------------


def test_a_run_does_not_differ_from_itself(run):
    rng = np.random.default_rng(2)
    first = [answers(rng), answers(np.random.default_rng(3))._replace(truth=None)]
    first[1] = first[1]._replace(truth=first[0].truth)
    one, other = run("one", *first), run("other", *first)
    for metric in ("emotion.wacc", "sentiment.pearson", "style.f1_macro"):
        found = compare(one, other, metric, resamples=200)
        assert found["difference"] == 0 and found["interval"] == [0, 0] and found["p"] == 1, metric


def test_a_better_run_is_found_and_the_order_of_rows_plays_no_part(run):
    rng = np.random.default_rng(4)
    one, other = answers(rng, 200), answers(rng, 200)
    other = other._replace(truth=one.truth)
    good = one._replace(scores=one.scores | {"sentiment": np.nan_to_num(one.truth["sentiment"])})
    order = rng.permutation(200)
    shuffled = other._replace(
        ids=[other.ids[i] for i in order],
        truth={name: values[order] for name, values in other.truth.items()},
        scores={name: values[order] for name, values in other.scores.items()},
    )
    good, other, shuffled = run("good", good, good), run("other", other, other), run("shuffled", shuffled, shuffled)
    found = compare(good, other, "sentiment.mae", resamples=500)
    assert found == compare(good, shuffled, "sentiment.mae", resamples=500)
    assert found["scores"][0] == 0 and found["interval"][1] < 0 and found["p"] < 0.01 and found["samples"] == 200
    exchanged = compare(other, good, "sentiment.mae", resamples=500)
    assert exchanged["difference"] == -found["difference"] and exchanged["interval"][0] > 0
    assert compare(good, other, resamples=500) == found, "by default the primary metric of the first task"


@pytest.mark.parametrize(("share", "least", "most"), [(0.6, 0.001, 0.01), (0.64, 0.02, 0.2)])
def test_one_seed_agrees_with_the_analytic_paired_test(share, least, most):
    """The normal approximation of McNemar's test; at most a tie at 0 counts on both sides."""
    rng = np.random.default_rng(5)
    one = rng.random((1, 800)) < 0.72
    other = np.where(rng.random((1, 800)) < 0.3, rng.random((1, 800)) < share, one)
    found = paired_bootstrap([accuracy_parts(one), accuracy_parts(other)], 20_000, seed=0)
    each = (one.astype(float) - other)[0]
    error = each.std() / np.sqrt(800)
    z = each.mean() / error
    assert found["difference"] == pytest.approx(each.mean())
    assert found["interval"] == pytest.approx(
        [each.mean() - 1.96 * error, each.mean() + 1.96 * error], abs=0.06 * error
    )
    expected = 2 * stats.norm.sf(abs(z))
    assert least < expected < most and found["p"] == pytest.approx(expected, abs=0.015)


def test_where_only_the_seeds_differ_it_is_the_paired_t_test():
    """Every sample of a seed is predicted alike often, so other samples change (almost) nothing."""
    shares = np.array([[80, 70, 90, 60, 85], [70, 70, 75, 60, 60]])
    runs = [[np.arange(100) < share for share in run] for run in shares]
    parts = [accuracy_parts(np.tile(np.stack(run), 100)) for run in runs]
    found = paired_bootstrap(parts, 1000, seed=0)
    expected = stats.ttest_rel(*shares / 100)
    assert found["p"] == pytest.approx(expected.pvalue, abs=0.03)
    low, high = expected.confidence_interval(0.95)
    assert found["interval"] == pytest.approx([low, high], abs=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.08], ids=["samples", "seeds"])
@pytest.mark.full
def test_the_interval_holds_the_truth_in_95_of_100_cases(spread):
    """Five seeds of two equally good models, 200 times; by chance the share is within 0.04 of its expectation."""
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(200):
        hardness = rng.uniform(-0.25, 0.25, 250)
        parts = []
        for _ in range(2):
            chance = 0.65 + hardness + spread * rng.normal(size=(5, 1))
            parts.append(accuracy_parts(rng.random((5, 250)) < chance))
        low, high = paired_bootstrap(parts, 400, seed=0)["interval"]
        covered += low <= 0 <= high
    assert 0.91 <= covered / 200 <= 1.0


def test_draws_are_held_some_at_a_time(monkeypatch):
    parts = [accuracy_parts(np.random.default_rng(7).random((2, 50)) < share) for share in (0.5, 0.7)]
    sizes = []
    drawn = BootstrapMetric.resample
    monkeypatch.setattr(
        BootstrapMetric, "resample", lambda self, rows, times: sizes.append(rows.size) or drawn(self, rows, times)
    )
    monkeypatch.setattr(significance, "MAX_CELLS", 1000)
    assert len(resample_differences(parts, 150, np.random.default_rng(0))) == 150 and max(sizes) == 1000


# what is refused --------------------------------------------------------------------------------------------------


def test_runs_that_cannot_be_compared_are_refused(run, tmp_path):
    made = answers(np.random.default_rng(8))
    one = run("one", made, made)
    fewer = Predictions(made.ids[1:], made.tasks, *({n: v[1:] for n, v in part.items()} for part in made[2:]))
    relabeled = made._replace(truth=made.truth | {"style": (made.truth["style"] + 1) % 3})
    renamed = made._replace(tasks=made.tasks | {"style": made.tasks["style"] | {"labels": ["a", "b", "d"]}})
    lacking = made._replace(tasks={"emotion": made.tasks["emotion"]})
    bad = run("bad", made, made)
    (bad / "seeds" / "seed-1" / PREDICTIONS_FILE).write_bytes(b"PAR1")
    old = run("old", made, made)
    (old / "seeds" / "seed-0" / PREDICTIONS_FILE).unlink()
    for other, metric, sentence in (
        (run("seeds", made), "style.accuracy", "one has the seeds 0, 1 and .*seeds 0; runs are compared seed by seed"),
        (
            run("fewer", fewer, fewer),
            "style.accuracy",
            "tested on different rows: 60 and 59, and .*fewer lacks 'row0'",
        ),
        (
            run("labels", relabeled, made),
            "style.accuracy",
            r"The label 'style' of \d+ test rows differs .* first of 'row",
        ),
        (run("names", renamed, made), "style.accuracy", "The runs differ in the task 'style': .*'d'"),
        (run("lacks", lacking, made), "style.accuracy", "lacks has no task 'style' with labels. Known: emotion"),
        (old, "style.accuracy", "There is no predictions file .*; train the run again"),
        (bad, "style.accuracy", "is not a predictions file .*; train the run again"),
        (tmp_path / "none", "style.accuracy", "There is no results file"),
        (one, "style.acuracy", "There is no metric 'acuracy' of 'style'. Did you mean 'accuracy'"),
        (one, "style", "There is no metric '' of 'style'"),
        (one, "mood.accuracy", "one has no task 'mood' with labels"),
        (one, "style.accuracy.a", "'accuracy' of 'style' is not measured per label; write style.accuracy"),
        (one, "emotion.wacc.hapy", "The task 'emotion' has no label 'hapy'. Did you mean 'happy'"),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            compare(one, other, metric, 100)
        assert re.search(sentence, str(error.value)), str(error.value)
    with pytest.raises(ValueError, match="The number of resamples is 10; a 95 % interval needs at least 100"):
        compare(one, one, "style.accuracy", 10)
    constant = made._replace(scores=made.scores | {"sentiment": np.zeros(60)})
    with pytest.raises(ValueError, match="The metric is undefined for these rows and predictions"):
        compare(one, run("constant", constant, constant), "sentiment.pearson", 100)


def test_the_command_prints_it_in_words_or_as_json(run, capsys):
    rng = np.random.default_rng(9)
    one, other = answers(rng), answers(rng)
    folders = [str(run("one", one)), str(run("other", other._replace(truth=one.truth)))]
    assert main(["significance", *folders, "--metric", "emotion.wacc.sad", "--resamples", "300"]) == 0
    words = capsys.readouterr().out
    assert main(["significance", *folders, "--metric", "emotion.wacc.sad", "--resamples", "300", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "emotion.wacc.sad on 60 test rows, one seed each, which says nothing of others" in words
    for value in (*found["scores"], found["difference"], *found["interval"], found["p"]):
        assert f"{abs(value):.4f}" in words
    assert main(["significance", folders[0], "nowhere"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
