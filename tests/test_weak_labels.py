# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Weak labels: they are what the model predicts, they say where they come from, and an interruption costs no shard."""

import functools
import hashlib
import json
import os
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from corpora import FIELDS, SHARED, SIZES, make_rows, run_config, tiny_run
from torch.nn import functional as F
from transformers import AutoModel, AutoProcessor

from mm_affect import AffectCollator, AffectProcessor, Task
from mm_affect.cli.main import main
from mm_affect.data import LabelField, RowReader, load, read_corpus, write_rows
from mm_affect.data.dataset_card import write_dataset_card
from mm_affect.data.ragged import RowDataset
from mm_affect.evaluation import selection
from mm_affect.evaluation.results import read_results
from mm_affect.features.label_encoding import label_encoder
from mm_affect.models.layers.task_heads import TaskHeads
from mm_affect.preparation.weak_labels import Labeler, add_weak_labels, read_label_source, select_task
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


OTHER = {"name": "other", "label_fields": [FIELDS[1]], "sizes": SIZES}
SPLITS = ("train", "validation", "test")


def other_rows(split):
    rows = make_rows(split, seed=1)
    for row in rows:
        row["id"] = f"other-{row['id']}"
        row["labels"] = {"sarcasm": row["labels"]["sarcasm"]}
    rows[3] |= {modality: np.zeros((0, size), np.float32) for modality, size in SIZES.items()}
    return rows


@functools.cache
def other():
    """Rows of another corpus with sarcasm alone, in eight shards; the fourth row of a split has no modality."""
    rows = {split: other_rows(split) for split in SPLITS}
    write_rows(SHARED / "other", rows, OTHER, shard_rows=10)
    return SHARED / "other"


@pytest.fixture
def label(tmp_path, capsys):
    """The command, on the tiny run and the other rows unless told otherwise: exit code and what it said."""

    def run(*words, model=None, rows=None, output=None, code=0):
        places = {"--model": model or tiny_run(), "--rows": rows or other(), "--output": output or tmp_path / "out"}
        given = main(["weak-labels", *(str(word) for pair in places.items() for word in pair), *words])
        printed = capsys.readouterr()
        assert given == code and "Traceback" not in printed.err, printed.err
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        assert len(errors) == code
        return errors[0] if code else printed.out

    return run


def rows_of(folder, split):
    return RowReader(load(folder)[split])


def probabilities(split, task, modalities=tuple(SIZES)):
    """What the model says of each row alone, from its own forward."""
    model, processor = AutoModel.from_pretrained(tiny_run()).eval(), AutoProcessor.from_pretrained(tiny_run())
    task = next(t for t in model.config.tasks if t.name == task)
    with torch.no_grad():
        logits = [model(**processor(row)).logits[task.name] for row in RowDataset(other_rows(split), modalities)]
    return task, task.scores(torch.cat(logits).numpy())


def labeler(task="sarcasm", **options):
    model, processor = AutoModel.from_pretrained(tiny_run()).eval(), AutoProcessor.from_pretrained(tiny_run())
    chosen = select_task(model.config.tasks, task, options.pop("threshold", None))
    return Labeler(model, processor, chosen, tuple(SIZES), **options)


# what is predicted ------------------------------------------------------------------------------------------------


def test_hard_labels_are_the_decisions_of_the_model(label, tmp_path):
    label("--task", "emotion")
    for split in SPLITS:
        task, scores = probabilities(split, "emotion")
        found = [row["labels"]["emotion"] for row in rows_of(tmp_path / "out", split)]
        assert found.pop(3) is None, "a row without any modality has nothing to be labeled by"
        assert task.threshold != 0.5, "the thresholds were tuned, or this test says less"
        expected = (np.delete(scores, 3, 0) > np.array(task.threshold)).astype(float)
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(expected)) == 2


def test_classes_and_values(label, tmp_path):
    label("--task", "sarcasm", "--name", "sarcasm_weak", output=tmp_path / "a")
    label("--task", "sentiment", rows=tmp_path / "a", output=tmp_path / "b")
    found = [row["labels"] for row in rows_of(tmp_path / "b", "train")]
    for name, column, decide in (
        ("sarcasm", "sarcasm_weak", lambda s: s.argmax(1)),
        ("sentiment", "sentiment", lambda s: s.clip(-3, 3)),
    ):
        expected = decide(probabilities("train", name)[1])
        known = [i for i in range(len(found)) if i != 3]
        np.testing.assert_allclose([found[i][column] for i in known], expected[known], atol=1e-5)
        assert found[3][column] is None and len(set(expected)) > 1
    fields = {field.name: field for field in read_corpus(tmp_path / "b").label_fields}
    assert fields["sentiment"].range == (-3, 3) and fields["sarcasm_weak"].labels == ("no", "yes")


def test_everything_else_of_the_rows_stays(label, tmp_path):
    before, names = read_corpus(other()), sorted(path.name for path in other().iterdir())
    label("--task", "emotion")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    after = read_corpus(tmp_path / "out")
    assert after.label_fields[:1] == before.label_fields and after.counts == before.counts
    assert after.manifest_hash != before.manifest_hash, "or a run could be resumed with other labels"
    assert after.reported == {"unknown_emotion": 3}
    for split in SPLITS:
        for ours, theirs in zip(rows_of(tmp_path / "out", split), rows_of(other(), split), strict=True):
            assert ours["labels"].pop("emotion", "absent") != "absent"
            assert all(np.array_equal(ours.pop(m), theirs.pop(m), equal_nan=True) for m in SIZES) and ours == theirs


def test_soft_labels_are_the_probabilities(label, tmp_path):
    label("--task", "sarcasm", "--name", "soft", "--soft")
    field = read_corpus(tmp_path / "out").label_fields[-1]
    assert field.problem_type == "multi_label_classification" and field.weak.soft and field.range == (0, 1)
    found = [row["labels"]["soft"] for row in rows_of(tmp_path / "out", "test")]
    expected = probabilities("test", "sarcasm")[1]
    np.testing.assert_allclose(found[:3] + found[4:], np.delete(expected, 3, 0), atol=1e-5)


@pytest.mark.parametrize(("task", "words"), [("sarcasm", []), ("emotion", ["--threshold", "0.3,0.6"])])
def test_uncertain_decisions_are_unknown(label, tmp_path, task, words):
    _read, scores = probabilities("train", task)
    decided = scores.max(1)
    if task == "emotion":
        decided = np.where(scores > [0.3, 0.6], scores, 1 - scores).min(1)
    least = float(np.median(decided))
    label("--task", task, "--name", "weak", "--least-confidence", str(least), *words)
    found = np.array([row["labels"]["weak"] is not None for row in rows_of(tmp_path / "out", "train")])
    far = (np.abs(decided - least) > 1e-5) & (np.arange(len(decided)) != 3)
    np.testing.assert_array_equal(found[far], (decided > least)[far])
    assert found.any() and not found.all()


def test_some_modalities_only_when_named(label, tmp_path):
    rows = {split: [row | {"visual": None} for row in other_rows(split)] for split in SPLITS}
    sizes = {m: SIZES[m] for m in ("text", "audio")}
    write_rows(tmp_path / "blind", rows, OTHER | {"sizes": sizes})
    error = label("--task", "emotion", rows=tmp_path / "blind", code=1)
    assert "no visual features, which the model reads" in error and "text audio" in error
    label("--task", "emotion", "--modalities", "text", "audio", rows=tmp_path / "blind")
    task, scores = probabilities("test", "emotion", ("text", "audio"))
    rows = rows_of(tmp_path / "out", "test")
    readable = [len(row["text"]) + len(row["audio"]) > 0 for row in rows]
    found = [row["labels"]["emotion"] for row in rows]
    assert [label is not None for label in found] == readable
    expected = (scores > np.array(task.threshold)).astype(float)[readable]
    np.testing.assert_array_equal([label for label in found if label is not None], expected)


# where it comes from ----------------------------------------------------------------------------------------------


def test_the_field_says_who_predicted_and_how_well(label, tmp_path):
    printed = label("--task", "emotion")
    weak = read_corpus(tmp_path / "out").label_fields[-1].weak.to_dict()
    results = read_results(tiny_run() / "results.json")
    kept = str(selection.read_best_seed(tiny_run()))
    assert weak["confidence"] == pytest.approx(results.seeds[kept].validation["emotion.wacc"], abs=1e-6)
    assert weak["metric"] == "wacc" and weak["model"] == "tiny" and weak["task"] == "emotion"
    weights = hashlib.sha256((tiny_run() / "model.safetensors").read_bytes()).hexdigest()
    assert weak["weights_sha256"] == weights and weights[:12] in printed
    assert not weak["soft"] and weak["threshold"] == list(probabilities("test", "emotion")[0].threshold)


def test_provenance_travels_into_training_results_and_cards(label, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)
    label("--task", "emotion", rows=other(), output=tmp_path / "rows")
    weak = read_corpus(tmp_path / "rows").label_fields[-1].weak.to_dict()
    tasks = [{"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"]},
             {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"]}]  # fmt: skip
    config = run_config(tmp_path / "run", rows=str(tmp_path / "rows"), tasks=tasks, training={"epochs": 1})
    results = experiments.run(RunConfig.from_dict(config))
    assert [task.get("weak") for task in results.tasks] == [None, weak]
    weights = {task.name: task.weight for task in AutoModel.from_pretrained(tmp_path / "run").config.tasks}
    assert weights == {"sarcasm": 1.0, "emotion": weak["confidence"]}, "confidence is the default weight"
    tasks[1]["weight"] = 0.25
    experiments.run(RunConfig.from_dict(config | {"tasks": tasks}), overwrite=True)
    assert AutoModel.from_pretrained(tmp_path / "run").config.tasks[1].weight == 0.25, "a weight of one's own wins"
    from mm_affect.evaluation.cards import write_card

    card = write_card(read_results(tmp_path / "run" / "results.json"), tmp_path / "run").read_text()
    assert "The labels of `emotion` are weak labels: predicted by the model tiny (task emotion" in card
    assert "The labels of `sarcasm` are weak" not in card
    data_card = write_dataset_card(tmp_path / "rows", read_corpus(tmp_path / "rows")).read_text()
    assert "`emotion` was predicted by the model tiny" in data_card and "Labels are those of the corpus" in data_card
    with pytest.raises(ValueError, match="was trained on weak labels of 'emotion' and measured against them"):
        read_label_source(tmp_path / "run", Task("emotion", labels=("happy", "sad")))


# soft labels in training ------------------------------------------------------------------------------------------


SOFT = LabelField.from_dict(
    {"name": "mood", "problem_type": "multi_label_classification", "labels": ["a", "b", "c"], "range": [0.0, 1.0],
     "weak": {"model": "m", "weights_sha256": "0", "task": "mood", "metric": "accuracy", "confidence": 0.5,
              "threshold": None, "least_confidence": 0.0, "soft": True}}
)  # fmt: skip


def test_soft_labels_stay_probabilities_in_training_and_are_decided_in_evaluation():
    single = Task("mood", "single_label_classification", ("c", "a"))
    several = Task("mood", "multi_label_classification", ("c", "a"))
    value = [0.6, 0.1, 0.2]
    assert label_encoder(single, SOFT, soft=True)(value) == pytest.approx([0.25, 0.75])
    assert label_encoder(single, SOFT)(value) == 1 and label_encoder(single, SOFT)(None) == -100
    assert label_encoder(several, SOFT, soft=True)(value) == [0.2, 0.6]
    assert label_encoder(several, SOFT)(value) == [0.0, 1.0]
    assert np.isnan(label_encoder(single, SOFT, soft=True)(None)).all()
    rows = [{"labels": {"mood": value}, "text": np.ones((2, 4), np.float32)}, {"labels": {"mood": None}, "text": None}]
    training, evaluation = (
        AffectCollator(AffectProcessor({"text": 4}), [single], [SOFT], soft=soft)(rows)["labels"]["mood"]
        for soft in (True, False)
    )
    assert training.dtype == torch.float32 and training.shape == (2, 2) and training[1].isnan().all()
    assert evaluation.dtype == torch.int64 and evaluation.tolist() == [1, -100]


def test_soft_cross_entropy_is_that_of_its_definition():
    task = Task("mood", "single_label_classification", ("a", "b", "c"), class_weights=(1.0, 2.0, 0.5))
    heads = TaskHeads([task], lambda task: torch.nn.Linear(4, 3))
    logits = torch.randn(3, 3, generator=torch.manual_seed(0), requires_grad=True)
    target = torch.tensor([[0.5, 0.25, 0.25], [torch.nan] * 3, [0.0, 1.0, 0.0]])
    loss = heads.losses({"mood": logits}, {"mood": target})["mood"]
    weights = torch.tensor([1.0, 2.0, 0.5])
    rows = [-(weights * target[i] * F.log_softmax(logits[i], 0)).sum() for i in (0, 2)]
    assert loss.item() == pytest.approx((sum(rows) / 2).item(), abs=1e-6)
    loss.backward()
    assert logits.grad.isfinite().all() and not logits.grad[1].any() and logits.grad[0].any()
    hard = heads.losses({"mood": logits}, {"mood": torch.tensor([-100, -100, 1])})["mood"]
    sure = heads.losses({"mood": logits}, {"mood": target[[1, 1, 2]]})["mood"]
    assert hard.item() == pytest.approx(sure.item(), abs=1e-6), "certainty is a hard label"


def test_classes_of_a_corpus_can_be_read_as_several_labels():
    task = Task("sarcasm", "multi_label_classification", ("yes", "no"))
    encode = label_encoder(task, FIELDS[1])
    assert encode(1) == [1.0, 0.0] and encode(0) == [0.0, 1.0] and np.isnan(encode(None)).all()


# interruption and size --------------------------------------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_labeling_goes_on_where_it_was(tmp_path):
    """kill -9 in the middle of a shard; finished shards are not predicted again, and the rows are the same to the byte."""
    work = labeler()
    field = work.build_field("weak", read_label_source(tiny_run(), work.task))
    add_weak_labels(work, field, other(), tmp_path / "whole")
    child = os.fork()
    if not child:
        label_shard = Labeler.__call__
        calls = []

        def killed(self, rows):
            calls.append(rows)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return label_shard(self, rows)

        Labeler.__call__ = killed
        add_weak_labels(work, field, other(), tmp_path / "out")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "out").exists()
    left = tmp_path / ".out.rewriting"
    assert sum(path.suffix == ".parquet" for path in left.iterdir()) == 3
    assert sum(path.suffix == ".tmp" for path in left.iterdir()) == 1, "it was killed in the middle of a shard"
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        call = Labeler.__call__
        patch.setattr(Labeler, "__call__", lambda self, rows: seen.append(len(rows)) or call(self, rows))
        add_weak_labels(work, field, other(), tmp_path / "out")
    assert len(seen) == 8 - 3 and max(seen) <= 10, "in memory for one part of a shard"
    assert contents(tmp_path / "out") == contents(tmp_path / "whole") and not left.exists()


def test_shards_of_another_plan_are_not_taken_over(tmp_path):
    """Labels by another threshold are not mixed in."""

    def label(threshold, progress=None):
        work = labeler("emotion", threshold=threshold)
        field = work.build_field("weak", read_label_source(tiny_run(), work.task))
        return add_weak_labels(work, field, other(), tmp_path / "out", progress=progress)

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label([0.9, 0.9], stop)
    plan = json.loads((tmp_path / ".out.rewriting" / "plan.json").read_text())
    assert plan["field"]["weak"]["threshold"] == [0.9, 0.9]
    record = label([0.1, 0.1])
    assert record.label_fields[-1].weak.threshold == (0.1, 0.1)
    found = [row["labels"]["weak"] for row in rows_of(tmp_path / "out", "train")]
    expected = probabilities("train", "emotion")[1] > 0.1
    np.testing.assert_array_equal(found[:3] + found[4:], np.delete(expected, 3, 0).astype(float))


def test_row_groups_and_shards_stay(label, tmp_path):
    label("--task", "emotion")
    for path in other().glob("*.parquet"):
        ours, theirs = pq.ParquetFile(tmp_path / "out" / path.name), pq.ParquetFile(path)
        assert ours.num_row_groups == theirs.num_row_groups and ours.metadata.num_rows == theirs.metadata.num_rows


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "has the tasks sentiment, sarcasm, emotion; select one with --task"),
        (["--task", "emotoin"], "no task 'emotoin'. Did you mean 'emotion'?"),
        (["--task", "sarcasm"], "has labels 'sarcasm' already, which are not replaced"),
        (["--task", "emotion", "--threshold", "0.1,0.2,0.3"], "has 3 threshold for 2 labels"),
        (["--task", "emotion", "--threshold", "1.5"], "expected probabilities from 0 to below 1"),
        (["--task", "sentiment", "--threshold", "0.5"], "(regression) has no threshold"),
        (["--task", "sentiment", "--soft"], "is a regression, whose values have neither probabilities"),
        (["--task", "emotion", "--soft", "--threshold", "0.4"], "Soft labels are probabilities without a threshold"),
        (["--task", "emotion", "--least-confidence", "1"], "expected a probability below 1"),
        (["--task", "emotion", "--modalities", "smell"], "does not read 'smell'; it reads text, audio, visual"),
        (["--task", "emotion", "--confidence", "2"], "has confidence 2.0; expected a number from 0 to 1"),
    ],
)
def test_bad_options_are_one_sentence(label, words, sentence):
    assert sentence in label(*words, code=1)


def test_weak_labels_are_not_replaced_by_others_of_their_name(label, tmp_path):
    label("--task", "emotion", output=tmp_path / "a")
    error = label("--task", "emotion", "--soft", rows=tmp_path / "a", output=tmp_path / "b", code=1)
    assert "has weak labels 'emotion' already" in error and "--name emotion_weak" in error


def test_rows_of_other_features_are_refused(label, tmp_path):
    extractors = {"audio": {"name": "log_mel", "version": 1, "size": 3, "rate": 10}}
    write_rows(tmp_path / "a", {s: other_rows(s) for s in SPLITS}, OTHER | {"extractors": extractors})
    assert "audio features of the model do not say which extractor" in label(
        "--task", "emotion", rows=tmp_path / "a", code=1
    )
    wide = [row | {"audio": np.zeros((2, 7), np.float32)} for row in other_rows("train")]
    write_rows(tmp_path / "b", {"train": wide}, OTHER | {"sizes": SIZES | {"audio": 7}})
    assert "have 7 numbers per step; the model needs 3" in label("--task", "emotion", rows=tmp_path / "b", code=1)
    assert "is not a folder of rows" in label("--task", "emotion", rows=tmp_path / "none", code=1)


def test_a_model_that_was_not_measured_needs_a_confidence(label, tmp_path):
    model = tmp_path / "bare"
    AutoModel.from_pretrained(tiny_run()).save_pretrained(model)
    AutoProcessor.from_pretrained(tiny_run()).save_pretrained(model)
    assert "no results.json, so the confidence of its labels is unknown" in label(
        "--task", "emotion", model=model, code=1
    )
    label("--task", "emotion", "--confidence", "0.8", model=model)
    assert read_corpus(tmp_path / "out").label_fields[-1].weak.confidence == 0.8


def test_an_output_that_holds_something_stays(label, tmp_path):
    label("--task", "emotion")
    before = contents(tmp_path / "out")
    assert "already holds rows" in label("--task", "sentiment", code=1)
    assert contents(tmp_path / "out") == before
    label("--task", "sentiment", "--overwrite")
    assert [field.name for field in read_corpus(tmp_path / "out").label_fields] == ["sarcasm", "sentiment"]
