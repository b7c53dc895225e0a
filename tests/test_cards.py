# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The finished card, read as a reader and as the Hub would read it."""

import contextlib
import importlib.util
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from corpora import sample_run, summarize_seeds
from huggingface_hub import EvalResultEntry, ModelCard, parse_eval_result_entries

from mm_affect import AffectProcessor, FusionConfig, FusionForAffect, Task
from mm_affect.cli.main import main
from mm_affect.evaluation.cards import write_card
from mm_affect.evaluation.metrics import compute_task_metrics
from mm_affect.evaluation.results import SUBSETS, Results, read_results


ROOT = Path(__file__).resolve().parent.parent
TASKS = [
    {
        "name": "emotion",
        "problem_type": "multi_label_classification",
        "labels": ["happy", "sad"],
        "range": [0, 3],
    },
    {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3, 3]},
    {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"], "range": None},
]

NAMED = [{name: task[name] for name in ("name", "problem_type", "labels")} for task in TASKS]


def make_results(synthetic=False, license="CC BY-NC-SA 4.0", subsets=SUBSETS, seeds=2):
    rng = np.random.default_rng(0)
    truths = [rng.integers(0, 2, (30, 2)).astype(float), rng.uniform(-3, 3, 30), rng.integers(0, 2, 30)]

    def measure():
        scores = [rng.random((30, 2)), rng.uniform(-3, 3, 30), rng.random((30, 2))]
        return {
            f"{task['name']}.{key}": value
            for task, truth, score in zip(TASKS, truths, scores, strict=True)
            for key, value in compute_task_metrics(task, truth, score).items()
        }

    runs = {
        str(seed): {
            "epochs": 5,
            "seconds": 2.5,
            "best_epoch": 3,
            "validation": measure(),
            "test": {subset: measure() for subset in subsets},
        }
        for seed in range(seeds)
    }
    return {
        "format": "mm_affect results",
        "version": 1,
        "name": "fusion-corpus",
        "model": {"architecture": "fusion", "parameters": 1234567},
        "config": {"learning_rate": 0.001, "note": "{{ not a template }}"},
        "tasks": TASKS,
        "corpus": {
            "name": "Corpus A",
            "synthetic": synthetic,
            "license": license,
            "counts": {"train": 1200, "validation": 30, "test": 31},
            "manifest_hash": "0123abcd",
            "split_protocol": "by speaker",
            "extractors": {
                "text": {"name": "word_vectors", "version": 1, "rate": None, "size": 300},
                "audio": {"name": "log_mel", "version": 2, "rate": 20.0, "size": 200},
                "visual": {"name": "faces", "version": 1, "rate": 10.0, "size": 109},
            },
        },
        "seeds": runs,
        "summary": summarize_seeds(runs),
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "command": "mm-affect train run.json --seeds 0 1",
        "device": "CPU, 1 thread",
        "seconds": 5.0,
        "date": "2026-01-01",
    }


@pytest.fixture
def results():
    return make_results()


def card_of(results, folder):
    return write_card(Results.from_dict(results), folder).read_text(encoding="utf-8")


def table_rows(text):
    """First cell -> the other cells, for every row of every table, later rows of one name appended."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
            rows.setdefault(first.strip("`"), []).append([cell.strip(" |") for cell in others])
    return rows


def test_front_matter_is_what_the_hub_reads(results, tmp_path):
    text = card_of(results, tmp_path)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "mm_affect" and front["license"] == "cc-by-nc-sa-4.0"
    assert {"mm_affect", "text", "audio", "visual"} <= set(front["tags"]) and "pipeline_tag" not in front
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.model_name == "fusion-corpus"
    values = {result.metric_type: result.metric_value for result in data.eval_results}
    summary = results["summary"]["text+audio+visual"]
    assert values == {k: summary[k]["mean"] for k in ("emotion.wacc", "sentiment.mae", "sarcasm.accuracy")}


@pytest.mark.parametrize(
    ("license", "identifier"),
    [("Apache-2.0", "apache-2.0"), (None, "apache-2.0"), ("CC BY 4.0", "cc-by-4.0"), ("EULA: ask us", "other")],
)
def test_license(tmp_path, license, identifier):
    text = card_of(make_results(license=license), tmp_path)
    assert yaml.safe_load(text.split("---\n")[1])["license"] == identifier
    assert (license or "none stated") in text


def test_tables_show_the_numbers_of_the_results(results, tmp_path):
    rows = table_rows(card_of(results, tmp_path))
    full = results["summary"]["text+audio+visual"]

    def shown(score):
        return f"{score['mean']:.3f} ± {score['std']:.3f}"

    for task in TASKS:
        for key, score in full.items():
            name, metric, *label = key.split(".")
            if name == task["name"] and not label:
                assert [shown(score), "2"] in rows[metric]
    per_label = [shown(full[f"emotion.{m}.sad"]) for m in ("wacc", "f1_binary", "f1_weighted", "auc")]
    assert per_label in rows["sad"]
    primary = ("emotion.wacc", "sentiment.mae", "sarcasm.accuracy")
    for subset in SUBSETS:
        assert [shown(results["summary"][subset][key]) for key in primary] in rows[subset.replace("+", " + ")]
    run = results["seeds"]["1"]
    scores = [f"{s[key]:.3f}" for key in primary for s in (run["validation"], run["test"]["text+audio+visual"])]
    assert ["5", "3", "2.5", *scores] in rows["1"]


def test_one_seed_and_undefined_values(tmp_path):
    results = make_results(seeds=1)
    results["seeds"]["0"]["test"]["text+audio+visual"]["emotion.wacc"] = None
    results["summary"] = summarize_seeds(results["seeds"])
    text = card_of(results, tmp_path)
    assert "over 1 seed (0)" in text and "None" not in text and "nan" not in text
    assert ["–", "0"] in table_rows(text)["wacc"]
    front = yaml.safe_load(text.split("---\n")[1])
    shown = [metric["type"] for metric in front["model-index"][0]["results"][0]["metrics"]]
    assert shown == ["sentiment.mae", "sarcasm.accuracy"]


def test_fewer_modalities(tmp_path):
    text = card_of(make_results(subsets=("text+visual", "text", "visual")), tmp_path)
    rows = table_rows(text)
    assert "reads text + visual of one" in text and "text + visual" in rows and "text + audio" not in rows


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_warning_is_there_if_and_only_if_synthetic(tmp_path, synthetic):
    text = card_of(make_results(synthetic=synthetic), tmp_path)
    front, body = text.split("---\n", 2)[1:]
    assert ("SYNTHETIC DATA" in body) == ("**SYNTHETIC**" in body) == synthetic
    assert ("(SYNTHETIC)" in front) == ("synthetic-data" in front) == synthetic


@pytest.mark.parametrize("synthetic", [True, False])
def test_prohibited_use_is_always_stated(tmp_path, synthetic):
    text = card_of(make_results(synthetic=synthetic), tmp_path)
    for words in (
        *("## Prohibited and out-of-scope use", "Article 5(1)(f)", "workplace and in education institutions"),
        *("except for medical or safety reasons", "high-risk", "Annex III, point 1(c)", "**consent**"),
        *("polygraph", "policing", "hiring", "## Intended use", "## Bias and limits"),
    ):
        assert words in " ".join(text.split()), words


def test_what_is_needed_to_use_and_to_repeat(results, tmp_path):
    text = card_of(results, tmp_path)
    for words in (
        *("import mm_affect", "AutoModel.from_pretrained", "AutoProcessor.from_pretrained", "mm-affect predict"),
        *("1,234,567 parameters", "mm-affect train run.json --seeds 0 1", "over 2 seeds (0, 1)", "CPU, 1 thread"),
        *("2.13.0", "`0123abcd`", "by speaker", "train 1,200, validation 30, test 31", "CC BY-NC-SA 4.0"),
        *("| audio | log_mel | 2 | 200 | 20.0 per second |", "| text | word_vectors | 1 | 300 | one per word |"),
        *("| visual | faces | 1 | 109 | 10.0 per second |", '"learning_rate": 0.001', "{{ not a template }}"),
        "Mean of the true positive rate and the true negative rate",
    ):
        assert words in text, words


def test_features_without_extractor_promise_no_raw_clips(results, tmp_path):
    del results["corpus"]["extractors"]["visual"]
    text = card_of(results, tmp_path)
    assert "| visual | none recorded |" in text and "raw clips cannot be predicted" in text
    assert "for modality, size in processor.feature_sizes.items()" in text
    assert "mm-affect predict" not in text and "video_file" not in text


def test_notes_of_a_person_and_of_a_program(results, tmp_path):
    assert "## Notes" not in card_of(results, tmp_path)
    (tmp_path / "notes.md").write_text("by hand {{ x }} --- kept\n", encoding="utf-8")
    assert "## Notes\n\nby hand {{ x }} --- kept\n\n## How" in card_of(results, tmp_path)
    results["notes"] = "A program says."
    assert "## Notes\n\nA program says.\n\nby hand {{ x }} --- kept\n\n## How" in card_of(results, tmp_path)


def test_a_benchmark_says_of_itself_what_its_cards_note(results, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("realdata", ROOT / "benchmarks" / "realdata.py")
    realdata = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(realdata)
    monkeypatch.setattr(realdata, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "tiny.py").write_text('"""Tiny.\n\n    Two lines.\n    """')
    results["command"] = "python benchmarks/tiny.py --config 'a b.json'"
    realdata.save_card(Results.from_dict(results))
    folder = tmp_path / "model_cards" / results["name"]
    told = "`benchmarks/tiny.py`, the program that produced this card, states:\n\nTiny.\n\nTwo lines."
    assert read_results(folder / "results.json").notes == told
    assert f"## Notes\n\n{told}\n\n## How" in (folder / "README.md").read_text(encoding="utf-8")


def test_published_cards_are_what_their_results_give(tmp_path):
    for folder in (path.parent for path in ROOT.glob("model_cards/*/results.json")):
        copy = shutil.copytree(folder, tmp_path / folder.name)
        card = write_card(read_results(copy / "results.json"), copy)
        assert card.read_bytes() == (folder / "README.md").read_bytes(), f"run `make cards` for {folder.name}"


def test_a_published_card_is_written_again_without_what_its_seeds_left(tmp_path):
    folder = shutil.copytree(ROOT / "model_cards" / "mult-ravdess", tmp_path / "card")
    (folder / "README.md").unlink()
    assert main(["card", str(folder)]) == 0
    assert (folder / "README.md").read_bytes() == (ROOT / "model_cards" / "mult-ravdess" / "README.md").read_bytes()
    assert {path.name for path in (folder / "plots").glob("*.png")} == {"subsets.png"}


def test_the_card_is_the_same_each_time_and_wrong_results_write_nothing(results, tmp_path):
    assert card_of(results, tmp_path) == card_of(results, tmp_path)
    results["summary"]["text"]["sentiment.mae"]["mean"] = 0.0
    with pytest.raises(ValueError, match="summary"):
        card_of(results, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_one_modality_is_not_said_to_be_missing_at_times(tmp_path):
    text = card_of(make_results(subsets=("text",)), tmp_path)
    assert "reads text of one utterance and predicts" in text and "Any subset" not in text
    assert "| audio |" not in text and "| text | word_vectors |" in text, "of the features that it reads"


def test_the_first_table_has_the_score_and_its_direction(results, tmp_path):
    rows, full = table_rows(card_of(results, tmp_path)), results["summary"]["text+audio+visual"]
    for task, metric, better in (("emotion", "wacc", "higher"), ("sentiment", "mae", "lower")):
        score = full[f"{task}.{metric}"]
        assert rows[task][0][2] == f"`{metric}` {score['mean']:.3f} ± {score['std']:.3f} ({better} is better)"


def test_it_says_whom_to_ask_for_a_corpus_that_is_known(results, tmp_path):
    assert "how to get it" not in card_of(results, tmp_path)
    results["corpus"]["name"] = "IEMOCAP"
    assert "| how to get it | Sign the license at https://sail.usc.edu/iemocap" in card_of(results, tmp_path)


@pytest.mark.parametrize("raw", [True, False], ids=["sample corpus", "features without extractor"])
def test_its_example_runs_and_prints_what_it_says(raw, tmp_path, monkeypatch):
    folder = sample_run() if raw else tmp_path / "untrained"
    if not raw:
        sizes = {"audio": 3, "visual": 5}
        config = FusionConfig(feature_sizes=sizes, tasks=[Task(**task) for task in NAMED])
        FusionForAffect(config).save_pretrained(folder)
        AffectProcessor(sizes).save_pretrained(folder)
        results = make_results(subsets=("audio+visual", "audio", "visual"))
        results["corpus"]["extractors"] = {}
        card_of(results, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    name = re.search(r'name = "(.*?)"', text).group(1)
    (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    program, expected = re.search(r"```python\n(.*?)```\n\nOutput:\n\n```text\n(.*?)```", text, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    assert printed.getvalue() == expected and expected.count("\n") == 3
    assert ('"transcript"' in program) == ("mm-affect predict" in text) == raw


def test_a_card_without_weights_says_where_they_come_from(results, tmp_path):
    text = card_of(results, tmp_path)
    assert "Output:" not in text and "weights are not stored with this card" in text
    assert "](#how-to-reproduce)" in text and "## How to reproduce" in text


def test_scores_are_reported_to_a_data_set_of_the_hub_alone(results, tmp_path):
    card_of(results, tmp_path)
    assert not (tmp_path / ".eval_results").exists()
    results["corpus"]["hub_dataset"] = "org/corpus-a"
    card_of(results, tmp_path)
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / ".eval_results" / "mm_affect.yaml").read_text()))
    summary = results["summary"]["text+audio+visual"]
    assert {entry.task_id: entry.value for entry in entries} == {
        key: summary[key]["mean"] for key in ("emotion.wacc", "sentiment.mae", "sarcasm.accuracy")
    }
    assert isinstance(entries[0], EvalResultEntry) and entries[0].dataset_id == "org/corpus-a"
    assert entries[0].date == "2026-01-01" and "text + audio + visual, mean of 2 seeds" in entries[0].notes
