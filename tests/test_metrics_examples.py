# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What Dai et al. (2021) say about metrics, as examples: why weighted F1 misleads, and how their Table 3 is to be read."""

import numpy as np
from scipy import stats

from mm_affect.evaluation.metrics import f1_binary, f1_weighted, weighted_accuracy


# Table 3, IEMOCAP, as printed: the means of its ten columns.
TABLE_3 = {
    "EF-AVG": (64.9, 67.9, 73.0, 79.8, 71.4, 58.6, 41.7, 50.3, 67.6, 54.6),
    "EF-LSTM": (65.7, 66.0, 74.0, 81.9, 71.9, 64.1, 40.9, 54.8, 70.4, 57.6),
    "EF-TRANS": (62.6, 66.9, 72.9, 77.8, 70.0, 59.5, 39.5, 50.7, 64.3, 53.5),
    "LF-AVG": (67.1, 66.8, 75.2, 81.4, 72.6, 58.3, 42.2, 53.2, 68.0, 55.4),
    "LF-LSTM": (66.5, 68.0, 75.5, 78.5, 72.1, 63.2, 44.2, 56.1, 67.4, 57.7),
    "LF-TRANS": (67.2, 65.8, 73.4, 78.3, 71.2, 62.4, 39.5, 53.0, 65.0, 55.0),
    "EF-LF-AVG": (66.3, 68.4, 78.8, 82.5, 74.0, 55.4, 45.5, 58.4, 67.8, 56.8),
    "EF-LF-LSTM": (68.8, 68.8, 76.2, 83.8, 74.4, 64.2, 43.5, 57.9, 72.4, 59.5),
    "EF-LF-TRANS": (68.4, 67.8, 79.0, 81.8, 74.2, 63.6, 41.2, 60.5, 68.8, 58.5),
    "MulT": (65.4, 66.7, 75.5, 81.6, 72.3, 60.2, 43.4, 53.1, 70.1, 56.7),
    "MFN": (68.3, 67.7, 74.1, 80.3, 72.6, 65.1, 44.9, 55.4, 69.2, 58.7),
    "EMO-EMB": (65.7, 68.8, 78.1, 82.8, 73.8, 61.8, 44.2, 61.5, 71.4, 59.7),
}
# Table 1: positives of each emotion in the test split of IEMOCAP, which has 938 rows.
POSITIVES = {"neutral": 383, "happy": 135, "sad": 193, "angry": 227}


def at_threshold(threshold: float, positives: int) -> tuple[float, float, float]:
    """WAcc, F1 and weighted F1 of a fair model of one rare emotion: probabilities from two overlapping bells.

    Positives lie one deviation above negatives, in probit units; the quantiles make it the same at every call.
    """
    negatives = 938 - positives
    bells = [stats.norm.ppf((np.arange(n) + 0.5) / n) for n in (positives, negatives)]
    probability = stats.norm.cdf(np.concatenate([bells[0] + 0.5, bells[1] - 0.5]) * 0.8)
    truth = np.repeat([1.0, 0.0], [positives, negatives])
    predicted = (probability > threshold).astype(float)
    return weighted_accuracy(truth, predicted), f1_binary(truth, predicted), f1_weighted(truth, predicted)


def test_weighted_f1_rises_where_a_model_gets_useless():
    """Section 3.3: at a threshold of 0.9, where nearly all is called negative, weighted F1 stays above 0.7."""
    wacc, f1, wf1 = at_threshold(0.5, POSITIVES["happy"])
    strict_wacc, strict_f1, strict_wf1 = at_threshold(0.9, POSITIVES["happy"])
    assert wf1 + 0.05 < strict_wf1 and strict_wf1 > 0.7, "by weighted F1 the strict threshold is the better one"
    assert strict_wacc < 0.58 < 0.68 < wacc and strict_f1 < f1 - 0.1, "by the others it is the worse one"


def test_nothing_predicted_scores_by_weighted_f1_what_is_rare():
    """With no positive prediction WAcc is 1/2 and F1 is 0; weighted F1 is 2 q^2 / (1 + q), q the share of negatives."""
    for positives in POSITIVES.values():
        truth, nothing = np.repeat([1.0, 0.0], [positives, 938 - positives]), np.zeros(938)
        q = 1 - positives / 938
        assert weighted_accuracy(truth, nothing) == 0.5 and f1_binary(truth, nothing) == 0
        assert abs(f1_weighted(truth, nothing) - 2 * q**2 / (1 + q)) < 1e-12
    assert 2 * (1 - 135 / 938) ** 2 / (2 - 135 / 938) > 0.78, "of a rare emotion it looks like a good score"


def test_table_3_holds_four_accuracies_with_their_mean_then_four_f1_with_theirs():
    """Its header alternates the two; so read, no average is that of its columns, and as two blocks all are."""
    for name, row in TABLE_3.items():
        row = np.array(row)
        blocks = [abs(row[:4].mean() - row[4]), abs(row[5:9].mean() - row[9])]
        assert max(blocks) < 0.1, name  # both sides are rounded to 0.1
        header = [abs(row[i:8:2].mean() - row[8 + i]) for i in (0, 1)]
        assert max(header) > 1, name
