# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training and measuring one model: batches, losses, subsets, thresholds, augmentation."""

import json

import numpy as np
import pytest
import torch
from corpora import FIELDS, MODEL, SIZES, make_rows, tiny_run
from torch.utils.data import SequentialSampler
from transformers import AutoModel, AutoProcessor, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from mm_affect import AffectCollator, AffectProcessor, FusionConfig, FusionForAffect, Task
from mm_affect.data.ragged import RowDataset
from mm_affect.evaluation.evaluator import (
    compute_metrics,
    evaluate_subsets,
    list_modality_subsets,
    predict,
    tune_task_thresholds,
)
from mm_affect.evaluation.metrics import compute_task_metrics
from mm_affect.training.augmentation import FeatureAugmentation
from mm_affect.training.options import Augmentation
from mm_affect.training.trainer import AffectTrainer


TASKS = [
    Task("sentiment", "regression", weight=0.5, value_range=(-3, 3)),
    Task("sarcasm", "single_label_classification", ("no", "yes")),
    Task("emotion", "multi_label_classification", ("happy", "sad")),
]


@pytest.fixture
def processor():
    return AffectProcessor(SIZES).fit(make_rows("train"))


def make_model(**fields):
    set_seed(0)
    return FusionForAffect(FusionConfig(feature_sizes=SIZES, tasks=TASKS, **MODEL | fields))


def make_trainer(folder, processor, train=None, model=None, augment=None, callbacks=None, **options):
    defaults = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 0.01, "report_to": "none",
                "logging_strategy": "epoch", "save_strategy": "no", "dataloader_pin_memory": False}  # fmt: skip
    return AffectTrainer(
        model or make_model(),
        TrainingArguments(str(folder), **defaults | options),
        RowDataset(train or make_rows("train")),
        RowDataset(make_rows("validation")),
        processor=processor,
        label_fields=FIELDS,
        augment=augment,
        callbacks=callbacks,
    )


def test_every_loss_is_logged_and_adds_up(tmp_path, processor):
    trainer = make_trainer(tmp_path, processor, num_train_epochs=2)
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(entries) == 2
    for entry in entries:
        parts = entry["loss_emotion"] + entry["loss_sarcasm"] + 0.5 * entry["loss_sentiment"]
        assert entry["loss"] == pytest.approx(parts, abs=2e-4)
    assert entries[1]["loss"] < entries[0]["loss"]


def test_training_batches_have_like_lengths_and_evaluation_keeps_the_order(tmp_path, processor):
    rows = make_rows("train")
    trainer = make_trainer(tmp_path, processor, rows, per_device_train_batch_size=2)
    lengths = RowDataset(rows).lengths()
    assert lengths == [max(len(row[m]) for m in SIZES) for row in rows]
    sampler = trainer._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler) and sampler.batch_size == 2
    orders = [list(sampler) for _ in range(2)]
    assert orders[0] != orders[1] and sorted(orders[0]) == list(range(len(rows)))
    apart = [np.mean(np.abs(np.diff([[lengths[i] for i in pair] for pair in np.reshape(o, (-1, 2))]))) for o in orders]
    assert max(apart) < 0.5 * np.mean(np.abs(np.subtract.outer(lengths, lengths)))
    evaluation = trainer.get_eval_dataloader()
    assert isinstance(evaluation.sampler, SequentialSampler)
    first = next(iter(evaluation))
    expected = AffectCollator(processor, TASKS, FIELDS)(make_rows("validation")[: len(first["audio"])])
    assert torch.equal(first["audio"], expected["audio"])


def test_lengths_are_of_the_kept_modalities():
    rows = make_rows("train")
    assert RowDataset(rows, ("text",)).lengths() == [len(row["text"]) for row in rows]
    assert set(RowDataset(rows, ("text",))[0]) & set(SIZES) == {"text"}


def test_augmentation_changes_training_batches_only(tmp_path, processor):
    def hide(modality, values, mask):
        return values * 0, mask

    trainer = make_trainer(tmp_path, processor, augment=hide)
    assert not next(iter(trainer.get_train_dataloader()))["audio"].any()
    assert next(iter(trainer.get_eval_dataloader()))["audio"].any()
    assert next(iter(trainer.get_train_dataloader()))["audio"].any() == torch.tensor(False)


def test_gradient_accumulation_keeps_the_scale_of_loss_and_gradient(tmp_path, processor):
    rows = [row | {"labels": {"sentiment": 1.0, "sarcasm": 1, "emotion": [0.0, 1.0]}} for row in make_rows("train")]
    seen = {}

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            seen[args.gradient_accumulation_steps] = [p.grad.clone() for p in model.parameters() if p.grad is not None]

    losses = []
    for batch, steps in ((32, 1), (8, 4)):
        model = make_model(hidden_dropout_prob=0.0)
        trainer = make_trainer(
            tmp_path, processor, rows, model, callbacks=[Gradients()], max_grad_norm=0.0,
            per_device_train_batch_size=batch, gradient_accumulation_steps=steps,
        )  # fmt: skip
        trainer.train()
        losses.append(next(entry for entry in trainer.state.log_history if "loss" in entry))
    for name in ("loss", "loss_emotion", "loss_sarcasm", "loss_sentiment"):
        assert losses[0][name] == pytest.approx(losses[1][name], abs=2e-4)
    assert len(seen[1]) == len(seen[4]) > 5
    for whole, summed in zip(seen[1], seen[4], strict=True):
        torch.testing.assert_close(whole, summed, atol=1e-5, rtol=1e-3)


def test_trainer_evaluates_as_evaluate_subsets_does(tmp_path, processor):
    trainer = make_trainer(tmp_path, processor)
    found = trainer.evaluate()
    subsets = evaluate_subsets(trainer.model, processor, make_rows("validation"), FIELDS, batch_size=5)
    for name, value in subsets["text+audio+visual"].items():
        assert found[f"eval_{name}"] == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_all_seven_subsets_are_measured(processor):
    assert ["+".join(subset) for subset in list_modality_subsets(SIZES)] == [
        "text+audio+visual", "text+audio", "text+visual", "audio+visual", "text", "audio", "visual",
    ]  # fmt: skip
    assert list_modality_subsets(("text", "visual")) == [("text", "visual"), ("text",), ("visual",)]
    model, rows = make_model().eval(), make_rows("test")
    scores = evaluate_subsets(model, processor, rows, FIELDS)
    assert len(scores) == 7 and len({values["sentiment.mae"] for values in scores.values()}) == 7
    gone = [row | {"audio": None, "visual": None} for row in rows]
    alone = compute_metrics(TASKS, predict(model, AffectCollator(processor, TASKS, FIELDS), gone))
    assert scores["text"] == pytest.approx(alone, nan_ok=True)


def test_thresholds_are_tuned_on_what_is_given():
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], float)
    logits = np.array([[-1.5, 3], [-1.6, 3], [-3, 3.5], [-3, 3.6]])  # both labels need another threshold than 0.5
    prediction = type("P", (), {"predictions": {"emotion": logits}, "label_ids": {"emotion": labels}})
    tuned = tune_task_thresholds(TASKS, prediction, "f1_binary")
    assert tuned[:2] == TASKS[:2]
    assert compute_metrics([tuned[2]], prediction)["emotion.f1_binary.happy"] == 1.0
    assert compute_metrics([TASKS[2]], prediction)["emotion.f1_binary.happy"] == 0.0


def test_fine_tuning_goes_on_from_a_saved_run(tmp_path):
    processor = AutoProcessor.from_pretrained(tiny_run())
    model = AutoModel.from_pretrained(tiny_run())
    collator = AffectCollator(processor, model.config.tasks, FIELDS)
    rows = make_rows("train")
    with torch.no_grad():
        before = model.eval()(**collator(rows)).loss.item()
    trainer = make_trainer(tmp_path, processor, rows, model, num_train_epochs=8)
    trainer.train()
    trainer.save_model(tmp_path / "tuned")
    loaded = AutoModel.from_pretrained(tmp_path / "tuned").eval()
    with torch.no_grad():
        answers = [m.eval()(**collator(rows)) for m in (trainer.model, loaded)]
    assert answers[0].loss.item() < before
    assert all(torch.equal(answers[0].logits[name], answers[1].logits[name]) for name in answers[0].logits)
    AutoProcessor.from_pretrained(tmp_path / "tuned")(rows)


def test_saved_run_is_the_seed_that_validation_preferred():
    results = json.loads((tiny_run() / "results.json").read_text())
    best = max(results["seeds"], key=lambda seed: -results["seeds"][seed]["validation"]["sentiment.mae"])
    saved = AutoModel.from_pretrained(tiny_run()).state_dict()
    of_seed = AutoModel.from_pretrained(tiny_run() / "seeds" / f"seed-{best}").state_dict()
    assert all(torch.equal(saved[name], of_seed[name]) for name in saved)


# augmentation -----------------------------------------------------------------------------------------------------


def draw(augmentation, steps=40, seed=0):
    torch.manual_seed(seed)
    return FeatureAugmentation(augmentation)("audio", np.ones((steps, 6), np.float32), np.ones(steps, bool))


def test_augmentation_is_repeated_by_the_seed_of_torch():
    augmentation = Augmentation(noise=0.5, time_mask=0.3, feature_mask=0.5, gain=0.2)
    one, again, other = draw(augmentation), draw(augmentation), draw(augmentation, seed=1)
    np.testing.assert_array_equal(one[0], again[0])
    assert (one[0] != other[0]).any()


def test_augmentation_hides_at_most_its_shares():
    for seed in range(20):
        values, mask = draw(Augmentation(time_mask=0.3), seed=seed)
        hidden = np.flatnonzero(~values.any(1))
        assert len(hidden) <= 12 and (np.diff(hidden) == 1).all() and mask.all()
        values, _ = draw(Augmentation(feature_mask=0.5), seed=seed)
        assert (values == values[0]).all() and (values[0] == 0).sum() <= 3


def test_modality_dropout_hides_whole_modalities_at_its_rate():
    lost = [not draw(Augmentation(modality_dropout=0.25), seed=seed)[1].any() for seed in range(400)]
    assert 0.18 < np.mean(lost) < 0.32


def test_augmentation_of_some_modalities_leaves_the_others():
    values, mask = draw(Augmentation(noise=1.0, modality_dropout=1.0, modalities=["text"]))
    assert (values == 1).all() and mask.all()


def test_augmentation_copies_what_it_changes():
    values = np.ones((9, 2), np.float32)
    values.flags.writeable = False
    options = Augmentation(noise=1.0, time_mask=1.0, modality_dropout=1.0)
    FeatureAugmentation(options)("audio", values, np.ones(9, bool))


@pytest.mark.parametrize("field", [{"noise": -1}, {"time_mask": 1.5}, {"modality_dropout": -0.1}])
def test_augmentation_out_of_range_is_refused(field):
    with pytest.raises(ValueError, match=f"`{next(iter(field))}` is"):
        Augmentation(**field)


def test_metrics_of_a_task_without_labels_are_left_out():
    prediction = type(
        "P", (), {"predictions": {"sentiment": np.zeros((3, 1))}, "label_ids": {"sentiment": np.ones(3)}}
    )
    found = compute_metrics(TASKS, prediction)
    field = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3, 3]}
    assert {n.removeprefix("sentiment.") for n in found} == set(compute_task_metrics(field, np.ones(3), np.zeros(3)))
