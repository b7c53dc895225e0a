# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Generated labels: against the public code's numbers and slow descriptions sample by sample, their loss, and their file."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mm_affect.models.fusion import FusionConfig
from mm_affect.models.layers.task_heads import TaskHeads
from mm_affect.tasks import Task
from mm_affect.training.generated_labels import (
    FILE,
    Observation,
    UnimodalLabels,
    deduplicate,
    modality_presence,
    read_labels,
)
from mm_affect.training.label_generators import GroupMeans
from mm_affect.training.options import LabelGeneration
from mm_affect.vocabulary import MODALITIES


GOLDEN = Path(__file__).parent / "fixtures" / "golden_ulgm.safetensors"
SENTIMENT = Task("sentiment", "regression", value_range=(-3, 3))
TASKS = [SENTIMENT] + [
    Task(f"sentiment_{m}", "regression", view=m, generated_from="sentiment") for m in ("text", "audio", "visual")
]
SIZE = 5


def start(labels, options=None, tasks=TASKS):
    origins = {"sentiment": torch.tensor(labels, dtype=torch.float64)}
    return UnimodalLabels(tasks, [f"clip{i}" for i in range(len(labels))], origins, LabelGeneration(**options or {}))


def make_epochs(count, samples, batch=4, seed=0, missing=0.0, sizes=None):
    """Epochs of shuffled batches whose features drift; the last batch of an epoch is smaller."""
    rng = np.random.default_rng(seed)
    sizes = sizes or dict.fromkeys(("fusion", *MODALITIES), SIZE)
    has = rng.random((samples, 3)) >= missing
    epochs = []
    for _ in range(count):
        order, batches = rng.permutation(samples), []
        for rows in np.split(order, range(batch, samples, batch)):
            views = {view: torch.tensor(rng.normal(size=(len(rows), size)), dtype=torch.float32)
                     for view, size in sizes.items()}  # fmt: skip
            present = {m: torch.from_numpy(has[rows, i]) for i, m in enumerate(MODALITIES)}
            batches.append(Observation(torch.from_numpy(rows), views, present))
        epochs.append(batches)
    return epochs


def play(labels, epochs):
    """Every batch of every epoch; the labels after each epoch, per task `(epochs, samples)`."""
    for batches in epochs:
        for seen in batches:
            labels.update(seen)
        labels.finish_epoch()
    return {name: history.numpy() for name, history in labels.history.items()}


LABELS = [3.0, -3.0, 0.0, 1.2, -0.4, 2.0, 3.0, -1.0, 0.6, 0.0, -2.2, 1.0, -3.0]


# the numbers ------------------------------------------------------------------------------------------------------


def test_golden_of_the_public_code():
    tensors = load_file(GOLDEN)
    with safe_open(GOLDEN, "pt") as file:
        facts = json.loads(file.metadata()["config"])
    labels = start(tensors["inputs/labels"].tolist())
    names = {"fusion": "multimodal"} | {m: m for m in MODALITIES}
    for batch, rows in enumerate(tensors["inputs/sample_index"]):
        views = {view: tensors[f"inputs/features_{name}"][batch].float() for view, name in names.items()}
        labels.update(Observation(rows, views, {}))
        if (batch + 1) % facts["batches_per_epoch"] == 0:
            labels.finish_epoch()
    for m in MODALITIES:
        torch.testing.assert_close(
            labels.history[f"sentiment_{m}"].float(), tensors[f"outputs/labels_{m}"], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("generator", ["ulgm", "self_mm"])
def test_labels_count_from_the_middle_of_the_range(generator):
    """Ratings from 1 to 5 give what the same ratings give when they are counted from -2 to 2."""
    epochs = make_epochs(4, len(LABELS))
    centered = [label * 2 / 3 for label in LABELS]
    found = {}
    for middle in (0, 3):
        task = Task("sentiment", "regression", value_range=(middle - 2, middle + 2))
        labels = start([label + middle for label in centered], {"generator": generator}, [task, *TASKS[1:]])
        found[middle] = play(labels, epochs)
    for name, labels in found[0].items():
        np.testing.assert_allclose(found[3][name], labels + 3, atol=1e-9)
        assert np.abs(labels[-1] - centered).max() > 0.1


class Literal:
    """The description in words of one sample after the other, in Python's own numbers."""

    def __init__(self, labels, options):
        self.y, self.options = labels, options
        self.features = {}  # of samples seen: view -> sample -> feature
        self.labels = {m: {} for m in MODALITIES}

    @staticmethod
    def mean(features):
        return [sum(column) / len(features) for column in zip(*features)] if features else None

    @staticmethod
    def distance(one, other):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other)))

    def is_positive(self, y):
        return y >= 0 if self.options.positive_includes_zero else y > 0

    def where(self, view, holds, labels):
        return self.mean([f for i, f in self.features.get(view, {}).items() if holds(labels[i])])

    def shared_space(self, i, m, fused, own):
        known = [y for y in self.y if not math.isnan(y)]
        high, low = (self.where("fusion", lambda y, e=extreme: y == e, self.y) for extreme in (max(known), min(known)))
        up, down = (self.where("fusion", h, self.y) for h in (self.is_positive, lambda y: y < 0))
        farthest = self.distance(high, low)
        delta = (max(known) - min(known)) * min(self.distance(fused, own), farthest) / farthest
        ours, theirs = (self.distance(f, up) / self.distance(f, down) for f in (own, fused))
        return self.y[i] + (delta if ours < theirs else -delta if ours > theirs else 0.0)

    def own_spaces(self, i, m, fused, own):
        alphas = []
        for view, feature, labels in (("fusion", fused, self.y), (m, own, self.labels[m])):
            up = self.where(view, self.is_positive, labels)
            down = self.where(view, lambda y: y < 0, labels)
            if up is None or down is None:
                return None
            to_up, to_down = self.distance(feature, up), self.distance(feature, down)
            alphas.append((to_down - to_up) / to_up)
        return 0.5 * self.y[i] * alphas[1] / alphas[0] + 0.5 * (self.y[i] + alphas[1] - alphas[0])

    def step(self, seen, epoch):
        target = self.shared_space if self.options.generator == "ulgm" else self.own_spaces
        found = {}
        for place, i in enumerate(seen.rows.tolist()):
            for m in MODALITIES:
                if seen.present[m][place] and not math.isnan(self.y[i]):
                    y = self.labels[m].get(i, self.y[i])
                    if epoch > 1:
                        wanted = target(i, m, seen.views["fusion"][place].tolist(), seen.views[m][place].tolist())
                        if wanted is not None:
                            wanted = min(max(wanted, -3.0), 3.0) if self.options.clamp else wanted
                            y = (epoch - 1) / (epoch + 1) * y + 2 / (epoch + 1) * wanted
                    found[m, i] = y
        for (m, i), y in found.items():
            self.labels[m][i] = y
        for place, i in enumerate(seen.rows.tolist()):
            if not math.isnan(self.y[i]):
                self.features.setdefault("fusion", {})[i] = seen.views["fusion"][place].tolist()
                for m in MODALITIES:
                    if seen.present[m][place]:
                        self.features.setdefault(m, {})[i] = seen.views[m][place].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positive_includes_zero": True},
        {"clamp": False},
        {"generator": "self_mm"},
        {"generator": "self_mm", "positive_includes_zero": True},
    ],
    ids=str,
)
def test_labels_are_those_of_the_description(options):
    """Over five epochs of shuffled batches, with missing modalities and an unknown label."""
    y = [*LABELS, math.nan]
    labels, literal = start(y, options), Literal(y, LabelGeneration(**options))
    epochs = make_epochs(5, len(y), missing=0.2)
    for epoch, batches in enumerate(epochs, 1):
        for seen in batches:
            literal.step(seen, epoch)
    found = play(labels, epochs)
    moved = 0
    for m in MODALITIES:
        expected = [literal.labels[m].get(i, math.nan) for i in range(len(y))]
        np.testing.assert_allclose(found[f"sentiment_{m}"][-1], expected, atol=1e-6)
        moved += np.nanmean(np.abs(found[f"sentiment_{m}"][-1] - y)) > 0.1
        assert np.isnan(found[f"sentiment_{m}"][-1]).sum() > 1, "a missing modality has no label"
    assert moved == 3


def test_the_readings_of_the_paper_and_of_the_code_differ():
    epochs = make_epochs(4, len(LABELS))
    found = [play(start(LABELS, options), epochs)["sentiment_audio"][-1] for options in (
        {}, {"positive_includes_zero": True}, {"clamp": False}, {"generator": "self_mm"})]  # fmt: skip
    assert all((one != other).any() for i, one in enumerate(found) for other in found[:i])
    assert np.abs(found[0]).max() <= 3 < np.abs(found[2]).max()


def test_the_first_epoch_ends_with_the_labels_it_began_with():
    epochs = make_epochs(2, len(LABELS))
    history = play(start(LABELS), epochs)["sentiment_text"]
    assert (history[0] == LABELS).all() and (history[1] != history[0]).any()


def test_labels_settle_as_the_epochs_go_by():
    """With features that stay, what is still to come shrinks like 2 / (e + 1) of a shrinking distance."""
    (batches,) = make_epochs(1, len(LABELS))
    history = play(start(LABELS), [batches] * 12)["sentiment_audio"]
    changes = np.abs(np.diff(history, axis=0)).mean(1)
    assert changes[1] > 10 * changes[-1] > 0


def test_a_feature_that_is_the_fused_one_keeps_the_label():
    epochs = make_epochs(4, len(LABELS))
    for seen in [seen for batches in epochs for seen in batches]:
        seen.views["text"][:] = seen.views["fusion"]
    history = play(start(LABELS), epochs)
    np.testing.assert_allclose(history["sentiment_text"][-1], LABELS, atol=1e-6)
    assert (history["sentiment_audio"][-1] != LABELS).any()


def test_one_pass_per_epoch_depends_on_nothing_before_it():
    """All samples at once, kept first: the means are those of this pass, whatever order the samples come in."""
    found = []
    for seed in (1, 2):
        labels = start(LABELS, {"update": "epoch"})
        for i in range(3):
            (first,), (last,) = (make_epochs(1, len(LABELS), batch=99, seed=s)[0] for s in (seed, 7))
            labels.update_all(first if i < 1 else last)
            labels.finish_epoch()
        found.append(labels.history["sentiment_text"][1:])
    assert torch.equal(*found)


def test_two_origins_keep_apart():
    arousal = [
        Task("arousal", "regression"),
        Task("arousal_text", "regression", view="text", generated_from="arousal"),
    ]
    other = [-y / 2 + 0.1 for y in LABELS]
    origins = {name: torch.tensor(y, dtype=torch.float64) for name, y in (("sentiment", LABELS), ("arousal", other))}
    both = UnimodalLabels(TASKS + arousal, [str(i) for i in range(len(LABELS))], origins, LabelGeneration())
    alone = start(LABELS)
    epochs = make_epochs(3, len(LABELS))
    history, expected = play(both, epochs), play(alone, epochs)
    assert all((history[name] == expected[name]).all() for name in expected)
    assert np.abs(history["arousal_text"]).max() <= max(map(abs, other)) + 1e-6, "its own bounds"


# what cannot work -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "sign"),
    [([1.0] * 4, "negative"), ([0.0] * 3, "positive"), ([math.nan] * 3, "positive"), ([-1, -2, 0], "positive")],
)
def test_labels_without_two_signs_are_refused(labels, sign):
    with pytest.raises(ValueError, match=f"No training row has a {sign} label of 'sentiment'") as caught:
        start(labels)
    assert "\n" not in str(caught.value)


def test_without_the_ends_of_the_scale_the_outermost_labels_stand_for_them():
    """D^L is their distance: here 1.5 - (-0.5) = 2 labels for a feature as far as they are apart."""
    labels = start([1.5, -0.5, 0.5, 1.0], {"clamp": False})
    fused = torch.tensor([[2.0, 0], [-2, 0], [1, 0], [1, 0]])
    views = {"fusion": fused, "text": fused + torch.tensor([[0, 0], [0, 0], [-4, 0], [-1, 0]])} | dict.fromkeys(
        ("audio", "visual"), fused
    )
    for _ in range(2):
        labels.update(Observation(torch.arange(4), views, {}))
        labels.finish_epoch()
    moved = labels.history["sentiment_text"][1]  # a third of the own label and two thirds of the target
    expected = [1.5, -0.5, 0.5 / 3 + 2 / 3 * (0.5 - 2), 1.0 / 3 + 2 / 3 * (1.0 - 0.5)]
    torch.testing.assert_close(moved, torch.tensor(expected, dtype=torch.float64), atol=1e-7, rtol=0)


def test_features_that_are_all_the_same_move_nothing():
    labels = start(LABELS)
    same = dict.fromkeys(("fusion", *MODALITIES), torch.ones(len(LABELS), 3))
    for _ in range(3):
        labels.update(Observation(torch.arange(len(LABELS)), same, {}))
        labels.finish_epoch()
    torch.testing.assert_close(
        labels.history["sentiment_text"], torch.tensor(LABELS).double().expand(3, -1), atol=1e-6, rtol=0
    )


def test_features_of_two_sizes_are_refused_where_they_are_compared():
    sizes = {"fusion": 6, "text": 4, "audio": 4, "visual": 4}
    ((batch, *_),) = make_epochs(1, len(LABELS), sizes=sizes)
    with pytest.raises(ValueError, match="features of 'sentiment_text' have the size 4, those of 'sentiment' 6"):
        start(LABELS).update(batch)
    play(start(LABELS, {"generator": "self_mm"}), make_epochs(3, len(LABELS), sizes=sizes))


def test_a_modality_that_comes_and_goes_keeps_its_label_meanwhile():
    epochs = make_epochs(4, len(LABELS), batch=99)
    for seen in (epochs[0][0], epochs[2][0]):
        seen.present["audio"][:] = False
    labels = start(LABELS)
    history = play(labels, epochs)["sentiment_audio"]
    assert np.isnan(history[0]).all(), "not seen yet"
    assert (history[1] != LABELS).any() and (history[2] == history[1]).all()
    rows, here = torch.tensor([3, 1]), {m: torch.tensor([True, False]) for m in MODALITIES}
    assert labels.get(rows, here)["sentiment_audio"].isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"generator": "mine"}, "`generator` is 'mine'; expected one of ulgm, self_mm"),
        ({"update": "step"}, "`update` is 'step'; expected one of batch, epoch"),
        ({"generator": "self_mm", "clamp": False}, "grow without bound unless they are clamped"),
    ],
)
def test_wrong_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        LabelGeneration(**options)


def test_ids_that_occur_twice_are_refused():
    with pytest.raises(ValueError, match="have the id 'b' twice"):
        UnimodalLabels(TASKS, ["a", "b", "b"], {"sentiment": torch.tensor([1.0, -1, 1]).double()}, LabelGeneration())


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ({"generated_from": "mood"}, "`generated_from` 'mood'; expected a regression task with labels of its own: sentiment"),
        ({"generated_from": "emotion"}, "`generated_from` 'emotion'; expected a regression task"),
        ({"generated_from": "unimodal"}, "`generated_from` 'unimodal'; expected a regression task with labels of its own"),
        ({"problem_type": "multi_label_classification", "labels": ["a"], "generated_from": "sentiment"},
         "'unimodal' .* has `generated_from`; only labels of a regression"),
    ],
)  # fmt: skip
def test_origins_that_cannot_be_are_refused(task, sentence):
    tasks = [{"name": "sentiment", "problem_type": "regression"}, {"name": "emotion", "labels": ["happy"]}]
    with pytest.raises((ValueError, StrictDataclassError), match=sentence):
        FusionConfig(tasks=[*tasks, {"name": "unimodal", "problem_type": "regression"} | task])


# means, merging ---------------------------------------------------------------------------------------------------


def test_means_are_of_what_was_put_last():
    means = GroupMeans(2, 4)
    means.put(
        torch.tensor([2, 0]), torch.tensor([[1.0, 2], [3, 4]]).double(), torch.tensor([[True, True], [False, False]])
    )
    assert means.means()[0].tolist() == [2, 3] and means.means()[1].isnan().all()
    means.put(torch.tensor([2]), torch.tensor([[5.0, 6]]).double(), torch.tensor([[False], [True]]))
    assert means.means().tolist() == [[3, 4], [5, 6]]


def test_samples_that_several_processes_saw_count_once():
    rows = torch.tensor([4, 1, -1, 4, 0])
    views = {"fusion": torch.arange(5.0).unsqueeze(1)}
    seen = deduplicate(Observation(rows, views, {"text": rows >= 0}))
    assert seen.rows.tolist() == [0, 1, 4] and seen.views["fusion"].flatten().tolist() == [4, 1, 0]
    assert seen.present["text"].all()


def test_who_has_a_modality():
    like = torch.tensor([0, 1])
    mask = torch.tensor([[True, False], [False, False]])
    inputs = {"input_ids": torch.ones(2, 2), "attention_mask": mask.long(), "audio": torch.zeros(2, 3, 1)}
    found = {m: here.tolist() for m, here in modality_presence(inputs, like).items()}
    assert found == {"text": [True, False], "audio": [True, True], "visual": [False, False]}
    assert modality_presence({"text": torch.zeros(2, 2, 4), "text_mask": mask}, like)["text"].tolist() == [True, False]


# the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "error"), [("l1", abs), ("l2", lambda d: d * d),
                                             ("huber", lambda d: d * d / 2 if abs(d) < 1 else abs(d) - 0.5)])  # fmt: skip
def test_samples_count_by_how_much_their_modality_disagrees(kind, error):
    tasks = [SENTIMENT, Task("own", "regression", view="text", generated_from="sentiment", regression_loss=kind)]
    heads = TaskHeads(tasks, lambda task: torch.nn.Linear(2, 1))
    y, own, answers = [1.0, -2, math.nan, 0.5, 3], [2.5, -2, 1, math.nan, 2.8], [0.3, 1.0, 2.0, 0.1, -0.4]
    logits = {"sentiment": torch.zeros(5, 1), "own": torch.tensor(answers).unsqueeze(1).requires_grad_()}
    labels = {"sentiment": torch.tensor(y), "own": torch.tensor(own)}
    loss = heads.losses(logits, labels)["own"]
    expected = [math.tanh(abs(b - a)) * error(c - b) for a, b, c in zip(y, own, answers) if a == a and b == b]
    assert loss.item() == pytest.approx(sum(expected) / 3, abs=1e-6)
    loss.backward()
    assert [g != 0 for g in logits["own"].grad.flatten().tolist()] == [True, False, False, False, True]
    alone = heads.losses(logits, {"own": torch.tensor([1.0, 1, 1, 1, 1])})["own"]  # a corpus with labels of its own
    assert alone.item() == pytest.approx(np.mean([error(c - 1) for c in answers]), abs=1e-6)


# the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", ["ulgm", "self_mm"])
def test_saved_labels_go_on_as_if_never_stopped(tmp_path, generator):
    epochs = make_epochs(4, len(LABELS), missing=0.2)
    whole = play(start(LABELS, {"generator": generator}), epochs)
    half = start(LABELS, {"generator": generator})
    play(half, epochs[:2])
    half.update(epochs[2][0])
    half.save(tmp_path)
    resumed = start(LABELS, {"generator": generator})
    resumed.load(tmp_path)
    assert resumed.epoch == 3
    again = play(resumed, [epochs[2][1:], epochs[3]])
    assert all(np.array_equal(again[name], whole[name], equal_nan=True) for name in whole)
    assert [path.name for path in tmp_path.iterdir()] == [FILE], "nothing but the whole file"


def test_what_was_saved_is_read_again(tmp_path):
    labels = start(LABELS)
    history = play(labels, make_epochs(3, len(LABELS)))
    labels.save(tmp_path)
    (found,) = read_labels(tmp_path)
    assert found.origin == "sentiment" and found.ids == [f"clip{i}" for i in range(len(LABELS))]
    assert found.labels.tolist() == LABELS
    assert set(found.generated) == {f"sentiment_{m}" for m in MODALITIES}
    assert all((found.generated[name] == history[name]).all() for name in history)


def test_files_that_are_not_of_this_run_are_refused(tmp_path):
    labels = start(LABELS)
    with pytest.raises(FileNotFoundError, match="There are no generated labels"):
        labels.load(tmp_path)
    labels.save(tmp_path)
    with pytest.raises(ValueError, match="belongs to other training rows, other tasks or"):
        start(LABELS[:-1]).load(tmp_path)
    with pytest.raises(ValueError, match="belongs to other training rows, other tasks or"):
        start(LABELS, tasks=TASKS[:2]).load(tmp_path)
    with pytest.raises(ValueError, match="belongs to other training rows, other tasks or another generator"):
        start(LABELS, {"generator": "self_mm"}).load(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:200])
    with pytest.raises(ValueError, match="is damaged .*train the run again"):
        read_labels(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(ValueError, match="is not a file of generated labels"):
        read_labels(tmp_path)
