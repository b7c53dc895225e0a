# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Error rates of speech and of persons: known values, and slow re-implementations."""

import functools

import numpy as np
import pytest

from mm_affect.evaluation.speech_metrics import (
    character_error_rate,
    edit_distance,
    equal_error_rate,
    error_rate,
    make_verification_pairs,
    word_error_rate,
)


@pytest.mark.parametrize(
    ("truth", "prediction", "distance"),
    [
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
        ("saturday", "sunday", 3),
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("flaw", "lawn", 2),
    ],
)
def test_edit_distances_that_are_known(truth, prediction, distance):
    assert edit_distance(truth, prediction) == distance == edit_distance(prediction, truth)


def test_edit_distance_equals_its_definition():
    rng = np.random.default_rng(0)

    def by_recursion(a, b):
        @functools.cache
        def d(i, j):
            return (
                max(i, j)
                if min(i, j) == 0
                else min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))
            )

        return d(len(a), len(b))

    for _ in range(60):
        a, b = ("".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(2))
        assert edit_distance(a, b) == by_recursion(a, b)


def test_rates_count_all_units_together():
    truths, predictions = ["the cat sat", "yes"], ["the hat sat down", "yes"]
    assert word_error_rate(truths, predictions) == 2 / 4
    assert character_error_rate(truths, predictions) == 6 / 14
    assert word_error_rate(["a"], ["b c d"]) == 3.0


def test_rates_refuse_what_has_no_answer():
    with pytest.raises(ValueError, match="2 truths and 1 predictions"):
        error_rate(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="All reference transcripts are empty"):
        error_rate([""], ["a"])


def test_equal_error_rates_that_are_known():
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    assert equal_error_rate(same, [8, 7, 6, 5, 4, 3, 2, 1]) == 0.0
    assert equal_error_rate(same, [8, 7, 6, 3, 5, 2, 1, 0]) == 0.25
    assert equal_error_rate(same, [1, 2, 3, 4, 5, 6, 7, 8]) == 1.0
    assert equal_error_rate(same, np.ones(8)) == 0.5


def test_equal_error_rate_equals_a_search_over_thresholds():
    rng = np.random.default_rng(1)
    for _ in range(20):
        same = np.arange(400) < 200  # as many of both kinds, so that the rates meet exactly
        scores = rng.normal(size=400) + 1.2 * same
        rates = [((scores[~same] >= t).mean(), (scores[same] < t).mean()) for t in scores]
        accepted, rejected = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
        assert accepted == rejected
        assert equal_error_rate(same, scores) == pytest.approx(accepted, abs=1e-12)


@pytest.mark.parametrize(
    ("same", "scores", "message"),
    [([1, 1], [0.1, 0.2], "one kind is missing"), ([1, 0], [0.1], "shape"), ([1, 0], [0.1, np.nan], "not finite")],
)
def test_equal_error_rate_refuses(same, scores, message):
    with pytest.raises(ValueError, match=message):
        equal_error_rate(np.array(same), np.array(scores))


def test_pairs_are_all_pairs_and_their_cosines():
    same, cosines = make_verification_pairs(["a", "b", "a"], [[2.0, 0.0], [0.0, 0.0], [3.0, 3.0]])
    assert same.tolist() == [False, True, False]
    assert cosines == pytest.approx([0.0, 0.5**0.5, 0.0])
