# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Published tables from runs: thresholds per metric, the best seed by validation with intervals, modalities left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import FIELDS, SHARED, make_rows, run_config
from test_experiments import no_plots  # noqa: F401
from transformers import AutoModel, AutoProcessor

from mm_affect import AffectCollator
from mm_affect.cli import main as cli
from mm_affect.data import load
from mm_affect.data.ragged import RowDataset
from mm_affect.evaluation import selection
from mm_affect.evaluation.comparison import TableLayout, make_comparison_csv, make_comparison_table, parse_subsets
from mm_affect.evaluation.evaluator import compute_metrics, evaluate_subsets, predict
from mm_affect.evaluation.metrics import compute_task_metrics, weighted_accuracy
from mm_affect.evaluation.predictions import read_predictions
from mm_affect.evaluation.results import Score, format_score, read_results
from mm_affect.evaluation.significance import compute_intervals
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.prepared_run import prepare


SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "encoder_layers": 1,
         "modality_weights": {"text": 0.2, "audio": 0.5, "visual": 0.3}}  # fmt: skip
SELECTION = "emotion.wacc+emotion.f1_weighted"
TRAINING = {"epochs": 3, "select_by": SELECTION, "tune_thresholds": ["weighted_accuracy", "f1_weighted"]}
CONFIGS = Path(__file__).parent.parent / "examples" / "configs"
TASKS = [{"name": "emotion", "labels": ["happy", "sad"]}]


@pytest.fixture(scope="module")
def config_file():
    """The config of a run of two seeds, in a folder that the tests of this file share."""
    config = run_config(SHARED / "tables" / "run", architecture="mm_affect_joint_embeddings", model=SMALL, tasks=TASKS,
                        training=TRAINING, seeds=[0, 1])  # fmt: skip
    path = SHARED / "tables" / "small.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def results(config_file):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "publish", lambda output, best: None)
        return experiments.run(RunConfig.load(config_file))


def answers(results, seed, split):
    folder = Path(results.config["output"])
    model, processor = (
        AutoModel.from_pretrained(folder / "seeds" / f"seed-{seed}"),
        AutoProcessor.from_pretrained(folder),
    )
    collator = AffectCollator(processor, model.config.tasks, FIELDS)
    return model, processor, predict(model, collator, RowDataset(make_rows(split)))


# thresholds --------------------------------------------------------------------------------------------------------


def test_every_metric_has_thresholds_tuned_for_it_on_validation(results):
    for seed, found in results.seeds.items():
        model, _, validation = answers(results, seed, "validation")
        test = answers(results, seed, "test")[2]
        task = model.config.tasks[0]
        for metric in ("wacc", "f1_weighted"):
            thresholds, grid = task.metric_thresholds[metric], np.arange(1, 20) / 20
            scores, truth = task.scores(validation.predictions["emotion"]), validation.label_ids["emotion"]
            by_hand = [
                [
                    compute_task_metrics(task.to_label_field().to_dict(), truth, scores, t)[f"{metric}.{label}"]
                    for t in grid
                ]
                for label in task.labels
            ]
            reached = compute_task_metrics(task.to_label_field().to_dict(), truth, scores, thresholds)
            for label, values in zip(task.labels, by_hand, strict=True):
                assert reached[f"{metric}.{label}"] == max(values)
                assert found.validation[f"emotion.{metric}.{label}"] == max(values)
            tested = task.scores(test.predictions["emotion"])
            expected = compute_task_metrics(
                task.to_label_field().to_dict(), test.label_ids["emotion"], tested, thresholds
            )[metric]
            assert found.test["text+audio+visual"][f"emotion.{metric}"] == pytest.approx(expected, abs=1e-9)
        assert list(task.threshold) == task.metric_thresholds["wacc"]


def test_the_first_metric_decides_and_the_others_differ(results):
    model, _, test = answers(results, 0, "test")
    own = [
        t.to_dict() | {"threshold": 0.05, "metric_thresholds": {"f1_binary": [0.95, 0.95]}} for t in model.config.tasks
    ]
    task = type(model.config.tasks[0]).from_dict(own[0])
    found = compute_metrics([task], test)
    truth, scores = test.label_ids["emotion"], task.scores(test.predictions["emotion"])
    low, high = (compute_task_metrics(task.to_label_field().to_dict(), truth, scores, t) for t in (0.05, 0.95))
    assert found["emotion.f1_binary.sad"] == high["f1_binary.sad"] != low["f1_binary.sad"]
    assert found["emotion.f1_weighted"] == low["f1_weighted"] and found["emotion.f1_micro"] == low["f1_micro"]


def test_thresholds_of_the_wrong_number_are_refused(results):
    model = answers(results, 0, "test")[0]
    with pytest.raises(ValueError, match="1 thresholds of wacc for 2 labels"):
        type(model.config.tasks[0]).from_dict(model.config.tasks[0].to_dict() | {"metric_thresholds": {"wacc": [0.5]}})


@pytest.mark.parametrize("wrong", [[], ["f1_weighted", "f2"], "f2"])
def test_metrics_that_nothing_tunes_are_refused(wrong):
    with pytest.raises(ValueError, match="tune_thresholds is .* expected one of null, f1_binary"):
        RunConfig.from_dict(run_config("unused", training={"tune_thresholds": wrong}))


# selection and intervals -------------------------------------------------------------------------------------------


def test_the_mean_of_two_metrics_selects_epoch_and_seed(results):
    for seed, found in results.seeds.items():
        scores = found.validation
        assert scores[SELECTION] == pytest.approx((scores["emotion.wacc"] + scores["emotion.f1_weighted"]) / 2)
        history = json.loads((Path(results.config["output"]) / f"seeds/seed-{seed}/history.json").read_text())
        epochs = {
            round(entry["epoch"]): entry[f"eval_{SELECTION}"] for entry in history if f"eval_{SELECTION}" in entry
        }
        assert epochs[found.best_epoch] == max(epochs.values())
    best = max(results.seeds, key=lambda seed: results.seeds[seed].validation[SELECTION])
    assert results.best.seed == best and results.best.selected_by == SELECTION
    assert selection.read_best_seed(Path(results.config["output"])) == int(best)


@pytest.mark.parametrize(("wrong", "words"), [
    ("emotion.wacc+loss", "whose mean is meaningless"),
    ("emotion.wacc+emotion.hamming_loss", "whose mean is meaningless"),
    ("emotion.wacc+emotion.f2", "'emotion.f2', which is not measured"),
])  # fmt: skip
def test_a_mean_that_says_nothing_is_refused(config_file, wrong, words):
    config = RunConfig.load(config_file, {"training.select_by": wrong})
    with pytest.raises(ValueError, match=words):
        prepare(config, measure_test=False)


def test_intervals_are_the_percentiles_of_scores_on_drawn_rows(results):
    best = results.best
    file = Path(results.config["output"]) / "seeds" / f"seed-{best.seed}" / "predictions.parquet"
    predictions, key = read_predictions(file), "emotion.wacc.happy"
    truth = predictions.truth["emotion"][:, 0]
    task = predictions.tasks["emotion"]
    decided = (predictions.scores["emotion"][:, 0] > task["metric_thresholds"]["wacc"][0]).astype(float)
    truth = np.where(np.isnan(truth), np.nan, truth > 0)
    rng, scores = np.random.default_rng(5), []
    for _ in range(4000):
        rows = rng.integers(0, len(truth), len(truth))
        scores.append(weighted_accuracy(truth[rows], decided[rows]))
    found = compute_intervals(predictions, [key, "emotion.auc"], resamples=4000)
    np.testing.assert_allclose(found[key], np.nanquantile(scores, [0.025, 0.975]), atol=0.06)
    assert "emotion.auc" not in found  # of ranks
    low, high = best.intervals["emotion.wacc"]
    assert low <= results.get_scores("text+audio+visual", best=True)["emotion.wacc"].mean <= high and low < high


def test_best_scores_are_formatted(results):
    score = Score(0.67, None, 1, [0.65, 0.69])
    assert format_score(score) == "0.670 [0.650, 0.690]" and format_score(replace(score, interval=None)) == "0.670"
    with pytest.raises(ValueError, match="do not name their best seed"):
        replace(results, best=None).get_scores("audio", best=True)


# the modalities left out -------------------------------------------------------------------------------------------


def table_of(text):
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_one_command_measures_what_is_left_without_a_modality(results, config_file, capsys, tmp_path):
    wanted = "audio,visual+audio,text+audio,text+audio+visual"
    command = ["compare", str(config_file), "--metrics", "wacc,f1_weighted", "--best", "--subsets", wanted, "--renormalize",
               "--output", str(tmp_path / "table.md")]  # fmt: skip
    assert not cli.main(command)
    table, best = table_of(capsys.readouterr().out), results.best.seed
    fixed, grown = table["tiny"], table["tiny, weights re-normalized"]
    model, processor, _ = answers(results, best, "test")
    rows = load(results.config["rows"])["test"]
    assert model.config.renormalize_weights is False
    model.config.renormalize_weights = True
    by_hand = evaluate_subsets(model, processor, rows, FIELDS)
    for subset in ("audio", "audio+visual", "text+audio"):
        key = f"emotion.wacc, {subset}"
        assert fixed[key] == f"{results.seeds[best].test[subset]['emotion.wacc']:.3f}"
        assert grown[key] == f"{by_hand[subset]['emotion.wacc']:.3f}"
    assert fixed["emotion.f1_weighted, text+audio+visual"].startswith(
        f"{results.seeds[best].test['text+audio+visual']['emotion.f1_weighted']:.3f} ["
    )
    assert "emotion.wacc, audio low" in (tmp_path / "table.csv").read_text().splitlines()[0]
    assert read_results(Path(results.config["output"]) / "results.json") == results


def test_means_of_subsets(results):
    shown = TableLayout(["emotion.wacc"], parse_subsets("audio, visual+audio"))
    line = table_of(make_comparison_table([results], shown))["tiny"]
    assert line["emotion.wacc, audio+visual"] == format_score(results.summary["audio+visual"]["emotion.wacc"])
    assert make_comparison_csv([results], shown).splitlines()[0].split(",")[2].strip('"') == "emotion.wacc"


@pytest.mark.parametrize("wrong", ["audio+smell", "video", "audio,,text"])
def test_what_is_no_modality_is_refused(wrong):
    with pytest.raises(ValueError, match="There is no subset of modalities"):
        parse_subsets(wrong)


# the configs of the paper ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "seeds"), [("khare_tables", 10), ("khare_sample", 3)])
def test_the_configs_differ_in_the_model_alone(folder, seeds):
    late, plain, pretrained = (json.loads(path.read_text()) for path in sorted((CONFIGS / folder).glob("*.json")))
    named = {
        "name": pretrained["name"],
        "output": pretrained["output"],
        "pretrained": pretrained["pretrained"],
    }
    assert pretrained == plain | named
    assert late["architecture"] == "mm_affect_bigru" and late["tasks"] == plain["tasks"]
    for config in (late, plain):
        assert config["seeds"] == list(range(seeds)) and config["training"]["select_by"] == SELECTION
        assert config["training"]["tune_thresholds"] == TRAINING["tune_thresholds"]
