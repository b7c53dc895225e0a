# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Label fields, their inference from manifest columns, and splits by group."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mm_affect.data import (
    LabelField,
    check_label,
    check_label_fields,
    features,
    k_folds_by_group,
    split_by_group,
)
from mm_affect.data.schema import infer_label_field, parse_label


SENTIMENT = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]}
SARCASM = {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"], "range": None}
EMOTION = {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"], "range": None}


@pytest.mark.parametrize("field", [SENTIMENT, SARCASM, EMOTION])
def test_checking_a_field_keeps_it(field):
    assert LabelField.from_dict(field).to_dict() == field
    assert [checked.to_dict() for checked in check_label_fields([field])] == [field]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "needs a `name`"),
        ({"problem_type": "ranking"}, "problem_type 'ranking'"),
        ({"labels": []}, "needs `labels`"),
        ({"labels": ["no", "no"]}, "twice"),
        ({"labels": ["no"]}, "two or more"),
        ({"range": [3, -3]}, "low must be less"),
        ({"range": [0]}, r"\[low, high\]"),
        ({"lables": []}, "unknown key `lables`"),
    ],
)
def test_a_wrong_field_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        LabelField.from_dict(SARCASM | change)


def test_a_field_declared_twice_is_named():
    with pytest.raises(ValueError, match="`sarcasm` is declared twice"):
        check_label_fields([SARCASM, SARCASM])


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (3.5, SENTIMENT),
        (float("nan"), SENTIMENT),
        ("1", SENTIMENT),
        (2, SARCASM),
        (-1, SARCASM),
        (0.0, SARCASM),
        (True, SARCASM),
        ([1.0], EMOTION),
        ([1.0, float("inf")], EMOTION),
        (1.0, EMOTION),
    ],
)
def test_a_wrong_label_is_one_sentence_with_its_place(value, field):
    with pytest.raises(ValueError, match=f"row 7: `{field['name']}`"):
        check_label(value, LabelField.from_dict(field), "row 7")


def test_right_labels_pass_and_unknown_stays_unknown():
    sentiment, sarcasm, emotion = fields = check_label_fields([SENTIMENT, SARCASM, EMOTION])
    assert check_label(np.float32(1.5), sentiment, "") == 1.5
    assert check_label(np.float32(0.1), replace(sentiment, range=(-0.1, 0.1)), "") == pytest.approx(0.1)
    assert check_label(np.int64(1), sarcasm, "") == 1
    assert check_label(np.array([0.0, 1.0]), emotion, "") == [0.0, 1.0]
    assert [check_label(None, field, "") for field in fields] == [None] * 3


@pytest.mark.parametrize(
    ("cells", "problem_type", "labels"),
    [
        (["1.5", "2", "", "-3"], "regression", ["x"]),
        ([1.5, None, 2], "regression", ["x"]),
        (["sad", "happy", "sad"], "single_label_classification", ["happy", "sad"]),
        (["10", "2", "0"], "single_label_classification", ["0", "2", "10"]),
        ([True, False, None], "single_label_classification", ["false", "true"]),
        ([1.0, 0.0, None], "single_label_classification", ["0", "1"]),
        (["sad|happy", "none", "sad", ""], "multi_label_classification", ["happy", "sad"]),
        ([["sad"], [], ["happy", "sad"]], "multi_label_classification", ["happy", "sad"]),
        ([{"sad": "0.5", "happy": "1"}], "multi_label_classification", ["sad", "happy"]),
    ],
)
def test_inference(cells, problem_type, labels):
    field = infer_label_field("x", cells)
    assert (field.problem_type, list(field.labels)) == (problem_type, labels)
    for cell in cells:
        parse_label(cell, field, "")  # what taught the field must fit it


@pytest.mark.parametrize(
    "cells", [["-3", "2"], [str(i) for i in range(12)], [f"text {i}" for i in range(12)], ["", None]]
)
def test_an_ambiguous_column_asks_for_a_declaration(cells):
    with pytest.raises(ValueError, match="corpus.json"):
        infer_label_field("x", cells)


def test_parsing_multi_label_cells():
    emotion = LabelField.from_dict(EMOTION)
    assert parse_label("sad", emotion, "") == [0.0, 1.0]
    assert parse_label("sad | happy", emotion, "") == [1.0, 1.0]
    assert parse_label("none", emotion, "") == [0.0, 0.0]
    assert parse_label([], emotion, "") == [0.0, 0.0]
    assert parse_label("", emotion, "") is None
    assert parse_label({"sad": "0.5", "happy": "2"}, emotion, "") == [2.0, 0.5]
    assert parse_label({"sad": "", "happy": None}, emotion, "") is None
    with pytest.raises(ValueError, match="`emotion.sad` has no value"):
        parse_label({"sad": "", "happy": "1"}, emotion, "line 2")
    with pytest.raises(ValueError, match="line 2: `emotion` is 'joy'; its classes are happy, sad"):
        parse_label("happy|joy", emotion, "line 2")


def test_every_column_exists():
    columns = features(check_label_fields([SENTIMENT, SARCASM, EMOTION]), {"audio": 5})
    expected = "id group transcript spans text audio visual audio_file video_file start end labels"
    assert list(columns) == expected.split()
    assert [columns[modality].feature.length for modality in ("text", "audio", "visual")] == [1, 5, 1]
    assert columns["labels"]["sarcasm"].names == ["no", "yes"]


GROUPS = [f"speaker{i % 23}" for i in range(400)] + ["big"] * 60


def test_no_group_is_in_two_splits_and_sizes_are_near():
    splits = split_by_group(GROUPS, (0.6, 0.2, 0.2), seed=3)
    assert len({(group, split) for group, split in zip(GROUPS, splits, strict=True)}) == len(set(GROUPS))
    counts = Counter(splits)
    for name, share in {"train": 0.6, "validation": 0.2, "test": 0.2}.items():
        assert counts[name] / len(GROUPS) == pytest.approx(share, abs=0.05)


def test_splits_depend_on_the_seed_alone():
    assert split_by_group(GROUPS, seed=1) == split_by_group(list(GROUPS), seed=1)
    assert split_by_group(GROUPS, seed=1) != split_by_group(GROUPS, seed=2)
    reversed_splits = split_by_group(GROUPS[::-1], seed=1)[::-1]
    assert reversed_splits == split_by_group(GROUPS, seed=1)  # the order of the rows does not matter


def test_every_split_gets_a_group():
    assert sorted(split_by_group(["a", "b", "c"])) == ["test", "train", "validation"]
    assert set(split_by_group(["a"] * 90 + ["b", "c", "d"])) == {"train", "validation", "test"}
    assert set(split_by_group(["a", "b"], (0.5, 0.0, 0.5))) == {"train", "test"}


def test_too_few_groups_and_wrong_fractions():
    with pytest.raises(ValueError, match="2 group"):
        split_by_group(["a", "b", "a"])
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_group(GROUPS, (0.7, 0.7, 0.1))
    with pytest.raises(ValueError, match="3 folds"):
        k_folds_by_group(["a", "b"], 3)


def test_folds_are_whole_groups_of_nearly_equal_size():
    groups = [f"actor{i // 60}" for i in range(24 * 60)]
    folds = k_folds_by_group(groups, 6)
    assert len(set(zip(groups, folds, strict=True))) == 24
    assert set(Counter(folds).values()) == {240}
