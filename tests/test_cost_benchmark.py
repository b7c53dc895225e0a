# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect cost`: FLOPs against counts by hand, what is measured, tables, figure, bad input."""

import csv
import json
import shutil

import pytest
import torch
from corpora import MODEL, SIZES, tiny_rows, tiny_run
from torch import nn
from torch.nn import functional as F

from mm_affect import EmoEmbConfig, EmoEmbForAffect, FusionConfig, FusionForAffect, MFNConfig, MFNForAffect, Task
from mm_affect.cli.main import main
from mm_affect.experiments import cost_benchmark
from mm_affect.experiments.cost_benchmark import Cost, list_architectures, measure, measure_in_subprocess, select_runs
from mm_affect.experiments.flops import count_flops
from mm_affect.training.config import RunConfig
from mm_affect.vocabulary import MODALITIES


TASKS = [Task("emotion", labels=("happy", "sad"))]
STEPS = dict.fromkeys(MODALITIES, 5)


# floating point operations ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_flops_of_layers_that_the_counter_of_pytorch_passes_over():
    steps = torch.randn(2, 5, 8)
    assert count_flops(lambda: nn.Linear(8, 3)(steps)) == 2 * 10 * 8 * 3
    lstm = nn.LSTM(8, 6, num_layers=2, batch_first=True, bidirectional=True)
    assert count_flops(lambda: lstm(steps)) == 2 * 10 * 2 * (24 * (8 + 6) + 24 * (12 + 6))
    heads = torch.randn(2, 4, 5, 16)
    assert count_flops(lambda: F.scaled_dot_product_attention(heads, heads, heads)) == 2 * 2 * (2 * 4 * 5 * 5 * 16)
    assert count_flops(lambda: torch.zeros(5, 3).addmm_(steps[0], torch.randn(8, 3))) == 2 * 5 * 8 * 3


def flops_of(model) -> int:
    """Of one row of five steps."""
    inputs = {m: torch.randn(1, steps, SIZES[m]) for m, steps in STEPS.items()}
    with torch.no_grad():
        return count_flops(lambda: model.eval()(**inputs))


def lstm_weights(inputs: int, units: int) -> int:
    return 4 * units * (inputs + units)


def test_flops_of_mfn_are_those_of_its_equations():
    model = MFNForAffect(MFNConfig(feature_sizes=SIZES, tasks=TASKS))
    cells = sum(lstm_weights(SIZES[m], size) for m, size in model.config.hidden_sizes.items())
    first = sum(4 * size * size for size in model.config.hidden_sizes.values())  # no state goes into the first step
    total, memory = 2 * (128 + 32 + 128), 128
    attention = 2 * total * 128 + total * 128 + 128 * memory
    gates = 2 * (256 * (total + memory) + 256 * memory)
    head = (total // 2 + memory) * 128 + 128 * 2
    assert flops_of(model) == 2 * (5 * (cells + attention + gates) - first - 2 * 256 * memory + head)


def test_flops_of_lstms_of_two_kinds():
    """EF-LF-LSTM has PyTorch's, EMO-EMB our own; read at the last step, the backward direction is one step of the last layer."""
    fusion = FusionForAffect(FusionConfig(fusion="lf", feature_sizes=SIZES, tasks=TASKS))
    expected = sum(
        5 * lstm_weights(SIZES[m], size) + lstm_weights(SIZES[m], size) for m, size in fusion.config.late_sizes.items()
    )
    assert flops_of(fusion) == 2 * (expected + 2 * 2 * sum(fusion.config.late_sizes.values()))
    emo_emb = EmoEmbForAffect(EmoEmbConfig(feature_sizes=SIZES, tasks=TASKS))
    expected = 300 * 2  # the label words
    for m, size in emo_emb.config.hidden_sizes.items():
        ahead = 5 * lstm_weights(SIZES[m], size) - 4 * size * size
        above = 5 * lstm_weights(2 * size, size) - 4 * size * size + 4 * size * 2 * size
        expected += 2 * ahead + above + (0 if m == "text" else size * 301)
    assert flops_of(emo_emb) == 2 * expected


# what is measured -------------------------------------------------------------------------------------------------


def test_every_architecture_of_the_package_is_known_and_named_once():
    subjects, metric = select_runs(tiny_rows(), None, [], None)
    assert [subject.config.architecture for subject in subjects] == list_architectures()
    assert {"mm_affect_fusion", "mm_affect_mfn", "mm_affect_emo_emb"} <= set(list_architectures()) and metric is None


def test_a_finished_run_stands_for_its_architecture():
    subjects, metric = select_runs(tiny_rows(), ["mfn", "mm_affect_fusion"], [tiny_run()], None)
    assert [subject.name for subject in subjects] == ["tiny", "mfn"] and metric == "sentiment.mae"
    assert subjects[0].config.model == MODEL and subjects[0].score.n == 2 and subjects[1].score is None


def test_costs_are_those_of_the_model_on_these_rows():
    config = RunConfig("lf", str(tiny_rows()), "", model={"fusion": "lf", "encoder": "avg"})
    cost = measure(config, batch_size=8, rounds=1)
    sizes = {"text": 128, "audio": 64, "visual": 32}
    weights = sum(SIZES[m] * size for m, size in sizes.items())
    head = sum(sizes.values()) * 5  # one sentiment, two of sarcasm, two emotions
    assert cost.parameters == weights + sum(sizes.values()) + head + 5
    assert cost.flops == 2 * (weights + head)
    assert 0 < cost.forward < cost.train < 10 and cost.peak > 100


def test_a_fresh_process_gives_the_cost_or_the_reason():
    """Rows of different lengths are not word-aligned: MFN says so."""
    config = RunConfig("mfn", str(tiny_rows()), "", architecture="mm_affect_mfn")
    assert "word-aligned" in measure_in_subprocess(config, 8, 1)


# the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run `mm-affect cost ...` on tiny rows without further processes; what it printed, and its one sentence if it failed."""

    def here(config, batch_size, rounds):
        if config.architecture == "mm_affect_mfn":
            return "The streams are not word-aligned."
        return Cost(1000 if config.architecture == "mm_affect_emo_emb" else 52_996, 2.5e6, 0.001, 0.0025, 321.4)

    monkeypatch.setattr(cost_benchmark, "measure_in_subprocess", here)

    def run(*words, rows=None, code=0):
        capsys.readouterr()
        assert (
            main(["cost", "--rows", str(rows or tiny_rows()), "--output", str(tmp_path / "out"), *map(str, words)])
            == code
        )
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        if code:
            assert not printed.out and len(errors) == 1
        return printed.out, "\n".join(errors)

    return run


def test_tables_and_figure(command, tmp_path):
    out, errors = command("--architectures", "fusion", "emo_emb", "mfn", "--results", tiny_run())
    line = "| tiny | mm_affect_fusion | 52,996 | 2.5 | 1 | 2.5 | 321 |"
    assert line in out and "| emo_emb | mm_affect_emo_emb | 1,000 |" in out and "| mfn |" not in out
    assert errors == "mm-affect: mfn could not be measured: The streams are not word-aligned."
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "costs.csv", "costs.json", "costs.md", "parameters.csv", "parameters.png",
    ]  # fmt: skip
    written = (folder / "costs.md").read_text()
    assert line in written and "* mfn could not be measured: The streams are not word-aligned." in written
    with open(folder / "costs.csv") as file:
        rows = list(csv.DictReader(file))
    results = json.loads((tiny_run() / "results.json").read_text())
    score = results["summary"]["text+audio+visual"]["sentiment.mae"]
    assert float(rows[0]["sentiment.mae"]) == score["mean"] and rows[1]["sentiment.mae"] == ""
    assert rows[0]["MFLOP"] == "2.5" and float(rows[0]["peak MB"]) == 321.4
    record = json.loads((folder / "costs.json").read_text())
    assert (
        record["metric"] == "sentiment.mae" and record["measured"][0]["flops"] == 2.5e6 and record["batch_size"] == 32
    )
    assert record["failed"] == {"mfn": "The streams are not word-aligned."} and "torch" in record["versions"]
    assert (folder / "parameters.png").read_bytes()[:4] == b"\x89PNG"
    with open(folder / "parameters.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["tiny"]


def test_without_scores_there_is_no_figure(command, tmp_path):
    out, _ = command("--architectures", "fusion")
    assert "sentiment" not in out and not (tmp_path / "out" / "parameters.png").exists()


def test_nothing_measured_is_a_failure(command):
    assert "word-aligned" in command("--architectures", "mfn", code=1)[1]


def test_bad_input_is_one_sentence(command, tmp_path):
    assert "nowhere" in command(rows=tmp_path / "nowhere", code=1)[1]
    assert (
        "Unknown architecture 'mm_affect_mfm'. Did you mean 'mm_affect_mfn'?"
        in command("--architectures", "mm_affect_mfm", code=1)[1]
    )
    assert "There is no results file" in command("--results", tmp_path, code=1)[1]
    assert (
        "has no score 'sentiment.mea'. Did you mean"
        in command("--results", tiny_run(), "--metric", "sentiment.mea", code=1)[1]
    )
    assert "The batch size is 0" in command("--batch-size", 0, code=1)[1]
    assert "The number of rounds is 0" in command("--rounds", 0, code=1)[1]
    other = tmp_path / "other"
    shutil.copytree(tiny_run(), other)
    results = json.loads((other / "results.json").read_text())
    results["corpus"] |= {"manifest_hash": "another", "name": "elsewhere"}
    (other / "results.json").write_text(json.dumps(results))
    assert "was trained on other rows (elsewhere)" in command("--results", other, code=1)[1]
    assert not (tmp_path / "out").exists()
