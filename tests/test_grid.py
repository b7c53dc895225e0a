# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect grid`: points on validation alone, each trained once, one file of all with the best one marked."""

import csv
import json
import re

import pytest
from corpora import run_config

from mm_affect.cli.main import main
from mm_affect.experiments import grid_search as grid
from mm_affect.experiments.grid_search import PAPER_GRID, expand_grid


EMOTION = {"name": "emotion", "labels": ["happy", "sad"]}


@pytest.fixture
def config(tmp_path):
    model = {"fusion": "ef", "encoder": "avg", "early_size": 4}
    fields = run_config(tmp_path / "unused", tasks=[EMOTION], model=model, training={"epochs": 1})
    (tmp_path / "config.json").write_text(json.dumps(fields))
    return tmp_path / "config.json"


@pytest.fixture
def search(config, tmp_path, capsys):
    """Runs the command on the config; what it printed, its errors, and the lines of grid.csv."""

    def run(*words, code=0):
        capsys.readouterr()
        assert main(["grid", str(config), "--output", str(tmp_path / "grid"), *map(str, words)]) == code
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        path = tmp_path / "grid" / "grid.csv"
        lines = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        return printed.out, errors, lines

    return run


@pytest.fixture
def trained(monkeypatch):
    """Stands in for training: the validation score is 1 less the distance of the learning rate from 0.01; a list of what ran."""
    ran = []

    def train_seed(prepared, seed, folder):
        config = prepared.config
        assert prepared.test is None, "the test split plays no part"
        rate = config.training.learning_rate
        ran.append((rate, config.training.batch_size, seed))
        if rate > 1:
            raise ValueError("The model diverged.")
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
        score = 1 - abs(rate - 0.01) - 0.001 * seed - 0.0001 * config.training.batch_size
        found = {
            "epochs": 3,
            "best_epoch": 2,
            "seconds": 2.0,
            "validation": {"emotion.wacc": score, "loss": 1 - score},
        }
        (folder / "seed.json").write_text(json.dumps(found))

    monkeypatch.setattr(grid, "train_seed", train_seed)
    return ran


RATES = "training.learning_rate=0.1,0.01,0.001"
SIZES = "training.batch_size=4,8"


def test_points_are_all_combinations_of_values_of_any_type():
    assert expand_grid([SIZES, "model.pooling=mean,statistics"]) == [
        {"training.batch_size": size, "model.pooling": pooling}
        for size in (4, 8)
        for pooling in ("mean", "statistics")
    ]
    assert expand_grid(['tasks=[{"name": "a"}],null', "training.balance=true,true"]) == [
        {"tasks": [{"name": "a"}], "training.balance": True},
        {"tasks": None, "training.balance": True},
    ]
    assert len(expand_grid(PAPER_GRID)) == 24, "Dai et al. 2021, section 6.1"


def test_every_point_is_scored_once_and_the_best_is_marked(search, trained, config, tmp_path):
    out, errors, lines = search("--grid", RATES, SIZES, "--seeds", "[0, 2]")
    assert not errors and len(trained) == len(set(trained)) == 12
    assert [(line["training.learning_rate"], line["training.batch_size"]) for line in lines] == [
        (rate, size) for rate in ("0.1", "0.01", "0.001") for size in "48"
    ]
    assert [line["best"] for line in lines] == ["", "", "*", "", "", ""]
    assert float(lines[2]["validation emotion.wacc"]) == pytest.approx(1 - 0.001 - 0.0004)
    assert float(lines[2]["validation emotion.wacc std"]) == pytest.approx(0.002 / 2**0.5)
    assert (lines[2]["seeds"], lines[2]["epochs"], lines[2]["seconds"]) == ("2", "6", "4.0")
    assert f"mm-affect train {config} --seeds '[0, 2]' --training.learning_rate 0.01 --training.batch_size 4" in out
    assert not list((tmp_path / "grid").rglob("*.safetensors")), "weights are not kept"

    del trained[:]
    lines = search("--grid", "training.learning_rate=0.01,0.011", SIZES, "--seeds", "[0, 2]")[2]
    assert {rate for rate, _, _ in trained} == {0.011} and len(trained) == 4, "a grid that has grown"
    search("--grid", SIZES, "training.learning_rate=0.01", "--seeds", "[0, 2, 3]")
    assert trained[4:] == [(0.01, 4, 3), (0.01, 8, 3)], "a further seed, and the axes in another order"
    search("--grid", "training.learning_rate=0.01", "--training.batch_size", 16, "--overwrite")
    assert (
        search("--grid", "training.learning_rate=0.01", "--training.batch_size", 4, code=1)[1][0].count("differs") == 1
    )


def test_less_may_be_better(search, trained):
    lines = search("--grid", RATES, "--training.select_by", "loss")[2]
    assert [line["best"] for line in lines] == ["", "*", ""] and "validation loss" in lines[0]


def test_a_point_that_fails_does_not_cost_the_others(search, trained):
    out, _errors, lines = search("--grid", "training.learning_rate=0.1,5,0.01", code=1)
    assert [line["best"] for line in lines] == ["", "", "*"] and len(trained) == 3
    assert (
        lines[1]["failure"] == "The model diverged."
        and "Failed: " in out
        and lines[1]["validation emotion.wacc"] == ""
    )
    search("--grid", "training.learning_rate=0.1,5,0.01", code=1)
    assert len(trained) == 4, "only the failed point is tried again"


def test_an_interrupted_grid_goes_on(search, trained, monkeypatch):
    train = grid.train_seed

    def interrupt(prepared, seed, folder):
        if prepared.config.training.learning_rate == 0.001:
            raise KeyboardInterrupt
        train(prepared, seed, folder)

    with monkeypatch.context() as patch:
        patch.setattr(grid, "train_seed", interrupt)
        search("--grid", RATES, code=130)
    search("--grid", RATES)
    assert [rate for rate, _, _ in trained] == [0.1, 0.01, 0.001]


def test_a_real_grid_measures_no_test_split(search, tmp_path):
    lines = search("--grid", "training.learning_rate=0.01,0.001")[2]
    seeds = [json.loads(path.read_text()) for path in (tmp_path / "grid").rglob("seed.json")]
    assert len(seeds) == 2 and all("test" not in seed and "emotion.wacc" in seed["validation"] for seed in seeds)
    assert not list((tmp_path / "grid").rglob("predictions.parquet"))
    scores = [float(line["validation emotion.wacc"]) for line in lines]
    assert [line["best"] for line in lines].index("*") == scores.index(max(scores)), "of equal ones the first"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--grid", "training.learning_rate"], "'training.learning_rate' has no field and values; expected FIELD=VALUE"),
        (["--grid", "training.learning_rate="], "has no field and values"),
        (["--grid", SIZES, SIZES], "training.batch_size is given twice"),
        (["--grid", "seeds=[0],[1]"], "seeds is the same for all points of a grid"),
        (["--grid", "training.batchsize=1,2"], "Unknown config field 'training.batchsize'. Did you mean"),
        (["--grid", "training.batch_size=4,0"], "training.batch_size is 0; it must be 1 or more"),
        (["--grid", "model.early_size=4,x"], "The point model.early_size=x cannot run: .*early_size"),
        (["--grid", "training.select_by=loss,emotion.wacc"], "selected by emotion.wacc, loss, which cannot be compared"),
        (["--grid", SIZES, "--jobs", "0"], "The number of jobs is 0"),
    ],
)  # fmt: skip
def test_wrong_grids_are_refused_before_training(search, trained, words, sentence):
    out, errors, _ = search(*words, code=1)
    assert len(errors) == 1 and re.search(sentence, errors[0]), errors
    assert not trained and not out
