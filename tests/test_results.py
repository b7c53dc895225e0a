# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""results.json: the summary, the file, what is refused, the tables, the figures."""

import copy
import csv
import json
import math
import socket
import statistics
import sys
from dataclasses import replace

import numpy as np
import pytest
from corpora import summarize_seeds

import mm_affect
from mm_affect.evaluation import plots
from mm_affect.evaluation import results as module
from mm_affect.evaluation.results import (
    UNMEASURED,
    Environment,
    Results,
    Score,
    SeedResult,
    format_latex_table,
    format_markdown_table,
    format_score,
    read_results,
    summarize,
    write_results,
)


@pytest.fixture
def content():
    """The content of a results file."""
    rng = np.random.default_rng(0)
    seeds = {
        str(seed): {
            "epochs": 3,
            "seconds": 1.5,
            "best_epoch": 2,
            "validation": {"sentiment.mae": 0.5},
            "test": {
                subset: {"sentiment.mae": rng.random(), "sentiment.pearson": rng.random()} for subset in module.SUBSETS
            },
        }
        for seed in range(3)
    }
    return {
        "format": "mm_affect results",
        "version": 1,
        "name": "tiny",
        "model": {"architecture": "fusion", "parameters": 1234},
        "config": {"seed": [0, 1, 2]},
        "tasks": [{"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3, 3]}],
        "corpus": {
            "name": "own_50%",
            "synthetic": False,
            "license": None,
            "counts": {"train": 5, "test": 3},
            "manifest_hash": "ab12",
            "split_protocol": "by group",
            "extractors": {},
        },
        "seeds": seeds,
        "summary": summarize_seeds(seeds),
        "versions": {"python": "3.11"},
        "command": "mm-affect train run.json",
        "device": "CPU",
        "seconds": 4.5,
        "date": "2026-01-01",
    }


@pytest.fixture
def results(content):
    return Results.from_dict(content)


def test_subsets_are_the_seven_in_order():
    assert module.SUBSETS == (
        *("text+audio+visual", "text+audio", "text+visual", "audio+visual"),
        *("text", "audio", "visual"),
    )


def test_summary_is_mean_and_sample_deviation(results):
    for subset, scores in results.summary.items():
        for key, score in scores.items():
            values = [run.test[subset][key] for run in results.seeds.values()]
            assert score.mean == pytest.approx(sum(values) / 3)
            assert score.std == pytest.approx(np.std(values, ddof=1)) and score.n == 3
    assert set(results.summary) == set(module.SUBSETS)


def test_summary_of_one_seed_and_of_undefined_values():
    def run(value):
        return SeedResult(1, 1, {}, {"text": {"a.wacc": value}}, 1.0)

    assert summarize({"0": run(0.5)})["text"]["a.wacc"] == Score(0.5, None, 1)
    assert summarize({"0": run(math.nan)})["text"]["a.wacc"] == UNMEASURED
    score = summarize({"0": run(0.5), "1": run(None), "2": run(0.7)})["text"]["a.wacc"]
    assert score == Score(pytest.approx(0.6), pytest.approx(statistics.stdev([0.5, 0.7])), 2)


def test_written_is_read(results, content, tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    assert json.loads(path.read_text()) == results.to_dict() == content
    assert list(path.parent.iterdir()) == [path]


def test_undefined_is_null_and_numpy_is_plain(results, tmp_path):
    results.seeds["0"].test["text"]["sentiment.pearson"] = np.float64("nan")
    results.seeds["1"].test["text"]["sentiment.mae"] = np.float32(0.1)
    config = {"threshold": np.array([0.5, np.inf]), "batch": np.int64(8), "out": tmp_path}
    results = replace(results, config=config)
    write_results(tmp_path / "results.json", results)

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "results.json").read_text()
    written = json.loads(text, parse_constant=refuse)  # NaN and Infinity are not JSON
    assert written["seeds"]["0"]["test"]["text"]["sentiment.pearson"] is None
    assert written["summary"]["text"]["sentiment.pearson"]["n"] == 2
    assert written["config"] == {"threshold": [0.5, None], "batch": 8, "out": str(tmp_path)}


@pytest.mark.parametrize("key", [key for key in module.REQUIRED if key not in ("format", "version")])
def test_a_missing_key_is_named(content, tmp_path, key):
    path = tmp_path / "results.json"
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"results.json has no `{key}`"):
        read_results(path)


def test_wrong_results_are_not_written_and_the_old_file_stays(results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    for wrong in (replace(results, seeds={}), replace(results, tasks=[{"name": "a"}])):
        with pytest.raises(ValueError, match="results.json has "):
            write_results(path, wrong)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def change(content, *keys, to):
    results = copy.deepcopy(content)
    *path, last = keys
    inner = results
    for key in path:
        inner = inner[key]
    inner[last] = to
    return results


def test_wrong_results_are_refused(content):
    for changed, message in [
        (change(content, "summary", "text", "sentiment.mae", "mean", to=0.99), "summary"),
        (change(content, "seeds", "0", "test", "visual+text", to={}), "tested on"),
        (change(content, "seeds", "0", "test", to={}), "tested on"),
        (change(content, "seeds", "0", to={"test": {}}), "epochs"),
        (change(content, "seeds", to={}), "no seeds"),
        (change(content, "tasks", to=[{"name": "a"}]), "problem_type"),
        (change(content, "tasks", 0, "name", to="a.b"), "use another name"),
        (change(content, "corpus", to={"name": "a"}), "corpus.synthetic"),
        (change(content, "model", to="fusion"), "type str"),
        (change(content, "version", to=2), "version 2"),
        (change(content, "format", to="other"), "format"),
        (change(content, "best", to={"seed": "0"}), "best.selected_by"),
    ]:
        with pytest.raises(ValueError, match=message):
            Results.from_dict(changed)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.json"):
        read_results(tmp_path / "absent.json")
    for content in (b"{", b"\xff\xfe\x00", b"[]", b'{"name": "a"}'):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(ValueError, match="bad.json"):
            read_results(tmp_path / "bad.json")


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_stopped_write_leaves_the_old_file(results, tmp_path, monkeypatch, fault):
    path = tmp_path / "results.json"
    write_results(path, results)
    before = path.read_bytes()

    def stop(descriptor):
        raise fault

    monkeypatch.setattr(module.os, "fsync", stop)
    with pytest.raises(type(fault)):
        write_results(path, replace(results, name="other"))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_markdown_table_is_escaped(results):
    score = results.summary["text+audio+visual"]["sentiment.mae"]
    assert format_markdown_table(
        ["run", "mae"], [["a|b", format_score(score)], ["c", format_score(None)]]
    ).splitlines() == [
        "| run | mae |",
        "| --- | --- |",
        f"| a\\|b | {score.mean:.3f} ± {score.std:.3f} |",
        "| c | – |",
    ]


def test_the_full_subset_has_all_the_modalities_that_a_model_has(results):
    subsets = ("visual", "text", "text+visual")
    seeds = {seed: replace(run, test={s: run.test[s] for s in subsets}) for seed, run in results.seeds.items()}
    assert replace(results, seeds=seeds).full_subset == "text+visual"


def test_latex_table_is_escaped(results):
    score = results.summary["text+audio+visual"]["sentiment.mae"]
    table = format_latex_table(["run", "mae", "acc2_has0"], [["own_50%", format_score(score), format_score(None)]])
    assert table.startswith(r"\begin{tabular}{lrr}") and table.endswith(r"\end{tabular}")
    assert rf"own\_50\% & {score.mean:.3f} $\pm$ {score.std:.3f} & -- \\" in table
    assert r"acc2\_has0" in table


def test_environment_names_versions_and_the_machine_but_no_host():
    environment = Environment.current("cpu")
    assert environment.versions["numpy"] == np.__version__
    assert set(environment.versions) == {"python", "mm_affect", *module.PACKAGES}
    assert environment.versions["mm_affect"] == mm_affect.__version__
    assert environment.device.startswith("CPU") and "cores" in environment.device
    assert socket.gethostname() not in str(environment)


# Figures: the numbers beside each are checked, and that the picture is one


def drawn(path):
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    assert sorted(path.parent.iterdir()) == [path.with_suffix(".csv"), path]
    with open(path.with_suffix(".csv"), newline="") as file:
        return list(csv.reader(file))


def test_plot_subsets_shows_the_summary(results, tmp_path):
    header, *rows = drawn(plots.plot_subsets(results, tmp_path / "subsets.png"))
    assert header == ["metric", "subset", "mean", "std", "n"] and [row[1] for row in rows] == list(module.SUBSETS)
    for key, subset, mean, std, n in rows:
        assert Score(float(mean), float(std), int(n)) == results.summary[subset][key]


def test_plot_training_takes_losses_and_primary_metrics(tmp_path):
    history = [
        {"loss": 2.0, "loss_emotion": 1.5, "learning_rate": 1e-3, "grad_norm": 1.0, "epoch": 1.0, "step": 10},
        {"eval_loss": 1.8, "eval_emotion.wacc": 0.6, "eval_emotion.wacc.sad": 0.5, "eval_runtime": 1.0, "epoch": 1.0},
        {"eval_loss": math.nan, "eval_emotion.subset_accuracy": 0.6, "epoch": 2.0},
        {"train_loss": 1.0, "train_runtime": 5.0, "epoch": 2.0},
    ]
    _, *rows = drawn(plots.plot_training(history, tmp_path / "training.png"))
    assert rows == [
        ["loss", "training", "1.0", "2.0"],
        ["loss", "validation", "1.0", "1.8"],
        ["loss_emotion", "training", "1.0", "1.5"],
        ["emotion.wacc", "validation", "1.0", "0.6"],
    ]


def test_plot_confusion_and_timeline_keep_their_numbers(tmp_path):
    (tmp_path / "a").mkdir()
    _, *rows = drawn(plots.plot_confusion([[3, 0], [1, 2]], ["no", "yes"], tmp_path / "a" / "confusion.png"))
    assert rows == [["no", "3", "0"], ["yes", "1", "2"]]
    (tmp_path / "b").mkdir()
    window = {
        "start": 0.0,
        "end": 2.0,
        "scores": {"mood": {"low": 0.25, "high": 0.75}, "sentiment": {"sentiment": -1.5}},
    }
    _, *rows = drawn(plots.plot_timeline([window], tmp_path / "b" / "timeline.png"))
    assert rows[0] == ["0.0", "2.0", "mood", "low", "0.25"] and rows[2][-1] == "-1.5" and len(rows) == 3


def test_wrong_plots_are_refused_and_write_nothing(tmp_path):
    for plot, *arguments, message in [
        (plots.plot_training, [{"learning_rate": 1.0, "epoch": 1.0}], tmp_path / "a.png", "log_history"),
        (plots.plot_confusion, [[1]], ["no", "yes"], tmp_path / "a.png", "2 labels"),
        (plots.plot_timeline, [], tmp_path / "a.png", "windows"),
        (plots.plot_confusion, [[1]], ["no"], tmp_path / "a.jpg", "png"),
    ]:
        with pytest.raises(ValueError, match=message):
            plot(*arguments)
    assert not list(tmp_path.iterdir())


def test_plots_without_matplotlib_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"mm_affect\[plots\]"):
        plots.plot_confusion([[1]], ["no"], tmp_path / "a.png")
