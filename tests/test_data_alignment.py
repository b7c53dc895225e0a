# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Word alignment: what a loop over every word and every frame gives, for intervals of every kind."""

import numpy as np
import pytest

from mm_affect.data import alignment
from mm_affect.data.alignment import EPSILON, REDUCERS, align, inside


def shares_time(one, other) -> bool:
    return min(one[1], other[1]) - max(one[0], other[0]) > EPSILON


def by_loop(features, intervals, words, reducer):
    """The definition, word by word and frame by frame."""
    order = sorted(range(len(intervals)), key=lambda i: intervals[i][0])
    rows = []
    for word in words:
        found = [features[i] for i in order if shares_time(intervals[i], word) and not np.isnan(features[i]).all()]
        reduce = {
            "mean": lambda f: np.mean(np.float64(f), axis=0),
            "max": lambda f: np.max(f, axis=0),
            "first": lambda f: f[0],
            "last": lambda f: f[-1],
        }[reducer]
        rows.append(reduce(found) if found else np.full(features.shape[1], np.nan))
    return np.array(rows, dtype=np.float32).reshape(len(words), features.shape[1])


def regular(rng, n):
    return np.stack([np.arange(n) * 0.01, (np.arange(n) + 1) * 0.01], axis=1)


def overlapping(rng, n):
    return np.stack([np.arange(n) * 0.01, np.arange(n) * 0.01 + 0.025], axis=1)


def unsorted(rng, n):
    return rng.permutation(regular(rng, n))


def nested(rng, n):
    starts = rng.uniform(0, 2, n)
    return np.stack([starts, starts + rng.exponential(0.3, n)], axis=1)


def of_every_kind(rng, n):
    """Zero-length, reversed, repeated, and one that spans all."""
    intervals = np.round(nested(rng, n), 1)
    intervals[rng.random(n) < 0.2, 1] -= 0.3
    intervals[: n // 20] = [-100.0, 100.0]
    return rng.permutation(intervals)


def empty(rng, n):
    return np.zeros((0, 2))


KINDS = (regular, overlapping, unsorted, nested, of_every_kind, empty)


@pytest.mark.parametrize("block", [7, alignment.BLOCK])
@pytest.mark.parametrize("words_kind", KINDS)
@pytest.mark.parametrize("frames_kind", KINDS)
def test_equals_the_definition(monkeypatch, frames_kind, words_kind, block):
    monkeypatch.setattr(alignment, "BLOCK", block)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        intervals, words = frames_kind(rng, 60), words_kind(rng, 25) * 3
        features = rng.normal(size=(len(intervals), 3)).astype(np.float32)
        features[rng.random(len(features)) < 0.2] = np.nan  # not measured
        for reducer in REDUCERS:
            found = align(features, intervals, words, reducer)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, by_loop(features, intervals, words, reducer), rtol=1e-6, atol=1e-6)
        for segment, indices in zip(words, inside(words, intervals), strict=True):
            expected = {i for i in range(len(intervals)) if shares_time(intervals[i], segment)}
            assert set(indices.tolist()) == expected and len(indices) == len(expected)
            assert (np.diff(intervals[indices, 0]) >= 0).all()


def test_touching_intervals_do_not_overlap_and_gaps_are_not_measured():
    features = np.array([[1.0], [2.0], [4.0]], dtype=np.float32)
    intervals = [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    words = [[1.0, 2.0], [0.5, 2.5], [3.0, 4.0], [1.5, 1.5], [1.999995, 2.5], [1.9, 2.000005]]
    found = align(features, intervals, words)
    np.testing.assert_array_equal(found[:, 0], np.float32([2.0, 7 / 3, np.nan, np.nan, 4.0, 2.0]))
    assert [part.tolist() for part in inside(words, intervals)] == [[1], [0, 1, 2], [], [], [2], [1]]


def test_the_order_of_words_and_frames_changes_nothing():
    rng = np.random.default_rng(1)
    features, intervals, words = rng.normal(size=(300, 4)), overlapping(rng, 300), nested(rng, 40)
    frames, order = rng.permutation(300), rng.permutation(40)
    for reducer in REDUCERS:
        straight = align(features, intervals, words, reducer)
        mixed = align(features[frames], intervals[frames], words[order], reducer)
        np.testing.assert_allclose(mixed, straight[order], rtol=1e-6)


def test_stray_values_pass_and_unmeasured_frames_do_not():
    features = np.array([[np.nan, 1.0], [np.nan, np.nan], [3.0, -np.inf]], dtype=np.float32)
    intervals = np.array([[0, 1], [1, 2], [2, 3]])
    found = align(features, intervals, np.array([[0, 2], [1, 2], [1, 3]]))
    np.testing.assert_array_equal(found, np.float32([[np.nan, 1.0], [np.nan, np.nan], [3.0, -np.inf]]))


def test_half_precision_and_integers_are_averaged_exactly():
    features = np.full((4000, 1), 1000.5, dtype=np.float16)
    assert align(features, regular(None, 4000), [[0, 40]])[0, 0] == 1000.5
    assert align(np.arange(4)[:, None], regular(None, 4), [[0, 0.04]])[0, 0] == 1.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((2, 3)), [[0, 1]], [[0, 1]]), r"shape \(2, 3\) come with 1 intervals"),
        ((np.zeros(2), [[0, 1], [1, 2]], [[0, 1]]), "expected \\(steps, size\\)"),
        ((np.zeros((1, 3)), [[0, 1, 2]], [[0, 1]]), r"`intervals` has shape \(1, 3\)"),
        ((np.zeros((1, 3)), [[0, 1]], [0, 1]), r"`words` has shape \(2,\)"),
        ((np.zeros((2, 3)), [[0, 1], [1, np.nan]], [[0, 1]]), r"`intervals` holds \[1.0, nan\] in row 1"),
        ((np.zeros((1, 3)), [[0, 1]], [[0, np.inf]]), "`words` holds"),
        ((np.zeros((1, 3)), [[0, 1]], [[0, 1]], "median"), "'median' is unknown; expected one of mean, max"),
    ],
)
def test_bad_input_is_one_sentence(arguments, words):
    with pytest.raises(ValueError, match=words) as caught:
        align(*arguments)
    assert "\n" not in str(caught.value)
