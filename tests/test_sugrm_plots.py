# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of SUGRM: what their numbers are, and what cannot be drawn."""

import csv
from pathlib import Path

import numpy as np
import pytest
import test_sugrm_training as sugrm
import torch
from transformers import AutoModel, AutoProcessor

from mm_affect.evaluation.plots import FigureInputs
from mm_affect.experiments.figures.registry import draw_figures, find_figures
from mm_affect.experiments.figures.sugrm import collect_samples, compute_mean_changes, plot_labels, plot_samples
from mm_affect.training.generated_labels import LabelHistory, read_labels


MODALITIES = ("text", "audio", "visual")
VIEWS = {f"sentiment_{m}": m for m in MODALITIES}


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """The folder of a seed as a run leaves it: checkpoint and generated labels of three epochs."""
    folder = tmp_path_factory.mktemp("seed")
    trainer = sugrm.make_trainer(folder / "training")
    trainer.train()
    trainer.save_model(folder)
    trainer.unimodal_labels.save(folder)
    return folder


def subject_of(folder, rows=None):
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    return FigureInputs(
        Path(folder), model, processor, rows or sugrm.make_rows("train"), "tiny (SYNTHETIC)\ntrain, 32 clips"
    )


def read(path):
    with open(path.with_suffix(".csv"), newline="") as file:
        return list(csv.DictReader(file))


def test_both_figures_are_drawn_with_their_numbers(seed, tmp_path):
    drawn, left_out = draw_figures(find_figures(subject_of(seed)), tmp_path)
    assert [path.name for path in drawn] == ["unimodal_labels_sentiment.png", "unimodal_samples_sentiment.png"]
    assert not left_out and all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)
    (history,) = read_labels(seed)
    for line in read(drawn[0]):
        labels, epoch = history.generated[line["task"]], int(line["epoch"])
        own = labels[epoch - 1] if epoch else history.labels
        shares = [float(value) for name, value in line.items() if name.startswith("share")]
        assert int(line["samples"]) == np.isfinite(own).sum() and sum(shares) == pytest.approx(1)
        if epoch > 1:
            expected = np.nanmean(np.abs(labels[epoch - 1] - labels[epoch - 2]))
            assert float(line["mean absolute change"]) == pytest.approx(expected) and expected > 0
        else:
            assert float(line["mean absolute change"] or 0) == 0, "all start from the origin's own"
    assert len(read(drawn[0])) == 3 * 4


def test_single_samples_have_label_generated_labels_and_predictions(seed, tmp_path):
    subject, (history,) = subject_of(seed), read_labels(seed)
    drawn, _ = draw_figures(find_figures(subject), tmp_path)
    with torch.no_grad():
        logits = subject.model(**subject.processor(subject.rows)).logits
    for i, (line, row) in enumerate(zip(read(drawn[1]), subject.rows, strict=True)):
        label = row["labels"]["sentiment"]
        assert line["id"] == row["id"] and (line["label"] == "") == (label is None)
        assert label is None or float(line["label"]) == pytest.approx(label)
        assert float(line["prediction"]) == pytest.approx(logits["sentiment"][i, 0].item(), abs=1e-5)
        for task, m in VIEWS.items():
            generated = history.generated[task][-1, i]
            assert (line[f"{m} generated"] == "") == np.isnan(generated) == (label is None or not len(row[m]))
            assert np.isnan(generated) or float(line[f"{m} generated"]) == pytest.approx(generated)
            assert float(line[f"{m} prediction"]) == pytest.approx(logits[task][i, 0].item(), abs=1e-5)


def test_rows_that_were_not_trained_on_have_predictions_alone(seed):
    subject = subject_of(seed, sugrm.make_rows("test"))
    tasks = [task for task in subject.model.config.tasks if task.generated_from]
    for sample in collect_samples(subject, "sentiment", tasks):
        assert all(np.isnan(value) for value in sample.generated.values()) and len(sample.predicted) == 4


def test_changes_are_over_samples_with_both_labels():
    labels = np.array([[0.0, 1.0, np.nan], [2.0, np.nan, 1.0], [1.0, 3.0, 1.5]])
    assert compute_mean_changes(labels) == [2.0, 0.75]
    assert compute_mean_changes(np.full((2, 2), np.nan)) == [None]


def test_a_transcript_is_never_a_formula(tmp_path, seed):
    subject = subject_of(seed)
    sample = collect_samples(subject, "sentiment", [subject.model.config.tasks[1]])[0]
    odd = sample._replace(transcript=r"it costs $5 and \frac{ a_^ $", label=1.0)
    assert plot_samples([odd], "sentiment", tmp_path / "a.png").exists()


def test_what_cannot_be_drawn_is_said(seed, tmp_path):
    subject = subject_of(seed)
    with pytest.raises(ValueError, match="are of one checkpoint; leave out the one to compare with"):
        find_figures(subject, subject)
    alone = subject._replace(model=sugrm.make_model(unimodal=[]))
    with pytest.raises(ValueError, match="has no unimodal tasks"):
        find_figures(alone)
    drawn, ((error, names),) = draw_figures(find_figures(subject._replace(folder=tmp_path)), tmp_path / "figures")
    assert not drawn and len(names) == 2 and "There are no generated labels" in str(error)
    unlabeled = [row | {"labels": {}} for row in subject.rows]
    drawn, ((error, names),) = draw_figures(find_figures(subject._replace(rows=unlabeled)), tmp_path / "figures")
    assert names == ["unimodal_samples_sentiment"] and "No row has a label" in str(error)
    empty = LabelHistory("sentiment", ["a"], np.ones(1), {name: np.zeros((0, 1)) for name in VIEWS})
    with pytest.raises(ValueError, match="No epoch of the training was finished"):
        plot_labels(empty, VIEWS, tmp_path / "b.png")
