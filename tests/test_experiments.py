# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs: the config, selection on validation alone, interruption and resumption, what a run leaves behind."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from corpora import FIELDS, SIZES, make_rows, run_config, tiny_run, write_tiny_rows
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor, TrainerCallback

from mm_affect import AffectCollator, AffectProcessor, Task
from mm_affect.data import RowReader, load
from mm_affect.evaluation import selection
from mm_affect.evaluation.evaluator import compute_metrics, predict, tune_task_thresholds
from mm_affect.evaluation.results import Results
from mm_affect.models.configuration import AffectConfig
from mm_affect.training import model_building, prepared_run, seed_training
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.trainer import AffectTrainer


AUGMENTED = {"augmentation": {"noise": 0.3, "time_mask": 0.2, "modality_dropout": 0.2}}


@pytest.fixture
def no_plots(monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)


def run(output, resume=False, overwrite=False, **fields):
    return experiments.run(RunConfig.from_dict(run_config(output, **fields)), resume=resume, overwrite=overwrite)


def validation_scores(folder):
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder.parent.parent)
    collator = AffectCollator(processor, model.config.tasks, FIELDS)
    return model, predict(model, collator, make_rows("validation"))


def measured(results):
    """What of the results must not depend on when and how often the run was started."""
    results = results.to_dict() if isinstance(results, Results) else results
    without = [{k: v for k, v in seed.items() if k != "seconds"} for seed in results["seeds"].values()]
    return json.dumps([without, results["summary"]])


def spy(monkeypatch, callback):
    """Every trainer that a run makes also has this callback."""
    add = AffectTrainer.__init__

    def init(self, *args, callbacks=(), **kwargs):
        add(self, *args, callbacks=[*callbacks, callback], **kwargs)

    monkeypatch.setattr(AffectTrainer, "__init__", init)


class InterruptAfter(TrainerCallback):
    def __init__(self, epoch, when="on_save"):
        self.epoch = epoch
        setattr(self, when, self.interrupt)

    def interrupt(self, args, state, control, **kwargs):
        if round(state.epoch) == self.epoch:
            raise KeyboardInterrupt


# the finished run -------------------------------------------------------------------------------------------------


def test_results_are_complete():
    results = json.loads((tiny_run() / "results.json").read_text())
    assert Results.from_dict(results).to_dict() == results
    assert set(results["seeds"]) == {"0", "1"} and len(results["summary"]) == 7
    for subset, scores in results["summary"].items():
        values = [results["seeds"][seed]["test"][subset]["sentiment.mae"] for seed in "01"]
        assert scores["sentiment.mae"]["mean"] == pytest.approx(np.mean(values))
        assert scores["sentiment.mae"]["std"] == pytest.approx(np.std(values, ddof=1)) and values[0] != values[1]
    assert results["corpus"]["counts"] == {"train": 32, "validation": 12, "test": 12}
    assert results["command"] == "mm-affect train tiny.json"
    names = {"run.json", "results.json", "README.md", "config.json", "model.safetensors", "processor_config.json"}
    assert names <= {path.name for path in tiny_run().iterdir()}
    assert not [path for path in tiny_run().rglob("*") if "checkpoint" in path.name or path.name.endswith(".tmp")]


def test_test_scores_are_those_of_the_saved_checkpoint():
    results = json.loads((tiny_run() / "results.json").read_text())
    best = selection.read_best_seed(tiny_run())
    model, processor = AutoModel.from_pretrained(tiny_run()).eval(), AutoProcessor.from_pretrained(tiny_run())
    rows = RowReader(load(results["config"]["rows"])["test"])
    found = compute_metrics(
        model.config.tasks, predict(model, AffectCollator(processor, model.config.tasks, FIELDS), rows)
    )
    recorded = results["seeds"][str(best)]["test"]["text+audio+visual"]
    for name, value in recorded.items():
        assert found[name] == pytest.approx(np.nan if value is None else value, abs=1e-6, nan_ok=True)


def test_statistics_are_of_the_training_split_alone():
    processor = AutoProcessor.from_pretrained(tiny_run())
    steps = np.concatenate([row["audio"] for row in make_rows("train")]).astype(np.float64)
    np.testing.assert_allclose(processor.statistics["audio"]["mean"], steps.mean(0))


def test_thresholds_are_those_of_validation():
    for seed in "01":
        model, prediction = validation_scores(tiny_run() / "seeds" / f"seed-{seed}")
        untuned = [type(t).from_dict(t.to_dict() | {"threshold": 0.5}) for t in model.config.tasks]
        assert tune_task_thresholds(untuned, prediction, "f1_binary") == model.config.tasks
        assert isinstance(model.config.tasks[2].threshold, tuple)


def test_class_weights_come_from_the_training_rows():
    tasks = {task.name: task for task in AutoModel.from_pretrained(tiny_run()).config.tasks}
    rows = make_rows("train")
    emotion = np.array([row["labels"]["emotion"] for row in rows if row["labels"]["emotion"]])
    expected = (len(emotion) - emotion.sum(0)) / emotion.sum(0)
    np.testing.assert_allclose(tasks["emotion"].class_weights, expected, atol=1e-4)
    sarcasm = np.bincount([row["labels"]["sarcasm"] for row in rows if row["labels"]["sarcasm"] is not None])
    np.testing.assert_allclose(tasks["sarcasm"].class_weights, sarcasm.sum() / (2 * sarcasm), atol=1e-4)
    assert tasks["sentiment"].class_weights is None


def test_the_recorded_config_runs_again_to_the_same_results(tmp_path, no_plots):
    config = RunConfig.load(tiny_run() / "run.json", {"output": str(tmp_path / "again")})
    again = experiments.run(config)
    assert measured(json.loads(json.dumps(again.to_dict()).replace("NaN", "null"))) == measured(
        json.loads((tiny_run() / "results.json").read_text())
    )
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tiny_run(), tmp_path / "again"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# selection --------------------------------------------------------------------------------------------------------


def test_best_epoch_is_restored_to_the_bit(tmp_path, no_plots):
    training = {"epochs": 6, "learning_rate": 0.3, "select_by": "sentiment.mae", "scheduler": "constant"}
    seed = run(tmp_path / "run", training=training).seeds["0"]
    history = json.loads((tmp_path / "run/seeds/seed-0/history.json").read_text())
    epochs = [entry["eval_sentiment.mae"] for entry in history if "eval_sentiment.mae" in entry]
    assert len(epochs) == 6 and epochs[-1] > min(epochs), "the last epoch must be worse, or this test says nothing"
    assert seed.best_epoch == 1 + epochs.index(min(epochs))
    assert seed.validation["sentiment.mae"] == pytest.approx(min(epochs), abs=1e-9)
    model, prediction = validation_scores(tmp_path / "run/seeds/seed-0")
    assert compute_metrics(model.config.tasks, prediction)["sentiment.mae"] == pytest.approx(min(epochs), abs=1e-9)


def test_training_stops_early(tmp_path, no_plots):
    seed = run(tmp_path / "run", training={"epochs": 30, "patience": 2, "learning_rate": 0.5}).seeds["0"]
    assert seed.epochs == seed.best_epoch + 2 < 30


def test_selection_never_reads_the_test_split(tmp_path, no_plots, monkeypatch):
    """The test split is closed until the thresholds are chosen, which is the last choice that a run makes."""
    events, splits = [], load(run_config(tmp_path)["rows"])

    class Closed:
        features = splits["test"].features

        def __getattr__(self, name):
            events.append("test read")
            return getattr(splits["test"], name)

        def __len__(self):
            events.append("test read")
            return len(splits["test"])

        def __getitem__(self, name):
            events.append("test read")
            return splits["test"][name]

    def tuned(*args):
        events.append("tuned")
        return tune_task_thresholds(*args)

    closed = {"train": splits["train"], "validation": splits["validation"], "test": Closed()}
    monkeypatch.setattr(prepared_run, "load", lambda source: closed)
    monkeypatch.setattr(seed_training, "tune_task_thresholds", tuned)
    run(tmp_path / "run", training={"tune_thresholds": "f1_binary"})
    assert events[0] == "tuned" and "test read" in events


# interruption -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Two seeds of four epochs, with dropout and augmentation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "publish", lambda output, best: None)
        output = tmp_path_factory.mktemp("whole") / "run"
        return output, run(output, training={"epochs": 4}, seeds=[0, 1], **AUGMENTED)


@pytest.mark.parametrize(("epoch", "when", "left"), [(2, "on_save", 2), (3, "on_evaluate", 2), (2, "on_log", 3)])
def test_an_interrupted_run_resumes_to_the_same_results(
    tmp_path, no_plots, monkeypatch, uninterrupted, epoch, when, left
):
    whole, expected = uninterrupted
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(epoch, when))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", training={"epochs": 4}, seeds=[0, 1], **AUGMENTED)
    assert not (tmp_path / "run" / "results.json").exists()
    epochs = []

    class Count(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            epochs.append((args.seed, round(state.epoch)))

    spy(monkeypatch, Count())
    resumed = run(tmp_path / "run", resume=True, training={"epochs": 4}, seeds=[0, 1], **AUGMENTED)
    assert measured(resumed) == measured(expected)
    assert sum(seed == 0 for seed, _ in epochs) == left and sum(seed == 1 for seed, _ in epochs) == 4
    for seed in (0, 1):
        ours, theirs = (
            load_file(output / f"seeds/seed-{seed}/model.safetensors") for output in (whole, tmp_path / "run")
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_cut_off_while_written_is_passed_over(tmp_path, no_plots, monkeypatch, uninterrupted):
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(2))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", training={"epochs": 4}, seeds=[0, 1], **AUGMENTED)
    newest = max((tmp_path / "run/seeds/seed-0/checkpoints").iterdir(), key=lambda path: int(path.name[11:]))
    (newest / "trainer_state.json").unlink()
    (newest / "optimizer.pt").write_bytes(b"half")
    resumed = run(tmp_path / "run", resume=True, training={"epochs": 4}, seeds=[0, 1], **AUGMENTED)
    assert measured(resumed) == measured(uninterrupted[1])


@pytest.mark.parametrize("where", ["while counting", "after stopping"])
def test_early_stopping_goes_on_counting_after_an_interruption(tmp_path, no_plots, monkeypatch, where):
    training = {"epochs": 30, "patience": 3, "learning_rate": 0.5}
    expected = run(tmp_path / "whole", training=training)
    best, last = expected.seeds["0"].best_epoch, expected.seeds["0"].epochs
    assert last == best + 3
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(best + 2 if where == "while counting" else last))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", training=training)
    assert measured(run(tmp_path / "run", resume=True, training=training)) == measured(expected)


def test_the_state_of_bert_adam_resumes(tmp_path, no_plots, monkeypatch):
    training = {"epochs": 3, "optimizer": "bert_adam", "adam_epsilon": 1e-6, "scheduler": "linear", "warmup": 0.2}
    expected = run(tmp_path / "whole", training=training)
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(1))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", training=training)
    assert measured(run(tmp_path / "run", resume=True, training=training)) == measured(expected)
    for i, option in enumerate(({"optimizer": "adamw"}, {"adam_epsilon": 0.1})):
        other = run(tmp_path / str(i), training=training | option)
        assert measured(other) != measured(expected), "every option does something"


def test_a_run_of_before_an_option_was_there_resumes(tmp_path, no_plots):
    """What its record does not name has the default."""
    expected = run(tmp_path / "run", training={"epochs": 1})
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())
    del recorded["preset"], recorded["training"]["optimizer"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(recorded))
    assert measured(run(tmp_path / "run", resume=True, training={"epochs": 1})) == measured(expected)


def test_changed_rows_cannot_resume(tmp_path, no_plots):
    data = write_tiny_rows(tmp_path / "rows", manifest_hash="before")
    run(tmp_path / "run", rows=str(data), training={"epochs": 1})
    shutil.rmtree(data)
    write_tiny_rows(data, manifest_hash="repaired")
    with pytest.raises(ValueError, match="has changed since the run"):
        run(tmp_path / "run", rows=str(data), resume=True, training={"epochs": 1})


def test_another_config_cannot_resume(tmp_path, no_plots):
    run(tmp_path / "run", training={"epochs": 1})
    with pytest.raises(ValueError, match="differs from this config, so the run can neither be resumed nor reused"):
        run(tmp_path / "run", resume=True, training={"epochs": 2})


def test_an_earlier_run_is_replaced_only_when_asked_to(tmp_path, no_plots):
    run(tmp_path / "run", training={"epochs": 1})
    before = (tmp_path / "run" / "results.json").read_bytes()
    with pytest.raises(FileExistsError, match="holds an earlier run; add --resume .*--overwrite .*choose another"):
        run(tmp_path / "run")
    with pytest.raises(ValueError):
        run(tmp_path / "run", overwrite=True, model={"encoder": "lstmm"})
    assert (tmp_path / "run" / "results.json").read_bytes() == before, "a config that cannot run cost an earlier run"
    run(tmp_path / "run", overwrite=True, seeds=[3])
    assert set(json.loads((tmp_path / "run" / "results.json").read_text())["seeds"]) == {"3"}


def test_what_is_not_a_run_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="exists and is not the output of a run; it is left alone"):
            run(tmp_path / "thesis", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    with pytest.raises(FileExistsError, match="left alone"):
        run(tmp_path / "thesis" / "chapter.tex")


# the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"epoch": 3}, r"Unknown config field 'epoch'\. Known: "),
        ({"training": {"epoch": 3}}, r"Unknown config field 'training.epoch'. Did you mean 'epochs'\?"),
        ({"training": {"epochs": "3"}}, "Config training: Field 'epochs' expected int, got str"),
        ({"training": {"epochs": 0}}, "training.epochs is 0; it must be 1 or more"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate is 0; it must be more than 0"),
        ({"training": {"adam_epsilon": 0}}, "training.adam_epsilon is 0; it must be more than 0"),
        ({"training": {"optimizer": "sgd"}}, "training.optimizer is 'sgd'; expected one of adamw, adam, bert_adam"),
        ({"preset": "mine"}, "Config preset is 'mine'; expected one of paper, reference"),
        ({"training": {"scheduler": "step"}}, "training.scheduler is 'step'; expected one of plateau, cosine"),
        ({"training": {"tune_thresholds": "f2"}}, "training.tune_thresholds is 'f2'; expected one of null, f1_binary"),
        ({"training": {"warmup": 1}}, "training.warmup is 1"),
        ({"augmentation": {"noise": -1}}, "`noise` is -1; expected 0 or more"),
        ({"seeds": []}, r"seeds is \[\]; expected one or more"),
        ({"seeds": [1, 1]}, r"seeds is \[1, 1\]; expected one or more different"),
        ({"modalities": "text"}, "Field 'modalities'"),
    ],
)
def test_a_wrong_field_is_one_sentence(tmp_path, fields, sentence):
    values = run_config(tmp_path)
    values = values | fields | ({"training": fields["training"]} if "training" in fields else {})
    with pytest.raises(ValueError, match=sentence) as caught:
        RunConfig.from_dict(values)
    assert "\n" not in str(caught.value)


def test_a_missing_field_and_files_that_are_no_config(tmp_path):
    with pytest.raises(ValueError, match="The config lacks the field 'rows'"):
        RunConfig.from_dict({"name": "a", "output": "b"})
    (tmp_path / "a.json").write_text('{"name": }')
    with pytest.raises(ValueError, match=r"a.json is not JSON \(Expecting value: line 1 column 10"):
        RunConfig.load(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ValueError, match="a.json holds a JSON list; expected an object of fields"):
        RunConfig.load(tmp_path / "a.json", {"training.epochs": 1})
    with pytest.raises(FileNotFoundError, match="There is no config file .*b.json"):
        RunConfig.load(tmp_path / "b.json")


def test_the_preset_is_where_the_model_starts_from(tmp_path, monkeypatch):
    def model(**fields):
        config = RunConfig.from_dict(run_config(tmp_path) | fields)
        return model_building.make_model_config(config, [Task("emotion", labels=("happy",))], AffectProcessor(SIZES))

    assert model(model={}).to_dict() == model(model={}, preset="paper").to_dict()
    code = model(model={"early_size": 7}, preset="reference")
    assert (code.head, code.hidden_dropout_prob, code.early_size) == ("concat_mlp", 0.0, 7)
    assert model(model={"head": "concat"}, preset="reference").head == "concat", "fields of the run go first"
    assert model(architecture="mm_affect_tailor", model={}, preset="reference").concat_order == "reference"
    assert model(model={"corpus": "iemocap"}).early_size == 300, "the paper has settings for two corpora"
    with pytest.raises(ValueError, match="Unknown field 'earli_size' of FusionConfig. Did you mean 'early_size'"):
        model(model={"earli_size": 3}, preset="reference")
    monkeypatch.setattr(model_building, "CONFIG_MAPPING", {"mm_affect": AffectConfig})
    with pytest.raises(ValueError, match="architecture 'mm_affect' has no preset 'reference'"):
        model(architecture="mm_affect", model={}, preset="reference")


def test_single_fields_are_overridden(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"name": "a", "rows": "d", "output": "o"}))
    config = RunConfig.load(tmp_path / "a.json", {"training.epochs": 7, "seeds": [4], "augmentation.noise": 0.5})
    assert (config.training.epochs, config.seeds, config.augmentation.noise, config.name) == (7, [4], 0.5, "a")
    config.save(tmp_path / "b.json")
    assert RunConfig.load(tmp_path / "b.json") == config
    (tmp_path / "c.json").write_text(json.dumps({"name": "a", "rows": "d", "output": "o", "training": 3}))
    with pytest.raises(ValueError, match="`training` is 3; expected an object of fields"):
        RunConfig.load(tmp_path / "c.json", {"training.epochs": 7})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"architecture": "bert"}, "Unknown architecture 'bert'. Known: "),
        ({"model": {"early_siez": 3}}, "Unknown field 'early_siez' of FusionConfig. Did you mean 'early_size'"),
        ({"model": {"early_size": 0}}, "Config model: `early_size` is 0; expected a positive integer"),
        ({"model": {"tasks": []}}, "Config model.tasks is filled in from the rows; remove it"),
        ({"modalities": ["text", "smell"]}, "The rows have no 'smell' features; they have text, audio, visual"),
        (
            {"tasks": [{"name": "joy", "problem_type": "regression"}]},
            "Task 'joy' reads 'joy'; the rows have the labels",
        ),
        ({"tasks": [{"name": "emotion", "lables": ["happy"]}]}, "Unknown task field 'lables'. Did you mean 'labels'"),
        (
            {"training": {"select_by": "emotion.wac"}},
            "select_by is 'emotion.wac', which is not measured. Did you mean",
        ),
        ({"rows": "nowhere"}, "nowhere is neither a corpus .* nor a folder of prepared rows"),
    ],
)
def test_a_run_that_cannot_start_leaves_nothing(tmp_path, fields, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        run(tmp_path / "run", **fields)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_one_modality_and_chosen_tasks(tmp_path, no_plots):
    task = {"name": "polarity", "problem_type": "single_label_classification", "labels": ["negative", "positive"],
            "column": "sentiment"}  # fmt: skip
    results = run(tmp_path / "run", modalities=["audio", "text"], tasks=[task])
    assert list(results.summary) == ["text+audio", "text", "audio"]
    assert all(re.match(r"polarity\.", name) for name in results.summary["text"])


def test_card_and_plots_are_written_again(tmp_path):
    output = tmp_path / "run"
    shutil.copytree(tiny_run(), output)
    (output / "README.md").unlink()
    shutil.rmtree(output / "plots")
    (output / "notes.md").write_text("Seen by a person.")
    experiments.publish(output, selection.read_best_seed(output))
    assert "Seen by a person." in (output / "README.md").read_text()
    assert {path.name for path in (output / "plots").glob("*.png")} == {"training.png", "subsets.png"}
