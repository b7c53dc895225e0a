# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect benchmark`: the settings of the twelve models, every cell trained once, tables in three formats and a figure."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from corpora import FIELDS, tiny_rows
from transformers import AutoModel

from mm_affect import Task
from mm_affect.cli.main import main
from mm_affect.data import LabelField
from mm_affect.evaluation.results import CorpusSummary, Environment, ModelRecord, Results, SeedResult
from mm_affect.experiments.backbone_benchmark import BACKBONES, benchmark_config, benchmark_task, format_tables
from mm_affect.features.processor import AffectProcessor
from mm_affect.training import run as experiments
from mm_affect.training.model_building import make_model_config


# Tables 7 (IEMOCAP) and 8 (CMU-MOSEI) as printed: learning rate, batch size.
TABLE_7 = """EF_AVG 1e-3 64, LF_AVG 1e-3 32, EF_LSTM 5e-4 128, LF_LSTM 1e-3 128, EF_TRANS 5e-5 64, LF_TRANS 1e-4 128,
MFN 1e-3 128, MULT 2e-4 32, EMO_EMB 5e-4 64, EF_LF_AVG 5e-4 64, EF_LF_LSTM 5e-4 128, EF_LF_TRANS 1e-4 256"""
TABLE_8 = """EF_AVG 5e-4 256, LF_AVG 5e-4 256, EF_LSTM 5e-5 32, LF_LSTM 5e-5 32, EF_TRANS 5e-5 32, LF_TRANS 5e-5 64,
MFN 1e-4 128, MULT 1e-4 32, EMO_EMB 5e-5 256, EF_LF_AVG 5e-4 256, EF_LF_LSTM 1e-4 32, EF_LF_TRANS 5e-5 64"""
PARAMETERS = {  # where they are known; EF-LF with one linear head per part
    "iemocap": {"EF-AVG": 52_996, "LF-AVG": 42_212, "EF-LSTM": 1_708_804, "LF-LSTM": 1_827_108, "EF-LF-LSTM": 3_535_914},
    "cmu_mosei": {"EF-AVG": 53_254, "LF-AVG": 45_830, "EF-LSTM": 3_786_758, "LF-LSTM": 1_829_334,
                  "EF-LF-LSTM": 5_616_094, "MFN": 1_037_894, "EMO-EMB": 5_455_903},
}  # fmt: skip
EMOTIONS = {"iemocap": ["neutral", "happy", "sad", "anger"],
            "cmu_mosei": ["happy", "sad", "anger", "surprise", "disgust", "fear"]}  # fmt: skip


@pytest.fixture
def trained(monkeypatch):
    """Names and seeds that are trained, in order; cards are left out."""
    cells, train = [], experiments.train_seed

    def train_seed(prepared, seed, folder):
        train(prepared, seed, folder)
        cells.append((prepared.config.name, seed))

    monkeypatch.setattr(experiments, "publish", lambda output, best: None)
    monkeypatch.setattr(experiments, "train_seed", train_seed)
    return cells


@pytest.fixture
def benchmark(tmp_path, capsys):
    """Runs the command; what it printed and its errors."""

    def run(*words, rows=None, code=0):
        capsys.readouterr()
        command = ["benchmark", "--rows", str(rows or tiny_rows()), "--output", str(tmp_path / "bench"), *words]
        assert main([*command, "--training.epochs", "1"]) == code
        printed = capsys.readouterr()
        return printed.out, re.findall("mm-affect: .*", printed.err)  # after a progress bar, perhaps

    return run


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


# the settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("corpus", "table"), [("iemocap", TABLE_7), ("cmu_mosei", TABLE_8)])
def test_learning_rates_and_batch_sizes_are_the_papers(corpus, table):
    printed = {line.split()[0].replace("_", "-").lower(): line.split()[1:] for line in table.split(",")}
    assert len(printed) == len(BACKBONES) == 12
    for name in BACKBONES:
        config = benchmark_config(name, "rows", Path("bench"), {"name": "emotion"}, corpus, {})
        rate, size = printed[name.lower()]
        assert (config.training.learning_rate, config.training.batch_size) == (float(rate), int(size)), name
        assert config.seeds == [0, 1, 2, 3, 4] and config.training.weight_decay == 1e-5
        assert config.output == f"bench/runs/{name}"


@pytest.mark.parametrize("corpus", PARAMETERS)
def test_all_can_be_built_and_are_of_the_papers_size(corpus):
    task = Task("emotion", labels=EMOTIONS[corpus])
    for name in BACKBONES:
        config = benchmark_config(name, "rows", Path("bench"), task.to_dict(), corpus, {})
        processor = AffectProcessor({"text": 300, "audio": 74, "visual": 35})
        model = AutoModel.from_config(make_model_config(config, [task], processor))
        assert model.num_parameters() == PARAMETERS[corpus].get(name, model.num_parameters()), name


def test_the_task_is_read_from_a_label_column():
    columns = [*FIELDS, LabelField("mood", "single_label_classification", ("a", "b", "c"))]
    assert benchmark_task(columns, "emotion")["problem_type"] == "multi_label_classification"
    assert benchmark_task(columns, "sarcasm")["problem_type"] == "single_label_classification"
    assert benchmark_task(columns, "sentiment")["problem_type"] == "regression"
    assert benchmark_task(columns, "mood")["problem_type"] == "multi_label_classification", (
        "one emotion of several, as in IEMOCAP"
    )
    for name in ("emotion", "sarcasm", "sentiment", "mood"):
        Task.from_dict(benchmark_task(columns, name))


# the command ------------------------------------------------------------------------------------------------------


def test_every_cell_is_trained_once_and_shown_in_every_table(benchmark, trained, tmp_path):
    words = ("--models", "LF-AVG,EF-AVG", "--seeds", "[0, 1]")
    out, errors = benchmark(*words)
    assert trained == [("LF-AVG", 0), ("LF-AVG", 1), ("EF-AVG", 0), ("EF-AVG", 1)] and not errors
    folder = tmp_path / "bench"
    assert (folder / "benchmark.md").read_text() == out
    results = {
        name: json.loads((folder / "runs" / name / "results.json").read_text()) for name in ("LF-AVG", "EF-AVG")
    }
    assert results["EF-AVG"]["config"]["training"]["learning_rate"] == 5e-4
    header, _, *lines = cells_of(out.split("f1_binary on")[0])
    assert header == ["model", "happy", "sad", "average"] and [line[0] for line in lines] == list(results)
    for name, *shown in lines:
        for cell, key in zip(shown, ("emotion.wacc.happy", "emotion.wacc.sad", "emotion.wacc"), strict=True):
            values = [seed["test"]["text+audio+visual"][key] for seed in results[name]["seeds"].values()]
            assert cell == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    numbers = list(csv.DictReader((folder / "benchmark.csv").read_text().splitlines()))
    summary = results["EF-AVG"]["summary"]["text+audio+visual"]
    assert float(numbers[1]["emotion.f1_binary.sad"]) == summary["emotion.f1_binary.sad"]["mean"]
    latex = (folder / "benchmark.tex").read_text()
    assert latex.count(r"\begin{tabular}{lrrr}") == 2
    assert all(line.startswith(("%", "\\", "model &", "LF-AVG &", "EF-AVG &")) for line in latex.splitlines() if line)
    assert "EF-AVG & " + " & ".join(lines[1][1:]).replace("±", r"$\pm$") + r" \\" in latex
    plotted = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert len(plotted) == 2 * 2 * 3 and (folder / "scores.png").read_bytes()[:4] == b"\x89PNG"
    assert float(plotted[0]["mean"]) == results["LF-AVG"]["summary"]["text+audio+visual"]["emotion.wacc.happy"]["mean"]

    del trained[:]
    assert benchmark(*words)[0] == out and not trained, "finished cells are not trained again"
    benchmark("--models", "LF-AVG", "--seeds", "[0, 1, 2]")
    assert trained == [("LF-AVG", 2)], "only what is new"


def test_an_interrupted_cell_starts_again(benchmark, trained, monkeypatch):
    train = experiments.train_seed

    def interrupt(config, seed, folder, *rest):
        if seed == 1:
            raise KeyboardInterrupt
        train(config, seed, folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(experiments, "train_seed", interrupt)
        benchmark("--models", "EF-AVG", "--seeds", "[0, 1]", code=130)
    benchmark("--models", "EF-AVG", "--seeds", "[0, 1]")
    assert trained == [("EF-AVG", 0), ("EF-AVG", 1)]


def test_a_model_that_cannot_run_is_listed_and_the_others_go_on(benchmark, trained, tmp_path):
    """The tiny rows are not word-aligned, which MFN wants."""
    out, errors = benchmark("--models", "MFN,EF-AVG", "--seeds", "[0]", code=1)
    assert trained == [("EF-AVG", 0)] and len(errors) == 1
    assert re.search(r"^MFN was not measured. .*word-aligned", out, re.MULTILINE)
    assert "% MFN was not measured." in (tmp_path / "bench" / "benchmark.tex").read_text()
    assert [line["run"] for line in csv.DictReader((tmp_path / "bench/benchmark.csv").read_text().splitlines())] == [
        "EF-AVG"
    ]


def test_other_tasks_are_shown_by_their_usual_metrics(benchmark, trained):
    out, _ = benchmark("--models", "EF-AVG", "--seeds", "[0]", "--task", "sarcasm", "--corpus", "iemocap")
    assert re.findall(r"^(\w+) on the test split of tiny \(SYNTHETIC\)", out, re.MULTILINE) == ["accuracy", "f1_macro"]
    assert [line[0] for line in cells_of(out)] == ["model", "---", "EF-AVG"] * 2


def test_a_dash_is_what_was_not_measured():
    corpus = CorpusSummary("c", False, None, {}, None, None, {})
    task = {"name": "mood", "problem_type": "regression", "labels": ["mood"]}
    seeds = {"0": SeedResult(1, 1, {}, {"text": {"mood.older": 0.5}}, 1.0)}
    environment = Environment({}, "CPU")
    results = Results("EF-AVG", ModelRecord("", 1), {}, [task], corpus, seeds, environment, "", 1.0, "")
    assert ["EF-AVG", "–"] in cells_of(format_tables([results], {}))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "EF-AVG,EF-AVF"], "There are no settings for 'EF-AVF'. Did you mean 'EF-AVG'"),
        (["--corpus", "mosei"], "There are no settings for 'mosei'. Did you mean 'cmu_mosei'"),
        (
            ["--task", "mood"],
            "The rows have no label 'mood'; choose another --task. Known: emotion, sarcasm, sentiment",
        ),
        (["--training.batch_size", "0"], "training.batch_size is 0"),
        (["--seeds", "[]"], "seeds is "),
    ],
)
def test_wrong_words_are_refused_before_training(benchmark, trained, tmp_path, words, sentence):
    errors = benchmark(*words, code=1)[1]
    assert len(errors) == 1 and sentence in errors[0], errors
    assert not trained and not (tmp_path / "bench").exists()


def test_what_the_benchmark_sets_has_no_flag(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark("--architecture", "mm_affect_tailor")
    assert "unrecognized arguments: --architecture" in capsys.readouterr().err
