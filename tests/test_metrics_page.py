# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""docs/metrics.md, "what each number means": no metric is left out, and range and direction are those of the functions."""

import re
from pathlib import Path

import numpy as np
import pytest

from mm_affect.evaluation import metrics, speech_metrics


PAGE = (Path(__file__).resolve().parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
SPEECH = {
    "cer": speech_metrics.character_error_rate,
    "wer": speech_metrics.word_error_rate,
    "eer": speech_metrics.equal_error_rate,
}
FUNCTIONS = (
    metrics.REGRESSION | metrics.SENTIMENT | metrics.SINGLE_LABEL | metrics.PER_LABEL | metrics.ALL_LABELS | SPEECH
)
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \| (higher|lower) \| (.+) \|$", re.MULTILINE)
ROWS = {key: (lowest_to_highest, better) for key, _, lowest_to_highest, better, _ in ROW.findall(PAGE)}


def pairs_of(key):
    """Truth, the best prediction of it and the worst."""
    if key in ("cer", "wer"):
        return ["a b", "c"], ["a b", "c"], ["x y z w", "v"]
    if key in metrics.REGRESSION | metrics.SENTIMENT:
        truth = np.array([-3.0, -1.0, 1.0, 3.0])
        return truth, truth, -truth
    truth = np.array([0, 1, 1, 0, 0])
    if key in metrics.ALL_LABELS:
        truth = np.stack([truth, 1 - truth], axis=1)
    return truth, truth, 1 - truth


def test_every_metric_is_on_the_page_and_none_that_is_not_there():
    assert set(ROWS) == set(FUNCTIONS)


@pytest.mark.parametrize("key", FUNCTIONS)
def test_range_and_direction(key):
    shown, better = ROWS[key]
    truth, right, wrong = pairs_of(key)
    best, worst = FUNCTIONS[key](truth, right), FUNCTIONS[key](truth, wrong)
    assert best == pytest.approx(1 if better == "higher" else 0)
    assert (worst < best) == (better == "higher")
    lowest = -1 if shown.startswith("-1") else 0
    highest = float("inf") if "≥ 0" in shown else 1
    assert lowest <= min(best, worst) and max(best, worst) <= highest
    assert (worst > 1) == ("≥ 0" in shown) and (worst < 0) == (lowest == -1)


def test_the_primary_metrics_are_those_of_the_page():
    primary = dict(re.findall(r"^\| ([a-z -]+) \| `(\w+)` \| ", PAGE, re.MULTILINE))
    assert primary == {
        "regression": metrics.PRIMARY["regression"][0],
        "single-label classification": metrics.PRIMARY["single_label_classification"][0],
        "multi-label classification": metrics.PRIMARY["multi_label_classification"][0],
    }
    for key, higher in metrics.PRIMARY.values():
        assert ROWS[key][1] == ("higher" if higher else "lower")
