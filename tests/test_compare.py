# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`mm-affect compare`: every run once, one table of all, one bad config does not cost the others; the configs of ablations."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import SIZES, run_config, tiny_run
from tailor_by_hand import SMALL

from mm_affect.cli.main import main
from mm_affect.evaluation.comparison import TableLayout, make_comparison_csv, make_comparison_table, select_columns
from mm_affect.evaluation.results import read_results
from mm_affect.features.processor import AffectProcessor
from mm_affect.models.tailor import TailorConfig
from mm_affect.tasks import Task
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.model_building import make_model_config


CONFIGS = Path(__file__).resolve().parent.parent / "examples" / "configs"
ABLATIONS = sorted((CONFIGS / "tailor_ablations").glob("*.json"))
EMOTION = {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"]}
# Table 3 of Zhang et al. 2022, row by row: what differs from the full model.
TABLE_3 = {
    "01_without_refinement": {"refinement": "none"},
    "02_adversarial": {"loss_weights": {"orthogonal": 0.0, "common_semantics": 0.0}},
    "03_adversarial_orthogonal": {"loss_weights": {"common_semantics": 0.0}},
    "04_common": {"refinement": "common"},
    "05_private": {"refinement": "private"},
    "06_order_visual_text_audio": {"fusion_order": ["visual", "text", "audio", "common"]},
    "07_order_audio_text_visual": {"fusion_order": ["audio", "text", "visual", "common"]},
    "08_without_modality_token": {"modality_token_embeddings": False},
    "09_identical": {"decoder": "identical"},
    "10_label_embeddings": {"decoder": "label_embeddings"},
    "11_label_correlations": {"decoder": "label_correlations"},
    "12_tailor": {},
}


@pytest.fixture
def trained(monkeypatch):
    """The names of the runs that are trained, in order; cards and plots are left out."""
    names, train = [], experiments.run
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)
    monkeypatch.setattr(experiments, "run", lambda config, *rest: names.append(config.name) or train(config, *rest))
    return names


@pytest.fixture
def compare(capsys):
    def run(*words, code=0):
        capsys.readouterr()
        assert main(["compare", *map(str, words)]) == code
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        assert "Traceback" not in printed.err and (code or not errors), printed.err
        return printed.out, errors

    return run


def write_config(folder, name, **fields):
    values = run_config(folder / "runs" / name, name=name, **{"training": {"epochs": 1}} | fields)
    (folder / f"{name}.json").write_text(json.dumps(values))
    return folder / f"{name}.json"


def cells(table):
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return lines[0], {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def results_of(folder, name):
    return json.loads((folder / "runs" / name / "results.json").read_text())


# the command ------------------------------------------------------------------------------------------------------


def test_runs_are_trained_once_and_compared_in_one_table(compare, trained, tmp_path):
    for name, seeds in (("b", [0]), ("a", [0, 1])):
        write_config(tmp_path, name, tasks=[EMOTION], seeds=seeds)
    (tmp_path / "notes.txt").write_text("no config")
    table, _ = compare(tmp_path, "--output", tmp_path / "out" / "table.md", "--training.learning_rate", "0.02")
    assert trained == ["a", "b"], "in the order of the files"
    header, lines = cells(table)
    metrics = [f"emotion.{name}" for name in ("jaccard_accuracy", "precision_micro", "recall_micro", "f1_micro")]
    assert header == ["run", "corpus", *metrics, "seeds", "parameters", "seconds"] and list(lines) == ["a", "b"]
    for name in "ab":
        results = results_of(tmp_path, name)
        assert results["config"]["training"]["learning_rate"] == 0.02
        assert results["command"] == f"mm-affect train {tmp_path / name}.json --training.learning_rate 0.02"
        assert lines[name]["parameters"] == f"{results['model']['parameters']:,}"
        assert (lines[name]["seconds"], lines[name]["corpus"]) == (f"{results['seconds']:.0f}", "tiny (SYNTHETIC)")
        for metric in metrics:
            values = [seed["test"]["text+audio+visual"][metric] for seed in results["seeds"].values()]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            assert lines[name][metric] == f"{np.mean(values):.3f}{spread}"
    assert (tmp_path / "out" / "table.md").read_text() == table
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        numbers = list(csv.DictReader(file))
    mean = results_of(tmp_path, "a")["summary"]["text+audio+visual"]["emotion.f1_micro"]
    assert float(numbers[0]["emotion.f1_micro"]) == mean["mean"] and numbers[1]["emotion.f1_micro std"] == ""
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.csv"}

    again, _ = compare(tmp_path, "--training.learning_rate", "0.02", "--metrics", "f1_binary, emotion.auc.sad",
                       "--per-label")  # fmt: skip
    assert trained == ["a", "b"], "finished runs are not repeated"
    header, lines = cells(again)
    assert header[2:-3] == [
        *("emotion.f1_binary", "emotion.f1_binary.happy", "emotion.f1_binary.sad"),
        "emotion.auc.sad",
    ]
    compare(tmp_path / "b.json", "--overwrite", "--training.epochs", 2)
    assert trained == ["a", "b", "b"] and results_of(tmp_path, "b")["config"]["training"]["epochs"] == 2


def test_one_bad_config_is_reported_and_the_others_go_on(compare, trained, tmp_path):
    good = write_config(tmp_path, "good")
    write_config(tmp_path, "absent", rows="nowhere")
    write_config(tmp_path, "typo", trainning={})
    write_config(tmp_path, "wrong", model={"encoder": "rnn"})
    (tmp_path / "broken.json").write_text("{")
    table, errors = compare(tmp_path, tmp_path / "none.json", good, code=1)
    assert list(cells(table)[1]) == ["good"] and trained == ["absent", "good", "wrong"]
    for name, sentence in (
        ("none", "There is no config file"), ("typo", "Unknown config field 'trainning'"), ("broken", "is not JSON"),
        ("absent", "nowhere is neither a corpus"), ("wrong", "`encoder` is 'rnn'"),
    ):  # fmt: skip
        assert [error for error in errors if f"{name}.json: " in error and sentence in error], (name, errors)
    assert len(errors) == 5
    assert compare(tmp_path / "typo.json", code=1)[0] == "", "no table of nothing"


def test_interrupted_runs_are_resumed_when_asked_to(compare, trained, tmp_path, monkeypatch):
    first, second = write_config(tmp_path, "first"), write_config(tmp_path, "second", seeds=[0, 1])
    train_seed = experiments.train_seed

    def interrupt(prepared, seed, folder):
        if seed == 1:
            raise KeyboardInterrupt
        train_seed(prepared, seed, folder)

    with monkeypatch.context() as patch:
        patch.setattr(experiments, "train_seed", interrupt)
        assert compare(first, second, code=130)[0] == ""
    table, errors = compare(first, second, code=1)
    assert list(cells(table)[1]) == ["first"]
    assert "second.json: " in errors[0] and "holds an earlier run; add --resume to continue it" in errors[0]
    seeds = []
    monkeypatch.setattr(
        experiments,
        "train_seed",
        lambda prepared, seed, folder: seeds.append(seed) or train_seed(prepared, seed, folder),
    )
    assert list(cells(compare(first, second, "--resume")[0])[1]) == ["first", "second"]
    assert seeds == [1] and trained == ["first", "second", "second", "second"]


def test_a_finished_run_of_another_config_or_other_rows_does_not_stand_for_this_one(compare, trained, tmp_path):
    path = write_config(tmp_path, "run")
    compare(path)
    for flag in ((), ("--resume",)):
        assert "differs from this config" in compare(path, "--training.epochs", 2, *flag, code=1)[1][0]
    rows = tmp_path / "runs" / "run" / "rows.json"
    rows.write_text(rows.read_text().replace('"tiny"', '"other"'))
    assert "has changed since the run" in compare(path, code=1)[1][0]
    assert trained == ["run"]


def test_what_cannot_be_compared_is_refused_before_training(compare, trained, tmp_path):
    a, b = write_config(tmp_path, "a"), tmp_path / "b.json"
    shutil.copy(a, b)
    (tmp_path / "empty").mkdir()
    for words, sentence in (
        ((a, b), "a.json and .*b.json both write to .*a; give each its own"),
        ((a, "--metrics", "f1_mirco"), "no metric 'f1_mirco'. Did you mean 'f1_micro'"),
        ((a, "--output", tmp_path / "table.csv"), "--output is .*table.csv; expected a file name that ends in .md"),
        ((tmp_path / "empty",), "empty holds no configs"),
    ):
        errors = compare(*words, code=1)[1]
        assert len(errors) == 1 and re.search(sentence, errors[0]), errors
    with pytest.raises(SystemExit):
        main(["compare", str(a), "--resume", "--overwrite"])
    assert not trained and not (tmp_path / "runs").exists()


# the table --------------------------------------------------------------------------------------------------------


def finished_run(**changes):
    return replace(read_results(tiny_run() / "results.json"), **changes)


def test_columns_follow_the_first_task_of_each_run():
    sentiment = finished_run()
    emotion = finished_run(name="emotion", tasks=sentiment.tasks[::-1])
    assert select_columns([sentiment]) == ["sentiment.mae", "sentiment.pearson", "sentiment.ccc"]
    assert select_columns([emotion, sentiment])[3:] == ["emotion.f1_micro", *select_columns([sentiment])]
    assert select_columns([sentiment], ["sarcasm.accuracy", "mae"]) == ["sarcasm.accuracy", "sentiment.mae"]
    assert select_columns([sentiment, emotion], ["f1_micro"]) == ["emotion.f1_micro"]
    assert select_columns([emotion], ["f1_binary"]) == ["emotion.f1_binary"]
    assert select_columns([emotion], per_label=True)[4:] == [
        f"emotion.f1_binary{label}" for label in ("", ".happy", ".sad")
    ]
    with pytest.raises(ValueError, match="No run has the metric 'f1_micro'. Did you mean 'emotion.f1_micro'"):
        select_columns([sentiment], ["f1_micro"])
    with pytest.raises(ValueError, match="None of these metrics has values per label; choose from wacc, f1_binary"):
        select_columns([emotion], ["f1_micro"], per_label=True)


def test_what_a_run_was_not_measured_by_is_a_dash_or_empty():
    one, other = finished_run(), finished_run(name="other, with a comma")
    for run in other.seeds.values():
        del run.test["text+audio+visual"]["sentiment.mae"]
    for run in one.seeds.values():
        run.test["text+audio+visual"]["sentiment.mae"] = None
    table = make_comparison_table([one, other], TableLayout(["sentiment.mae"]))
    assert [line["sentiment.mae"] for line in cells(table)[1].values()] == ["–", "–"]
    lines = list(csv.DictReader(make_comparison_csv([one, other], TableLayout(["sentiment.mae"])).splitlines()))
    assert [line["sentiment.mae"] for line in lines] == ["", ""] and lines[1]["run"] == "other, with a comma"


# the configs of the ablations -------------------------------------------------------------------------------------


def test_ablations_are_the_rows_of_table_3_and_differ_in_nothing_else():
    configs = {path.stem: json.loads(path.read_text()) for path in ABLATIONS}
    assert list(configs) == list(TABLE_3)
    full = configs["12_tailor"]
    for name, config in configs.items():
        assert config["name"] == name and config["output"] == f"demo_output/tailor_ablations/{name}"
        expected = full | {"name": name, "output": config["output"], "model": full["model"] | TABLE_3[name]}
        assert config == expected
    assert not {field for fields in TABLE_3.values() for field in fields} & set(full["model"])
    assert full["tasks"][0]["name"] == "emotion" and full["model"]["aligner"] == "none"


@pytest.mark.parametrize("name", TABLE_3)
def test_every_ablation_changes_the_full_model(name):
    """No row of the table is the full model under another name."""

    def resolved(path):
        config = RunConfig.load(path)
        tasks = [Task.from_dict(task) for task in config.tasks]
        return make_model_config(config, tasks, AffectProcessor(SIZES)).to_dict()

    full, ablated = resolved(ABLATIONS[-1]), resolved(CONFIGS / "tailor_ablations" / f"{name}.json")
    changed = {field for field in full if full[field] != ablated[field]}
    without_common = {"fusion_order"} if TABLE_3[name].get("refinement") else set()
    assert changed == set(TABLE_3[name]) | without_common


def test_all_ablations_run_by_one_command(compare, trained, tmp_path):
    """In miniature: on tiny rows, one epoch."""
    for path in ABLATIONS:
        config = json.loads(path.read_text())
        model = config["model"] | {name: SMALL[name] for name in SMALL if name != "aligned_length"}
        write_config(tmp_path, path.stem, architecture=config["architecture"], model=model, tasks=[EMOTION],
                     training=config["training"] | {"epochs": 1})  # fmt: skip
    table, _ = compare(tmp_path)
    assert trained == list(TABLE_3)
    lines = cells(table)[1]
    assert list(lines) == list(TABLE_3)
    parameters = {name: int(line["parameters"].replace(",", "")) for name, line in lines.items()}
    for name in ("02_adversarial", "03_adversarial_orthogonal", "06_order_visual_text_audio"):
        assert parameters[name] == parameters["12_tailor"]
    assert all(
        parameters[name] < parameters["12_tailor"]
        for name in TABLE_3
        if name[:2] in ("01", "04", "05", "08", "09", "10", "11")
    )
    history = json.loads((tmp_path / "runs/01_without_refinement/seeds/seed-0/history.json").read_text())
    assert not [name for entry in history for name in entry if "adversarial" in name or "semantics" in name]


def test_the_configs_of_the_paper_and_of_its_public_code():
    paper, code = (RunConfig.load(CONFIGS / f"{name}.json") for name in ("tailor_mosei", "tailor_mosei_reference"))
    options = paper.training
    assert (options.batch_size, options.learning_rate, options.epochs, options.warmup) == (64, 1e-5, 20, 0.1)
    assert (options.optimizer, options.adam_epsilon, options.weight_decay) == ("adamw", 1e-6, 0.01)
    assert (options.scheduler, options.select_by, paper.tasks[0]["threshold"]) == ("linear", "emotion.f1_micro", 0.35)
    assert (code.preset, code.training.optimizer, code.training.learning_rate) == ("reference", "bert_adam", 5e-5)
    same = {"optimizer": "adamw", "learning_rate": 1e-5}
    assert code.training.__dict__ | same == options.__dict__ and code.tasks == paper.tasks
    sizes = AffectProcessor({"text": 300, "audio": 74, "visual": 35})
    for config, kind in ((paper, TailorConfig()), (code, TailorConfig.reference())):
        tasks = [Task.from_dict(task) for task in config.tasks]
        assert make_model_config(config, tasks, sizes).to_dict() == kind.to_dict()
