# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A card once more: whose data, which verdict, how it is run again, and what is said where that cannot be."""

import json
import shutil
import statistics
from dataclasses import replace

import pytest
from corpora import FIELDS, SHARED, run_config, summarize_seeds, write_tiny_rows
from hub_stand_in import HubStandIn
from huggingface_hub import HfApi
from scipy import stats

from mm_affect.cli.main import main
from mm_affect.cli.options import parse_seeds
from mm_affect.evaluation.results import (
    CorpusSummary,
    Environment,
    ModelRecord,
    Results,
    SeedResult,
    read_results,
    write_results,
)
from mm_affect.experiments import reproduce
from mm_affect.experiments.reproduce import ABSENT, EQUAL, OUTSIDE, UNKNOWN, WITHIN
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


MAE = "sentiment.mae"
CORPUS = {"name": "A", "counts": {"train": 3, "validation": 0, "test": 2}, "manifest_hash": "ab"}
PROGRAM = """
import json, os, pathlib, shutil, sys
if sys.argv[1:] == ["fail"]:
    sys.exit("nothing here")
seeds = json.loads(pathlib.Path("examples/configs/tiny.json").read_text())["seeds"]
target = pathlib.Path(__file__).resolve().parent.parent / "model_cards" / "tiny" / "results.json"
target.parent.mkdir(parents=True)
shutil.copy(pathlib.Path(os.environ["MM_AFFECT_REALDATA"]) / f"seeds-{seeds}.json", target)
"""


def side(values, metric=MAE):
    """The parts of results that are compared: one task of sentiment, a value per seed."""
    seeds = {str(seed): SeedResult(1, 1, {}, {"text": {metric: value}}, 1.0) for seed, value in enumerate(values)}
    corpus = CorpusSummary("A", False, None, CORPUS["counts"], None, None, {})
    return Results(
        "A", ModelRecord("", 1), {}, [FIELDS[0].to_dict()], corpus, seeds, Environment({}, "CPU"), "", 1.0, ""
    )


def verdict(published, here):
    return reproduce.compare(side(published), side(here))[-1].verdict


@pytest.fixture(scope="module")
def card():
    """The finished run of one short epoch with two seeds."""
    output = SHARED / "reproduced"
    config = RunConfig.from_dict(run_config(output, seeds=[0, 1], training={"epochs": 1}))
    experiments.run(config, command="mm-affect train tiny.json")
    return output


@pytest.fixture
def says(capsys):
    """Exit code of `mm-affect reproduce` and what it says, on one line."""

    def run(*words):
        code = main(["reproduce", *map(str, words)])
        told = capsys.readouterr()
        return code, " ".join((told.err + told.out).split())

    return run


def changed(card, folder, change):
    """The card's results with a change, elsewhere."""
    results = json.loads((card / "results.json").read_text())
    change(results)
    results["summary"] = summarize_seeds(results["seeds"])
    write_results(folder / "results.json", Results.from_dict(results))
    return folder


# the verdict ------------------------------------------------------------------------------------------------------


def test_the_same_values_are_equal_also_of_some_of_the_seeds():
    published = [0.9, 1.1, 1.0]
    assert verdict(published, published) == verdict(published, published[:1]) == EQUAL
    assert verdict([0.9], [0.9]) == verdict([0.9, None], [0.9, None]) == EQUAL
    assert verdict(published, [0.9, 1.1, 1.0 + 1e-12]) == WITHIN


@pytest.mark.parametrize("k", [1, 2, 5])
def test_otherwise_the_mean_lies_where_other_seeds_would(k):
    """Against the prediction interval of the mean of k values, written out."""
    published = [0.9, 1.1, 1.0, 1.3]
    reach = stats.t.ppf(0.975, 3) * (statistics.variance(published) * (1 / 4 + 1 / k)) ** 0.5
    for sign in (-1, 1):
        for share, expected in ((0.99, WITHIN), (1.01, OUTSIDE)):
            assert verdict(published, [statistics.fmean(published) + sign * share * reach] * k) == expected


def test_a_mean_of_many_seeds_is_within_in_19_of_20_repetitions():
    draws = stats.norm.rvs(size=(2000, 7), random_state=0)
    outside = sum(verdict(list(draw[:5]), list(draw[5:])) == OUTSIDE for draw in draws)
    assert 0.03 < outside / 2000 < 0.07


def test_without_a_spread_only_equality_counts_and_a_missing_value_never():
    assert verdict([0.9], [0.91]) == UNKNOWN
    assert verdict([0.9, 1.0], [None, None]) == OUTSIDE
    card, here = side([0.9]), side([0.91])
    lines = reproduce.compare(card, here)
    assert not reproduce.is_reproduced(card, lines)


@pytest.mark.parametrize("value", [0.9, None])
def test_a_card_without_the_metric_is_not_reproduced(value):
    card, here = side([0.9, 1.0], "sentiment.older"), side([value, value])
    lines = reproduce.compare(card, here)
    assert [(line.published, line.difference) for line in lines] == 3 * [("–", None)]
    assert lines[-1].verdict == ABSENT and not reproduce.is_reproduced(card, lines)


def test_lines_are_per_seed_then_over_seeds_and_only_primary_metrics_decide():
    card, here = side([1.0, 2.0]), side([1.0, 2.5])
    for part, value in ((card, 0.1), (here, 0.9)):
        for run in part.seeds.values():
            run.test["text"]["sentiment.pearson"] = value
    lines = reproduce.compare(card, here)
    assert [(line.seeds, line.difference) for line in lines] == [
        ("seed 0", 0.0), ("seed 1", 0.5), ("2 and 2 seeds", 0.25)
    ]  # fmt: skip
    assert "| `sentiment.mae` | seed 1 | 2.0000 | 2.5000 | +0.5000 |  |" in reproduce.format_comparison(lines)
    lines = reproduce.compare(card, here, every=True)
    assert {line.metric for line in lines} == {MAE, "sentiment.pearson"} and lines[-1].verdict == OUTSIDE
    assert reproduce.is_reproduced(card, lines)


# data and circumstances -------------------------------------------------------------------------------------------


def test_whose_data():
    assert reproduce.find_data_differences(CORPUS, CORPUS) == []
    without = {split: count for split, count in CORPUS["counts"].items() if count}
    assert reproduce.find_data_differences(CORPUS, CORPUS | {"counts": without, "manifest_hash": "cd"}) == []
    assert reproduce.find_data_differences(CORPUS, {"name": "B", "counts": {"train": 3, "test": 1000}}) == [
        "the corpus is B, and the card's is A",
        "B has 1,000 rows in test, and the card's has 2",
    ]
    pair = [CORPUS | {"auxiliary": [CORPUS | {"name": name}]} for name in ("A", "B")]
    assert reproduce.find_data_differences(*pair) == ["the corpus is B, and the card's is A"]


def test_what_the_hash_tells():
    assert "is that of the card" in reproduce.compare_hashes(CORPUS, CORPUS)
    assert "has another hash" in reproduce.compare_hashes(CORPUS, CORPUS | {"manifest_hash": "cd"})
    for sides in ((CORPUS, CORPUS | {"manifest_hash": None}), 2 * (CORPUS | {"manifest_hash": None},)):
        assert "not recorded on both sides" in reproduce.compare_hashes(*sides)


def test_what_is_not_as_it_was():
    card = replace(
        side([]),
        environment=Environment({"torch": "2.12", "numpy": "2"}, "CPU"),
        config={"rows": "x", "training": {"epochs": 3}},
    )
    here = replace(
        card,
        environment=Environment({"torch": "2.13", "numpy": "2"}, "GPU"),
        config={"rows": "y", "training": {"epochs": 4, "newer": 1}},
    )
    found = ["torch 2.12 → 2.13", "device CPU → GPU", "config training.epochs 3 → 4"]
    assert (
        reproduce.find_environment_differences(card, here) == found
        and reproduce.find_environment_differences(card, card) == []
    )


# the command ------------------------------------------------------------------------------------------------------


def test_a_run_is_reproduced_to_the_last_digit(card, says):
    before = sorted(path.name for path in card.rglob("*"))
    code, told = says(card, "--all")
    assert code == 0 and told.endswith("tiny is reproduced.") and "Not as when it was made: nothing." in told
    published = read_results(card / "results.json").seeds
    values = [published[seed].test["text+audio+visual"][MAE] for seed in "01"]
    for seed, value in enumerate(values):
        assert f"| `{MAE}` | seed {seed} | {value:.4f} | {value:.4f} | +0.0000 | |" in told
    assert "`emotion.auc`" in told and OUTSIDE not in told and "hash of the data was not recorded" in told
    assert sorted(path.name for path in card.rglob("*")) == before, "the published run is left as it was"


def test_another_number_is_told_apart(card, says, tmp_path):
    def shift(results):
        for run in results["seeds"].values():
            run["test"]["text+audio+visual"][MAE] += 5

    code, told = says(changed(card, tmp_path / "card", shift), "--seeds", "1", "--output", tmp_path / "kept")
    assert code == 1 and told.endswith("tiny is NOT reproduced.") and OUTSIDE in told and "-5.0000" in told
    assert "seed 0" not in told and (tmp_path / "kept" / "run" / "model.safetensors").is_file()
    code, told = says(card, "--output", tmp_path / "kept")
    assert code == 1 and "is not empty" in told


def test_an_undefined_score_is_equal_to_an_undefined_one(card, says, tmp_path, monkeypatch):
    def undefined(value):
        def change(results):
            for run in results["seeds"].values():
                run["test"]["text+audio+visual"][MAE] = value

        return change

    def run(config, command):
        results = json.loads((card / "results.json").read_text())
        undefined(float("nan"))(results)
        results["summary"] = summarize_seeds(results["seeds"])
        write_results(f"{config.output}/results.json", Results.from_dict(results))

    monkeypatch.setattr(reproduce, "run", run)
    code, told = says(changed(card, tmp_path / "card", undefined(None)))
    assert code == 0 and f"| `{MAE}` | 0 and 0 seeds | – | – | – | {EQUAL} |" in told


def test_other_data_is_refused_before_training(card, says, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "run", None)
    code, told = says(card, "--rows", write_tiny_rows(tmp_path / "rows", name="other"))
    assert code == 1 and "is not the data of tiny: the corpus is other, and the card's is tiny" in told


def test_a_card_without_results_and_no_card_are_one_sentence(says, tmp_path):
    (tmp_path / "README.md").write_text("# A card")
    code, told = says(tmp_path)
    assert code == 1 and told == (
        f"mm-affect: {tmp_path} has no results.json, so there are no results to reproduce; give a card with results.json."
    )
    for name in ("org/nothing", "no such card", "a/b/c"):
        code, told = says(name)
        assert code == 1 and f"{name} is not a card (no such folder, and not on the Hub): " in told
        assert "Traceback" not in told and told.count("mm-affect:") == 1


def test_a_card_on_the_hub_at_its_revision(card, tmp_path, monkeypatch):
    with HubStandIn() as hub:
        hub.serve_this_process(monkeypatch, tmp_path / "cache")
        HfApi().create_repo("org/tiny")
        HfApi().upload_file(path_or_fileobj=card / "results.json", path_in_repo="results.json", repo_id="org/tiny")
        HfApi().create_tag("org/tiny", tag="v1")
        HfApi().delete_file("results.json", "org/tiny")
        assert reproduce.read_card_results("org/tiny@v1") == read_results(card / "results.json")
        for name, reason in (
            ("org/tiny", "org/tiny on the Hub has no results.json"),
            ("org/tiny@v2", "The model org/tiny has no revision v2"),
            ("org/other", "There is no model org/other on the Hub, or it is private"),
        ):
            with pytest.raises(
                ValueError, match=rf"{name} is not a card \(no such folder, and not on the Hub\): {reason}"
            ):
                reproduce.read_card_results(name)


def test_the_card_reports_to_a_data_set_of_the_hub_that_is_named(card, tmp_path, capsys):
    folder = shutil.copytree(card, tmp_path / "run")
    assert main(["card", str(folder), "--hub-dataset", "no/such/name"]) == 1
    assert "no/such/name" in capsys.readouterr().err and not (folder / ".eval_results").exists()
    for options in (["--hub-dataset", "org/rows"], []):  # once named, it is in the results
        assert main(["card", str(folder), *options]) == 0
        assert "id: org/rows" in (folder / ".eval_results" / "mm_affect.yaml").read_text()
        (folder / ".eval_results" / "mm_affect.yaml").unlink()


def test_seeds_as_typed():
    assert (
        parse_seeds(None) is None and parse_seeds("3") == [3] and parse_seeds("0,1") == parse_seeds("[0, 1]") == [0, 1]
    )
    for wrong in ("", "a", "1.5", "-1", "true", "[]", "[0", "'0'"):
        with pytest.raises(ValueError, match="expected whole numbers from 0"):
            parse_seeds(wrong)


# cards that a program made ----------------------------------------------------------------------------------------


@pytest.fixture
def checkout(card, tmp_path, monkeypatch):
    """A checkout whose program publishes what lies in its data folder for the seeds of its config; makes cards by a command."""
    root = tmp_path / "checkout"
    for name in ("benchmarks", "examples/configs", "data"):
        (root / name).mkdir(parents=True)
    (root / "benchmarks" / "tiny.py").write_text(PROGRAM)
    (root / "examples" / "configs" / "tiny.json").write_text('{"seeds": [0, 1]}')
    shutil.copy(card / "results.json", root / "data" / "seeds-[0, 1].json")
    changed(card, root, lambda results: results["seeds"].pop("0"))
    (root / "results.json").rename(root / "data" / "seeds-[1].json")
    monkeypatch.chdir(root)
    monkeypatch.delenv("MM_AFFECT_REALDATA", raising=False)
    return lambda command: changed(card, tmp_path / "card", lambda results: results.update(command=command))


def test_a_program_is_run_in_a_copy(checkout, says, tmp_path):
    folder = checkout("python benchmarks/tiny.py")
    code, told = says(folder, "--realdata", "data")
    assert code == 0 and ": python benchmarks/tiny.py " in told.partition("Running in ")[2]
    code, told = says(folder, "--realdata", "data", "--seeds", "1", "--output", tmp_path / "kept")
    assert code == 0 and "seed 1" in told and "seed 0" not in told
    root = tmp_path / "checkout"
    assert json.loads((root / "examples" / "configs" / "tiny.json").read_text()) == {"seeds": [0, 1]}
    assert not (root / "model_cards").exists() and (tmp_path / "kept" / "model_cards").is_dir()


def test_the_data_of_a_program_are_found_from_the_copy(checkout, says, tmp_path, monkeypatch):
    folder = checkout("python benchmarks/tiny.py")
    assert says(folder)[0] == 1
    shutil.copytree(tmp_path / "checkout" / "data", tmp_path / "shared" / "realdata")
    assert says(folder)[0] == 0, "beside the checkout"
    shutil.rmtree(tmp_path / "shared")
    monkeypatch.setenv("MM_AFFECT_REALDATA", "data")
    assert says(folder)[0] == 0, "from the working folder"
    assert says(folder, "--realdata", "examples")[0] == 1, "what is named goes first"


@pytest.mark.parametrize(
    "word", ["/tmp/run.json", "--config=/tmp/run.json", "../run.json", "--config=a/../../run.json"]
)
def test_a_command_that_names_files_elsewhere_is_not_run(checkout, says, monkeypatch, word):
    monkeypatch.setattr(reproduce.subprocess, "run", None)
    code, told = says(checkout(f"python benchmarks/tiny.py --config {word}"), "--realdata", "data")
    assert code == 1 and f"{word} may be a file outside the checkout. If you trust the card" in told


def test_a_program_that_reads_other_data_fails_or_is_absent(checkout, says, tmp_path):
    folder, published = checkout("python benchmarks/tiny.py"), tmp_path / "checkout" / "data" / "seeds-[0, 1].json"
    results = json.loads(published.read_text())
    results["corpus"]["counts"]["test"] = 1
    published.write_text(json.dumps(results))
    code, told = says(folder, "--realdata", "data")
    assert code == 1 and "What benchmarks/tiny.py read is not the data of tiny: tiny has 1 rows in test" in told
    code, told = says(checkout("python benchmarks/tiny.py fail"), "--realdata", "data")
    assert code == 1 and "`python benchmarks/tiny.py fail` ended with exit code 1" in told
    code, told = says(checkout("python benchmarks/other.py"))
    assert code == 1 and "there is no benchmarks/other.py here; run this in a checkout" in told
    code, told = says(checkout("python benchmarks/../downloads/tiny.py"))
    assert code == 1 and "there is no benchmarks/../downloads/tiny.py here" in told
