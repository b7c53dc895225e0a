# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint training: shares of the corpora, labels that are missing, weights of tasks, what is measured, and what is refused."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from corpora import FIELDS, MODEL, SHARED, SIZES, make_rows, run_config, tiny_rows
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor, TrainerCallback, set_seed

from mm_affect import AffectCollator, AffectProcessor, FusionConfig, FusionForAffect, Task
from mm_affect.data import LabelField, RowReader, load, write_rows
from mm_affect.evaluation.cards import write_card
from mm_affect.evaluation.results import read_results
from mm_affect.training import prepared_run
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.joint_corpora import JointRows, join_corpora
from mm_affect.training.mixture import MixtureSampler, corpus_proportions
from mm_affect.training.options import Mixture
from mm_affect.training.trainer import AffectTrainer


CONFIGS = Path(__file__).resolve().parent.parent / "examples" / "configs"
SENTIMENT = {"name": "sentiment", "problem_type": "regression", "value_range": [-3, 3]}
SARCASM = {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"]}
EMOTION = {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"]}
ARGUING = LabelField("arguing", "single_label_classification", ("no", "yes"))
REVERSED = replace(FIELDS[2], labels=("sad", "happy"))


def other_rows(split, classes=("sad", "happy")):
    """Rows of another corpus: emotion with its classes in another order, and a task of its own."""
    rows = make_rows(split, seed=3)
    for row in rows:
        row["id"] = f"other-{row['id']}"
        happy_sad = row["labels"]["emotion"]
        emotion = happy_sad and [dict(zip(("happy", "sad"), happy_sad, strict=True))[name] for name in classes]
        row["labels"] = {"arguing": row["labels"]["sarcasm"], "emotion": emotion}
    return rows


def write_other(folder, fields=(ARGUING, REVERSED), classes=("sad", "happy"), **corpus):
    told = {"name": "other", "license": "MIT", "label_fields": list(fields), "sizes": SIZES}
    names = {field.name for field in fields}
    rows = {split: other_rows(split, classes) for split in ("train", "validation")}
    rows["train"] = rows["train"][:20]
    for row in (row for part in rows.values() for row in part):
        row["labels"] = {name: row["labels"].get(name) for name in names}
    write_rows(folder, rows, told | corpus)
    return str(folder)


@functools.cache
def other():
    return write_other(SHARED / "joint_other")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)

    def train(name, resume=False, **fields):
        config = run_config(tmp_path / name, **fields)
        return experiments.run(RunConfig.from_dict(config), resume=resume)

    return train


def prepare(tmp_path, **fields):
    config = RunConfig.from_dict(run_config(tmp_path / "run", **fields))
    return prepared_run.prepare(config, measure_test=False)


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(ours, theirs):
    ours, theirs = weights_of(ours), weights_of(theirs)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# the mixture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mixture", "shares"),
    [
        (Mixture(), [0.25, 0.7, 0.05]),
        (Mixture("temperature", 1), [0.25, 0.7, 0.05]),
        (Mixture("temperature", 2.0), np.sqrt([0.25, 0.7, 0.05]) / np.sqrt([0.25, 0.7, 0.05]).sum()),
        (Mixture("round_robin"), [1 / 3] * 3),
    ],
)
def test_every_batch_mixes_corpora_in_their_shares(mixture, shares):
    sizes = [250, 700, 50]
    np.testing.assert_allclose(corpus_proportions(mixture, sizes), shares)
    sampler = MixtureSampler(sizes, mixture)
    order = np.array(list(sampler))
    assert len(order) == len(sampler) == pytest.approx(250 / shares[0], abs=2)
    corpus = np.searchsorted([250, 950], order, side="right")
    counts = np.bincount(corpus)
    assert counts[0] == 250 and np.abs(counts - 250 * np.array(shares) / shares[0]).max() <= 0.5
    for start in range(0, len(order), 32):
        batch = corpus[start : start + 32]
        assert np.abs(np.bincount(batch, minlength=3) - len(batch) * np.array(shares)).max() < 2
    assert sorted(order[corpus == 0]) == list(range(250)), "an epoch is one pass over the target"
    if mixture.strategy == "proportional":
        assert sorted(order) == list(range(1000))
    small = order[corpus == 2] - 950
    for start in range(0, len(small) - 49, 50):
        assert len(set(small[start : start + 50])) == 50, "no row comes again before all have been seen"


def test_the_order_is_that_of_the_seed_and_new_in_every_epoch():
    sampler = MixtureSampler([20, 30], Mixture("round_robin"))

    def orders(seed):
        torch.manual_seed(seed)
        return [list(sampler) for _ in range(2)]

    assert orders(0) == orders(0) != orders(1) and orders(0)[0] != orders(0)[1]
    drawn = {i for order in (orders(seed)[0] for seed in range(20)) for i in order if i >= 20}
    assert len(drawn) == 30, "every row of an auxiliary corpus has its turn"


@pytest.mark.parametrize(("fields", "sentence"), [
    ({"strategy": "equal"}, "Mixture `strategy` is 'equal'; expected one of proportional, temperature, round_robin"),
    ({"temperature": 0.5}, "Mixture `temperature` is 0.5; expected 1 or more"),
])  # fmt: skip
def test_a_bad_mixture_is_refused(tmp_path, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        RunConfig.from_dict(run_config(tmp_path, mixture=fields))


# rows of several corpora ------------------------------------------------------------------------------------------


def test_joint_rows_tell_all_labels_in_the_words_of_the_first_corpus():
    rows, fields = join_corpora(str(tiny_rows()), [other()], None, RowReader(load(tiny_rows())["train"]))
    assert [field.name for field in fields] == ["sentiment", "sarcasm", "emotion", "arguing"]
    assert rows.sizes == [32, 20] and len(rows) == 52
    for row, before in zip(rows, [*make_rows("train"), *other_rows("train", ("happy", "sad"))[:20]], strict=True):
        given = before["labels"]
        assert row["id"] == before["id"] and np.array_equal(row["audio"], before["audio"])
        assert {name: given.get(name) for name in ("emotion", "arguing", "sarcasm")} == {
            name: row["labels"].get(name) for name in ("emotion", "arguing", "sarcasm")
        }
    with pytest.raises(IndexError):
        rows[52]


def test_validation_and_test_rows_are_those_of_the_target(tmp_path):
    prepared = prepared_run.prepare(RunConfig.from_dict(run_config(tmp_path / "run", auxiliary=[other()], **JOINT)))
    assert len(prepared.train) == 52 and len(prepared.validation) == 12 and prepared.test["id"][0] == "test-0"


def test_class_indices_are_translated():
    fields = {"a": replace(FIELDS[1], name="a", labels=("x", "y", "z"))}
    own = {"a": replace(fields["a"], labels=("z", "x", "y"))}
    rows = JointRows([([{"labels": {"a": i}} for i in (0, 1, 2, None)], own)], fields)
    assert [row["labels"]["a"] for row in rows] == [2, 0, 1, None]


# missing labels and weights ---------------------------------------------------------------------------------------


def gradients(tasks, fields, rows, weights=None):
    set_seed(0)
    model = FusionForAffect(FusionConfig(feature_sizes=SIZES, tasks=tasks, **MODEL | {"hidden_dropout_prob": 0.0}))
    if weights is not None:
        model.load_state_dict(weights)
    batch = AffectCollator(AffectProcessor(SIZES).fit(rows), tasks, fields)(rows)
    model(**batch).loss.backward()
    return model.state_dict(), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("task", [SENTIMENT, SARCASM, EMOTION], ids=lambda task: task["name"])
def test_a_task_with_all_labels_missing_changes_no_gradient(task):
    tasks = [Task.from_dict(t) for t in (SENTIMENT, SARCASM, EMOTION)]
    rows = make_rows("train")
    missing = [row | {"labels": row["labels"] | {task["name"]: None}} for row in rows]
    weights, with_it = gradients(tasks, FIELDS, missing)
    fields = [field for field in FIELDS if field.name != task["name"]]
    _, without = gradients(tasks, fields, rows, weights)
    _, known = gradients(tasks, FIELDS, rows, weights)
    for name, gradient in with_it.items():
        if f".{task['name']}." in name:
            assert not gradient.any() and without[name] is None
        else:
            assert torch.equal(gradient, without[name]), name
    assert any(not torch.equal(with_it[name], known[name]) for name in known), "known labels do change some"


def test_weights_of_zero_are_training_of_one_task_to_the_bit(run, tmp_path):
    """With dropout and augmentation: nothing random is drawn in another order."""
    options = {"augmentation": {"noise": 0.3, "modality_dropout": 0.2}, "training": {"epochs": 2}}
    alone = run("alone", tasks=[EMOTION], **options)
    zero = [EMOTION, SENTIMENT | {"weight": 0.0}, SARCASM | {"weight": 0}]
    both = run("zero", tasks=zero, **options)
    assert both.seeds["0"].validation == alone.seeds["0"].validation
    assert both.seeds["0"].test == alone.seeds["0"].test
    assert_same_weights(tmp_path / "alone", tmp_path / "zero")
    with pytest.raises(ValueError, match="Every task has weight 0"):
        run("none", tasks=[task | {"weight": 0} for task in zero])


# a joint run ------------------------------------------------------------------------------------------------------


JOINT = {"tasks": [EMOTION, SENTIMENT, {"name": "arguing", "problem_type": "single_label_classification",
                                        "labels": ["no", "yes"]}],
         "mixture": {"strategy": "round_robin"}, "training": {"epochs": 3}}  # fmt: skip


class InterruptAfter(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        if round(state.epoch) == 2:
            raise KeyboardInterrupt


def test_a_joint_run_is_measured_on_the_target_alone_and_repeats(run, tmp_path, monkeypatch):
    results = run("one", auxiliary=[other()], **JOINT)
    scores = results.seeds["0"].test["text+audio+visual"]
    assert {name.split(".")[0] for name in scores} == {"emotion", "sentiment"}, "the target knows nothing of arguing"
    assert results.corpus.name == "tiny" and results.corpus.counts["train"] == 32
    assert [corpus["name"] for corpus in results.corpus.auxiliary] == ["other"]
    history = json.loads((tmp_path / "one/seeds/seed-0/history.json").read_text())
    assert all("loss_arguing" in entry for entry in history if "loss" in entry), "but it was trained"
    assert max(entry.get("step", 0) for entry in history) == 3 * 8, "32 rows of the target and 32 others, 8 at a time"

    again = run("two", auxiliary=[other()], **JOINT)
    assert again.seeds["0"].test == results.seeds["0"].test
    assert_same_weights(tmp_path / "one", tmp_path / "two")

    with monkeypatch.context() as patch:
        add = AffectTrainer.__init__
        patch.setattr(
            AffectTrainer,
            "__init__",
            lambda self, *a, callbacks=(), **k: add(self, *a, callbacks=[*callbacks, InterruptAfter()], **k),
        )
        with pytest.raises(KeyboardInterrupt):
            run("three", auxiliary=[other()], **JOINT)
    run("three", resume=True, auxiliary=[other()], **JOINT)
    assert_same_weights(tmp_path / "one", tmp_path / "three")

    other_order = write_other(tmp_path / "ordered", (ARGUING, FIELDS[2]), ("happy", "sad"))
    run("four", auxiliary=[other_order], **JOINT)
    assert_same_weights(tmp_path / "one", tmp_path / "four")

    card = write_card(read_results(tmp_path / "one" / "results.json"), tmp_path / "one").read_text()
    assert "Training batches also contained utterances of other corpora" in card and "| other | MIT | 20 |" in card


def test_an_auxiliary_corpus_teaches(run, tmp_path):
    """Its task is learned, and its features count in the normalization, which is that of all training rows."""
    fields = {"tasks": [EMOTION, JOINT["tasks"][2]], "training": {"epochs": 25, "learning_rate": 0.02, "patience": 25}}
    run("run", auxiliary=[other()], **fields)
    model, processor = (
        AutoModel.from_pretrained(tmp_path / "run").eval(),
        AutoProcessor.from_pretrained(tmp_path / "run"),
    )
    rows = [RowReader(load(other())["train"])[i] for i in range(20)]
    with torch.no_grad():
        answers = model(**processor(rows)).logits["arguing"].argmax(1)
    truth = np.array([-1 if row["labels"]["arguing"] is None else row["labels"]["arguing"] for row in rows])
    assert np.mean(answers.numpy()[truth >= 0] == truth[truth >= 0]) > 0.8
    steps = np.concatenate([row["audio"] for row in [*make_rows("train"), *rows]]).astype(np.float64)
    np.testing.assert_allclose(processor.statistics["audio"]["mean"], steps.mean(0))


def test_class_weights_count_the_rows_of_all_corpora(tmp_path):
    task = prepare(tmp_path, auxiliary=[other()], **JOINT).tasks[0]
    rows = [*make_rows("train"), *other_rows("train", ("happy", "sad"))[:20]]
    emotion = np.array([row["labels"]["emotion"] for row in rows if row["labels"]["emotion"]])
    np.testing.assert_allclose(task.class_weights, (len(emotion) - emotion.sum(0)) / emotion.sum(0), atol=1e-4)


def test_changed_auxiliary_rows_cannot_resume(run, tmp_path):
    folder = write_other(tmp_path / "aux", manifest_hash="before")
    run("run", auxiliary=[folder], **JOINT | {"training": {"epochs": 1}})
    write_rows(folder, {"train": other_rows("train")[:20]}, {"name": "other", "label_fields": [ARGUING, REVERSED],
               "sizes": SIZES, "manifest_hash": "after"}, overwrite=True)  # fmt: skip
    with pytest.raises(ValueError, match="has changed since the run"):
        run("run", resume=True, auxiliary=[folder], **JOINT | {"training": {"epochs": 1}})


# bad input --------------------------------------------------------------------------------------------------------


WEAK = {"model": "m", "weights_sha256": "0" * 64, "task": "emotion", "metric": "wacc", "confidence": 0.7,
        "threshold": 0.5, "least_confidence": 0.0, "soft": False}  # fmt: skip


@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [
        ({"fields": [replace(FIELDS[2], labels=("happy", "angry"))]}, r"labels 'emotion' are multi label .*happy, sad.* and multi"),
        ({"fields": [replace(ARGUING, name="sentiment")]}, r"labels 'sentiment' are regression .* and single label classification"),
        ({"fields": [replace(FIELDS[0], range=(0.0, 1.0))]}, r"have the range \[-3.0, 3.0\] in .* and \[0.0, 1.0\]"),
        ({"fields": [replace(REVERSED, weak=WEAK)]}, "are strong in .* and predicted by m in .*; labels of different sources are not mixed"),
        ({"fields": [ARGUING]}, "No task reads the labels of .*; remove it from `auxiliary`"),
        ({"extractors": {"audio": {"name": "log_mel", "size": 3, "rate": 10}}}, "audio features of the model do not say"),
        ({"alignment": {"reducer": "mean", "extractors": {}}}, "have different word alignments"),
    ],
)  # fmt: skip
def test_corpora_that_do_not_go_together_are_refused(run, tmp_path, corpus, sentence):
    folder = write_other(tmp_path / "aux", **{"fields": [REVERSED]} | corpus)
    with pytest.raises(ValueError, match=sentence):
        run("run", auxiliary=[folder], tasks=[EMOTION, SENTIMENT])
    assert not (tmp_path / "run").exists()


def test_labels_that_no_task_reads_may_differ(tmp_path):
    folder = write_other(tmp_path / "aux", [ARGUING, replace(FIELDS[2], labels=("x", "y"))])
    prepare(tmp_path, auxiliary=[folder], tasks=[SENTIMENT, JOINT["tasks"][2]])


def test_missing_modalities_are_refused(run, tmp_path):
    rows = [row | {"visual": None} for row in other_rows("train")]
    sizes = {m: SIZES[m] for m in ("text", "audio")}
    write_rows(tmp_path / "aux", {"train": rows}, {"name": "a", "label_fields": [ARGUING, REVERSED], "sizes": sizes})
    with pytest.raises(
        ValueError, match="has no visual features, which the run reads; remove it from `auxiliary`, or remove"
    ):
        run("run", auxiliary=[str(tmp_path / "aux")], tasks=[EMOTION])
    prepare(tmp_path, auxiliary=[str(tmp_path / "aux")], tasks=[EMOTION], modalities=["text", "audio"])


def test_shared_ids_are_refused(run, tmp_path):
    """Whatever the split: here the auxiliary corpus would train on a test row of the target."""
    rows = other_rows("train")
    rows[5]["id"] = "test-3"
    write_rows(tmp_path / "aux", {"train": rows}, {"name": "a", "label_fields": [ARGUING, REVERSED], "sizes": SIZES})
    with pytest.raises(ValueError, match="1 ids are both in .*, such as 'test-3'"):
        run("run", auxiliary=[str(tmp_path / "aux")], tasks=[EMOTION])
    with pytest.raises(ValueError, match="named twice"):
        run("run", auxiliary=[str(tiny_rows())], tasks=[EMOTION])


def test_a_target_task_without_labels_in_validation_cannot_select(run):
    arguing = JOINT["tasks"][2]
    with pytest.raises(ValueError, match="first task selects by 'arguing.accuracy', which is not measured"):
        run("run", auxiliary=[other()], tasks=[arguing, EMOTION])
    with pytest.raises(ValueError, match="select_by is 'arguing.accuracy', which is not measured"):
        run("run", auxiliary=[other()], tasks=[EMOTION, arguing], training={"select_by": "arguing.accuracy"})


def test_an_absent_class_is_said(tmp_path):
    rows = {split: make_rows(split) for split in ("train", "validation", "test")}
    for row in rows["train"]:
        row["labels"]["sarcasm"] = 0
    for row in rows["validation"]:
        row["labels"]["emotion"] = row["labels"]["emotion"] and [row["labels"]["emotion"][0], 0.0]
    write_rows(tmp_path / "rows", rows, {"name": "poor", "label_fields": FIELDS, "sizes": SIZES})
    with pytest.warns(UserWarning, match="has no sample") as said:
        prepare(tmp_path, rows=str(tmp_path / "rows"))
    sentences = [str(warning.message) for warning in said]
    assert any("yes of the task 'sarcasm' has no sample in the training split of" in text for text in sentences)
    assert any("sad of the task 'emotion' has no sample in the validation split of" in text for text in sentences)
    assert not any("of the task 'emotion' has no sample in the training" in text for text in sentences)


# the configs of the paper's Table 4 -------------------------------------------------------------------------------


TABLE_9 = {  # (emotion, sentiment, sarcasm) for AVG, LSTM, TRANS
    "iemocap_1_emotion": ((1, 0, 0),) * 3,
    "iemocap_2_sentiment_weak": ((1, 0.6, 0), (1, 0.8, 0), (1, 0.7, 0)),
    "iemocap_3_sarcasm_weak": ((1, 0, 0.5), (1, 0, 0.6), (1, 0, 0.7)),
    "iemocap_4_all": ((1, 0.8, 0.3), (1, 0.7, 0.5), (1, 0.7, 0.3)),
    "mosei_emotion_1_emotion": ((1, 0, 0),) * 3,
    "mosei_emotion_2_sentiment": ((1, 0.4, 0), (1, 1, 0), (1, 1, 0)),
    "mosei_emotion_3_sarcasm_weak": ((1, 0, 0.6), (1, 0, 0.8), (1, 0, 0.5)),
    "mosei_emotion_4_all": ((1, 0.7, 0.5), (1, 0.8, 0.6), (1, 0.9, 0.4)),
    "mustard_1_sarcasm": ((0, 0, 1),) * 3,
    "mustard_2_emotion_weak": ((0.4, 0, 1), (0.4, 0, 1), (1, 0, 1)),
    "mustard_3_sentiment_weak": ((0, 1, 1), (0, 0.5, 1), (0, 0.6, 1)),
    "mustard_4_all": ((0.4, 1, 1), (0.1, 0.5, 1), (1, 0.1, 1)),
    "mosei_sentiment_1_sentiment": ((0, 1, 0),) * 3,
    "mosei_sentiment_2_emotion": ((0.8, 1, 0), (1, 1, 0), (0.8, 1, 0)),
    "mosei_sentiment_3_emotion_weak": ((0.6, 1, 0), (0.6, 1, 0), (0.8, 1, 0)),
    "mosei_sentiment_4_sarcasm_weak": ((0, 1, 0.6), (0, 1, 0.6), (0, 1, 0.2)),
    "mosei_sentiment_5_all_1_2_4": ((0.8, 1, 0.8), (0.1, 1, 0.1), (0.8, 1, 0.2)),
    "mosei_sentiment_6_all_1_3_4": ((1, 1, 1), (1, 1, 0.5), (1, 1, 0.5)),
}
TARGETS = {"iemocap": "emotion", "mosei_emotion": "emotion", "mustard": "sarcasm", "mosei_sentiment": "sentiment"}
RATES = {"avg": {"iemocap": (5e-4, 64), "mosei": (5e-4, 256)}, "lstm": {"iemocap": (5e-4, 128), "mosei": (1e-4, 32)},
         "trans": {"iemocap": (1e-4, 256), "mosei": (5e-5, 64)}}  # fmt: skip


def test_one_config_for_every_row_of_table_4_and_every_model():
    paths = {path.stem: path for path in (CONFIGS / "mtl_tables").glob("*.json")}
    assert paths.keys() == {f"{row}_{encoder}" for row in TABLE_9 for encoder in RATES}
    outputs = set()
    for row, weights in TABLE_9.items():
        for encoder, expected in zip(RATES, weights, strict=True):
            config = RunConfig.load(paths[f"{row}_{encoder}"])
            found = {task["name"].removesuffix("_weak"): task["weight"] for task in config.tasks}
            assert found == {n: w for n, w in zip(("emotion", "sentiment", "sarcasm"), expected, strict=True) if w}
            target = next(target for target in TARGETS if row.startswith(target))
            assert config.tasks[0]["name"] == TARGETS[target]
            rate = RATES[encoder]["mosei" if "mosei" in target else "iemocap"]
            assert (config.training.learning_rate, config.training.batch_size) == rate
            assert (config.model["fusion"], config.model["encoder"]) == ("ef_lf", encoder)
            assert config.seeds == [0, 1, 2, 3, 4] and config.name == paths[f"{row}_{encoder}"].stem
            assert ("emotion_weak" in [task["name"] for task in config.tasks]) == (
                "3_emotion_weak" in row or "1_3_4" in row
            )
            outputs.add(config.output)
    assert len(outputs) == len(paths)


def test_every_row_of_the_table_trains(run):
    """In miniature: on tiny rows of the same columns, the row with all tasks of each target."""
    for target in TARGETS:
        row = max(name for name in TABLE_9 if name.startswith(target))
        config = json.loads((CONFIGS / "mtl_tables" / f"{row}_lstm.json").read_text())
        fields, made = [], {}
        for task in config["tasks"]:
            regression = task["name"] == "sentiment" and "mosei" in target  # a strong label there
            kind = "regression" if regression else task["problem_type"]
            fields.append({"name": task["name"], "problem_type": kind, "labels": [task["name"]] if regression else task["labels"],
                           "range": [-3.0, 3.0] if regression else None})  # fmt: skip
            count = len(task["labels"])
            made[task["name"]] = (
                {
                    "regression": lambda i, n: (i % 7) - 3.0,
                    "single_label_classification": lambda i, n: i % n,
                    "multi_label_classification": lambda i, n: [float((i + k) % 3 == 0) for k in range(n)],
                }[kind],
                count,
            )
        labeled = {
            split: [
                row | {"labels": {name: make(i, n) for name, (make, n) in made.items()}}
                for i, row in enumerate(make_rows(split))
            ]
            for split in ("train", "validation", "test")
        }
        folder = SHARED / f"table_{target}"
        write_rows(folder, labeled, {"name": target, "label_fields": fields, "sizes": SIZES})
        results = run(target, rows=str(folder), tasks=config["tasks"], training={"epochs": 1, "optimizer": "adam"})
        scores = results.summary["text+audio+visual"]
        assert {name.split(".")[0] for name in scores} == {task["name"] for task in config["tasks"]}


def test_the_sample_set_differs_in_its_tasks_alone():
    configs = [RunConfig.load(path) for path in sorted((CONFIGS / "mtl_sample").glob("*.json"))]
    assert [[task["name"] for task in config.tasks] for config in configs] == [
        ["emotion"], ["emotion", "sentiment"], ["emotion", "sarcasm"], ["emotion", "sentiment", "sarcasm"],
    ]  # fmt: skip
    shared = [config.to_dict() | dict.fromkeys(("name", "output", "tasks")) for config in configs]
    assert all(fields == shared[0] for fields in shared)
